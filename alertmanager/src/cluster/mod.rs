//! The cluster that this Alertmanager is in: which tenants it tells receivers for, what the metastore keeps, and the others.

mod alerts;
mod decide;
mod peers;
mod records;
mod remote;
mod run;
mod serve;
mod spread;
mod told;

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use env::{Clock, Scope};
use membership::{Addresses, Client, LeaseHolder, Own, Share, Watcher};
use model::TenantId;
use parking_lot::Mutex;
use proto::Error;
use proto::alertmanager::StandingResponse;
use rpc::grpc::Dial;
use tokio::sync::{Semaphore, watch};

pub use self::remote::RemoteAlertmanagers;
pub use self::serve::AlertmanagerService;

use self::peers::Peers;
use self::records::Records;
use self::told::{Told, Writing};
use crate::metrics::Metrics;
use crate::notification_log::{LogEntry, LogKey};
use crate::own::OwnText;
use crate::service::Shared;
use crate::settings::AlertmanagerConfig;
use crate::state::Record;

/// How long the metastore may take to write down what was told, before the others are told themselves, and how much longer before
/// the group goes on.
const TOLD_PATIENCE: Duration = Duration::from_millis(300);
const WRITTEN_PATIENCE: Duration = Duration::from_secs(5);
/// How many parts of alerts may be on their way to others.
const MAX_SPREADING: usize = 256;

/// The lease of this process, once it is being registered.
pub(crate) type Lease = Pin<Box<dyn Future<Output = LeaseHolder> + Send>>;

/// What an Alertmanager has of the cluster that it is in.
pub struct ClusterDeps {
    /// The metastore.
    pub client: Client,
    /// A view of [`ClusterDeps::prefixes`].
    pub state: Watcher,
    /// A view of [`membership::records::LEASES`].
    pub members: Watcher,
    /// The lease of this process, which has the role `alertmanager`, once it is being registered.
    pub lease: Pin<Box<dyn Future<Output = LeaseHolder> + Send>>,
    /// Whose lease that is.
    pub instance: Arc<str>,
    /// The way to other Alertmanagers.
    pub dial: Arc<dyn Dial>,
    /// How long leases last that are not renewed.
    pub lease_ttl: Duration,
    /// How long others are waited for that live and have not let go of tenants, before those are taken over: as long as the view
    /// of one can be behind.
    pub patience: Duration,
}

impl ClusterDeps {
    /// What an Alertmanager watches of the metastore.
    pub fn prefixes() -> Vec<Bytes> {
        use membership::records::{
            AlertmanagerConfigs, AlertmanagerStandings, Kind, NotificationLog, Silences,
        };
        let prefixes = [
            AlertmanagerConfigs::PREFIX,
            Silences::PREFIX,
            NotificationLog::PREFIX,
            AlertmanagerStandings::PREFIX,
        ];
        prefixes.map(Bytes::from).to_vec()
    }
}

/// What is carried out.
struct Carried {
    share: Share,
    /// The lease that it is held by.
    token: u64,
    /// Where the others are reached, and those also whose leases ended lately: they may live.
    others: Addresses,
    lately: Addresses,
    /// How many Alertmanagers there are, this one included; 0 where nothing was ever heard of them.
    members: usize,
}

/// Alertmanagers by name, and tenants.
type Missed = BTreeMap<Arc<str>, BTreeSet<TenantId>>;

/// This Alertmanager in its cluster.
pub(crate) struct Cluster {
    me: Arc<str>,
    clock: Arc<dyn Clock>,
    scope: Scope,
    margin: Duration,
    patience: Duration,
    client: Client,
    state: Watcher,
    members: Watcher,
    peers: Arc<Peers>,
    records: Records,
    told: Told,
    lease: watch::Sender<Option<LeaseHolder>>,
    carried: Mutex<Carried>,
    /// Who did not say what alerts it has when this process took tenants over.
    unasked: Mutex<BTreeSet<Arc<str>>>,
    /// Who has not taken all alerts that were posted here, and of which tenants.
    missed: Arc<Mutex<Missed>>,
    /// Held while a share is carried out.
    carrying: tokio::sync::Mutex<()>,
    /// The process is being stopped.
    stopping: AtomicBool,
    spreading: Arc<Semaphore>,
    metrics: Metrics,
}

impl Cluster {
    /// A cluster of which this process does nothing until [`Cluster::start`].
    pub(crate) fn new(
        deps: ClusterDeps,
        config: &AlertmanagerConfig,
        metrics: &Metrics,
        (clock, scope): (&Arc<dyn Clock>, &Scope),
    ) -> (Self, Lease) {
        let ClusterDeps { client, state, members, lease, instance, dial, lease_ttl, patience } = deps;
        metrics.cluster_enabled.set(1);
        let carried = Carried {
            share: Share::Nothing,
            token: 0,
            others: BTreeMap::new(),
            lately: BTreeMap::new(),
            members: 0,
        };
        let cluster = Self {
            me: instance,
            clock: Arc::clone(clock),
            scope: scope.child("cluster"),
            margin: config.lease_margin(lease_ttl),
            patience,
            records: Records::new(client.clone(), state.clone(), Arc::clone(clock)),
            client,
            state,
            members,
            peers: Arc::new(Peers::new(dial, Arc::clone(clock))),
            told: Told::new(metrics),
            lease: watch::Sender::new(None),
            carried: Mutex::new(carried),
            unasked: Mutex::default(),
            missed: Arc::default(),
            carrying: tokio::sync::Mutex::new(()),
            stopping: AtomicBool::new(false),
            spreading: Arc::new(Semaphore::new(MAX_SPREADING)),
            metrics: metrics.clone(),
        };
        (cluster, lease)
    }

    /// Whether this process tells of a tenant that is new to it.
    pub(crate) fn owns(&self, tenant: &TenantId) -> bool {
        decide::owns(&self.carried.lock().share, &self.me, tenant) == Own::Yes
    }

    /// Whether a receiver may be told now: the lease holds, and longer than by a margin; or there is nobody who gives leases.
    pub(crate) fn may_act(&self) -> bool {
        let carried = self.carried.lock();
        match &carried.share {
            Share::Nothing => false,
            Share::Orphaned { .. } => true,
            Share::Kept(_) | Share::Whole(_) => {
                let held = self.lease.borrow().as_ref().map(LeaseHolder::held).unwrap_or_default();
                held.token == carried.token && held.is_valid(self.clock.monotonic(), self.margin)
            }
        }
    }

    /// For how long after it may act this process is the only one that does.
    pub(crate) fn alone_for(&self) -> Duration {
        self.margin
    }

    /// The name of this process among the others, and where those are.
    pub(crate) fn shown(&self) -> (String, Vec<(String, String)>) {
        let carried = self.carried.lock();
        let others = carried.others.iter().map(|(name, address)| (name.to_string(), address.clone()));
        (self.me.to_string(), others.collect())
    }

    /// Whether this process goes on without a lease, since the metastore is gone for all that it reaches.
    pub(crate) fn is_without_metastore(&self) -> bool {
        matches!(self.carried.lock().share, Share::Orphaned { .. })
    }

    /// How long ago the lease of this process was known to hold.
    pub(crate) fn standing(&self) -> StandingResponse {
        let held = self.lease.borrow().as_ref().map(LeaseHolder::held).unwrap_or_default();
        let age = (held.token != 0).then(|| self.clock.monotonic().saturating_sub(held.valid_until));
        StandingResponse {
            instance: self.me.to_string(),
            lease_age_ms: age.map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX)),
        }
    }

    /// Writes down what receivers were told of, and waits for that some time. Until it is done it is tried again; where it takes
    /// long, since this process or everybody cannot reach the metastore, the others are told themselves.
    pub(crate) async fn keep_told(&self, tenant: &TenantId, told: Vec<(LogKey, LogEntry)>) {
        let records = told.iter().map(|(key, entry)| {
            Bytes::from(Record::Log(tenant.clone(), key.clone(), entry.clone()).encode())
        });
        let records: Vec<Bytes> = records.collect();
        let waiting: Vec<_> = told.into_iter().filter_map(|told| self.told.add(tenant, told)).collect();
        let mut written = std::pin::pin!(futures::future::join_all(waiting));
        tokio::select! {
            biased;
            _ = &mut written => return,
            () = self.clock.sleep(TOLD_PATIENCE) => {}
        }
        self.tell_others(tenant, &records);
        if self.is_without_metastore() {
            return;
        }
        tokio::select! {
            biased;
            _ = &mut written => {}
            () = self.clock.sleep(WRITTEN_PATIENCE) => {
                tracing::warn!(%tenant, "the metastore has not taken down in time what a receiver was told of");
            }
        }
    }

    /// What was told of a tenant and is not written down yet.
    pub(crate) fn uncommitted(&self, tenant: &TenantId) -> Vec<Bytes> {
        self.told.of(tenant)
    }

    /// The revision of a silence; to be asked before a change is decided on.
    pub(crate) fn silence_revision(&self, tenant: &TenantId, id: &str) -> Result<u64, String> {
        self.records.silence_revision(tenant, id)
    }

    /// Keeps silences, of which the one that is known was so at a revision; whether it still was. The others are told of them
    /// besides: the view of one may be behind.
    pub(crate) async fn keep_silences(
        &self,
        tenant: &TenantId,
        silences: &[Record],
        known: u64,
        retention: Duration,
    ) -> Result<bool, Error> {
        let kept = self.records.keep_silences(tenant, silences, (known, retention)).await?;
        if kept {
            let records: Vec<Bytes> = silences.iter().map(|record| record.encode().into()).collect();
            self.tell_others(tenant, &records);
        }
        Ok(kept)
    }

    /// Keeps a tenant's configuration; without one it is gone.
    pub(crate) async fn keep_config(
        &self,
        tenant: &TenantId,
        own: Option<&OwnText>,
        now_ms: i64,
    ) -> Result<(), Error> {
        self.records.keep_config(tenant, own, now_ms).await
    }

    /// Begins: its tasks end with `scope`.
    pub(crate) fn start(self: &Arc<Self>, shared: &Arc<Shared>, lease: Lease, scope: &Scope) {
        let (cluster, of) = (Arc::clone(self), Arc::clone(shared));
        drop(scope.spawn("alertmanager records", async move { cluster.follow(&of).await }));
        let (cluster, of) = (Arc::clone(self), Arc::clone(shared));
        drop(scope.spawn("alertmanager questions", async move { cluster.ask_again(&of).await }));
        let (cluster, of) = (Arc::clone(self), Arc::clone(shared));
        drop(scope.spawn("alertmanager missed alerts", async move { cluster.send_again(&of).await }));
        let (cluster, of) = (Arc::clone(self), Arc::clone(shared));
        drop(scope.spawn("alertmanager share", async move {
            let lease = lease.await;
            cluster.lease.send_replace(Some(lease.clone()));
            let writing = Writing {
                client: cluster.client.clone(),
                state: cluster.state.clone(),
                clock: Arc::clone(&cluster.clock),
                instance: Arc::clone(&cluster.me),
            };
            let teller = Arc::clone(&cluster);
            drop(
                cluster
                    .scope
                    .spawn("alertmanager log", async move { teller.told.write(lease, writing).await }),
            );
            cluster.keep(&of).await;
        }));
    }

    /// Tells nobody of anything any more, and waits until what was told is written down.
    pub(crate) async fn let_go(&self, shared: &Arc<Shared>) {
        self.stopping.store(true, Ordering::Release);
        let _carrying = self.carrying.lock().await;
        self.carried.lock().share = Share::Nothing;
        self.release(shared).await;
        self.drain().await;
    }
}
