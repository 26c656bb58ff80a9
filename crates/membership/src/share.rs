//! The share that a process has of its role's work, where two at once would be seen outside: what it may keep, what it may take
//! over, and what it does where the metastore is gone. Pure; who is waited for before work is taken over, roles decide.
//!
//! A process whose lease has run out asks the others of its role whether theirs hold: if one does, the metastore is there for
//! others, who take over, and this one does nothing. If none does, the metastore is gone, and everybody goes on: with what it had,
//! and with what those had that do not answer and whom it follows.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use placement::{HashPlacement, Placement as _, Unit};

use crate::ownership::live;
use crate::view::View;

/// How long it counts that another process was heard of, or that its lease was known to hold.
pub const HEARD: Duration = Duration::from_secs(3);

/// Where processes are reached over gRPC, by name.
pub type Addresses = BTreeMap<Arc<str>, String>;

/// The addresses of the processes of a role that live, as a view has them; empty where one has none.
pub fn addresses(view: &View, role: &str) -> Addresses {
    let with_address = live(view, role).map(|mut lease| {
        let address = lease.addresses.remove("grpc").unwrap_or_default();
        (Arc::from(lease.instance), address)
    });
    with_address.collect()
}

/// What another process has said of its lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heard {
    /// When, in monotonic time of who heard it.
    pub at: Duration,
    /// How long ago, by then, a lease was known to hold; `None`: never.
    pub lease_age: Option<Duration>,
}

impl Heard {
    /// How long ago, by now, that lease was known to hold.
    pub fn age(&self, now: Duration) -> Option<Duration> {
        Some(self.lease_age?.saturating_add(now.saturating_sub(self.at)))
    }
}

/// One that has looked at nothing for longer has stood still: it did not hear of its lease and of the others meanwhile, and
/// does not know for how long they have been out of its reach.
const LOOKED_WITHIN: Duration = Duration::from_secs(2);

/// Since when the same lease has held, or none has, while the others were the same.
#[derive(Debug, Clone, Default)]
pub struct Steady<T> {
    of: Option<(Option<u64>, T)>,
    since: Duration,
    looked: Duration,
}

impl<T: Clone + PartialEq> Steady<T> {
    /// Looks again: since when the lease with this token has held, or none has, and `others` are those. Without a lease, time
    /// that the process stood still does not count.
    pub fn look(&mut self, now: Duration, lease: Option<u64>, others: &T) -> Duration {
        let stood_still = now.saturating_sub(self.looked) > LOOKED_WITHIN;
        self.looked = now;
        let same = self.of.as_ref().is_some_and(|(token, known)| *token == lease && known == others);
        if !same || (lease.is_none() && stood_still) {
            self.of = Some((lease, others.clone()));
            self.since = now;
        }
        self.since
    }
}

/// Which work is a process'.
#[derive(Debug, Clone)]
pub enum Share {
    /// None.
    Nothing,
    /// What it does already and is placed here; the rest of what is may still be done elsewhere.
    Kept(Arc<HashPlacement>),
    /// What is placed here.
    Whole(Arc<HashPlacement>),
    /// What is placed here when nothing is placed at those that are gone. The metastore is gone, too.
    Orphaned {
        /// Where work was placed last.
        placement: Arc<HashPlacement>,
        /// Who does not answer.
        gone: BTreeSet<Arc<str>>,
    },
}

/// Whether a unit of work is a process'.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Own {
    /// It is somebody else's.
    No,
    /// If it is being done here already.
    IfRunning,
    /// It is.
    Yes,
}

impl PartialEq for Share {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Nothing, Self::Nothing) => true,
            (Self::Kept(a), Self::Kept(b)) | (Self::Whole(a), Self::Whole(b)) => Arc::ptr_eq(a, b),
            (Self::Orphaned { placement: a, gone }, Self::Orphaned { placement: b, gone: other }) => {
                Arc::ptr_eq(a, b) && gone == other
            }
            _ => false,
        }
    }
}

impl Share {
    /// The share of the process `me` whose lease has not held since `since`, or never did, by what it heard of the others.
    pub fn without_lease(
        placement: &Arc<HashPlacement>,
        me: &str,
        heard: &BTreeMap<Arc<str>, Heard>,
        (since, now): (Duration, Duration),
    ) -> Self {
        let holds = |heard: &Heard| heard.age(now).is_some_and(|age| age < HEARD);
        if now.saturating_sub(since) < HEARD || heard.values().any(holds) {
            // The metastore, and who does not answer, may answer yet; or others have it.
            return Self::Nothing;
        }
        let answers = |name: &Arc<str>| {
            heard.get(name).is_some_and(|heard| heard.at >= since && now.saturating_sub(heard.at) < HEARD)
        };
        let others = placement.members().iter().filter(|name| ***name != *me);
        let gone = others.filter(|name| !answers(name)).cloned().collect();
        Self::Orphaned { placement: Arc::clone(placement), gone }
    }

    /// Whether a unit is the process' that is called `me`.
    pub fn owns(&self, me: &str, unit: Unit<'_>) -> Own {
        let (owner, own) = match self {
            Self::Nothing => return Own::No,
            Self::Kept(placement) => (placement.owner(unit), Own::IfRunning),
            Self::Whole(placement) => (placement.owner(unit), Own::Yes),
            Self::Orphaned { placement, gone } => {
                (placement.owner_among(unit, &|name| !gone.contains(name)), Own::Yes)
            }
        };
        if owner.as_deref() == Some(me) { own } else { Own::No }
    }

    /// Whether a process that was known is taken for gone.
    pub fn is_gone(&self, name: &str) -> bool {
        matches!(self, Self::Orphaned { gone, .. } if gone.contains(name))
    }

    /// How it is called in metrics and logs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Kept(_) => "kept",
            Self::Whole(_) => "whole",
            Self::Orphaned { .. } => "orphaned",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn placement() -> Arc<HashPlacement> {
        Arc::new(HashPlacement::new(50, ["a", "b", "c"].map(Arc::from)))
    }

    #[test]
    fn without_a_lease_others_with_one_take_over() {
        let (placement, since) = (placement(), 90 * SECOND);
        let mut heard = BTreeMap::new();
        let share = |heard: &BTreeMap<_, _>, now| Share::without_lease(&placement, "a", heard, (since, now));
        assert_eq!(share(&heard, since + 2 * SECOND), Share::Nothing, "others may answer yet");
        let now = since + HEARD;
        heard.insert("b".into(), Heard { at: now, lease_age: Some(2 * SECOND) });
        heard.insert("c".into(), Heard { at: now, lease_age: None });
        assert_eq!(share(&heard, now), Share::Nothing, "another one's holds");
        let orphaned = Share::Orphaned { placement: Arc::clone(&placement), gone: BTreeSet::new() };
        assert_eq!(share(&heard, now + SECOND), orphaned, "nobody has had one for so long");
        let now = now + 3 * SECOND;
        heard.insert("b".into(), Heard { at: now, lease_age: None });
        let share = share(&heard, now);
        assert!(share.is_gone("c") && !share.is_gone("b") && !share.is_gone("a"), "{share:?}");
    }

    #[test]
    fn what_has_been_so_for_how_long_leaves_out_standstills_without_a_lease() {
        let mut steady = Steady::default();
        let mut look = |ms, lease, others| steady.look(Duration::from_millis(ms), lease, others).as_millis();
        assert_eq!(look(500, None, &1), 500);
        assert_eq!(look(2_500, None, &1), 500);
        assert_eq!(look(4_501, None, &1), 4_501, "it stood still");
        assert_eq!(look(5_000, Some(7), &1), 5_000);
        assert_eq!(look(60_000, Some(7), &1), 5_000, "the lease holds all the same");
        assert_eq!(look(60_100, Some(8), &1), 60_100);
        assert_eq!(look(60_200, Some(8), &2), 60_200);
        assert_eq!(look(60_300, None, &2), 60_300);
    }

    #[test]
    fn what_the_gone_had_passes_to_the_next_and_nothing_else_moves() {
        let whole = Share::Whole(placement());
        let orphaned = Share::Orphaned { placement: placement(), gone: BTreeSet::from([Arc::from("c")]) };
        let mut moved = 0;
        for number in 0..1_000 {
            let name = format!("t/{number}");
            let owners = |share: &Share| {
                let owns = |me: &&str| share.owns(me, Unit::new("work", &name)) == Own::Yes;
                ["a", "b", "c"].into_iter().filter(owns).collect::<Vec<_>>()
            };
            let (before, after) = (owners(&whole), owners(&orphaned));
            assert_eq!((before.len(), after.len()), (1, 1), "{name}");
            match before == ["c"] {
                true => moved += 1,
                false => assert_eq!(before, after, "{name}"),
            }
        }
        assert!((200..500).contains(&moved), "{moved}");
        assert_eq!(Share::Nothing.owns("a", Unit::new("work", "t/1")), Own::No);
    }
}
