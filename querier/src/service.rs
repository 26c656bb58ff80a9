//! The querier: queries from arrival to result.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use env::{Clock, Scope};
use model::{TenantId, TimeRange};
use promql::{
    Engine, EngineOptions, ErrorKind, ParseOptions, PreparedQuery, QueryError, QueryTime, QueryValue,
};
use settings::Overrides;
use telemetry::Registry;

use crate::admission::Admission;
use crate::config::{QuerierConfig, QuerierLimits};
use crate::error::{ApiError, ErrorType};
use crate::http;
use crate::ingesters::Ingesters;
use crate::metrics::{FailureLabels, QuerierMetrics, QueryLabels};
use crate::select::{Budget, select};
use crate::source::{Fetched, Prefetched};

/// The most steps of a range query: 11,000 steps behind the first, as upstream has it.
const MAX_STEPS: u64 = 11_001;

/// What the querier needs from outside.
pub struct Deps {
    /// Who holds recent data.
    pub ingesters: Arc<dyn Ingesters>,
    /// The limits of tenants.
    pub limits: Overrides<QuerierLimits>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Where evaluation runs.
    pub scope: Scope,
    /// Where metrics are registered.
    pub registry: Registry,
}

/// A query.
#[derive(Debug, Clone)]
pub struct QueryRequest {
    /// Whose data.
    pub tenant: TenantId,
    /// The expression.
    pub query: String,
    /// When it is evaluated.
    pub time: QueryTime,
    /// How far back an instant selector looks; `None` for the configured default.
    pub lookback: Option<Duration>,
    /// How long it may take; the configured bound holds besides.
    pub timeout: Option<Duration>,
}

/// What a query gave.
#[derive(Debug, Clone)]
pub struct QueryResponse {
    /// The result.
    pub value: QueryValue,
    /// What may make the result wrong, as the API renders it.
    pub warnings: Vec<String>,
    /// What is worth knowing about the query, as the API renders it.
    pub infos: Vec<String>,
    /// What it took.
    pub stats: Timings,
    /// What the engine counted.
    pub engine: promql::QueryStats,
}

/// How long a query took.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Timings {
    /// Waiting for its turn.
    pub queue: Duration,
    /// Fetching series.
    pub preparation: Duration,
    /// Evaluating.
    pub evaluation: Duration,
    /// From arrival to result.
    pub total: Duration,
}

/// The querier.
#[derive(Clone)]
pub struct Querier {
    inner: Arc<Inner>,
}

struct Inner {
    config: QuerierConfig,
    admission: Admission,
    metrics: QuerierMetrics,
    ingesters: Arc<dyn Ingesters>,
    limits: Overrides<QuerierLimits>,
    clock: Arc<dyn Clock>,
    scope: Scope,
}

impl Querier {
    /// A querier over these parts.
    pub fn build(config: QuerierConfig, deps: Deps) -> Self {
        let metrics = QuerierMetrics::register(&deps.registry);
        let (waiting, running) = (metrics.queue_length.clone(), metrics.running.clone());
        Self {
            inner: Arc::new(Inner {
                admission: Admission::new(config.max_concurrent, config.max_queued, waiting, running),
                config,
                metrics,
                ingesters: deps.ingesters,
                limits: deps.limits,
                clock: deps.clock,
                scope: deps.scope.child("querier"),
            }),
        }
    }

    /// The Prometheus query API, under `/prometheus/api/v1` and `/api/v1`. Requests need an [`rpc::Tenant`] extension.
    pub fn router(&self) -> Router {
        http::router(self.clone())
    }

    /// Runs until `shutdown`. Queries in flight end with their connections.
    pub async fn run(&self, shutdown: impl Future<Output = ()>) {
        shutdown.await;
    }

    /// Evaluates a query.
    ///
    /// # Errors
    /// With the type and the message of the API.
    pub async fn query(&self, request: QueryRequest) -> Result<QueryResponse, ApiError> {
        let inner = &self.inner;
        let kind = match request.time {
            QueryTime::Instant(_) => "instant",
            QueryTime::Range { .. } => "range",
        };
        let arrived = inner.clock.monotonic();
        let timeout = request.timeout.unwrap_or(Duration::MAX).min(inner.config.timeout);
        let mut phase = Phase::Queue;
        let work = inner.run(&request, &mut phase);
        let answer = tokio::select! {
            biased;
            answer = work => answer,
            () = inner.clock.sleep(timeout) => Err(ApiError::new(
                ErrorType::Timeout,
                format!("query timed out in {}", phase.name()),
            )),
        };
        let total = inner.clock.monotonic().saturating_sub(arrived);
        inner.metrics.durations.get_or_create(&QueryLabels { kind }).observe(total.as_secs_f64());
        match answer {
            Ok(mut response) => {
                response.stats.total = total;
                Ok(response)
            }
            Err(error) => {
                let error_type = error.kind.as_str();
                inner.metrics.failures.get_or_create(&FailureLabels { error_type }).inc();
                Err(error)
            }
        }
    }

    /// What the queries of a tenant may be written with.
    pub(crate) fn parse_options(&self, tenant: &TenantId) -> ParseOptions {
        engine_options(&self.inner.config, &self.limits(tenant)).parse_options()
    }

    pub(crate) fn clock(&self) -> &dyn Clock {
        &*self.inner.clock
    }

    pub(crate) fn limits(&self, tenant: &TenantId) -> Arc<QuerierLimits> {
        self.inner.limits.of(tenant)
    }

    pub(crate) fn ingesters(&self) -> &dyn Ingesters {
        &*self.inner.ingesters
    }
}

/// What a query is at, for the message of its timeout.
#[derive(Debug, Clone, Copy)]
enum Phase {
    Queue,
    Preparation,
    Evaluation,
}

impl Phase {
    fn name(self) -> &'static str {
        match self {
            Self::Queue => "query queue",
            Self::Preparation => "query preparation",
            Self::Evaluation => "expression evaluation",
        }
    }
}

/// Tells the evaluation, which runs elsewhere, that nobody waits for it any more.
struct CancelOnDrop(Arc<AtomicBool>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Inner {
    async fn run(&self, request: &QueryRequest, phase: &mut Phase) -> Result<QueryResponse, ApiError> {
        let limits = self.limits.of(&request.tenant);
        check_length(request.time, &limits)?;
        let engine = Engine::new(engine_options(&self.config, &limits));
        let query = engine
            .prepare(&request.query, request.time, request.lookback.map(whole_ms))
            .map_err(|e| ApiError::invalid_parameter("query", e))?;

        let begun = self.clock.monotonic();
        let admitted = self.admission.admit().await?;
        let queue = self.clock.monotonic().saturating_sub(begun);
        self.metrics.waited.observe(queue.as_secs_f64());

        *phase = Phase::Preparation;
        let source = self.fetch(&request.tenant, &query, &limits).await?;
        let fetched = self.clock.monotonic();

        *phase = Phase::Evaluation;
        let canceled = CancelOnDrop(Arc::default());
        let flag = Arc::clone(&canceled.0);
        let evaluated = self.scope.run_blocking(move || {
            // The right to run is held until the work ends, also where nobody waits for it.
            let _admitted = admitted;
            let interrupted = || flag.load(Ordering::Relaxed).then_some(ErrorKind::Canceled);
            engine.run(&query, &source, &interrupted)
        });
        let result = evaluated.await.map_err(|e| {
            tracing::error!(tenant = %request.tenant, error = %e, "evaluation of a query failed");
            ApiError::new(ErrorType::Internal, "evaluation failed; the log of the server says more")
        })??;
        Ok(QueryResponse {
            warnings: result.annotations.warnings(&request.query),
            infos: result.annotations.infos(&request.query),
            stats: Timings {
                queue,
                preparation: fetched.saturating_sub(begun + queue),
                evaluation: self.clock.monotonic().saturating_sub(fetched),
                total: Duration::ZERO,
            },
            engine: result.stats,
            value: result.value,
        })
    }

    /// Everything that the query selects; what it selects twice is fetched once.
    async fn fetch(
        &self,
        tenant: &TenantId,
        query: &PreparedQuery,
        limits: &QuerierLimits,
    ) -> Result<Prefetched, ApiError> {
        let oldest = oldest_ms(&*self.clock, limits);
        let mut budget = Budget::new(limits);
        let readers = self.ingesters.readers(tenant)?;
        let mut source = Prefetched::default();
        for hints in query.selections() {
            if source.find(&hints).is_some() {
                continue;
            }
            let range = TimeRange::new(hints.start_ms.max(oldest), hints.end_ms);
            let series = match range {
                Some(range) => select(&readers, tenant, &hints.matchers, range, &mut budget).await?,
                None => Vec::new(),
            };
            source.add(Fetched { hints, range, series: series.into() });
        }
        self.metrics.fetched_series.observe(budget.fetched_series() as f64);
        self.metrics.fetched_chunk_bytes.inc_by(budget.fetched_chunk_bytes() as u64);
        Ok(source)
    }
}

impl From<QueryError> for ApiError {
    fn from(error: QueryError) -> Self {
        let kind = match error.kind {
            ErrorKind::BadData => ErrorType::BadData,
            ErrorKind::Execution | ErrorKind::TooLarge => ErrorType::Execution,
            ErrorKind::Overloaded => ErrorType::Unavailable,
            ErrorKind::Timeout => ErrorType::Timeout,
            ErrorKind::Canceled => ErrorType::Canceled,
            ErrorKind::Source | ErrorKind::Internal => ErrorType::Internal,
        };
        Self::new(kind, error.message)
    }
}

/// The engine's options for a tenant: what Prometheus has a feature flag for is one opt-in here.
fn engine_options(config: &QuerierConfig, limits: &QuerierLimits) -> EngineOptions {
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
