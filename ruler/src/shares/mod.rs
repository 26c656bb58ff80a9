//! The share that this ruler has of all groups, where it is one of several: kept up to date, told to the others, and given to
//! those who evaluate.

mod decide;
mod peers;
mod serve;

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use env::{Clock, Scope};
use membership::{Addresses, Client, HEARD, Heard, LeaseHolder, Share, Steady, View, Watcher, live};
use model::TenantId;
use parking_lot::Mutex;
use placement::{HashPlacement, Placement as _, Tracker};
use proto::Error;
use proto::ruler::{Group, StandingResponse};
use rpc::grpc::Dial;
use tokio::sync::watch;

use crate::metrics::Metrics;
use decide::{Known, Standing};
use peers::Peers;

pub use serve::RulerService;

/// The role, as leases name it.
const ROLE: &str = "ruler";
/// How often it is looked whether the lease holds, and how others stand where that matters.
const TICK: Duration = Duration::from_millis(500);
/// The same while others are waited for.
const WAITING_TICK: Duration = Duration::from_millis(100);

/// What a ruler has of the cluster that it is in.
pub struct ClusterDeps {
    /// The metastore.
    pub client: Client,
    /// A view of [`membership::records::Rules`] and [`membership::records::RuleTenants`].
    pub rules: Watcher,
    /// A view of [`membership::records::LEASES`].
    pub members: Watcher,
    /// The lease of this process, which has the role `ruler`, once it is being registered.
    pub lease: Pin<Box<dyn Future<Output = LeaseHolder> + Send>>,
    /// Whose lease that is.
    pub instance: Arc<str>,
    /// The way to other rulers.
    pub dial: Arc<dyn Dial>,
    /// How long other rulers that do not answer are waited for before groups are taken over: as long as the view of one that
    /// lives can be behind.
    pub patience: Duration,
}

/// What is decided now.
#[derive(Debug, Clone)]
struct Current {
    share: Share,
    /// Counts shares.
    number: u64,
    cluster_id: u64,
    /// The revision that it was decided by.
    revision: u64,
    /// The revision at which the rulers became those that it was decided by.
    placement: u64,
    decided: Duration,
    /// The token of the lease that it is held by.
    token: u64,
    addresses: Arc<Addresses>,
}

/// What is carried out.
#[derive(Debug)]
struct Carried {
    share: Share,
    number: u64,
    token: u64,
    settled: (u64, u64),
}

/// The share of this ruler. Clones are the same.
#[derive(Clone)]
pub(crate) struct Shares(Arc<Inner>);

struct Inner {
    me: Arc<str>,
    clock: Arc<dyn Clock>,
    margin: Duration,
    patience: Duration,
    peers: Peers,
    members: Watcher,
    current: watch::Sender<Current>,
    carried: Mutex<Carried>,
    heard: Mutex<BTreeMap<Arc<str>, Standing>>,
    lease: watch::Sender<Option<LeaseHolder>>,
    metrics: Metrics,
}

impl Shares {
    /// The share of a ruler that has not begun: nothing, until its lease is there. `margin` is how much longer than the moment
    /// the lease has to hold for something to be done.
    pub(crate) fn start(
        deps: ClusterDeps,
        margin: Duration,
        metrics: &Metrics,
        env: (&Arc<dyn Clock>, &Scope),
    ) -> Self {
        let ClusterDeps { members, lease, instance, dial, patience, .. } = deps;
        let (clock, scope) = env;
        let current = Current {
            share: Share::Nothing,
            number: 0,
            cluster_id: 0,
            revision: 0,
            placement: 0,
            decided: Duration::ZERO,
            token: 0,
            addresses: Arc::default(),
        };
        let carried = Carried { share: Share::Nothing, number: 0, token: 0, settled: (0, 0) };
        let inner = Inner {
            me: instance,
            clock: Arc::clone(clock),
            margin,
            patience,
            peers: Peers::new(dial, Arc::clone(clock)),
            members,
            current: watch::Sender::new(current),
            carried: Mutex::new(carried),
            heard: Mutex::default(),
            lease: watch::Sender::new(None),
            metrics: metrics.clone(),
        };
        let shares = Self(Arc::new(inner));
        let kept = shares.clone();
        // The scope ends it.
        drop(scope.spawn("shares", async move {
            kept.0.lease.send_replace(Some(lease.await));
            kept.keep().await;
        }));
        shares
    }

    /// Whether a group is this process', as far as that is carried out.
    pub(crate) fn owns(&self, name: &str) -> membership::Own {
        decide::owns(&self.0.carried.lock().share, &self.0.me, name)
    }

    /// Whether something may be done now for groups that are this process'.
    pub(crate) fn may_act(&self) -> bool {
        let now = self.0.clock.monotonic();
        let current = self.0.current.borrow();
        if self.0.carried.lock().token != current.token {
            // What runs is from before another lease.
            return false;
        }
        match &current.share {
            Share::Nothing => false,
            Share::Kept(_) | Share::Whole(_) => {
                let lease = self.0.lease.borrow();
                let held = lease.as_ref().map(LeaseHolder::held).unwrap_or_default();
                held.token == current.token && held.is_valid(now, self.0.margin)
            }
            Share::Orphaned { .. } => now.saturating_sub(current.decided) < HEARD,
        }
    }

    /// Waits until the share is another one than was carried out, and carries that out: `apply` is called when
    /// [`Self::owns`] answers anew, and returns when what is not this process' has been stopped.
    pub(crate) async fn carry_out<F: Future<Output = ()>>(&self, apply: impl Fn() -> F) {
        let mut changes = self.0.current.subscribe();
        loop {
            let Current { share, number, token, .. } = changes.borrow_and_update().clone();
            let (done, lost) = {
                let carried = self.0.carried.lock();
                (carried.number == number, carried.token != token)
            };
            if !done {
                if lost {
                    // Between two leases others may have been the owners.
                    self.0.carried.lock().share = Share::Nothing;
                    apply().await;
                }
                self.0.carried.lock().share = share;
                apply().await;
                let mut carried = self.0.carried.lock();
                (carried.number, carried.token) = (number, token);
            }
            self.settle();
            if changes.changed().await.is_err() {
                return;
            }
        }
    }

    /// Where this ruler stands.
    pub(crate) fn standing(&self) -> StandingResponse {
        self.settle();
        let current = self.0.current.borrow().clone();
        let (cluster_id, settled_revision) = self.0.carried.lock().settled;
        StandingResponse {
            instance: self.0.me.to_string(),
            cluster_id,
            settled_revision,
            placement_revision: current.placement,
            lease_age_ms: self.lease_age().map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX)),
        }
    }

    /// The groups of a tenant that other rulers evaluate.
    ///
    /// # Errors
    /// Names the ruler that does not tell.
    pub(crate) async fn groups_of_others(
        &self,
        tenant: &TenantId,
        exclude_alerts: bool,
    ) -> Result<Vec<Group>, Error> {
        let current = self.0.current.borrow().clone();
        let others =
            current.addresses.iter().filter(|(name, _)| **name != self.0.me && !current.share.is_gone(name));
        let asked = others.map(|(name, at)| self.0.peers.groups((name, at), tenant, exclude_alerts));
        let groups = futures::future::try_join_all(asked).await?;
        Ok(groups.into_iter().flatten().collect())
    }

    /// What was decided last, where it has been carried out, holds up to the revision that is known now.
    fn settle(&self) {
        let current = self.0.current.borrow();
        let mut carried = self.0.carried.lock();
        if carried.number == current.number {
            carried.settled = (current.cluster_id, current.revision);
        }
    }

    /// How long ago the lease of a ruler was known to hold.
    fn lease_age(&self) -> Option<Duration> {
        let now = self.0.clock.monotonic();
        let held = self.0.lease.borrow().as_ref().map(LeaseHolder::held).unwrap_or_default();
        let own = (held.token != 0).then(|| now.saturating_sub(held.valid_until));
        let heard = self.0.heard.lock();
        let others = heard.values().map(Standing::heard).filter_map(|heard: Heard| heard.age(now));
        others.chain(own).min()
    }

    async fn keep(self) {
        let inner = &*self.0;
        let mut views = inner.members.subscribe();
        let mut seen = SeenMembers::default();
        let mut steady = Steady::default();
        loop {
            let view = Arc::clone(&views.borrow_and_update());
            seen.see(&view);
            let lease = inner.lease.borrow().clone();
            let held = lease.as_ref().map(LeaseHolder::held).unwrap_or_default();
            let now = inner.clock.monotonic();
            let token = held.is_valid(now, inner.margin).then_some(held.token);
            let mut known = Known {
                now,
                me: Arc::clone(&inner.me),
                lease: token,
                displaced: held.displaced,
                cluster_id: view.cluster_id(),
                revision: view.revision(),
                placement: Arc::clone(seen.tracker.current()),
                heard: inner.heard.lock().clone(),
                since: steady.look(now, token, &seen.tracker.current().number()),
                patience: inner.patience,
            };
            let mut share = known.share();
            if known.asks(&share) {
                self.decide(&known, share, held.token, &seen.addresses);
                let mut others = (*seen.addresses).clone();
                others.remove(&inner.me);
                inner.peers.follow(&others);
                let answers = inner.peers.standings(&others).await;
                let mut heard = inner.heard.lock();
                heard.retain(|name, _| others.contains_key(name));
                heard.extend(answers);
                known.heard.clone_from(&heard);
                known.now = inner.clock.monotonic();
                share = known.share();
            }
            let tick = if matches!(share, Share::Kept(_)) { WAITING_TICK } else { TICK };
            self.decide(&known, share, held.token, &seen.addresses);
            tokio::select! {
                biased;
                changed = views.changed() => if changed.is_err() { return },
                () = inner.clock.sleep(tick) => {}
            }
        }
    }

    /// Takes down what was decided.
    fn decide(&self, known: &Known, share: Share, token: u64, addresses: &Arc<Addresses>) {
        self.0.current.send_if_modified(|current| {
            let other = current.share != share || current.token != token;
            if other {
                tracing::info!(
                    share = share.name(), rulers = ?known.placement.members(), revision = known.revision,
                    "the share that this ruler has of the groups is another one"
                );
                self.0.metrics.standing(share.name());
            }
            *current = Current {
                share,
                number: current.number + u64::from(other),
                cluster_id: known.cluster_id,
                revision: known.revision,
                placement: known.placement.number(),
                decided: known.now,
                token,
                addresses: Arc::clone(addresses),
            };
            other
        });
    }
}

/// The rulers, as a view knows them.
#[derive(Default)]
struct SeenMembers {
    cluster_id: u64,
    changed: u64,
    tracker: Tracker,
    addresses: Arc<Addresses>,
}

impl SeenMembers {
    fn see(&mut self, view: &View) {
        let changed = view.changed_at(membership::records::LEASES.as_bytes());
        if !view.is_known() || (self.cluster_id, self.changed) == (view.cluster_id(), changed) {
            return;
        }
        if self.cluster_id != view.cluster_id() {
            // Revisions count anew.
            self.tracker = Tracker::default();
        }
        (self.cluster_id, self.changed) = (view.cluster_id(), changed);
        let members = live(view, ROLE).map(|lease| Arc::from(lease.instance));
        let _: Option<&Arc<HashPlacement>> = self.tracker.see(view.revision(), members);
        self.addresses = Arc::new(membership::addresses(view, ROLE));
    }
}

impl std::fmt::Debug for Shares {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shares").field("current", &*self.0.current.borrow()).finish_non_exhaustive()
    }
}
