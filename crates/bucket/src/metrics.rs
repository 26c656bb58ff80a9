//! What a bucket counts.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use telemetry::{HistogramFamily, Registry};

/// Operations take from a millisecond to minutes.
const SECONDS: &[f64] =
    &[0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct ByOperation {
    pub(crate) operation: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct ByFailure {
    pub(crate) operation: &'static str,
    pub(crate) reason: &'static str,
}

/// The metrics of a bucket; clones are the same metrics.
#[derive(Clone)]
pub(crate) struct Metrics {
    pub(crate) operations: Family<ByOperation, Counter>,
    pub(crate) failures: Family<ByFailure, Counter>,
    pub(crate) failed_attempts: Family<ByFailure, Counter>,
    pub(crate) seconds: HistogramFamily<ByOperation>,
    pub(crate) sent: Counter,
    pub(crate) received: Counter,
    pub(crate) hedged: Counter,
    pub(crate) in_flight: Gauge,
}

impl Metrics {
    pub(crate) fn new(registry: &Registry) -> Self {
        let r = registry.sub("bucket");
        Self {
            operations: r.family("operations", "Operations on the bucket that were begun"),
            failures: r.family("operation_failures", "Operations on the bucket that failed, by reason"),
            failed_attempts: r
                .family("attempt_failures", "Requests to the bucket that failed, whether repeated or not"),
            seconds: r.histogram_family(
                "operation_duration_seconds",
                "How long operations took, with their repetitions",
                SECONDS,
            ),
            sent: r.counter("sent_bytes", "Bytes of objects that were written"),
            received: r.counter("received_bytes", "Bytes of objects that were read"),
            hedged: r.counter("hedged_requests", "Reads that were made a second time beside the first"),
            in_flight: r.gauge("requests_in_flight", "Requests to the bucket that are being made"),
        }
    }
}
