//! The role: tenants, what is kept of them, and the configuration that they have.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use axum::Router;
use env::{Clock, FileSystem, Rng, Scope};
use model::TenantId;
use parking_lot::{Mutex, RwLock};
use telemetry::Registry;

use crate::api;
use crate::dispatch::DispatchLimits;
use crate::error::{SetupError, StartError};
use crate::metrics::Metrics;
use crate::moment::Moment;
use crate::notification_log::{LogEntry, LogKey};
use crate::notify::{Files, Surroundings};
use crate::settings::AlertmanagerConfig;
use crate::setup::{Setup, Source};
use crate::silence::SilenceState;
use crate::state::{self, Record, Sink, Store, StoreDeps, TenantState};
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
}

/// The tenants that there are.
#[derive(Default)]
pub(crate) struct Tenants(Mutex<BTreeMap<TenantId, Arc<Tenant>>>);

impl Tenants {
    fn get(&self, id: &TenantId) -> Option<Arc<Tenant>> {
        self.0.lock().get(id).cloned()
    }

    fn list(&self) -> Vec<Arc<Tenant>> {
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
    fs: Arc<dyn FileSystem>,
    scope: Scope,
    tenants: Arc<Tenants>,
    store: Store,
    source: Source,
    surroundings: Surroundings,
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
    pub async fn start(config: AlertmanagerConfig, deps: Deps) -> Result<Self, StartError> {
        let Deps { fs, clock, rng, scope, registry, dir, config_file, external_url } = deps;
        let metrics = Metrics::register(&registry);
        let surroundings = Surroundings {
            files: Files::new(Arc::clone(&fs), scope.clone()),
            clock: Arc::clone(&clock),
            rng: Arc::clone(&rng),
            roots: Surroundings::machine_roots(),
            dir: PathBuf::new(),
        };
        let source = Source { file: config_file, language: config.language() };
        let (reading, files, around) = (source.clone(), Arc::clone(&fs), surroundings.clone());
        let setup = scope.run_blocking(move || reading.read(&*files, &around)).await??;
        let (files, folder) = (Arc::clone(&fs), dir.clone());
        let recovered = scope.run_blocking(move || state::recover(&*files, &folder)).await??;
        if recovered.damaged > 0 {
            tracing::error!(
                places = recovered.damaged,
                "some of what was kept cannot be read: silences may be missing, and notifications be repeated"
            );
        }
        tracing::info!(records = recovered.records, "silences and what was told have been read");
        let tenants = Arc::new(Tenants::default());
        let store_deps = StoreDeps {
            fs: Arc::clone(&fs),
            clock: Arc::clone(&clock),
            scope: scope.child("state"),
            registry,
            dir,
        };
        let store = Store::open(store_deps, &recovered, Arc::clone(&tenants) as _)?;
        let shared = Arc::new(Shared {
            started: Moment::from_millis(clock.now_ms()),
            config,
            clock,
            rng,
            metrics,
            external_url,
            last_moment: AtomicI64::new(0),
            fs,
            scope: scope.child("tenants"),
            tenants,
            store,
            source,
            surroundings,
            setup: RwLock::new(Arc::new(setup)),
            reloading: tokio::sync::Mutex::new(()),
        });
        shared.in_use();
        for (id, state) in recovered.tenants {
            shared.add(id, state);
        }
        shared.maintain(&scope);
        Ok(Self(shared))
    }

    /// The API, for tenants: `/api/v2/…`. To be served behind a [`rpc::TenantLayer`].
    pub fn router(&self) -> Router {
        api::router(self)
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

    /// Sends no more, gives what is on its way time to end, and makes everything durable.
    pub async fn stop(&self) {
        let shared = &self.0;
        shared.scope.cancel();
        let grace = shared.config.send_grace + CLOSE_TIMEOUT;
        shared.scope.join(&*shared.clock, grace).await;
        let closing = async {
            // What was snapshot is read faster by the next start; the log has it all the same.
            shared.snapshot().await;
            shared.store.close().await;
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

    /// The tenant as it is shown: one that is not known has nothing, and is not known afterwards.
    pub(crate) fn shown(&self, id: &TenantId) -> Arc<Tenant> {
        self.tenants.get(id).unwrap_or_else(|| {
            let setup = Arc::clone(&self.setup.read());
            Tenant::new(id.clone(), setup, self.limits(), TenantState::default()).0
        })
    }

    fn add(self: &Arc<Self>, id: TenantId, state: TenantState) -> Arc<Tenant> {
        let mut tenants = self.tenants.0.lock();
        if let Some(tenant) = tenants.get(&id) {
            return Arc::clone(tenant);
        }
        let setup = Arc::clone(&self.setup.read());
        let (tenant, start) = Tenant::new(id.clone(), setup, self.limits(), state);
        tenants.insert(id, Arc::clone(&tenant));
        start.run(Arc::clone(&tenant), Arc::clone(self), &self.scope);
        tenant
    }

    fn limits(&self) -> DispatchLimits {
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

    /// Keeps records; they are durable then.
    pub(crate) async fn keep(&self, records: &[Record]) -> Result<(), String> {
        self.store.keep(records).await.map_err(|error| format!("cannot be kept: {error}"))
    }

    /// Keeps what was told. Where that fails it is known as long as the process runs.
    pub(crate) async fn record(&self, tenant: &TenantId, told: Vec<(LogKey, LogEntry)>) {
        let records: Vec<Record> =
            told.into_iter().map(|(key, entry)| Record::Log(tenant.clone(), key, entry)).collect();
        if let Err(error) = self.keep(&records).await {
            self.metrics.unrecorded.inc_by(records.len() as u64);
            tracing::error!(%tenant, "what was told {error}; a restart may repeat it");
        }
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
        let reloading = self.tenants.list().into_iter().map(|tenant| {
            let setup = Arc::clone(&setup);
            async move { tenant.reload(setup).await }
        });
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
        match self.store.snapshot().await {
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
