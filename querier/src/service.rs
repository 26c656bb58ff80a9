//! The querier: what it is made of, and queries from arrival to result.

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use env::{Clock, FileSystem, Scope};
use model::TenantId;
use promql::{ParseOptions, PreparedQuery, QueryTime, QueryValue, SampleCounts, SeriesSource};
use proto::{NewestRequest, NewestSample};
use settings::Overrides;
use telemetry::{Registry, trace};
use tracing::{Instrument as _, field};

use crate::active_queries::ActiveQueries;
use crate::admission::{Admission, Admitted, Share};
use crate::blocks::Blocks;
use crate::compute::Compute;
use crate::config::{QuerierConfig, QuerierLimits};
use crate::error::{ApiError, ErrorType};
use crate::execute::{Executor, Fetch, engine_options, failed, is_dear_to_parse};
use crate::http;
use crate::ingesters::Ingesters;
use crate::memory::ProcessMemory;
use crate::metrics::{FailureLabels, QuerierMetrics, QueryLabels};
use crate::newest;
use crate::report::{Cost, Report, Reporter};
use crate::sources::Sources;

pub(crate) use crate::execute::{oldest_ms, whole_ms};

/// When to come back after a remote read or a federation that found no room.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// What the querier needs from outside.
pub struct Deps {
    /// Who holds recent data.
    pub ingesters: Arc<dyn Ingesters>,
    /// Who holds what is older, if anybody does.
    pub blocks: Option<Blocks>,
    /// The limits of tenants.
    pub limits: Overrides<QuerierLimits>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Where evaluation runs.
    pub scope: Scope,
    /// Where metrics are registered.
    pub registry: Registry,
    /// Where files are.
    pub fs: Arc<dyn FileSystem>,
    /// The querier's own folder; it is made where it is missing.
    pub dir: PathBuf,
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
    /// What is to be counted about it.
    pub stats: StatsWanted,
    /// With which others it waits for its turn.
    pub class: QueryClass,
}

/// Who asks. Each class has its own queue and its own room, so that none keeps the other waiting.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum QueryClass {
    /// People and their dashboards.
    #[default]
    User,
    /// Rules.
    Rule,
}

/// What is to be counted about a query besides what is always counted. It costs as much again as reading the series.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum StatsWanted {
    /// Nothing.
    #[default]
    None,
    /// How many samples it looks at.
    Totals,
    /// The same for each step.
    PerStep,
}

/// What a query gave.
#[derive(Debug)]
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
    /// The samples that it looked at, where that was asked for.
    pub counts: Option<SampleCounts>,
    /// Reports the query when dropped, and lets go of its memory: kept until the answer has been written.
    pub report: Report,
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
    inner: Arc<Executor>,
}

impl Querier {
    /// A querier over these parts.
    pub fn build(config: QuerierConfig, deps: Deps) -> Self {
        let metrics = QuerierMetrics::register(&deps.registry);
        let (clock, admission) = (Arc::clone(&deps.clock), metrics.admission.clone());
        let total_memory = config.max_total_memory_bytes.bytes();
        Self {
            inner: Arc::new(Executor {
                admission: Admission::new(config.max_concurrent, config.max_queued, admission.clone()),
                rule_admission: Admission::new(
                    config.rules_max_concurrent,
                    config.max_queued,
                    metrics.rule_admission.clone(),
                ),
                read_admission: Admission::new(
                    config.remote_read_max_concurrent,
                    config.max_queued,
                    metrics.read_admission.clone(),
                ),
                memory: ProcessMemory::new(total_memory, metrics.memory.clone(), admission),
                active: active_queries(&config, &deps),
                compute: Arc::new(Compute::new(&config, &deps.scope)),
                reporter: Arc::new(Reporter { metrics, clock }),
                sources: Sources::new(&config, deps.ingesters, deps.blocks, Arc::clone(&deps.clock)),
                config,
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

    /// Evaluates a query. Dropping the future gives it up: it leaves the queue, or stops soon.
    ///
    /// # Errors
    /// With the type and the message of the API.
    pub async fn query(&self, request: QueryRequest) -> Result<QueryResponse, ApiError> {
        self.query_of(request, &[]).await
    }

    /// The same over what other tenants have, if any are named: each series says whose it is by its label `__tenant_id__`. Whether
    /// who asks may see that has been decided. Limits, queue and log are those of the tenant that asks.
    ///
    /// # Errors
    /// With the type and the message of the API.
    pub async fn query_of(
        &self,
        request: QueryRequest,
        sources: &[TenantId],
    ) -> Result<QueryResponse, ApiError> {
        let inner = &self.inner;
        let metrics = &inner.reporter.metrics;
        let kind = match request.time {
            QueryTime::Instant(_) => "instant",
            QueryTime::Range { .. } => "range",
        };
        let limits = inner.limits.of(&request.tenant);
        let mut report = inner.reporter.begin(&request.tenant, &request.query, request.time, &limits);
        let timeout = request.timeout.unwrap_or(Duration::MAX).min(inner.config.timeout);
        let tenant = request.tenant.as_str();
        let span = telemetry::request_span!("querier.query", tenant, kind, error.type = field::Empty);
        let work = inner.run((&request, sources), &limits, &mut report).instrument(span.clone());
        let answer = tokio::select! {
            biased;
            answer = work => answer,
            () = inner.clock.sleep(timeout) => Err(ApiError::new(
                ErrorType::Timeout,
                format!("query timed out in {}", report.stage.name()),
            )),
        };
        let total = report.elapsed();
        metrics.durations.get_or_create(&QueryLabels { kind }).observe(total.as_secs_f64());
        let evaluated = answer.inspect_err(|error| {
            let error_type = error.kind.as_str();
            span.record("error.type", error_type);
            trace::fail(&span, error.message.as_str());
            metrics.failures.get_or_create(&FailureLabels { error_type }).inc();
            report.failed(error);
        })?;
        report.succeeded();
        let (result, cost) = (evaluated.result, report.cost());
        Ok(QueryResponse {
            warnings: result.annotations.warnings(&request.query),
            infos: result.annotations.infos(&request.query),
            stats: Timings { queue: cost.queue, preparation: cost.select, evaluation: cost.evaluate, total },
            engine: result.stats,
            value: result.value,
            counts: evaluated.counts,
            report,
        })
    }

    /// All that a query selects, for an engine of the caller's own. Neither the time nor the number of such calls is
    /// bounded here; the limits on what may be fetched are.
    ///
    /// # Errors
    /// When something of it cannot be fetched, or is more than the tenant may.
    pub async fn select(
        &self,
        tenant: &TenantId,
        query: &PreparedQuery,
    ) -> Result<Box<dyn SeriesSource + Send + Sync>, ApiError> {
        let (inner, limits) = (&self.inner, self.limits(tenant));
        let fetch = Fetch {
            tenant,
            sources: &[],
            query,
            limits: &limits,
            memory: inner.memory.query(),
            streams: false,
        };
        let mut cost = Cost::default();
        let (fetched, mut reader) = inner.fetch(&fetch, &mut cost).await?;
        inner.note_fetched(reader.budget(), &mut cost);
        Ok(Box::new(fetched))
    }

    /// Waits for the turn of a request that reads whole series out, a remote read or a federation: tenants take turns,
    /// as for queries, but beside them, since such requests last as long as their clients read.
    pub(crate) async fn turn_to_read(&self, tenant: &TenantId) -> Result<Admitted, ApiError> {
        let (inner, share) = (&self.inner, Share::of(&self.limits(tenant)));
        tokio::select! {
            biased;
            admitted = inner.read_admission.admit(tenant, share) => admitted,
            () = inner.clock.sleep(inner.config.timeout) => {
                let message = "too many remote reads and federations; come back later";
                Err(ApiError::overloaded(message, RETRY_AFTER))
            }
        }
    }

    /// Does what compiles the regular expressions of `texts`: elsewhere than on the threads that serve everybody, where
    /// it may take more than a moment.
    pub(crate) async fn compile<'a, T: Send + 'static>(
        &self,
        mut texts: impl Iterator<Item = &'a str>,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, ApiError> {
        if !texts.any(is_dear_to_parse) {
            return Ok(work());
        }
        self.inner.scope.run_blocking(work).await.map_err(|error| failed("parsing a request", &error))
    }

    /// What the queries of a tenant may be written with.
    pub(crate) fn parse_options(&self, tenant: &TenantId) -> ParseOptions {
        engine_options(&self.inner.config, &self.limits(tenant)).parse_options()
    }

    /// The newest sample of each series, for whoever evaluates rules; within the time that a query may take.
    pub(crate) async fn newest_samples(&self, request: NewestRequest) -> Result<Vec<NewestSample>, ApiError> {
        let inner = &self.inner;
        tokio::select! {
            biased;
            found = newest::newest(inner, request) => found,
            () = inner.clock.sleep(inner.config.timeout) => {
                Err(ApiError::new(ErrorType::Timeout, "query timed out in reading the newest samples"))
            }
        }
    }

    pub(crate) fn config(&self) -> &QuerierConfig {
        &self.inner.config
    }

    pub(crate) fn scope(&self) -> &Scope {
        &self.inner.scope
    }

    pub(crate) fn clock(&self) -> &dyn Clock {
        &*self.inner.clock
    }

    pub(crate) fn limits(&self, tenant: &TenantId) -> Arc<QuerierLimits> {
        self.inner.limits.of(tenant)
    }

    pub(crate) fn ingesters(&self) -> &dyn Ingesters {
        self.inner.sources.ingesters()
    }

    pub(crate) fn sources(&self) -> &Sources {
        &self.inner.sources
    }
}

/// The file of running queries, with what the process before has left in it logged. Queries are answered without it,
/// too.
fn active_queries(config: &QuerierConfig, deps: &Deps) -> Option<Arc<ActiveQueries>> {
    if !config.active_query_log {
        return None;
    }
    let clock = Arc::clone(&deps.clock);
    match ActiveQueries::open(&*deps.fs, &deps.dir, config.max_concurrent, clock) {
        Ok((log, unfinished)) => {
            for query in unfinished {
                tracing::warn!(
                    tenant = ?query.tenant,
                    query = ?query.query,
                    started_at = query.started_at,
                    "this query ran when the process before ended"
                );
            }
            Some(Arc::new(log))
        }
        Err(error) => {
            tracing::error!(dir = %deps.dir.display(), %error, "running queries are not written down");
            None
        }
    }
}
