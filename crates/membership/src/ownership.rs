//! Which units of work are this process': placed over the live processes of its role, and fenced by its lease.
//!
//! Two promises of different strength. [`Ownership::owns`] goes by the last view and holds while the metastore is away:
//! owners keep what they have. Two processes may say yes while their views differ, so it is for work that may be done
//! twice. [`Ownership::grant`] adds the lease, with a margin: it is for effects outside, and [`Grant::fenced`] for what
//! is committed.

use std::sync::Arc;
use std::time::Duration;

use env::{Clock, Scope};
use placement::{HashPlacement, Placement, Tracker, Unit};
use prost::Message as _;
use proto::metastore::{Lease, Op, Txn};
use tokio::sync::watch;

use crate::lease::LeaseHolder;
use crate::records::{self, LEASES};
use crate::view::View;
use crate::watcher::Watcher;

/// What ownership is made from.
pub struct OwnershipDeps {
    /// The lease of this process, whose instance is a member of `role`.
    pub lease: LeaseHolder,
    /// The instance that the lease is of.
    pub instance: Arc<str>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Where the task that follows the members runs.
    pub scope: Scope,
    /// How much longer than the moment of asking a lease must hold: at least as long as an effect takes that is not
    /// looked at again.
    pub margin: Duration,
}

/// What this process owns. Clones see the same.
#[derive(Clone)]
pub struct Ownership {
    placements: watch::Receiver<Arc<HashPlacement>>,
    lease: LeaseHolder,
    instance: Arc<str>,
    clock: Arc<dyn Clock>,
    margin: Duration,
}

/// Leave to act for a unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// The number of the view that the unit was placed by.
    pub view: u64,
    /// The instance whose lease it is.
    pub instance: Arc<str>,
    /// The fencing token.
    pub token: u64,
    /// Until when nobody else acts in place of this process, in the clock's monotonic time.
    pub valid_until: Duration,
}

impl Ownership {
    /// Follows the live processes of `role`, as `watcher` sees them; it has to watch [`LEASES`].
    pub fn start(role: &str, watcher: &Watcher, deps: OwnershipDeps) -> Self {
        let OwnershipDeps { lease, instance, clock, scope, margin } = deps;
        let mut views = watcher.subscribe();
        let mut tracker = Tracker::default();
        let role = role.to_owned();
        see(&mut tracker, &role, &views.borrow_and_update());
        let (publish, placements) = watch::channel(Arc::clone(tracker.current()));
        let follow = async move {
            let mut seen = 0;
            while views.changed().await.is_ok() {
                let view = Arc::clone(&views.borrow_and_update());
                let changed = view.changed_at(LEASES.as_bytes());
                if changed != seen && see(&mut tracker, &role, &view) {
                    publish.send_replace(Arc::clone(tracker.current()));
                }
                seen = changed;
            }
        };
        // It ends with the scope; nobody waits for it.
        drop(scope.spawn("membership ownership", follow));
        Self { placements, lease, instance, clock, margin }
    }

    /// Where units belong now.
    pub fn placement(&self) -> Arc<dyn Placement> {
        self.placements.borrow().clone()
    }

    /// To be told of other members.
    pub fn subscribe(&self) -> watch::Receiver<Arc<HashPlacement>> {
        self.placements.clone()
    }

    /// Whether the unit is this process' by the last view.
    pub fn owns(&self, unit: Unit<'_>) -> bool {
        self.placements.borrow().owner(unit).as_ref() == Some(&self.instance)
    }

    /// Leave to act for the unit now, where it is this process' and its lease holds for the margin at least.
    pub fn grant(&self, unit: Unit<'_>) -> Option<Grant> {
        let placement = self.placements.borrow().clone();
        let held = self.lease.held();
        let mine = placement.owner(unit).as_ref() == Some(&self.instance);
        (mine && held.is_valid(self.clock.monotonic(), self.margin)).then(|| Grant {
            view: placement.number(),
            instance: Arc::clone(&self.instance),
            token: held.token,
            valid_until: held.valid_until,
        })
    }
}

impl Grant {
    /// Whether it still holds at `now` and for `margin` longer: to be asked just before an effect outside.
    pub fn is_valid(&self, now: Duration, margin: Duration) -> bool {
        now + margin < self.valid_until
    }

    /// Does `then` only while the lease is the one that this was granted by.
    pub fn fenced(&self, then: Vec<Op>) -> Txn {
        Txn { compare: vec![records::holds(&self.instance, self.token)], then, ..Txn::default() }
    }
}

/// The leases of the processes of a role that live, as a view has them, by name.
pub fn live(view: &View, role: &str) -> impl Iterator<Item = Lease> {
    let live = view.range(LEASES.as_bytes()).filter_map(|record| Lease::decode(record.value.clone()).ok());
    live.filter(move |lease| lease.roles.iter().any(|has| has == role))
}

/// Looks at the members in a view; whether they are others.
fn see(tracker: &mut Tracker, role: &str, view: &View) -> bool {
    tracker.see(view.revision(), live(view, role).map(|lease| lease.instance.into())).is_some()
}
