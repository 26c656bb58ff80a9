//! One query: admitted, its series fetched, evaluated.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use env::{Clock, Scope, TaskError};
use model::{TenantId, TimeRange};
use promql::{
    Engine, EngineOptions, ErrorKind, PreparedQuery, QueryError, QueryResult, QueryTime, SampleCounts,
    SharedMemory,
};
use proto::SeriesChunks;
use settings::Overrides;
use telemetry::request_span;
use tracing::Instrument as _;

use crate::active_queries::ActiveQueries;
use crate::admission::{Admission, Admitted, Share};
use crate::compute::Compute;
use crate::config::{QuerierConfig, QuerierLimits};
use crate::error::{ApiError, ErrorType};
use crate::memory::{ProcessMemory, QueryMemory};
use crate::report::{Cost, Report, Reporter, Stage};
use crate::select::{Budget, Selection, Wanted, held_bytes};
use crate::service::{QueryClass, QueryRequest, StatsWanted};
use crate::source::{Fetched, Prefetched, contains};
use crate::sources::Sources;
use crate::streamed::Reader;

/// The most steps of a range query: 11,000 steps behind the first, as upstream has it.
const MAX_STEPS: u64 = 11_001;

/// When to come back after a query that found no memory.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// What queries are run with.
pub(crate) struct Executor {
    pub(crate) config: QuerierConfig,
    pub(crate) admission: Admission,
    /// Of rules.
    pub(crate) rule_admission: Admission,
    /// Of remote reads and federations.
    pub(crate) read_admission: Admission,
    pub(crate) memory: Arc<ProcessMemory>,
    pub(crate) active: Option<Arc<ActiveQueries>>,
    pub(crate) reporter: Arc<Reporter>,
    pub(crate) sources: Sources,
    pub(crate) limits: Overrides<QuerierLimits>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) scope: Scope,
    pub(crate) compute: Arc<Compute>,
}

/// A result, and what was counted for it.
pub(crate) struct Evaluated {
    pub(crate) result: QueryResult,
    pub(crate) counts: Option<SampleCounts>,
}

/// What is to be fetched.
pub(crate) struct Fetch<'f> {
    pub(crate) tenant: &'f TenantId,
    /// Whose data is read; nobody's but the tenant's own where there are none.
    pub(crate) sources: &'f [TenantId],
    pub(crate) query: &'f PreparedQuery,
    pub(crate) limits: &'f QuerierLimits,
    /// Where what is held is taken from.
    pub(crate) memory: Arc<QueryMemory>,
    /// Whether large selections may be read while the query runs, each once.
    pub(crate) streams: bool,
}

/// Tells the evaluation, which runs elsewhere, that nobody waits for it any more.
struct CancelOnDrop(Arc<AtomicBool>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Executor {
    /// Runs a query over what these tenants have, if any, or else the one that asks; `report` learns what it takes. Dropping the future ends the evaluation soon.
    pub(crate) async fn run(
        &self,
        (request, sources): (&QueryRequest, &[TenantId]),
        limits: &QuerierLimits,
        report: &mut Report,
    ) -> Result<Evaluated, ApiError> {
        check_length(request.time, limits)?;
        let memory = self.memory.query();
        report.memory = Some(Arc::clone(&memory));
        let engine = Engine::new(engine_options(&self.config, limits))
            .with_memory(Arc::clone(&memory) as Arc<dyn SharedMemory>)
            .with_executor(Arc::clone(&self.compute) as Arc<dyn promql::Executor>);
        let engine = match request.stats {
            StatsWanted::None => engine,
            StatsWanted::Totals | StatsWanted::PerStep => engine.selecting_all(),
        };
        let begun = self.clock.monotonic();
        let parsed =
            (!is_dear_to_parse(&request.query)).then(|| prepare_here(&engine, request)).transpose()?;
        let admission = match request.class {
            QueryClass::User => &self.admission,
            QueryClass::Rule => &self.rule_admission,
        };
        let admitted = admission
            .admit(&request.tenant, Share::of(limits))
            .instrument(request_span!("querier.queue"))
            .await;
        let started = self.clock.monotonic();
        report.cost.queue = started.saturating_sub(begun);
        self.reporter.metrics.waited.observe(report.cost.queue.as_secs_f64());
        let admitted = admitted?;
        let active = self.active.as_ref().and_then(|log| log.begin(&request.tenant, &request.query));

        report.stage = Stage::Select;
        let (query, admitted, engine) = match parsed {
            Some(query) => (query, admitted, engine),
            None => {
                let parsed = self.prepare_elsewhere(request.clone(), admitted, engine);
                parsed.instrument(request_span!("querier.parse")).await?
            }
        };
        // Counting samples reads everything a second time, and a simulation cannot wait for parts.
        let streams = request.stats == StatsWanted::None && !self.scope.is_simulated();
        let fetch = Fetch { tenant: &request.tenant, sources, query: &query, limits, memory, streams };
        let source = self.fetch(&fetch, &mut report.cost).instrument(request_span!("querier.select")).await;
        let fetched = self.clock.monotonic();
        report.cost.select = fetched.saturating_sub(started);
        let (source, mut reader) = source?;
        let failure = reader.failure();

        report.stage = Stage::Evaluate;
        let canceled = CancelOnDrop(Arc::default());
        let flag = Arc::clone(&canceled.0);
        let wanted = request.stats;
        let span = request_span!("querier.evaluate");
        let evaluated = self.scope.run_blocking(move || {
            let _entered = span.entered();
            // The right to run is held until the work ends, also where nobody waits for it.
            let _held = (admitted, active);
            // Dropped before it, so that whoever runs next finds the memory free.
            let (engine, query, source) = (engine, query, source);
            let interrupted = || flag.load(Ordering::Relaxed).then_some(ErrorKind::Canceled);
            let result = engine.run(&query, &source, &interrupted)?;
            let counts = match wanted {
                StatsWanted::None => None,
                StatsWanted::Totals | StatsWanted::PerStep => {
                    Some(engine.sample_counts(&query, &source, &interrupted)?)
                }
            };
            Ok::<_, QueryError>(Evaluated { result, counts })
        });
        let evaluated = while_reading(evaluated, &mut reader).await;
        report.cost.evaluate = self.clock.monotonic().saturating_sub(fetched);
        self.note_fetched(reader.budget(), &mut report.cost);
        let evaluated = evaluated.map_err(|e| failed("evaluating a query", &e))?;
        let evaluated = evaluated.map_err(|error| match failure.lock().take() {
            // What the engine was told in a message only.
            Some(told) if error.kind == ErrorKind::Source => told,
            _ => ApiError::from(error),
        })?;
        report.cost.samples = evaluated.result.stats.samples_read;
        report.cost.peak_bytes = evaluated.result.stats.peak_bytes;
        Ok(evaluated)
    }

    /// Parses a query away from the threads that serve everybody, with the right to run held until it is done.
    async fn prepare_elsewhere(
        &self,
        request: QueryRequest,
        admitted: Admitted,
        engine: Engine,
    ) -> Result<(PreparedQuery, Admitted, Engine), ApiError> {
        let parsed = self.scope.run_blocking(move || {
            let query = prepare(&engine, &request)?;
            Ok((query, admitted, engine))
        });
        parsed.await.map_err(|e| failed("parsing a query", &e))?
    }

    /// Everything that the query selects; what it selects twice, or as a part of another selection, is fetched once. What is
    /// read while it runs comes by the reader.
    pub(crate) async fn fetch(
        &self,
        fetch: &Fetch<'_>,
        cost: &mut Cost,
    ) -> Result<(Prefetched, Reader), ApiError> {
        let oldest = oldest_ms(&*self.clock, fetch.limits);
        let budget = Budget::new(fetch.limits).with_memory(Arc::clone(&fetch.memory));
        let (mut reader, asks) = Reader::new(budget);
        let mut source = Prefetched::default();
        let all = fetch.query.selections();
        for (number, hints) in all.iter().enumerate() {
            let (before, behind) = (&all[..number], &all[number + 1..]);
            if behind.iter().any(|later| contains(later, hints)) || source.find(hints).is_some() {
                continue;
            }
            let hints = hints.clone();
            let range = TimeRange::new(hints.start_ms.max(oldest), hints.end_ms);
            let Some(range_asked) = range else {
                source.add(Fetched { hints, range, series: Arc::default() });
                continue;
            };
            let parts = || before.iter().chain(behind).filter(|other| contains(&hints, other));
            let needed_once = parts().next().is_none();
            let newest_only =
                hints.newest_only && parts().all(|other| other.newest_only && other.end_ms == hints.end_ms);
            let hold = if fetch.streams && needed_once {
                self.config.stream_selections_from.bytes()
            } else {
                u64::MAX
            };
            let asked = Wanted { matchers: &hints.matchers, range: range_asked, newest_only };
            let read = self.read(fetch, &asked, (hold, reader.budget())).await;
            reader.budget().tell(cost);
            match read? {
                (series, None) => source.add(Fetched { hints, range, series: series.into() }),
                (first, Some(rest)) => {
                    let needs = (Arc::clone(&fetch.memory), asks.clone());
                    source.add_streamed(hints, reader.stream((first, rest), range_asked, needs));
                }
            }
        }
        Ok((source, reader))
    }

    /// Reads a selection to its end, or until more than `hold` bytes of it are held: then with what is left.
    async fn read(
        &self,
        fetch: &Fetch<'_>,
        asked: &Wanted<'_>,
        (hold, budget): (u64, &mut Budget),
    ) -> Result<(Vec<SeriesChunks>, Option<Selection>), ApiError> {
        let mut selection = match fetch.sources {
            [] => {
                let readers = self.sources.readers(fetch.tenant, asked.range)?;
                Selection::open(&readers, fetch.tenant, asked, budget).await?
            }
            tenants => Selection::open_federated(&self.sources, tenants, asked, budget).await?,
        };
        let (mut selected, mut held) = (Vec::new(), 0);
        while let Some(series) = selection.next(budget).await? {
            held += held_bytes(&series);
            selected.push(series);
            if held > hold {
                return Ok((selected, Some(selection)));
            }
        }
        Ok((selected, None))
    }

    /// Notes what has been fetched for a query.
    pub(crate) fn note_fetched(&self, budget: &Budget, cost: &mut Cost) {
        budget.tell(cost);
        let metrics = &self.reporter.metrics;
        metrics.fetched_series.observe(cost.series as f64);
        metrics.fetched_chunk_bytes.inc_by(cost.chunk_bytes);
    }
}

/// Awaits an evaluation, and reads meanwhile what it streams. Dropping the future ends both.
async fn while_reading<T>(evaluation: impl Future<Output = T>, reader: &mut Reader) -> T {
    let (mut evaluation, mut reading) = (pin!(evaluation), pin!(reader.run()));
    let mut reads = true;
    loop {
        tokio::select! {
            biased;
            evaluated = &mut evaluation => return evaluated,
            () = &mut reading, if reads => reads = false,
        }
    }
}

/// Whether parsing may take more than a moment: regular expressions are compiled by it, and may be made to grow to
/// megabytes by a few characters.
pub(crate) fn is_dear_to_parse(query: &str) -> bool {
    const MANY_BYTES: usize = 4 << 10;
    query.len() > MANY_BYTES || query.contains("=~") || query.contains("!~")
}

fn prepare_here(engine: &Engine, request: &QueryRequest) -> Result<PreparedQuery, ApiError> {
    request_span!("querier.parse").in_scope(|| prepare(engine, request))
}

fn prepare(engine: &Engine, request: &QueryRequest) -> Result<PreparedQuery, ApiError> {
    engine
        .prepare(&request.query, request.time, request.lookback.map(whole_ms))
        .map_err(|e| ApiError::invalid_parameter("query", e))
}

pub(crate) fn failed(what: &str, error: &TaskError) -> ApiError {
    tracing::error!(%error, "{what} failed");
    ApiError::new(ErrorType::Internal, "evaluation failed; the log of the server says more")
}

impl From<QueryError> for ApiError {
    fn from(error: QueryError) -> Self {
        let kind = match error.kind {
            ErrorKind::BadData => ErrorType::BadData,
            ErrorKind::Execution | ErrorKind::TooLarge => ErrorType::Execution,
            ErrorKind::Overloaded => return Self::overloaded(error.message, RETRY_AFTER),
            ErrorKind::Timeout => ErrorType::Timeout,
            ErrorKind::Canceled => ErrorType::Canceled,
            ErrorKind::Source | ErrorKind::Internal => ErrorType::Internal,
        };
        Self::new(kind, error.message)
    }
}

/// The engine's options for a tenant: what Prometheus has a feature flag for is one opt-in here.
pub(crate) fn engine_options(config: &QuerierConfig, limits: &QuerierLimits) -> EngineOptions {
    let opted_in = limits.experimental_promql;
    EngineOptions {
        lookback_ms: whole_ms(config.lookback_delta),
        default_subquery_step_ms: whole_ms(config.default_evaluation_interval),
        max_samples: config.max_samples,
        max_memory_bytes: config.max_memory_bytes.bytes(),
        max_steps: MAX_STEPS,
        experimental_functions: opted_in,
        extended_range_selectors: opted_in,
        fill_modifiers: opted_in,
        delayed_name_removal: opted_in,
        start_timestamps: opted_in,
        ..EngineOptions::default()
    }
}

/// The oldest time whose data a tenant may query, in milliseconds since the Unix epoch.
pub(crate) fn oldest_ms(clock: &dyn Clock, limits: &QuerierLimits) -> i64 {
    if limits.max_query_lookback.is_zero() {
        return i64::MIN;
    }
    clock.now_ms().saturating_sub(whole_ms(limits.max_query_lookback))
}

/// Milliseconds, for times that do not reach the end of the numbers.
pub(crate) fn whole_ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

fn check_length(time: QueryTime, limits: &QuerierLimits) -> Result<(), ApiError> {
    let QueryTime::Range { start_ms, end_ms, .. } = time else {
        return Ok(());
    };
    let limit = whole_ms(limits.max_total_query_length);
    let length = end_ms.saturating_sub(start_ms);
    if limit == 0 || length <= limit {
        return Ok(());
    }
    let print = promql::text::duration::format_ms;
    Err(ApiError::bad_data(format!(
        "the total query time range exceeds the limit (query length: {}, limit: {}, max_total_query_length); \
         query a shorter range",
        print(length),
        print(limit)
    )))
}
