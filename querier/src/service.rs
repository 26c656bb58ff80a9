//! The querier: queries from arrival to result.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use env::{Clock, Scope};
use model::{TenantId, TimeRange};
use promql::ParseOptions;
use proto::SeriesChunks;
use settings::Overrides;
use telemetry::Registry;

use crate::admission::Admission;
use crate::config::{QuerierConfig, QuerierLimits};
use crate::error::{ApiError, ErrorType};
use crate::eval::{self, Bounds, Plan, Steps};
use crate::http;
use crate::ingesters::Ingesters;
use crate::metrics::{FailureLabels, QuerierMetrics, QueryLabels};
use crate::select::{Budget, select};
use crate::value::QueryValue;

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
    pub steps: Steps,
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
    /// What it took.
    pub stats: QueryStats,
}

/// What a query took.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct QueryStats {
    /// Waiting for its turn.
    pub queue: Duration,
    /// Fetching series.
    pub preparation: Duration,
    /// Evaluating.
    pub evaluation: Duration,
    /// From arrival to result.
    pub total: Duration,
    /// Samples in the result.
    pub samples: usize,
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
        let admission =
            Admission::new(config.max_concurrent, config.max_queued, metrics.queue_length.clone());
        Self {
            inner: Arc::new(Inner {
                config,
                admission,
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
        let kind = match request.steps {
            Steps::Instant { .. } => "instant",
            Steps::Range { .. } => "range",
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
        check_length(request.steps, &limits)?;
        let expr = promql::parse(&request.query, &ParseOptions::default())
            .map_err(|e| ApiError::invalid_parameter("query", e))?;
        let lookback = request.lookback.unwrap_or(self.config.lookback_delta);
        let plan = eval::plan(&expr, request.steps, whole_ms(lookback))?;

        let begun = self.clock.monotonic();
        let admitted = self.admission.admit().await?;
        let queue = self.clock.monotonic().saturating_sub(begun);
        self.metrics.waited.observe(queue.as_secs_f64());

        *phase = Phase::Preparation;
        let (series, range) = self.fetch(&request.tenant, &plan, &limits).await?;
        let fetched = self.clock.monotonic();

        *phase = Phase::Evaluation;
        let canceled = CancelOnDrop(Arc::default());
        let bounds = Bounds { max_samples: self.config.max_samples, canceled: Arc::clone(&canceled.0) };
        let (steps, running) = (request.steps, self.metrics.running.clone());
        running.inc();
        let evaluated = self.scope.run_blocking(move || {
            // The right to run is held until the work ends, also where nobody waits for it.
            let _admitted = admitted;
            let value = eval::evaluate(&plan, steps, &series, range, &bounds);
            running.dec();
            value
        });
        let value = evaluated.await.map_err(|e| {
            tracing::error!(tenant = %request.tenant, error = %e, "evaluation of a query failed");
            ApiError::new(ErrorType::Internal, "evaluation failed; the log of the server says more")
        })??;
        let evaluation = self.clock.monotonic().saturating_sub(fetched);
        Ok(QueryResponse {
            stats: QueryStats {
                queue,
                preparation: fetched.saturating_sub(begun + queue),
                evaluation,
                total: Duration::ZERO,
                samples: samples_in(&value),
            },
            value,
        })
    }

    /// What the plan's selector selects, and in which range.
    async fn fetch(
        &self,
        tenant: &TenantId,
        plan: &Plan,
        limits: &QuerierLimits,
    ) -> Result<(Vec<SeriesChunks>, Option<TimeRange>), ApiError> {
        let (Plan::Vector(selection) | Plan::Matrix(selection)) = plan else {
            return Ok((Vec::new(), None));
        };
        let oldest = oldest_ms(&*self.clock, limits);
        let Some(range) =
            selection.range().and_then(|r| TimeRange::new(r.start_ms().max(oldest), r.end_ms()))
        else {
            return Ok((Vec::new(), None));
        };
        let mut budget = Budget::new(limits);
        let readers = self.ingesters.readers(tenant)?;
        let series = select(&readers, tenant, &selection.matchers, range, &mut budget).await?;
        self.metrics.fetched_series.observe(series.len() as f64);
        let bytes = series.iter().flat_map(|s| &s.chunks).map(|c| c.data.len() as u64).sum();
        self.metrics.fetched_chunk_bytes.inc_by(bytes);
        Ok((series, Some(range)))
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

fn check_length(steps: Steps, limits: &QuerierLimits) -> Result<(), ApiError> {
    let (start, end) = steps.bounds();
    let limit = whole_ms(limits.max_total_query_length);
    let length = end.saturating_sub(start);
    if limit == 0 || length <= limit {
        return Ok(());
    }
    let print = |ms: i64| promql::text::duration::format_ms(ms);
    Err(ApiError::bad_data(format!(
        "the total query time range exceeds the limit (query length: {}, limit: {}, max_total_query_length); \
         query a shorter range",
        print(length),
        print(limit)
    )))
}

fn samples_in(value: &QueryValue) -> usize {
    match value {
        QueryValue::Scalar { .. } | QueryValue::String { .. } => 1,
        QueryValue::Vector(samples) => samples.len(),
        QueryValue::Matrix(series) => series.iter().map(|s| s.floats.len() + s.histograms.len()).sum(),
    }
}
