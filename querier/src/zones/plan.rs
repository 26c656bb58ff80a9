//! Whom one call asks: the zones that count, those first that are likely to answer, and how many of them it takes.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use proto::{Code, Error, IngesterRead, IngesterReaders};
use ring::{InstanceId, ReadSet, RingView, State};

/// When to come back after too few zones have answered: an ingester needs about as long to be replaced in the ring.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// An ingester of a zone.
#[derive(Clone)]
pub(super) struct Member {
    pub(super) id: InstanceId,
    pub(super) reader: Arc<dyn IngesterRead>,
}

/// A zone, all of whose members have to answer.
pub(super) struct Zone {
    pub(super) name: Arc<str>,
    pub(super) members: Vec<Member>,
}

/// Whom to ask.
pub(super) struct Plan {
    /// Zones that count and of which all that is needed can be reached, in the order in which to ask them.
    pub(super) zones: VecDeque<Zone>,
    /// So many of them have to answer whole.
    pub(super) required: usize,
    /// Any so many of them hold every series between them.
    pub(super) covering: usize,
    /// Of how many zones, where each holds everything, ...
    pub(super) copies: Copies,
    /// Why zones cannot answer.
    pub(super) failures: Vec<String>,
}

/// How often a series is counted when zones are asked how many they have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Copies {
    /// Zones that are asked or might have been.
    pub(super) zones: usize,
    /// In how many of them each series is.
    pub(super) replicas: usize,
}

impl Plan {
    /// The plan for a read set of this view. Zones that can be asked alike take turns.
    ///
    /// # Errors
    /// [`Code::Unavailable`] where a whole answer is impossible from the start.
    pub(super) fn new(
        view: &RingView,
        set: &ReadSet,
        readers: &dyn IngesterReaders,
        turn: usize,
    ) -> Result<Self, Error> {
        let replicas = view.ring().quorum().replication_factor();
        let total = set.zones().len().max(replicas);
        let mut plan = Self {
            zones: VecDeque::new(),
            required: set.required(),
            covering: total + 1 - replicas,
            copies: Copies { zones: total, replicas },
            failures: Vec::new(),
        };
        let mut usable = Vec::new();
        for zone in set.zones() {
            if !zone.counts {
                plan.failures.push(format!("zone {} has lost samples of the range", zone.zone));
            } else if zone.instances.is_empty() {
                // It holds nothing of the tenant: that is an answer, and a whole one.
                plan.required = plan.required.saturating_sub(1);
                plan.covering = plan.covering.saturating_sub(1);
            } else {
                let instances = zone.instances.iter().filter_map(|i| view.ring().instances().get(*i));
                let settled = |state| matches!(state, State::Active | State::Leaving);
                let waiting = instances.clone().filter(|instance| !settled(instance.state)).count();
                match members(instances.map(|instance| &instance.id), readers) {
                    Ok(members) => usable.push((waiting, Zone { name: Arc::clone(&zone.zone), members })),
                    Err(id) => plan.fail(&zone.zone, &id, "cannot be reached: its address is not known"),
                }
            }
        }
        plan.covering = plan.covering.max(1);
        let count = usable.len().max(1);
        usable.rotate_left(turn % count);
        usable.sort_by_key(|(waiting, _)| *waiting);
        plan.zones = usable.into_iter().map(|(_, zone)| zone).collect();
        if plan.zones.len() < plan.required {
            return Err(plan.shortage(plan.zones.len()));
        }
        Ok(plan)
    }

    /// Notes that a zone cannot answer because of one of its instances.
    pub(super) fn fail(&mut self, zone: &str, instance: &InstanceId, why: &str) {
        self.failures.push(format!("instance {instance} of zone {zone}: {why}"));
    }

    /// What to say when no more than `able` zones can answer.
    pub(super) fn shortage(&self, able: usize) -> Error {
        let why =
            if self.failures.is_empty() { "no others are known".into() } else { self.failures.join("; ") };
        let message = format!(
            "too few zones can answer: a whole answer needs {} of those that hold the tenant's samples, and {able} can \
             give theirs ({why})",
            self.required
        );
        Error::unavailable(message, RETRY_AFTER)
    }
}

fn members<'a>(
    ids: impl Iterator<Item = &'a InstanceId>,
    readers: &dyn IngesterReaders,
) -> Result<Vec<Member>, InstanceId> {
    ids.map(|id| {
        let reader = readers.reader(id).ok_or_else(|| id.clone())?;
        Ok(Member { id: id.clone(), reader })
    })
    .collect()
}

/// Whether another zone may answer where one fails like this. What is wrong with the request is wrong everywhere.
pub(super) fn is_failure_of_zone(code: Code) -> bool {
    match code {
        Code::InvalidArgument
        | Code::PermissionDenied
        | Code::TooLarge
        | Code::UnsupportedMediaType
        | Code::Unprocessable
        | Code::TenantLimit => false,
        Code::Unauthenticated
        | Code::NotFound
        | Code::Unavailable
        | Code::DeadlineExceeded
        | Code::Canceled
        | Code::Internal => true,
    }
}
