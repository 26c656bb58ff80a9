//! The ingester role: starting, taking writes, answering queries, stopping.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bucket::Bucket;
use env::{Clock, FileSystem, Rng, Scope};
use model::{Labels, TenantId, TimeRange};
use proto::{
    ActiveSeriesStream, CardinalityRequest, ChecksumStream, Code, CoveringSelection, Error, ExemplarsRequest,
    FamilyMetadata, IndexStats, IngesterRead, IngesterWrite, LabelNameCardinality, LabelNamesRequest,
    LabelValuesCardinality, LabelValuesRequest, MetadataRequest, PushRequest, PushResponse,
    ReferencedRequest, SelectRequest, SelectStream, SeriesChunks, SeriesExemplars, SeriesRequest,
    TenantStats, Written,
};
use ring::State;
use settings::Overrides;
use telemetry::Registry;
use tracing::Instrument as _;
use wal::{AppendError, CommitError, Position, SyncMode, Ticket, TimeHull, Wal, WalConfig, WalDeps};

use crate::blocks::Blocks;
use crate::chunk_cache::ChunkCache;
use crate::codec::Malformed;
use crate::config::{IngesterConfig, Limits, WalSync};
use crate::data_dir::DataDir;
use crate::disk_watch::DiskWatch;
use crate::error::StartError;
use crate::gate::Gate;
use crate::head::Head;
use crate::head::apply::Applied;
use crate::head::held::Promise;
use crate::head::tenant::Tenant;
use crate::identity::IdentityFile;
use crate::metrics::Metrics;
use crate::push::{self, Outline};
use crate::standing::{Standing, note_losses};
use crate::{blocks, cardinality, checksums, maintenance, recovery, select};

/// Writes are shed while this many bytes of full chunks wait for the disk.
const MAX_CHUNK_BYTES_PENDING: u64 = 64 << 20;
/// When a client that was shed may come back.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// A sample is refused as too old only when it is older than the retention by so much: of replicas whose clocks differ by
/// less, none refuses what others take. How far in the future a sample may be, distributors decide.
const CLOCK_SKEW_MS: i64 = 60 * 60 * 1000;
/// A record has at most this many series, so that it stays within what the log takes.
const MAX_FRAMES_PER_RECORD: usize = 20_000;

/// What an ingester needs of its surroundings.
pub struct Deps {
    /// Where its directory is.
    pub fs: Arc<dyn FileSystem>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Where its tasks run.
    pub scope: Scope,
    /// Where its metrics go.
    pub registry: Registry,
    /// Its directory.
    pub dir: PathBuf,
    /// Samples older than this are refused and dropped.
    pub retention: Duration,
    /// The tenants' limits.
    pub limits: Overrides<Limits>,
    /// The name of the instance; a directory belongs to one.
    pub instance: String,
    /// For the incarnation of a new directory, the names of blocks, and when they are uploaded.
    pub rng: Arc<dyn Rng>,
    /// Where blocks go; without one none are cut, and samples are here for as long as the retention says.
    pub bucket: Option<Bucket>,
}

/// What a start restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Restored {
    /// Series in memory.
    pub series: u64,
    /// Records of the log that were replayed.
    pub records: u64,
    /// Ranges of time of which acknowledged samples may be missing; 0 unless the disk lost what it had promised to
    /// keep.
    pub lost_ranges: usize,
}

/// A running ingester. Clones are the same.
#[derive(Clone)]
pub struct Ingester {
    pub(crate) inner: Arc<Inner>,
    restored: Restored,
}

pub(crate) struct Inner {
    pub(crate) config: IngesterConfig,
    pub(crate) fs: Arc<dyn FileSystem>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) scope: Scope,
    pub(crate) retention: Duration,
    pub(crate) dir: DataDir,
    pub(crate) head: Arc<Head>,
    pub(crate) chunk_cache: Arc<ChunkCache>,
    pub(crate) log: Wal<Applier>,
    pub(crate) metrics: Metrics,
    /// Bytes of records since the log was last rolled for a snapshot.
    pub(crate) logged_bytes: AtomicU64,
    /// The snapshots that exist, by the segment of the log that their replay begins with; newest first.
    pub(crate) snapshots: tokio::sync::Mutex<Vec<u32>>,
    pub(crate) gate: Gate,
    pub(crate) standing: Standing,
    pub(crate) limits: Overrides<Limits>,
    pub(crate) blocks: Blocks,
    pub(crate) disk_watch: DiskWatch,
}

/// Applies committed records to the head.
pub(crate) struct Applier {
    pub(crate) head: Arc<Head>,
    /// How many there were.
    applied: Arc<AtomicU64>,
}

impl wal::Apply for Applier {
    type Outcome = Result<Applied, Malformed>;

    fn apply(&mut self, _position: Position, record: &[u8]) -> Self::Outcome {
        self.applied.fetch_add(1, Ordering::Relaxed);
        self.head.apply(record)
    }
}

impl Ingester {
    /// Restores what the directory has, and starts as the only one there is: it answers at once.
    ///
    /// # Errors
    /// Where the directory cannot be used, or belongs to another instance.
    pub async fn start(config: IngesterConfig, deps: Deps) -> Result<Self, StartError> {
        Self::start_as(State::Active, config, deps).await
    }

    /// Restores what the directory has, and starts in this state: with [`State::Joining`] it answers nobody until
    /// [`Ingester::set_state`] says that it counts.
    ///
    /// # Errors
    /// Where the directory cannot be used, or belongs to another instance.
    pub async fn start_as(state: State, config: IngesterConfig, deps: Deps) -> Result<Self, StartError> {
        let Deps { fs, clock, scope, registry, dir, retention, limits, instance, rng, bucket } = deps;
        let metrics = Metrics::new(&registry);
        let begun = clock.monotonic();
        let (dir, recovered, identity) = {
            let (fs, clock, config, rng) = (fs.clone(), clock.clone(), config.clone(), rng.clone());
            let work = move || {
                let root = dir;
                let dir = DataDir::open(&fs, &root)?;
                let mut identity = IdentityFile::open(&fs, &root, &instance, &*rng)?;
                let mut recovered = recovery::recover(&fs, &dir, config.block_range)?;
                let time = (oldest_ms(&*clock, retention), clock.now_ms());
                recovered.lost =
                    note_losses(&mut identity, &*fs, &config, &recovered.head, &recovered.lost, time)
                        .map_err(|source| StartError::Io { path: root, source })?;
                Ok::<_, StartError>((dir, recovered, identity))
            };
            let interrupted = |e: env::TaskError| StartError::Interrupted { reason: e.to_string() };
            scope.run_blocking(work).await.map_err(interrupted)??
        };
        metrics.wal.recovered(&recovered.log);
        metrics.lost(&recovered.lost);
        metrics.replay_seconds.set((clock.monotonic() - begun).as_secs_f64());

        let head = Arc::new(recovered.head);
        let wal_deps = WalDeps {
            fs: fs.clone(),
            clock: clock.clone(),
            scope: scope.clone(),
            metrics: metrics.wal.clone(),
        };
        let disk_watch = DiskWatch::new();
        let applier = Applier { head: head.clone(), applied: disk_watch.applied.clone() };
        let log = Wal::open(&wal_config(&config, &dir), wal_deps, &recovered.log, applier)?;
        let restored = Restored {
            series: head.tenants().iter().map(|t| t.index.read().len() as u64).sum(),
            records: recovered.log.records,
            lost_ranges: recovered.lost.len(),
        };
        let logged_bytes = AtomicU64::new(recovered.log.bytes);
        let cache_bytes = usize::try_from(config.chunk_cache_size.bytes()).unwrap_or(usize::MAX);
        let (hits, misses) = (metrics.chunk_cache_hits.clone(), metrics.chunk_cache_misses.clone());
        let inner = Arc::new(Inner {
            config,
            fs,
            clock,
            scope,
            retention,
            dir,
            head,
            chunk_cache: Arc::new(ChunkCache::new(cache_bytes, hits, misses)),
            log,
            metrics,
            logged_bytes,
            snapshots: tokio::sync::Mutex::new(recovered.snapshots),
            gate: Gate::new(state),
            standing: Standing::new(identity),
            limits,
            blocks: Blocks::new(recovered.ledgers, bucket, rng),
            disk_watch,
        });
        maintenance::spawn(&inner);
        blocks::tasks::spawn(&inner);
        Ok(Self { inner, restored })
    }

    /// What the start restored.
    pub fn restored(&self) -> Restored {
        self.restored
    }

    /// Cuts blocks from everything that is here, ships them, and returns once they are in the bucket's index. Without a
    /// bucket there is nothing to do.
    ///
    /// # Errors
    /// Where something was not cut or shipped. It is here still, and is shipped later.
    pub async fn flush(&self) -> Result<(), Error> {
        if self.inner.blocks.bucket.is_none() {
            return Ok(());
        }
        let inner = self.inner.clone();
        // A task of its own: whoever asks may go away in the middle.
        let flushed = self.inner.scope.spawn("flush", async move { inner.flush_blocks().await }).await;
        let why = match flushed {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        };
        Err(Error::unavailable(format!("not everything is in the bucket: {why}"), RETRY_AFTER))
    }

    /// Stops cleanly: what was taken in is committed, and a snapshot makes the next start quick. Writes that come
    /// later are refused.
    pub async fn stop(&self) {
        // Without it the next start replays more of the log, so a failure is not the end.
        if let Err(error) = maintenance::snapshot(&self.inner).await {
            tracing::warn!(%error, "no snapshot at the stop, the next start replays the log");
        }
        self.inner.log.close().await;
        self.note_clean_stop().await;
    }
}

/// Samples before this are outside the retention.
fn oldest_ms(clock: &dyn Clock, retention: Duration) -> i64 {
    let retention = i64::try_from(retention.as_millis()).unwrap_or(i64::MAX);
    clock.now_ms().saturating_sub(retention)
}

fn wal_config(config: &IngesterConfig, dir: &DataDir) -> WalConfig {
    let defaults = WalConfig::new(dir.wal());
    let max_pending_bytes = usize::try_from(config.wal_max_pending.bytes()).unwrap_or(usize::MAX);
    WalConfig {
        segment_bytes: u32::try_from(config.wal_segment_size.bytes()).unwrap_or(u32::MAX),
        max_pending_bytes,
        max_record_bytes: defaults.max_record_bytes.min(max_pending_bytes),
        sync: match config.wal_sync {
            WalSync::Always => SyncMode::Always,
            WalSync::Interval => SyncMode::Interval(config.wal_sync_interval),
        },
        ..defaults
    }
}

impl Inner {
    /// Samples before this are outside the retention.
    pub(crate) fn oldest_ms(&self) -> i64 {
        oldest_ms(&*self.clock, self.retention)
    }

    /// Hands a request's record to the log; `None` where there is nothing to log.
    fn append(&self, request: &PushRequest) -> Result<(Option<Ticket<Applier>>, Outline), Error> {
        let _admitted = self.gate.write()?;
        let tenant = self.head.tenant_or_new(&request.tenant);
        let limits = self.limits.of(&request.tenant);
        tenant.max_exemplars.store(limits.max_global_exemplars_per_user, Ordering::Relaxed);
        let refuse_before_ms = self.oldest_ms().saturating_sub(CLOCK_SKEW_MS);
        let built = push::build(&tenant, request, &limits, refuse_before_ms);
        if built.is_empty {
            return Ok((None, built.outline));
        }
        let hull = built.hull.map_or(TimeHull::EMPTY, |(min, max)| TimeHull::new(min, max));
        let ticket = self.append_record(built.record, hull)?;
        Ok((Some(ticket), built.outline))
    }

    /// Hands a record to the log.
    pub(crate) fn append_record(&self, record: Vec<u8>, hull: TimeHull) -> Result<Ticket<Applier>, Error> {
        let bytes = record.len() as u64;
        let ticket = self.log.append(record, hull).map_err(|e| self.shed(&e))?;
        self.logged_bytes.fetch_add(bytes, Ordering::Relaxed);
        Ok(ticket)
    }

    /// What became of a record, once it is committed.
    pub(crate) async fn applied(&self, ticket: Ticket<Applier>) -> Result<Applied, Error> {
        let applied = ticket.instrument(telemetry::request_span!("ingester.sync")).await;
        applied
            .map_err(|e| not_committed(&e))?
            .map_err(|e| Error::internal(format!("a record that was just written does not apply: {e}")))
    }

    /// Refuses more while too many full chunks wait for the disk.
    pub(crate) fn shed_if_behind(&self) -> Result<(), Error> {
        if self.head.store().buffered_bytes() <= MAX_CHUNK_BYTES_PENDING {
            return Ok(());
        }
        self.metrics.requests_shed.inc();
        Err(Error::unavailable("the disk does not keep up with full chunks", RETRY_AFTER))
    }

    fn shed(&self, error: &AppendError) -> Error {
        self.metrics.requests_shed.inc();
        match error {
            AppendError::TooLarge { .. } => Error::new(Code::TooLarge, error.to_string()),
            AppendError::Overloaded { .. } | AppendError::Poisoned | AppendError::Closed => {
                Error::unavailable(error.to_string(), RETRY_AFTER)
            }
        }
    }

    async fn push_part(&self, request: &PushRequest) -> Result<PushResponse, Error> {
        let series = request.batch.frames.len();
        let appending = telemetry::request_span!("ingester.append", tenant = request.tenant.as_str(), series);
        let (ticket, outline) = appending.in_scope(|| self.append(request))?;
        drop(appending);
        let applied = match ticket {
            None => Applied::default(),
            Some(ticket) => self.applied(ticket).await?,
        };
        let response = outline.respond(request, applied);
        let refused: u64 = response.rejected.iter().map(|r| r.refused.samples + r.refused.histograms).sum();
        self.metrics.samples.inc_by(response.written.samples + response.written.histograms);
        self.metrics.refused_samples.inc_by(refused);
        Ok(response)
    }

    fn tenant(&self, id: &TenantId) -> Option<Arc<Tenant>> {
        self.head.tenant(id)
    }

    async fn select(&self, request: SelectRequest, promise: Promise) -> Result<SelectStream, Error> {
        let span = telemetry::request_span!("ingester.select", tenant = request.tenant.as_str());
        select::select(&self.head, &self.chunk_cache, &self.scope, request, promise).instrument(span).await
    }

    /// Answers from a tenant's index, away from the threads that serve I/O; nothing for an unknown tenant.
    async fn ask<T: Default + Send + 'static>(
        &self,
        tenant: &TenantId,
        answer: impl FnOnce(&Tenant) -> T + Send + 'static,
    ) -> Result<T, Error> {
        match self.tenant(tenant) {
            Some(tenant) => select::blocking(&self.scope, move || answer(&tenant)).await,
            None => Ok(T::default()),
        }
    }
}

fn not_committed(error: &CommitError) -> Error {
    let why = match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    };
    Error::unavailable(format!("nothing of this write is stored: {why}"), RETRY_AFTER)
}

/// Moves a part's answer to where the part was in the whole request.
fn merge(whole: &mut PushResponse, part: PushResponse, first_frame: usize) {
    whole.written += part.written;
    whole.rejected.extend(part.rejected.into_iter().map(|mut rejection| {
        rejection.series += first_frame as u32;
        rejection
    }));
}

#[async_trait]
impl IngesterWrite for Ingester {
    async fn push(&self, mut request: PushRequest) -> Result<PushResponse, Error> {
        self.inner.shed_if_behind()?;
        if request.batch.frames.len() <= MAX_FRAMES_PER_RECORD {
            return self.inner.push_part(&request).await;
        }
        let frames = std::mem::take(&mut request.batch.frames);
        let mut whole = PushResponse { written: Written::default(), rejected: Vec::new() };
        for (number, frames) in frames.chunks(MAX_FRAMES_PER_RECORD).enumerate() {
            request.batch.frames = frames.to_vec();
            let part = self.inner.push_part(&request).await?;
            merge(&mut whole, part, number * MAX_FRAMES_PER_RECORD);
            request.metadata.clear();
        }
        Ok(whole)
    }
}

#[async_trait]
impl IngesterRead for Ingester {
    async fn select(&self, request: SelectRequest) -> Result<SelectStream, Error> {
        self.inner.gate.read(request.range)?;
        self.inner.select(request, Promise::default()).await
    }

    async fn select_covering(&self, request: SelectRequest) -> Result<CoveringSelection, Error> {
        self.inner.gate.read(request.range)?;
        // Before the head is looked at.
        let tenant = self.inner.tenant(&request.tenant);
        let promise = tenant.map(|tenant| tenant.held.promise(request.range)).unwrap_or_default();
        let covered = promise.covered();
        Ok(CoveringSelection { series: self.inner.select(request, promise).await?, covered })
    }

    async fn select_checksums(&self, request: SelectRequest) -> Result<ChecksumStream, Error> {
        self.inner.gate.read(request.range)?;
        let span = telemetry::request_span!("ingester.select_checksums", tenant = request.tenant.as_str());
        checksums::select(&self.inner.head, &self.inner.scope, request).instrument(span).await
    }

    async fn select_referenced(&self, request: ReferencedRequest) -> Result<Vec<SeriesChunks>, Error> {
        self.inner.gate.read(request.range)?;
        let span = telemetry::request_span!("ingester.select_referenced", tenant = request.tenant.as_str());
        checksums::referenced(&self.inner.head, &self.inner.scope, request).instrument(span).await
    }

    async fn series(&self, request: SeriesRequest) -> Result<Vec<Labels>, Error> {
        self.inner.gate.read(request.range)?;
        let id = request.tenant.clone();
        self.inner.ask(&id, move |tenant| select::series(tenant, &request)).await
    }

    async fn label_names(&self, request: LabelNamesRequest) -> Result<Vec<String>, Error> {
        self.inner.gate.read(request.range)?;
        let id = request.tenant.clone();
        self.inner.ask(&id, move |tenant| select::label_names(tenant, &request)).await
    }

    async fn label_values(&self, request: LabelValuesRequest) -> Result<Vec<String>, Error> {
        self.inner.gate.read(request.series.range)?;
        let id = request.series.tenant.clone();
        self.inner.ask(&id, move |tenant| select::label_values(tenant, &request)).await
    }

    async fn metadata(&self, request: MetadataRequest) -> Result<Vec<FamilyMetadata>, Error> {
        self.inner.gate.read(TimeRange::ALL)?;
        let Some(tenant) = self.inner.tenant(&request.tenant) else { return Ok(Vec::new()) };
        let families = tenant.metadata.lock();
        Ok(families.list(request.family.as_deref(), request.limit, request.limit_per_family))
    }

    async fn exemplars(&self, request: ExemplarsRequest) -> Result<Vec<SeriesExemplars>, Error> {
        self.inner.gate.read(request.range)?;
        let id = request.tenant.clone();
        self.inner.ask(&id, move |tenant| select::exemplars(tenant, &request)).await
    }

    async fn stats(&self, tenant: &TenantId) -> Result<TenantStats, Error> {
        self.inner.gate.read(TimeRange::ALL)?;
        Ok(self.tenant_stats(tenant))
    }

    async fn all_stats(&self) -> Result<Vec<(TenantId, TenantStats)>, Error> {
        self.inner.gate.tell()?;
        let tenants = self.inner.head.tenants();
        Ok(tenants.iter().map(|tenant| (tenant.id.clone(), numbers(tenant))).collect())
    }

    async fn label_names_cardinality(
        &self,
        request: CardinalityRequest,
        max_values: usize,
    ) -> Result<Vec<LabelNameCardinality>, Error> {
        self.inner.gate.read(TimeRange::ALL)?;
        let id = request.tenant.clone();
        let names = move |tenant: &Tenant| cardinality::label_names(tenant, &request, max_values);
        self.inner.ask(&id, move |tenant| Some(names(tenant))).await?.unwrap_or(Ok(Vec::new()))
    }

    async fn label_values_cardinality(
        &self,
        names: Vec<String>,
        request: CardinalityRequest,
        max_values: usize,
    ) -> Result<LabelValuesCardinality, Error> {
        self.inner.gate.read(TimeRange::ALL)?;
        let id = request.tenant.clone();
        let values = move |tenant: &Tenant| cardinality::label_values(tenant, &names, &request, max_values);
        let counted = self.inner.ask(&id, move |tenant| Some(values(tenant))).await?;
        counted.unwrap_or_else(|| Ok(LabelValuesCardinality::default()))
    }

    async fn active_series(
        &self,
        request: CardinalityRequest,
        max_series: usize,
    ) -> Result<ActiveSeriesStream, Error> {
        self.inner.gate.read(TimeRange::ALL)?;
        let id = request.tenant.clone();
        let series = move |tenant: &Tenant| cardinality::active_series(tenant, &request, max_series);
        let listed = self.inner.ask(&id, move |tenant| Some(series(tenant))).await?;
        Ok(cardinality::batches(listed.unwrap_or(Ok(Vec::new()))?))
    }

    async fn index_stats(&self, tenant: &TenantId, limit: usize) -> Result<IndexStats, Error> {
        self.inner.gate.read(TimeRange::ALL)?;
        self.inner.ask(tenant, move |tenant| cardinality::index_stats(tenant, limit)).await
    }
}

impl Ingester {
    fn tenant_stats(&self, tenant: &TenantId) -> TenantStats {
        self.inner.tenant(tenant).map_or_else(TenantStats::default, |tenant| numbers(&tenant))
    }
}

fn numbers(tenant: &Tenant) -> TenantStats {
    TenantStats { series: tenant.index.read().len() as u64, samples: tenant.samples.load(Ordering::Relaxed) }
}
