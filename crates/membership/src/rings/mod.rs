//! From the metastore's records to the ring that roles work with: a [`RingView`] for every view that says something new.

mod members;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use env::Scope;
use ring::RingView;
use tokio::sync::watch;

pub use members::Members;

use crate::records::{Instances, Kind as _, LEASES, Tenants};
use crate::watcher::Watcher;

/// What has to be watched for a ring: `prefixes` of a [`Watcher`].
pub fn prefixes(ring: &str) -> Vec<bytes::Bytes> {
    vec![format!("{}{ring}/", Instances::PREFIX).into(), LEASES.into(), Tenants::PREFIX.into()]
}

/// The ring as the watcher sees it, for as long as `scope` lives: at once as it was saved last, then as it becomes. It
/// stays as it was while the metastore is away, and nobody in it becomes unhealthy by that.
pub fn follow(watcher: &Watcher, mut members: Members, scope: &Scope) -> watch::Receiver<Arc<RingView>> {
    let mut views = watcher.subscribe();
    members.update(&views.borrow_and_update());
    let (publish, rings) = watch::channel(members.ring_view());
    // It ends with the scope; nobody waits for it.
    drop(scope.spawn("membership rings", async move {
        while views.changed().await.is_ok() {
            let view = Arc::clone(&views.borrow_and_update());
            if members.update(&view) {
                publish.send_replace(members.ring_view());
            }
        }
    }));
    rings
}
