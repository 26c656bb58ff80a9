//! The Alertmanagers of the cluster, for a process that has none: alerts are posted to one that lives, which passes them on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use env::Clock;
use membership::{Addresses, Watcher, addresses};
use model::TenantId;
use proto::{Error, PostAlerts, PostedAlert};
use rpc::grpc::Dial;

use super::alerts::{parts, to_wire};
use super::peers::{Peers, ROLE};
use crate::moment::Moment;
use crate::post::taken;

/// When to come back where none answers.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// The Alertmanagers that live, as far as is known.
pub struct RemoteAlertmanagers {
    members: Watcher,
    peers: Peers,
    clock: Arc<dyn Clock>,
    turn: AtomicUsize,
    /// Whether there ever were any: without one, nobody is to be told.
    known: AtomicBool,
}

impl RemoteAlertmanagers {
    /// Those whose leases `members` sees, which has to watch [`membership::records::LEASES`].
    pub fn new(members: Watcher, dial: Arc<dyn Dial>, clock: Arc<dyn Clock>) -> Self {
        let peers = Peers::new(dial, Arc::clone(&clock));
        Self { members, peers, clock, turn: AtomicUsize::new(0), known: AtomicBool::new(false) }
    }

    async fn post_to_any(
        &self,
        all: &Addresses,
        tenant: &TenantId,
        alerts: &[PostedAlert],
    ) -> Result<(), Error> {
        let now = Moment::from_millis(self.clock.now_ms());
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % all.len();
        let in_turn = all.iter().skip(turn).chain(all.iter().take(turn));
        let mut last = Error::unavailable("no Alertmanager of the cluster is known to live", RETRY_AFTER);
        'next: for (name, address) in in_turn {
            for part in parts(alerts.iter().map(|alert| to_wire(&taken(alert, now)))) {
                if let Err(error) = self.peers.post(address, tenant, part).await {
                    let message = format!("Alertmanager {name}: {}", error.message);
                    last = Error { message, ..error };
                    continue 'next;
                }
            }
            return Ok(());
        }
        Err(last)
    }
}

#[async_trait]
impl PostAlerts for RemoteAlertmanagers {
    async fn post(&self, tenant: &TenantId, alerts: &[PostedAlert]) -> Result<(), Error> {
        let all = addresses(&self.members.view(), ROLE);
        self.peers.follow(&all);
        match all.is_empty() {
            true if self.known.load(Ordering::Relaxed) => {
                Err(Error::unavailable("no Alertmanager of the cluster is known to live", RETRY_AFTER))
            }
            true => Ok(()),
            false => {
                self.known.store(true, Ordering::Relaxed);
                self.post_to_any(&all, tenant, alerts).await
            }
        }
    }
}
