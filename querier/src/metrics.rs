//! What the querier counts.

use prometheus_client::encoding::EncodeLabelSet;
use telemetry::metrics::{Counter, Family, Gauge, Histogram};
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
    pub(crate) queue_length: Gauge,
    pub(crate) running: Gauge,
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
            queue_length: registry.gauge("queue_length", "Queries that wait for their turn"),
            running: registry.gauge("queries_running", "Queries that are being evaluated"),
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
