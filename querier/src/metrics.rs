//! What the querier counts.

use prometheus_client::encoding::EncodeLabelSet;
use telemetry::metrics::{Counter, Family, FloatCounter, Gauge, Histogram};
use telemetry::{HistogramFamily, Registry};

/// From a query that finds nothing to one that reaches its timeout.
const DURATION_BUCKETS_SECONDS: [f64; 12] =
    [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 25.0, 120.0];

/// Powers of eight, from one series to the default limit and beyond.
const SERIES_BUCKETS: [f64; 8] = [1.0, 8.0, 64.0, 512.0, 4_096.0, 32_768.0, 262_144.0, 2_097_152.0];

/// Metrics of the querier.
#[derive(Debug, Clone)]
pub struct QuerierMetrics {
    pub(crate) durations: HistogramFamily<QueryLabels>,
    pub(crate) waited: Histogram,
    pub(crate) stages: Family<StageLabels, FloatCounter>,
    pub(crate) admission: AdmissionMetrics,
    /// Of rules.
    pub(crate) rule_admission: AdmissionMetrics,
    /// Of remote reads and federations.
    pub(crate) read_admission: AdmissionMetrics,
    pub(crate) memory: Gauge,
    pub(crate) canceled: Counter,
    pub(crate) slow: Counter,
    pub(crate) samples_read: Counter,
    pub(crate) fetched_series: Histogram,
    pub(crate) fetched_chunk_bytes: Counter,
    pub(crate) failures: Family<FailureLabels, Counter>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct QueryLabels {
    /// `instant` or `range`.
    pub(crate) kind: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct FailureLabels {
    /// The `errorType` of the API.
    pub(crate) error_type: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct StageLabels {
    /// `queue`, `select`, `evaluate` or `encode`.
    pub(crate) stage: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct RefusalLabels {
    /// See [`Refusal`].
    pub(crate) reason: &'static str,
}

/// Why a query was not run, or not to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Too many of the tenant wait.
    TenantQueueFull,
    /// Too many of all tenants wait.
    QueueFull,
    /// All queries together hold as much memory as they may.
    Memory,
}

impl Refusal {
    fn as_str(self) -> &'static str {
        match self {
            Self::TenantQueueFull => "tenant_queue_full",
            Self::QueueFull => "queue_full",
            Self::Memory => "memory",
        }
    }
}

/// What is counted about queries that wait and run.
#[derive(Debug, Clone)]
pub(crate) struct AdmissionMetrics {
    pub(crate) queue_length: Gauge,
    pub(crate) running: Gauge,
    pub(crate) queue_left: Counter,
    pub(crate) refusals: Family<RefusalLabels, Counter>,
}

impl AdmissionMetrics {
    fn register(registry: &Registry) -> Self {
        Self {
            queue_length: registry.gauge("queue_length", "Queries that wait for their turn"),
            running: registry.gauge("queries_running", "Queries that are being evaluated"),
            queue_left: registry
                .counter("queue_left", "Queries that were given up, or timed out, while they waited"),
            refusals: registry
                .family("queries_refused", "Queries that were refused, by what there was too much of"),
        }
    }

    fn register_rules(registry: &Registry) -> Self {
        Self {
            queue_length: registry.gauge("rule_queue_length", "Queries of rules that wait for their turn"),
            running: registry.gauge("rule_queries_running", "Queries of rules that are being evaluated"),
            queue_left: registry.counter(
                "rule_queue_left",
                "Queries of rules that were given up, or timed out, while they waited",
            ),
            refusals: registry.family(
                "rule_queries_refused",
                "Queries of rules that were refused, by what there was too much of",
            ),
        }
    }

    fn register_reads(registry: &Registry) -> Self {
        Self {
            queue_length: registry
                .gauge("read_queue_length", "Remote reads and federations that wait for their turn"),
            running: registry.gauge("reads_running", "Remote reads and federations that are being answered"),
            queue_left: registry.counter(
                "read_queue_left",
                "Remote reads and federations that were given up, or timed out, while they waited",
            ),
            refusals: registry.family(
                "reads_refused",
                "Remote reads and federations that were refused, by what there was too much of",
            ),
        }
    }

    pub(crate) fn refused(&self, refusal: Refusal) {
        self.refusals.get_or_create(&RefusalLabels { reason: refusal.as_str() }).inc();
    }
}

impl QuerierMetrics {
    /// Registers the metrics, named `…_querier_…`.
    pub fn register(registry: &Registry) -> Self {
        let registry = registry.sub("querier");
        Self {
            durations: registry.histogram_family(
                "query_duration_seconds",
                "Time from a query's arrival to its result, waiting included",
                &DURATION_BUCKETS_SECONDS,
            ),
            waited: registry.histogram(
                "queue_wait_seconds",
                "Time that queries waited for their turn",
                &DURATION_BUCKETS_SECONDS,
            ),
            stages: registry.family("query_stage_seconds", "Time that queries spent, by stage"),
            admission: AdmissionMetrics::register(&registry),
            rule_admission: AdmissionMetrics::register_rules(&registry),
            read_admission: AdmissionMetrics::register_reads(&registry),
            memory: registry
                .gauge("query_memory_bytes", "Memory that running queries hold and have set aside, together"),
            canceled: registry
                .counter("queries_canceled", "Queries whose client went away before the result"),
            slow: registry.counter("slow_queries", "Queries that took longer than their tenant's threshold"),
            samples_read: registry.counter("query_samples_read", "Samples that queries read from chunks"),
            fetched_series: registry.histogram(
                "fetched_series",
                "Series that a query selected",
                &SERIES_BUCKETS,
            ),
            fetched_chunk_bytes: registry
                .counter("fetched_chunk_bytes", "Bytes of chunks that queries selected"),
            failures: registry.family("query_failures", "Queries that failed, by error type"),
        }
    }
}
