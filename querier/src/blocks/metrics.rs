//! What is counted about blocks.

use prometheus_client::encoding::EncodeLabelSet;
use telemetry::Registry;
use telemetry::metrics::{Counter, Family, Gauge, Histogram};

/// From one block to those of years.
const BLOCK_BUCKETS: [f64; 8] = [0.0, 1.0, 4.0, 16.0, 64.0, 256.0, 1_024.0, 4_096.0];

/// Metrics of blocks, named `…_querier_blocks_…`.
#[derive(Debug, Clone)]
pub(super) struct BlocksMetrics {
    pub(super) queried: Histogram,
    pub(super) left_out: Counter,
    pub(super) chunks_read: Counter,
    pub(super) refreshes: Family<OutcomeLabels, Counter>,
    pub(super) failures: Family<FailureLabels, Counter>,
    pub(super) second_looks: Counter,
    pub(super) downsampled: Counter,
    pub(super) headers: Family<HeaderLabels, Counter>,
    pub(super) header_bytes: Gauge,
    pub(super) header_disk_bytes: Gauge,
    pub(super) page_hits: Counter,
    pub(super) page_misses: Counter,
    pub(super) page_waits: Counter,
    pub(super) page_disk_hits: Counter,
    pub(super) cache_bytes: Gauge,
    pub(super) cache_disk_bytes: Gauge,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct OutcomeLabels {
    /// `success` or `failure`.
    pub(super) outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct FailureLabels {
    /// `stale`, `outdated`, `open` or `read`.
    pub(super) reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct HeaderLabels {
    /// `memory`, `disk` or `bucket`.
    pub(super) from: &'static str,
}

impl BlocksMetrics {
    pub(super) fn register(registry: &Registry) -> Self {
        let registry = registry.sub("querier").sub("blocks");
        Self {
            queried: registry.histogram("queried", "Blocks that a selection was read from", &BLOCK_BUCKETS),
            left_out: registry.counter(
                "left_out",
                "Blocks that a selection was not read from, since ingesters have everything of them",
            ),
            chunks_read: registry.counter("chunks_read", "Chunks of blocks that selections were read from"),
            refreshes: registry.family("refreshes", "Readings of what blocks tenants have, by outcome"),
            failures: registry.family("failures", "Selections that failed because of blocks, by reason"),
            second_looks: registry.counter(
                "second_looks",
                "Times that what blocks there are had to be read again, since ingesters took long to answer",
            ),
            downsampled: registry
                .counter("downsampled_skipped", "Blocks that were left out since they are downsampled"),
            headers: registry.family("headers_opened", "Blocks that were opened, by where their header was"),
            header_bytes: registry.gauge("header_memory_bytes", "Memory that headers of blocks take"),
            header_disk_bytes: registry.gauge("header_disk_bytes", "Disk that headers of blocks take"),
            page_hits: registry.counter("page_hits", "Pages of blocks that were at hand when they were read"),
            page_misses: registry.counter("page_misses", "Pages of blocks that had to be fetched"),
            page_waits: registry
                .counter("page_waits", "Pages that another request was fetching when they were needed"),
            page_disk_hits: registry
                .counter("page_disk_hits", "Pages of blocks that were on local disk when they were needed"),
            cache_disk_bytes: registry.gauge("cache_disk_bytes", "Disk that pages of blocks take"),
            cache_bytes: registry.gauge("cache_memory_bytes", "Memory that pages of blocks take"),
        }
    }

    pub(super) fn failed(&self, reason: &'static str) {
        self.failures.get_or_create(&FailureLabels { reason }).inc();
    }
}
