//! The share of tenants that this process has: decided whenever something changed, and carried out.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use membership::records::{self, AlertmanagerStandings, Kind as _, LEASES};
use membership::{Addresses, Heard, LeaseHolder, Own, Share, Steady, View, addresses, live};
use model::TenantId;
use placement::{Placement as _, Tracker};
use proto::Stored;
use proto::metastore::{AlertmanagerStanding, Txn};

use super::Cluster;
use super::alerts::of_wire;
use super::decide::{Known, Standing, owns};
use super::peers::ROLE;
use crate::service::Shared;
use crate::tenant::Tenant;

/// How often it is looked whether the lease holds.
const TICK: Duration = Duration::from_millis(500);
/// The same while others are waited for.
const WAITING_TICK: Duration = Duration::from_millis(100);
/// How long what was told may take to be written down before tenants are given away.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the metastore may take to tell of this process' own word.
const STATE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long others may take to say what they have.
const HELD_TIMEOUT: Duration = Duration::from_secs(5);
/// How often others are asked again that did not say it.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// How long after its lease has ended it is tried to tell another one what it may not see soon.
const LATELY: Duration = Duration::from_secs(60);
/// How often what was told elsewhere is taken in.
const LOG_INTERVAL: Duration = Duration::from_secs(2);

/// What is known of the others.
#[derive(Default)]
struct Seen {
    cluster_id: u64,
    changed: Option<u64>,
    tracker: Tracker,
    members: BTreeMap<Arc<str>, u64>,
    addresses: Addresses,
    /// Those that have gone, and when.
    gone: BTreeMap<Arc<str>, (String, Duration)>,
    heard: BTreeMap<Arc<str>, Heard>,
    /// Since when lease and members are those.
    steady: Steady<BTreeMap<Arc<str>, u64>>,
    /// Whether the others were asked for all that they have.
    asked_all: bool,
    /// The revision that was written down last, with which lease.
    written: (u64, u64),
}

impl Seen {
    fn see(&mut self, view: &View, now: Duration) {
        let changed = Some(view.changed_at(LEASES.as_bytes()));
        if !view.is_known() || (self.cluster_id, self.changed) == (view.cluster_id(), changed) {
            return;
        }
        (self.cluster_id, self.changed) = (view.cluster_id(), changed);
        self.members = live(view, ROLE).map(|lease| (Arc::from(lease.instance), lease.token)).collect();
        let before = std::mem::replace(&mut self.addresses, addresses(view, ROLE));
        self.gone.extend(before.into_iter().map(|(name, address)| (name, (address, now))));
        self.gone.retain(|name, (_, since)| !self.addresses.contains_key(name) && *since + LATELY > now);
        self.tracker.see(view.revision(), self.members.keys().cloned());
    }
}

impl Cluster {
    /// Takes in what the metastore says, as it comes.
    pub(super) async fn follow(&self, shared: &Arc<Shared>) {
        let mut views = self.state.subscribe();
        let mut log_at = Duration::ZERO;
        let mut forget_at = self.clock.monotonic() + shared.config.cleanup_interval;
        loop {
            let view = Arc::clone(&views.borrow_and_update());
            self.records.take(shared, &view).await;
            let now = self.clock.monotonic();
            if now >= log_at {
                self.records.take_log(shared, &view);
                log_at = now + LOG_INTERVAL;
            }
            if now >= forget_at {
                forget_at = now + shared.config.cleanup_interval;
                let wanted = |tenant: &TenantId| self.owns(tenant);
                self.records.forget(self.clock.now_ms(), wanted).await;
            }
            tokio::select! {
                biased;
                changed = views.changed() => if changed.is_err() { return },
                () = self.clock.sleep(LOG_INTERVAL) => {}
            }
        }
    }

    /// Decides, and carries out what was decided, until the scope ends.
    pub(super) async fn keep(&self, shared: &Arc<Shared>) {
        let mut seen = Seen::default();
        let (mut members, mut states) = (self.members.subscribe(), self.state.subscribe());
        loop {
            let view = Arc::clone(&members.borrow_and_update());
            let state = Arc::clone(&states.borrow_and_update());
            seen.see(&view, self.clock.monotonic());
            let mut known = self.known(&mut seen, &state);
            if known.asks() {
                let mut others = seen.addresses.clone();
                others.remove(&self.me);
                let heard = self.peers.heard(&others).await;
                seen.heard.retain(|name, _| others.contains_key(name));
                seen.heard.extend(heard);
                known = self.known(&mut seen, &state);
            }
            let share = known.share();
            if !self.stopping.load(Ordering::Acquire) {
                let _carrying = self.carrying.lock().await;
                self.carry_out(shared, &mut seen, (&known, share)).await;
            }
            let kept = matches!(self.carried.lock().share, Share::Kept(_));
            let standings = |view: &View| view.changed_at(AlertmanagerStandings::PREFIX.as_bytes());
            let tick = self.clock.sleep(if kept { WAITING_TICK } else { TICK });
            let before = standings(&state);
            let said = async { states.wait_for(|view| standings(view) != before).await.map(drop) };
            tokio::select! {
                biased;
                changed = members.changed() => if changed.is_err() { return },
                changed = said => if changed.is_err() { return },
                () = tick => {}
            }
        }
    }

    /// What is known now.
    fn known(&self, seen: &mut Seen, state: &View) -> Known {
        let held = self.lease.borrow().as_ref().map(LeaseHolder::held).unwrap_or_default();
        let now = self.clock.monotonic();
        let lease = held.is_valid(now, self.margin).then_some(held.token);
        Known {
            now,
            me: Arc::clone(&self.me),
            lease,
            members: seen.members.clone(),
            members_at: seen.changed.unwrap_or_default(),
            // Of another cluster all counts anew.
            state_at: if state.cluster_id() == seen.cluster_id { state.revision() } else { 0 },
            placement: Arc::clone(seen.tracker.current()),
            standings: standings(state),
            heard: seen.heard.clone(),
            since: seen.steady.look(now, lease, &seen.members),
            patience: self.patience,
        }
    }

    async fn carry_out(&self, shared: &Arc<Shared>, seen: &mut Seen, (known, share): (&Known, Share)) {
        let token = known.lease.unwrap_or_default();
        let mut others = seen.addresses.clone();
        others.remove(&self.me);
        let (other, lost) = {
            let mut carried = self.carried.lock();
            let gone = seen.gone.iter().map(|(name, (address, _))| (Arc::clone(name), address.clone()));
            carried.lately = gone.chain(others.clone()).filter(|(name, _)| *name != self.me).collect();
            carried.others = others;
            // This one is among them also while it has no lease.
            carried.members = seen.changed.map_or(0, |_| known.others().count() + 1);
            self.peers.follow(&carried.lately);
            let members = i64::try_from(carried.members).unwrap_or(i64::MAX);
            self.metrics.members.set(members);
            // Between two leases others may have told of what was this process'.
            (
                carried.share != share || carried.token != token,
                carried.token != token && known.lease.is_some(),
            )
        };
        if !other && (known.lease.is_none() || seen.written == (known.barrier(), token)) {
            return;
        }
        if other {
            tracing::info!(
                share = share.name(), members = ?known.placement.members(), token,
                "the share that this Alertmanager has of the tenants is another one"
            );
        }
        // What is given away ends first; what is new waits until all is known of it.
        let before = match (lost, &share) {
            (true, _) => Share::Nothing,
            (false, Share::Whole(placement)) => Share::Kept(Arc::clone(placement)),
            (false, share) => share.clone(),
        };
        let was_orphaned = {
            let mut carried = self.carried.lock();
            let was_orphaned = matches!(carried.share, Share::Orphaned { .. });
            self.metrics.without_metastore.set(i64::from(matches!(before, Share::Orphaned { .. })));
            (carried.share, carried.token) = (before, token);
            was_orphaned
        };
        if was_orphaned && !matches!(share, Share::Orphaned { .. }) {
            // Without the metastore alerts are taken also where hardly anybody is reached.
            self.spread_all(shared);
        }
        self.release(shared).await;
        if known.lease.is_some() {
            self.drain().await;
            // Also where the others know it already: what comes back is later than whatever those wrote that have gone.
            if self.write_down(known, token).await {
                seen.written = (known.barrier(), token);
            }
        }
        if matches!(share, Share::Whole(_) | Share::Orphaned { .. }) {
            self.prepare(shared, seen, &share).await;
        }
        self.metrics.without_metastore.set(i64::from(matches!(share, Share::Orphaned { .. })));
        self.carried.lock().share = share;
        self.take_up(shared).await;
    }

    /// Ends telling of tenants that are not this process' any more.
    pub(super) async fn release(&self, shared: &Shared) {
        let share = self.carried.lock().share.clone();
        let lost =
            shared.tenants.list().into_iter().filter(|tenant| owns(&share, &self.me, &tenant.id) == Own::No);
        let lost: Vec<Arc<Tenant>> = lost.collect();
        futures::future::join_all(lost.iter().map(|tenant| tenant.dispatch(false))).await;
    }

    /// Waits until what was told is written down.
    pub(super) async fn drain(&self) {
        tokio::select! {
            biased;
            () = self.told.drained() => {}
            () = self.clock.sleep(DRAIN_TIMEOUT) => {
                tracing::warn!("what was told is not written down yet; whoever goes on may repeat it");
            }
        }
    }

    /// Says how far this process has let go, and waits until it has seen that itself; whether the metastore has it.
    async fn write_down(&self, known: &Known, token: u64) -> bool {
        let standing = AlertmanagerStanding { lease_token: token, settled_revision: known.barrier() };
        let key = records::key::<AlertmanagerStandings>(&[&self.me]);
        let put = records::put_leased::<AlertmanagerStandings>(key, &Stored::new(standing), &self.me);
        let txn =
            Txn { compare: vec![records::holds(&self.me, token)], then: vec![put], otherwise: Vec::new() };
        let committed = self.client.txn(txn).await.map(|answer| {
            let revision = answer.header.map_or(0, |header| header.revision);
            answer.result.unwrap_or_default().succeeded.then_some(revision)
        });
        match committed {
            Ok(Some(revision)) => {
                let mut views = self.state.subscribe();
                let seen = async { views.wait_for(|view| view.revision() >= revision).await.map(drop) };
                tokio::select! {
                    biased;
                    _ = seen => {}
                    () = self.clock.sleep(STATE_TIMEOUT) => {}
                }
                true
            }
            Ok(None) => false,
            Err(error) => {
                tracing::debug!(%error, "the metastore does not know how far this Alertmanager has let go");
                false
            }
        }
    }

    /// Takes in all that is known of tenants: from the metastore, and from the others.
    async fn prepare(&self, shared: &Arc<Shared>, seen: &mut Seen, share: &Share) {
        self.records.take(shared, &self.state.view()).await;
        let among = match seen.asked_all {
            true => seen.tracker.current().members().to_vec(),
            false => Vec::new(),
        };
        let (others, lately) = {
            let carried = self.carried.lock();
            (carried.others.clone(), carried.lately.clone())
        };
        // Those that do not answer are asked again.
        self.unasked.lock().extend(others.keys().cloned());
        // One without a lease may live, and be the only one that has what a new process has to know.
        let asked = if seen.asked_all { &others } else { &lately };
        let asked = asked.iter().filter(|(name, _)| !share.is_gone(name));
        let among = &among;
        let asked = asked.map(|(name, address)| async move {
            if let Err(error) = self.ask(shared, (name, address), among).await {
                tracing::warn!(alertmanager = %name, error, "another Alertmanager does not say what alerts it has");
            }
        });
        futures::future::join_all(asked).await;
        seen.asked_all = true;
        // Who did not answer may have come back meanwhile, and have written down what it told.
        self.records.take_log(shared, &self.state.view());
    }

    /// Asks those again that did not say what alerts they have, as long as they live.
    pub(super) async fn ask_again(&self, shared: &Arc<Shared>) {
        loop {
            self.clock.sleep(ASK_AGAIN).await;
            let others = self.carried.lock().others.clone();
            let unasked = {
                let mut unasked = self.unasked.lock();
                unasked.retain(|name| others.contains_key(name));
                unasked.clone()
            };
            let asked = others.iter().filter(|(name, _)| unasked.contains(*name));
            let asked = asked.map(|(name, address)| async move {
                if let Err(error) = self.ask(shared, (name, address), &[]).await {
                    tracing::debug!(alertmanager = %name, error, "another Alertmanager still does not say what alerts it has");
                }
            });
            futures::future::join_all(asked).await;
        }
    }

    /// Sends to those again that did not take what was posted here.
    pub(super) async fn send_again(&self, shared: &Arc<Shared>) {
        loop {
            self.clock.sleep(ASK_AGAIN).await;
            self.send_missed(shared).await;
        }
    }

    /// Takes in what another one has, or says why it does not say so.
    async fn ask(
        &self,
        shared: &Arc<Shared>,
        (name, address): (&str, &str),
        among: &[Arc<str>],
    ) -> Result<(), String> {
        let asking = async {
            let mut parts = self.peers.held(address, (among, &self.me)).await?;
            while let Some(part) = parts.message().await.map_err(|status| rpc::grpc::from_status(&status))? {
                let part = part.part.unwrap_or_default();
                let Ok(tenant) = TenantId::new(&part.tenant) else { continue };
                let Ok(tenant) = shared.tenant(&tenant) else { continue };
                shared.hear_records(&tenant, &part.told);
                tenant.hear(part.alerts.into_iter().map(of_wire).collect(), shared.now());
            }
            Ok::<(), proto::Error>(())
        };
        tokio::select! {
            biased;
            asked = asking => asked.map_err(|error| error.message)?,
            () = self.clock.sleep(HELD_TIMEOUT) => return Err(format!("it takes longer than {HELD_TIMEOUT:?}")),
        }
        self.unasked.lock().remove(name);
        Ok(())
    }

    /// Begins to tell of tenants that are this process' now.
    async fn take_up(&self, shared: &Shared) {
        let share = self.carried.lock().share.clone();
        let all = shared.tenants.list().into_iter();
        let own: Vec<Arc<Tenant>> =
            all.filter(|tenant| owns(&share, &self.me, &tenant.id) == Own::Yes).collect();
        futures::future::join_all(own.iter().map(|tenant| tenant.dispatch(true))).await;
        self.count_own(&own);
    }

    /// Counts those among these tenants that this process tells of.
    pub(crate) fn count_own(&self, among: &[Arc<Tenant>]) {
        let own = among.iter().filter(|tenant| self.owns(&tenant.id)).count();
        self.metrics.dispatched_tenants.set(i64::try_from(own).unwrap_or(i64::MAX));
    }
}

/// How far each has let go.
fn standings(view: &View) -> BTreeMap<Arc<str>, Standing> {
    let all = view.range(AlertmanagerStandings::PREFIX.as_bytes()).filter_map(|record| {
        let parts = records::parts::<AlertmanagerStandings>(&record.key)?;
        let standing = records::value::<AlertmanagerStandings>(record).ok()?.message;
        let said = Standing { token: standing.lease_token, settled: standing.settled_revision };
        Some((Arc::from(*parts.first()?), said))
    });
    all.collect()
}
