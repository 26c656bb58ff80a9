//! From the metastore's records to the ring that roles work with: a [`RingView`] for every view that says something new.

mod departed;
mod members;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use env::Scope;
use ring::{RingView, State};
use telemetry::Registry;
use telemetry::metrics::{Family, Gauge};
use tokio::sync::watch;

pub(crate) use departed::departed;
pub use members::Members;

use crate::records::{Instances, Kind as _, LEASES, Tenants};
use crate::watcher::Watcher;

/// What has to be watched for a ring: `prefixes` of a [`Watcher`].
pub fn prefixes(ring: &str) -> Vec<bytes::Bytes> {
    vec![format!("{}{ring}/", Instances::PREFIX).into(), LEASES.into(), Tenants::PREFIX.into()]
}

/// The ring as the watcher sees it, for as long as `scope` lives: at once as it was saved last, then as it becomes. It
/// stays as it was while the metastore is away, and nobody in it becomes unhealthy by that.
pub fn follow(
    watcher: &Watcher,
    mut members: Members,
    registry: &Registry,
    scope: &Scope,
) -> watch::Receiver<Arc<RingView>> {
    let mut views = watcher.subscribe();
    members.update(&views.borrow_and_update());
    let counts = registry.sub("ring").family("members", "Instances of the ring as this process sees them");
    count(&counts, &members);
    let (publish, rings) = watch::channel(members.ring_view());
    // It ends with the scope; nobody waits for it.
    drop(scope.spawn("membership rings", async move {
        while views.changed().await.is_ok() {
            let view = Arc::clone(&views.borrow_and_update());
            if members.update(&view) {
                count(&counts, &members);
                publish.send_replace(members.ring_view());
            }
        }
    }));
    rings
}

/// The name of a ring and a state.
type Counted = [(&'static str, String); 2];

/// What instances are counted by, with the names that they have upstream.
const STATES: [(State, &str); 6] = [
    (State::Pending, "PENDING"),
    (State::Joining, "JOINING"),
    (State::Active, "ACTIVE"),
    (State::Leaving, "LEAVING"),
    (State::Unhealthy, "Unhealthy"),
    (State::Left, "LEFT"),
];

fn count(counts: &Family<Counted, Gauge>, members: &Members) {
    let view = members.ring_view();
    for (state, name) in STATES {
        let having = view.ring().instances().iter().filter(|instance| instance.state == state).count();
        let labels = [("name", members.name().to_owned()), ("state", name.to_owned())];
        counts.get_or_create(&labels).set(i64::try_from(having).unwrap_or(i64::MAX));
    }
}
