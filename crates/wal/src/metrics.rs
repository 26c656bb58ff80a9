//! What the log counts.

use telemetry::Registry;
use telemetry::metrics::{Counter, Family, Gauge, Histogram};

use crate::{CommitError, Operation, Recovery};

/// Upper bounds, in seconds, of how long a sync takes: from flash with a capacitor to a disk that is about to die.
const SYNC_SECONDS: &[f64] =
    &[0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];

/// What was tried and whether space was the matter.
type FailureLabels = [(&'static str, &'static str); 2];

/// The log's metrics, registered once per log.
#[derive(Debug, Clone)]
pub struct WalMetrics {
    pub(crate) bytes: Counter,
    pub(crate) records: Counter,
    pub(crate) groups: Counter,
    pub(crate) sync_seconds: Histogram,
    pub(crate) pending_bytes: Gauge,
    pub(crate) segment: Gauge,
    pub(crate) segments_created: Counter,
    pub(crate) segments_removed: Counter,
    failures: Family<FailureLabels, Counter>,
    damage: Counter,
    torn_tail_bytes: Counter,
    recovered_records: Counter,
}

impl WalMetrics {
    /// Registers the metrics under `<prefix>_wal_…`.
    pub fn new(registry: &Registry) -> Self {
        let registry = registry.sub("wal");
        Self {
            bytes: registry.counter("written_bytes", "Bytes written to the write-ahead log"),
            records: registry.counter("records", "Records committed to the write-ahead log"),
            groups: registry.counter("groups", "Groups of records committed with one write"),
            sync_seconds: registry.histogram(
                "sync_duration_seconds",
                "How long syncs of the write-ahead log took",
                SYNC_SECONDS,
            ),
            pending_bytes: registry.gauge("pending_bytes", "Bytes of records that wait to be committed"),
            segment: registry.gauge("segment", "Number of the segment that is written"),
            segments_created: registry.counter("segments_created", "Segments made"),
            segments_removed: registry.counter("segments_removed", "Segments removed as no longer needed"),
            failures: registry
                .family("failures", "Failed groups and syncs, by operation and whether the disk was full"),
            damage: registry.counter("damaged_ranges", "Unreadable ranges found by recovery"),
            torn_tail_bytes: registry
                .counter("torn_tail_bytes", "Bytes after the last record that recovery dropped"),
            recovered_records: registry.counter("recovered_records", "Records found by recovery"),
        }
    }

    /// Counts what a recovery found.
    pub fn recovered(&self, recovery: &Recovery) {
        self.recovered_records.inc_by(recovery.records);
        self.damage.inc_by(recovery.damage.len() as u64);
        self.torn_tail_bytes.inc_by(recovery.torn_tail_bytes);
    }

    pub(crate) fn failed(&self, operation: Operation, error: &CommitError) {
        let cause = if error.is_no_space() { "no_space" } else { "other" };
        self.failures.get_or_create(&[("operation", operation.name()), ("cause", cause)]).inc();
    }
}
