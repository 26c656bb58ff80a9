//! What a query cost, and who is told: metrics, the query log of its tenant, and the log of slow queries.

use std::sync::Arc;
use std::time::Duration;

use env::Clock;
use model::TenantId;
use promql::QueryTime;

use crate::config::QuerierLimits;
use crate::error::{ApiError, ErrorType};
use crate::memory::QueryMemory;
use crate::metrics::{QuerierMetrics, StageLabels};

/// How much of a query is logged, in bytes.
const MAX_LOGGED_BYTES: usize = 4 << 10;

/// What a query is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// It waits for its turn.
    Queue,
    /// Series are fetched.
    Select,
    /// It is evaluated.
    Evaluate,
}

impl Stage {
    /// As Prometheus calls it where a query times out.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Queue => "query queue",
            Self::Select => "query preparation",
            Self::Evaluate => "expression evaluation",
        }
    }
}

/// What a query took so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cost {
    /// Waiting for its turn.
    pub queue: Duration,
    /// Fetching series.
    pub select: Duration,
    /// Evaluating.
    pub evaluate: Duration,
    /// Writing the answer.
    pub encode: Duration,
    /// Series selected.
    pub series: u64,
    /// Samples read from chunks.
    pub samples: u64,
    /// Bytes of chunks selected.
    pub chunk_bytes: u64,
    /// Most bytes of samples and series held at once.
    pub peak_bytes: u64,
    /// Blocks that selections were read from.
    pub blocks: u64,
    /// Blocks of their time that they were not read from, since ingesters have everything of them.
    pub blocks_left_out: u64,
}

/// Follows a query from its arrival to the last byte of its answer, and reports it when dropped. Whoever encodes the
/// result says how long that took; whoever drops it before there is a result has gone away.
#[derive(Debug)]
pub struct Report {
    reporter: Arc<Reporter>,
    tenant: TenantId,
    query: String,
    time: QueryTime,
    logged: bool,
    slow_after: Duration,
    arrived: Duration,
    outcome: Outcome,
    /// The trace that the query belongs to, if it is exported. It is logged when nothing of the request runs any more.
    trace_id: Option<String>,
    pub(crate) stage: Stage,
    pub(crate) cost: Cost,
    /// What the query holds is held until its answer has been written.
    pub(crate) memory: Option<Arc<QueryMemory>>,
}

#[derive(Debug)]
enum Outcome {
    /// Nobody waits for it any more.
    Canceled,
    Success,
    Failure(ApiError),
}

/// Whom queries are reported to.
pub(crate) struct Reporter {
    pub(crate) metrics: QuerierMetrics,
    pub(crate) clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for Reporter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reporter").finish_non_exhaustive()
    }
}

impl Reporter {
    /// A query has arrived.
    pub(crate) fn begin(
        self: &Arc<Self>,
        tenant: &TenantId,
        query: &str,
        time: QueryTime,
        limits: &QuerierLimits,
    ) -> Report {
        Report {
            reporter: Arc::clone(self),
            tenant: tenant.clone(),
            query: query.to_owned(),
            time,
            logged: limits.query_log,
            slow_after: limits.slow_query_threshold,
            arrived: self.clock.monotonic(),
            outcome: Outcome::Canceled,
            trace_id: telemetry::trace::current_trace_id(),
            stage: Stage::Queue,
            cost: Cost::default(),
            memory: None,
        }
    }
}

impl Report {
    /// What the query took so far.
    pub fn cost(&self) -> Cost {
        self.cost
    }

    /// A part of the answer took so long to write.
    pub fn encoded(&mut self, duration: Duration) {
        self.cost.encode += duration;
    }

    /// The time, for [`Self::encoded`]: since the start of the clock.
    pub fn now(&self) -> Duration {
        self.reporter.clock.monotonic()
    }

    /// Time since the query arrived.
    pub(crate) fn elapsed(&self) -> Duration {
        self.now().saturating_sub(self.arrived)
    }

    pub(crate) fn succeeded(&mut self) {
        self.outcome = Outcome::Success;
    }

    pub(crate) fn failed(&mut self, error: &ApiError) {
        self.outcome = Outcome::Failure(error.clone());
    }

    fn count(&self) {
        let Reporter { metrics, .. } = &*self.reporter;
        let Cost { queue, select, evaluate, encode, samples, .. } = self.cost;
        for (stage, took) in
            [("queue", queue), ("select", select), ("evaluate", evaluate), ("encode", encode)]
        {
            metrics.stages.get_or_create(&StageLabels { stage }).inc_by(took.as_secs_f64());
        }
        metrics.samples_read.inc_by(samples);
        if matches!(self.outcome, Outcome::Canceled) {
            metrics.canceled.inc();
        }
    }

    fn log(&self, slow: bool) {
        let (start_ms, end_ms, step_ms) = match self.time {
            QueryTime::Instant(at_ms) => (at_ms, at_ms, 0),
            QueryTime::Range { start_ms, end_ms, step_ms } => (start_ms, end_ms, step_ms),
        };
        let (status, error) = match &self.outcome {
            Outcome::Canceled => (ErrorType::Canceled.as_str(), "the client went away"),
            Outcome::Success => ("success", ""),
            Outcome::Failure(error) => (error.kind.as_str(), error.message.as_str()),
        };
        let query = &self.query[..self.query.floor_char_boundary(MAX_LOGGED_BYTES)];
        let error = &error[..error.floor_char_boundary(MAX_LOGGED_BYTES)];
        let Cost { queue, select, evaluate, encode, .. } = self.cost;
        let Cost { series, samples, chunk_bytes, peak_bytes, blocks, blocks_left_out, .. } = self.cost;
        tracing::info!(
            target: "query_log",
            tenant = %self.tenant,
            query = ?query,
            query_bytes = self.query.len(),
            start_ms,
            end_ms,
            step_ms,
            status,
            error = ?error,
            slow,
            trace_id = self.trace_id.as_deref(),
            series,
            samples,
            chunk_bytes,
            peak_bytes,
            blocks,
            blocks_left_out,
            queue_seconds = queue.as_secs_f64(),
            select_seconds = select.as_secs_f64(),
            evaluate_seconds = evaluate.as_secs_f64(),
            encode_seconds = encode.as_secs_f64(),
            total_seconds = self.elapsed().as_secs_f64(),
            "{}",
            if slow { "slow query" } else { "query" }
        );
    }
}

impl Drop for Report {
    fn drop(&mut self) {
        self.count();
        let slow = !self.slow_after.is_zero() && self.elapsed() > self.slow_after;
        if slow {
            self.reporter.metrics.slow.inc();
        }
        if self.logged || slow {
            self.log(slow);
        }
    }
}
