//! Alerts that were posted to this process, on their way to the others.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use model::TenantId;
use proto::{Code, Error};

use super::Cluster;
use super::alerts::{parts, to_wire};
use super::peers::TAKE_TIMEOUT;
use crate::alert::Alert;
use crate::service::Shared;
use crate::state::Record;
use crate::tenant::Tenant;

/// Why alerts are not taken by a process that has only just started.
const UNKNOWN: &str = "nothing was heard of the metastore yet, so that it is not known who else has to have the alerts; send them again";

impl Cluster {
    /// Sends alerts to all others. Ready when a majority of all Alertmanagers has them, this one included; the rest goes on, and
    /// who has not taken them is sent them again.
    /// Those that are taken for gone are not asked and not counted. Whoever does not know yet who else there is takes nothing:
    /// alerts would be with it alone, and it tells nobody.
    pub(crate) fn spread(
        &self,
        tenant: &TenantId,
        alerts: &[Alert],
    ) -> impl Future<Output = Result<(), String>> + Send + use<> {
        let (others, members) = {
            let carried = self.carried.lock();
            let lives = |name: &Arc<str>| !carried.share.is_gone(name);
            let others = carried.others.iter().filter(|(name, _)| lives(name));
            let others: Vec<(Arc<str>, String)> =
                others.map(|(name, address)| (Arc::clone(name), address.clone())).collect();
            let gone = carried.others.len() - others.len();
            let known = Some(carried.members).filter(|members| *members > 0);
            (others, known.map(|members| members.saturating_sub(gone).max(1)))
        };
        let parts = match others.is_empty() {
            true => Arc::default(),
            false => Arc::new(parts(alerts.iter().map(to_wire))),
        };
        let sent = FuturesUnordered::new();
        for (name, address) in others {
            let (peers, parts, tenant) = (Arc::clone(&self.peers), Arc::clone(&parts), tenant.clone());
            let (spreading, failed) = (Arc::clone(&self.spreading), self.metrics.spreads_failed.clone());
            let (clock, missed) = (Arc::clone(&self.clock), Arc::clone(&self.missed));
            let send = async move {
                let sending = async {
                    // It is never closed.
                    let _turn = spreading.acquire().await;
                    for part in parts.iter() {
                        peers.take(&address, &tenant, part.clone(), Vec::new()).await?;
                    }
                    Ok::<(), Error>(())
                };
                let outcome = tokio::select! {
                    biased;
                    outcome = sending => outcome.map_err(|error| error.message),
                    () = clock.sleep(2 * TAKE_TIMEOUT) => Err("there was no time left".to_owned()),
                };
                if let Err(why) = &outcome {
                    failed.inc();
                    tracing::warn!(alertmanager = %name, %tenant, why, "another Alertmanager has not taken alerts");
                    missed.lock().entry(name).or_default().insert(tenant);
                }
                outcome.is_ok()
            };
            // It goes on where nobody waits for it any more.
            sent.push(self.scope.spawn("alerts to others", send));
        }
        async move {
            match members {
                Some(members) => majority(sent, members).await,
                None => Err(UNKNOWN.to_owned()),
            }
        }
    }

    /// Sends those all alerts of a tenant that have not taken some of them: nobody may post them again. Who has let go of its lease
    /// meanwhile asks for them itself when it has another.
    pub(super) async fn send_missed(&self, shared: &Shared) {
        let others = self.carried.lock().others.clone();
        let missed = std::mem::take(&mut *self.missed.lock());
        let owed = missed.into_iter().filter_map(|(name, of)| Some((others.get(&name)?, name, of)));
        let sent = owed.map(|(address, name, tenants)| async move {
            let (mut left, mut tenants) = (BTreeSet::new(), tenants.into_iter());
            while let Some(tenant) = tenants.next() {
                let Err(error) = self.send_all(shared, address, &tenant).await else { continue };
                tracing::debug!(alertmanager = %name, %tenant, %error, "another Alertmanager still does not take alerts");
                left.insert(tenant);
                // One that is full refuses those of some tenants; one that hangs is not waited for with each.
                if error.code == Code::DeadlineExceeded {
                    left.extend(tenants.by_ref());
                }
            }
            if !left.is_empty() {
                self.missed.lock().entry(name).or_default().append(&mut left);
            }
        });
        futures::future::join_all(sent).await;
    }

    async fn send_all(&self, shared: &Shared, address: &str, tenant: &TenantId) -> Result<(), Error> {
        let Some(known) = shared.tenants.get(tenant) else { return Ok(()) };
        let alerts: Vec<_> = known.dispatcher.lock().alerts().map(|alert| to_wire(alert)).collect();
        for part in parts(alerts) {
            self.peers.take(address, tenant, part, Vec::new()).await?;
        }
        Ok(())
    }

    /// Sends all alerts to all others: those that were posted to this process alone.
    pub(super) fn spread_all(&self, shared: &Shared) {
        for tenant in shared.tenants.list() {
            let alerts: Vec<Alert> =
                tenant.dispatcher.lock().alerts().map(|alert| (**alert).clone()).collect();
            // It goes on by itself, and who does not hear of it is told when alerts are posted again.
            drop(self.spread(&tenant.id, &alerts));
        }
    }

    /// Tells the others of records that they may not see soon: what receivers were told of, while the metastore does not take it
    /// down, and silences, which the view of one may lack.
    pub(super) fn tell_others(&self, tenant: &TenantId, told: &[Bytes]) {
        let others = self.carried.lock().lately.clone();
        for address in others.into_values() {
            let (peers, tenant, told) = (Arc::clone(&self.peers), tenant.clone(), told.to_vec());
            let Ok(turn) = Arc::clone(&self.spreading).try_acquire_owned() else { return };
            drop(self.scope.spawn("records to others", async move {
                let _turn = turn;
                if let Err(error) = peers.take(&address, &tenant, Vec::new(), told).await {
                    tracing::debug!(%error, "another Alertmanager has not taken a record");
                }
            }));
        }
    }
}

impl Shared {
    /// Takes in records that another process sends. What it has told and could not have written down this one has written down,
    /// too: who is told of it may be asked by nobody later. Silences the metastore has already.
    pub(super) fn hear_records(&self, tenant: &Tenant, records: &[Bytes]) {
        for record in records.iter().filter_map(|record| Record::decode(record)) {
            match record {
                Record::Log(id, key, entry) if id == tenant.id => {
                    tenant.dispatcher.lock().heard_told(key.clone(), entry.clone(), self.now());
                    if let Some(cluster) = self.keeper.cluster() {
                        // Nobody here waits for it.
                        drop(cluster.told.add(&tenant.id, (key, entry)));
                    }
                }
                Record::Silence(id, silence) if id == tenant.id => {
                    tenant.dispatcher.lock().silences_mut().store(*silence);
                    tenant.wake();
                }
                _ => {}
            }
        }
    }
}

/// Ready when more than half of `members` have it, this process among them.
async fn majority(mut sent: FuturesUnordered<env::TaskHandle<bool>>, members: usize) -> Result<(), String> {
    let (needed, mut have) = (members / 2 + 1, 1);
    while have < needed {
        match sent.next().await {
            Some(Ok(true)) => have += 1,
            Some(_) => {}
            None => {
                return Err(format!(
                    "only {have} of {members} Alertmanagers have taken the alerts, and {needed} have to; send them again"
                ));
            }
        }
    }
    Ok(())
}
