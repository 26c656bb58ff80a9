//! The role: tenants, what is kept of them, and the configuration that they have.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use env::{Clock, FileSystem, Rng, Scope};
use model::TenantId;
use parking_lot::{Mutex, RwLock};
use settings::Overrides;
use telemetry::Registry;

use crate::alert::Alert;
use crate::api;
use crate::cluster::{Cluster, ClusterDeps};
use crate::dispatch::{DispatchLimits, Pushed};
use crate::error::{SetupError, StartError};
use crate::keeper::Keeper;
use crate::limits::AlertmanagerLimits;
use crate::metrics::Metrics;
use crate::moment::Moment;
use crate::notification_log::{LogEntry, LogKey};
use crate::notify::{Files, ReceiverNetwork, Surroundings};
use crate::own::{Own, OwnText};
use crate::settings::AlertmanagerConfig;
use crate::setup::{Setup, Source};
use crate::silence::SilenceState;
use crate::state::{Record, Sink, StoreDeps, TenantState};
use crate::tenant::Tenant;

/// How long a stop waits for what is kept.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
const NANOS_PER_MILLI: i64 = 1_000_000;
/// How often gauges are brought up to date.
const GAUGES_INTERVAL: Duration = Duration::from_secs(5);

/// What the role is handed.
pub struct Deps {
    /// Where files are.
    pub fs: Arc<dyn FileSystem>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Chance: names of silences, and waits.
    pub rng: Arc<dyn Rng>,
    /// Where its tasks run.
    pub scope: Scope,
    /// What it counts.
    pub registry: Registry,
    /// Its folder.
    pub dir: PathBuf,
    /// The file with the configuration; without one nobody is told anything.
    pub config_file: Option<PathBuf>,
    /// Where people reach it, without a slash at the end.
    pub external_url: String,
    /// What tenants may have.
    pub limits: Overrides<AlertmanagerLimits>,
    /// The cluster that the process is in. Without one it keeps everything itself.
    pub cluster: Option<ClusterDeps>,
    /// What takes requests to receivers that are told over HTTP; without it they go out over the network.
    pub receivers: Option<Arc<dyn ReceiverNetwork>>,
}

impl Deps {
    /// What is needed to keep things in the folder.
    fn store(&self) -> StoreDeps {
        StoreDeps {
            fs: Arc::clone(&self.fs),
            clock: Arc::clone(&self.clock),
            scope: self.scope.child("state"),
            registry: self.registry.clone(),
            dir: self.dir.clone(),
        }
    }
}

/// Who evaluates rules in this process, for the page of rules.
#[async_trait]
pub trait RuleGroups: Send + Sync {
    /// The groups of a tenant, as Prometheus' API answers at `/api/v1/rules`; or why they are not known.
    async fn groups(&self, tenant: &TenantId) -> Result<serde_json::Value, String>;
}

/// The tenants that there are.
#[derive(Default)]
pub(crate) struct Tenants(Mutex<BTreeMap<TenantId, Arc<Tenant>>>);

impl Tenants {
    pub(crate) fn get(&self, id: &TenantId) -> Option<Arc<Tenant>> {
        self.0.lock().get(id).cloned()
    }

    pub(crate) fn list(&self) -> Vec<Arc<Tenant>> {
        self.0.lock().values().cloned().collect()
    }
}

impl Sink for Tenants {
    fn take(&self, record: Record) {
        let (Record::Silence(id, _) | Record::Log(id, _, _)) = &record;
        let Some(tenant) = self.get(id) else { return };
        let mut dispatcher = tenant.dispatcher.lock();
        match record {
            Record::Silence(_, silence) => dispatcher.silences_mut().store(*silence),
            Record::Log(_, key, entry) => dispatcher.log_mut().record(key, entry),
        }
    }

    fn all(&self) -> Vec<Record> {
        let mut all = Vec::new();
        for tenant in self.list() {
            let id = &tenant.id;
            let dispatcher = tenant.dispatcher.lock();
            let silences = dispatcher.silences().iter();
            all.extend(silences.map(|silence| Record::Silence(id.clone(), Box::new(silence.clone()))));
            let log = dispatcher.log().iter();
            all.extend(log.map(|(key, entry)| Record::Log(id.clone(), key.clone(), entry.clone())));
        }
        all
    }
}

/// What everything in the role shares.
pub(crate) struct Shared {
    pub(crate) config: AlertmanagerConfig,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) rng: Arc<dyn Rng>,
    pub(crate) metrics: Metrics,
    pub(crate) external_url: String,
    /// When it began, for the status.
    pub(crate) started: Moment,
    /// The time that was told last, in nanoseconds.
    last_moment: AtomicI64,
    pub(crate) scope: Scope,
    pub(crate) tenants: Arc<Tenants>,
    pub(crate) keeper: Keeper,
    pub(crate) limits: Overrides<AlertmanagerLimits>,
    pub(crate) surroundings: Surroundings,
    /// What tenants have set.
    pub(crate) own: RwLock<BTreeMap<TenantId, Arc<Own>>>,
    /// Who evaluates rules in this process, if anybody does.
    pub(crate) rule_groups: OnceLock<Arc<dyn RuleGroups>>,
    /// Held while a tenant's configuration is kept.
    pub(crate) changing_own: tokio::sync::Mutex<()>,
    fs: Arc<dyn FileSystem>,
    source: Source,
    setup: RwLock<Arc<Setup>>,
    /// Held while the configuration is read again.
    reloading: tokio::sync::Mutex<()>,
}

/// The Alertmanager. Clones are the same one.
#[derive(Clone)]
pub struct Alertmanager(pub(crate) Arc<Shared>);

impl Alertmanager {
    /// Reads what was kept and the configuration, and begins to tell what is due.
    ///
    /// # Errors
    /// When either cannot be read, or the configuration is wrong.
    pub async fn start(config: AlertmanagerConfig, mut deps: Deps) -> Result<Self, StartError> {
        let metrics = Metrics::register(&deps.registry);
        let surroundings = Surroundings {
            files: Files::new(Arc::clone(&deps.fs), deps.scope.clone()),
            clock: Arc::clone(&deps.clock),
            rng: Arc::clone(&deps.rng),
            roots: match deps.receivers {
                Some(_) => Arc::new(rustls::RootCertStore::empty()),
                None => Surroundings::machine_roots(),
            },
            dir: PathBuf::new(),
            network: deps.receivers.take(),
        };
        let source = Source { file: deps.config_file.clone(), language: config.language() };
        let (reading, files, around) = (source.clone(), Arc::clone(&deps.fs), surroundings.clone());
        let setup = deps.scope.run_blocking(move || reading.read(&*files, &around)).await??;
        let tenants = Arc::new(Tenants::default());
        let (keeper, kept, lease) = match deps.cluster.take() {
            Some(cluster) => {
                let (cluster, lease) = Cluster::new(cluster, &config, &metrics, (&deps.clock, &deps.scope));
                (Keeper::Cluster(Arc::new(cluster)), BTreeMap::new(), Some(lease))
            }
            None => {
                let (keeper, recovered) = Keeper::folder(deps.store(), &tenants).await?;
                (keeper, recovered.tenants, None)
            }
        };
        let Deps { fs, clock, rng, scope, external_url, limits, .. } = deps;
        let shared = Arc::new(Shared {
            started: Moment::from_millis(clock.now_ms()),
            config,
            clock,
            rng,
            metrics,
            external_url,
            last_moment: AtomicI64::new(0),
            scope: scope.child("tenants"),
            tenants,
            keeper,
            limits,
            surroundings,
            own: RwLock::default(),
            rule_groups: OnceLock::new(),
            changing_own: tokio::sync::Mutex::new(()),
            fs,
            source,
            setup: RwLock::new(Arc::new(setup)),
            reloading: tokio::sync::Mutex::new(()),
        });
        shared.in_use();
        shared.read_own().await?;
        for (id, state) in kept {
            shared.add(id, state);
        }
        if let (Some(cluster), Some(lease)) = (shared.keeper.cluster(), lease) {
            cluster.start(&shared, lease, &scope);
        }
        shared.maintain(&scope);
        Ok(Self(shared))
    }

    /// The API, for tenants: `/api/v2/…`. To be served behind a [`rpc::TenantLayer`].
    pub fn router(&self) -> Router {
        api::router(self)
    }

    /// Shows these groups of rules on the page of rules; to be said once.
    pub fn show_rules(&self, rules: Arc<dyn RuleGroups>) {
        // Whoever said so first is shown.
        let _ = self.0.rule_groups.set(rules);
    }

    /// Mimir's API for configurations of tenants: `/api/v1/alerts`, which is at the root wherever the other paths are. To be
    /// served behind a [`rpc::TenantLayer`].
    pub fn configs(&self) -> Router {
        api::configs(self)
    }

    /// What operates it: `/-/reload`.
    pub fn operations(&self) -> Router {
        api::operations(self)
    }

    /// Reads the configuration again. If it is wrong, the one in use stays.
    ///
    /// # Errors
    /// Why it cannot be used.
    pub async fn reload(&self) -> Result<(), SetupError> {
        self.0.reload().await
    }

    /// Tells nobody of anything any more, so that others can: what is on its way ends, and is kept. To be called before the lease
    /// of the process is released. Alone it does nothing.
    pub async fn let_go(&self) {
        if let Some(cluster) = self.0.keeper.cluster() {
            cluster.let_go(&self.0).await;
        }
    }

    /// Sends no more, gives what is on its way time to end, and makes everything durable.
    pub async fn stop(&self) {
        let shared = &self.0;
        shared.scope.cancel();
        let grace = shared.config.send_grace + CLOSE_TIMEOUT;
        shared.scope.join(&*shared.clock, grace).await;
        let closing = async {
            // What was snapshot is read faster by the next start; the log has it all the same.
            shared.snapshot().await;
            shared.keeper.close().await;
        };
        tokio::select! {
            biased;
            () = closing => {}
            () = shared.clock.sleep(CLOSE_TIMEOUT) => {}
        }
    }
}

impl Shared {
    /// The time. The clock counts milliseconds, and yet what is asked later gets a later time: a silence that was ended is
    /// ended for whoever asks next.
    pub(crate) fn now(&self) -> Moment {
        let millisecond = Moment::from_millis(self.clock.now_ms()).nanos();
        let within = millisecond..millisecond.saturating_add(NANOS_PER_MILLI);
        let next = |last: i64| if within.contains(&last) { last + 1 } else { millisecond };
        let last =
            self.last_moment.fetch_update(Ordering::AcqRel, Ordering::Acquire, |last| Some(next(last)));
        Moment::from_nanos(next(last.unwrap_or(millisecond)))
    }

    /// The tenant, whether or not it was known before; one too many is refused.
    pub(crate) fn tenant(self: &Arc<Self>, id: &TenantId) -> Result<Arc<Tenant>, String> {
        if let Some(tenant) = self.tenants.get(id) {
            return Ok(tenant);
        }
        let count = self.tenants.0.lock().len();
        if count >= self.config.max_tenants {
            return Err(format!(
                "there are {count} tenants with alerts already, as many as alertmanager.max_tenants allows"
            ));
        }
        Ok(self.add(id.clone(), TenantState::default()))
    }

    /// The tenant, if there is anything of it.
    pub(crate) fn known(&self, id: &TenantId) -> Option<Arc<Tenant>> {
        self.tenants.get(id)
    }

    /// The configuration that a tenant has.
    pub(crate) fn setup_of(&self, id: &TenantId) -> Arc<Setup> {
        match self.own.read().get(id) {
            Some(own) => Arc::clone(&own.setup),
            None => Arc::clone(&self.setup.read()),
        }
    }

    /// Takes alerts in: here, and at the other Alertmanagers of the cluster.
    ///
    /// # Errors
    /// Where too few of them have answered: they may have them all the same.
    pub(crate) async fn push(
        &self,
        tenant: &Tenant,
        mut alerts: Vec<Alert>,
        now: Moment,
    ) -> Result<Pushed, String> {
        tenant.dispatcher.lock().date(&mut alerts);
        let told = self.keeper.cluster().map(|cluster| cluster.spread(&tenant.id, &alerts));
        let pushed = tenant.push(alerts, now);
        self.metrics.groups_refused.inc_by(pushed.groups_refused as u64);
        if pushed.refused {
            self.metrics.refused.inc();
        }
        if let Some(told) = told {
            told.await?;
        }
        Ok(pushed)
    }

    /// The tenant as it is shown: one that is not known has nothing, and is not known afterwards.
    pub(crate) fn shown(&self, id: &TenantId) -> Arc<Tenant> {
        self.tenants.get(id).unwrap_or_else(|| {
            let setup = self.setup_of(id);
            Tenant::new(id.clone(), setup, self.dispatch_limits(), TenantState::default()).0
        })
    }

    pub(crate) fn add(self: &Arc<Self>, id: TenantId, state: TenantState) -> Arc<Tenant> {
        let mut tenants = self.tenants.0.lock();
        if let Some(tenant) = tenants.get(&id) {
            return Arc::clone(tenant);
        }
        let (tenant, start) = Tenant::new(id.clone(), self.setup_of(&id), self.dispatch_limits(), state);
        let dispatches = self.keeper.cluster().is_none_or(|cluster| cluster.owns(&id));
        tenants.insert(id, Arc::clone(&tenant));
        start.run(Arc::clone(&tenant), Arc::clone(self), (&self.scope, dispatches));
        tenant
    }

    fn dispatch_limits(&self) -> DispatchLimits {
        DispatchLimits {
            groups: self.config.max_groups,
            alerts: self.config.max_alerts,
            log_retention: self.config.retention,
        }
    }

    /// A fresh name of a silence: a random UUID.
    pub(crate) fn new_id(&self) -> String {
        let (high, low) = (self.rng.next_u64(), self.rng.next_u64());
        // Version 4, variant 1.
        let high = (high & !0xf000) | 0x4000;
        let low = (low & !(0b11 << 62)) | (0b10 << 62);
        format!(
            "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
            high >> 32,
            (high >> 16) & 0xffff,
            high & 0xffff,
            low >> 48,
            low & 0xffff_ffff_ffff
        )
    }

    /// Keeps what was told. Where that fails it is known as long as the process runs.
    pub(crate) async fn record(&self, tenant: &TenantId, told: Vec<(LogKey, LogEntry)>) {
        if let Some(cluster) = self.keeper.cluster() {
            cluster.keep_told(tenant, told).await;
            return;
        }
        let records: Vec<Record> =
            told.into_iter().map(|(key, entry)| Record::Log(tenant.clone(), key, entry)).collect();
        if let Err(error) = self.keeper.keep(&records).await {
            self.metrics.unrecorded.inc_by(records.len() as u64);
            tracing::error!(%tenant, "what was told {error}; a restart may repeat it");
        }
    }

    /// Reads the configurations that tenants have set, where this process keeps them.
    async fn read_own(&self) -> Result<(), StartError> {
        let Keeper::Folder { configs, .. } = &self.keeper else { return Ok(()) };
        let (configs, language, around) =
            (configs.clone(), self.config.language(), self.surroundings.clone());
        let read = self.scope.run_blocking(move || {
            let made = |(id, text): (TenantId, OwnText)| (id, Arc::new(text.kept(language, &around)));
            configs.load().map(|all| all.into_iter().map(made).collect::<Vec<_>>())
        });
        for (id, own) in read.await?.map_err(StartError::Configs)? {
            self.use_own(&id, Some(own));
        }
        Ok(())
    }

    async fn reload(&self) -> Result<(), SetupError> {
        let _reloading = self.reloading.lock().await;
        let (source, fs, around) = (self.source.clone(), Arc::clone(&self.fs), self.surroundings.clone());
        let read = self.scope.run_blocking(move || source.read(&*fs, &around)).await;
        let read = read.unwrap_or_else(|error| {
            Err(SetupError::Unreadable { file: "configuration".to_owned(), reason: error.to_string() })
        });
        let setup = match read {
            Ok(setup) => Arc::new(setup),
            Err(error) => {
                self.metrics.reload_successful.set(0);
                tracing::error!("the configuration is refused and stays as it was: {error}");
                return Err(error);
            }
        };
        *self.setup.write() = Arc::clone(&setup);
        let own: BTreeMap<TenantId, Arc<Own>> = self.own.read().clone();
        let others = self.tenants.list().into_iter().filter(|tenant| !own.contains_key(&tenant.id));
        let reloading = others.map(|tenant| async move { tenant.reload(self.setup_of(&tenant.id)).await });
        futures::future::join_all(reloading).await;
        self.in_use();
        tracing::info!("the configuration was read again");
        Ok(())
    }

    /// Says what configuration is in use.
    fn in_use(&self) {
        let setup = Arc::clone(&self.setup.read());
        let metrics = &self.metrics;
        metrics.reload_successful.set(1);
        metrics.reload_succeeded_at.set(self.clock.now_ms() as f64 / 1_000.0);
        metrics.config_hash.set(i64::from(crc32c::crc32c(setup.config.original().as_bytes())));
        let count = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        metrics.receivers.set(count(setup.integrations.receivers()));
        metrics.integrations.set(count(setup.integrations.len()));
        metrics.inhibition_rules.set(count(setup.config.inhibit_rules.len()));
    }

    /// Takes snapshots now and then, and brings gauges up to date.
    fn maintain(self: &Arc<Self>, scope: &Scope) {
        let shared = Arc::clone(self);
        let cancelled = scope.cancelled();
        drop(scope.spawn("maintenance", async move {
            let mut cancelled = std::pin::pin!(cancelled);
            let mut snapshot_at = shared.clock.monotonic() + shared.config.snapshot_interval;
            loop {
                shared.gauges();
                tokio::select! {
                    biased;
                    () = &mut cancelled => break,
                    () = shared.clock.sleep(GAUGES_INTERVAL) => {}
                }
                if shared.clock.monotonic() >= snapshot_at {
                    shared.snapshot().await;
                    snapshot_at = shared.clock.monotonic() + shared.config.snapshot_interval;
                }
            }
        }));
    }

    async fn snapshot(&self) {
        let Keeper::Folder { store, .. } = &self.keeper else { return };
        match store.snapshot().await {
            Ok(bytes) => {
                self.metrics.snapshots.inc();
                self.metrics.snapshot_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
            }
            Err(error) => {
                self.metrics.snapshots_failed.inc();
                tracing::error!("no snapshot of silences and what was told: {error}");
            }
        }
    }

    fn gauges(&self) {
        let now = self.now();
        let (mut groups, mut alerts, mut silences) = (0, [0; 2], [0; 3]);
        if let Some(cluster) = self.keeper.cluster() {
            cluster.count_own(&self.tenants.list());
        }
        for tenant in self.tenants.list() {
            let dispatcher = tenant.dispatcher.lock();
            groups += dispatcher.group_count();
            for alert in dispatcher.alerts() {
                alerts[usize::from(alert.is_resolved(now))] += 1;
            }
            for silence in dispatcher.silences().iter() {
                let state = match silence.state(now) {
                    SilenceState::Active => 0,
                    SilenceState::Pending => 1,
                    SilenceState::Expired => 2,
                };
                silences[state] += 1;
            }
        }
        self.metrics.groups.set(i64::try_from(groups).unwrap_or(i64::MAX));
        for (state, count) in ["active", "resolved"].into_iter().zip(alerts) {
            self.metrics.alerts.get_or_create(&[("state", state)]).set(count);
        }
        for (state, count) in ["active", "pending", "expired"].into_iter().zip(silences) {
            self.metrics.silences.get_or_create(&[("state", state)]).set(count);
        }
    }
}
