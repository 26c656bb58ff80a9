//! What an ingester counts.

use model::TimeRange;
use telemetry::metrics::{Counter, FloatGauge, Gauge, Histogram};
use telemetry::{Registry, TenantFamily};
use wal::WalMetrics;

/// Snapshots take from milliseconds to a minute.
const SNAPSHOT_SECONDS: &[f64] = &[0.01, 0.05, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0];

/// The ingester's metrics; clones are the same metrics.
#[derive(Clone)]
pub(crate) struct Metrics {
    pub(crate) wal: WalMetrics,
    pub(crate) samples: Counter,
    pub(crate) refused_samples: Counter,
    pub(crate) requests_shed: Counter,
    pub(crate) series: TenantFamily<Gauge>,
    pub(crate) series_released: Counter,
    pub(crate) snapshots: Counter,
    pub(crate) snapshot_failures: Counter,
    pub(crate) snapshot_seconds: Histogram,
    pub(crate) snapshot_bytes: Gauge,
    pub(crate) chunk_bytes_pending: Gauge,
    pub(crate) chunk_failures: Counter,
    pub(crate) disk_wait_seconds: FloatGauge,
    pub(crate) chunk_files_removed: Counter,
    pub(crate) chunk_cache_hits: Counter,
    pub(crate) chunk_cache_misses: Counter,
    pub(crate) replay_seconds: FloatGauge,
    pub(crate) handed_over_series: Counter,
    pub(crate) hand_over_retries: Counter,
    pub(crate) taken_over_samples: Counter,
    pub(crate) taken_over_conflicts: Counter,
    pub(crate) blocks_cut: Counter,
    pub(crate) block_cut_failures: Counter,
    pub(crate) blocks_shipped: Counter,
    pub(crate) block_ship_failures: Counter,
    pub(crate) blocks_on_disk: Gauge,
    pub(crate) oldest_unshipped_seconds: FloatGauge,
    pub(crate) lost_ranges: Counter,
    pub(crate) lost_range_start: FloatGauge,
    pub(crate) lost_range_end: FloatGauge,
}

impl Metrics {
    pub(crate) fn new(registry: &Registry) -> Self {
        let r = registry.sub("ingester");
        Self {
            wal: WalMetrics::new(&r),
            samples: r
                .counter("ingested_samples", "Samples that are durable and visible, repetitions included"),
            refused_samples: r.counter(
                "refused_samples",
                "Samples that were refused as out of order, too old or conflicting",
            ),
            requests_shed: r
                .counter("shed_requests", "Writes refused with 503 because the disk does not keep up"),
            series: TenantFamily::register(&r, "memory_series", "Series in memory, by tenant"),
            series_released: r
                .counter("released_series", "Series released because all their samples have expired"),
            snapshots: r.counter("snapshots", "Snapshots taken"),
            snapshot_failures: r
                .counter("snapshot_failures", "Snapshots that failed; the log is kept until one succeeds"),
            snapshot_seconds: r.histogram(
                "snapshot_duration_seconds",
                "How long snapshots took",
                SNAPSHOT_SECONDS,
            ),
            snapshot_bytes: r.gauge("snapshot_bytes", "Size of the newest snapshot"),
            chunk_bytes_pending: r
                .gauge("chunk_pending_bytes", "Bytes of full chunks that are not durable in chunk files yet"),
            chunk_failures: r.counter("chunk_failures", "Failed writes or syncs of chunk files"),
            disk_wait_seconds: r.float_gauge(
                "disk_wait_seconds",
                "How long the disk has kept the write-ahead log or chunk files waiting; 0 below a second",
            ),
            chunk_files_removed: r.counter("chunk_files_removed", "Chunk files removed by retention"),
            chunk_cache_hits: r.counter(
                "chunk_cache_hits",
                "Stored chunks that a query found in memory, of those that lie far apart",
            ),
            chunk_cache_misses: r.counter(
                "chunk_cache_misses",
                "Stored chunks that lie far apart and that a query read from a file",
            ),
            replay_seconds: r
                .float_gauge("replay_duration_seconds", "How long the last start took to restore the head"),
            handed_over_series: r.counter("handed_over_series", "Series that were handed over, to leave"),
            hand_over_retries: r
                .counter("hand_over_retries", "Parcels that were not taken over and were offered again"),
            taken_over_samples: r
                .counter("taken_over_samples", "Samples that ingesters handed over that left"),
            taken_over_conflicts: r.counter(
                "taken_over_conflicts",
                "Samples that were handed over although another value was there, which stayed",
            ),
            blocks_cut: r.counter("blocks_cut", "Blocks that were cut from the head"),
            block_cut_failures: r
                .counter("block_cut_failures", "Blocks that could not be cut; the head keeps their samples"),
            blocks_shipped: r
                .counter("shipped_blocks", "Blocks that are in the bucket and in its index, read back"),
            block_ship_failures: r.counter(
                "block_ship_failures",
                "Times that a tenant's blocks could not be shipped; they stay on the disk",
            ),
            blocks_on_disk: r.gauge("blocks_on_disk", "Blocks on the local disk"),
            oldest_unshipped_seconds: r.float_gauge(
                "oldest_unshipped_block_start_seconds",
                "Where the oldest block begins that is not in the bucket's index yet; 0 where all are",
            ),
            lost_ranges: r.counter(
                "lost_ranges",
                "Ranges of time of which a damaged log or snapshot lost acknowledged samples",
            ),
            lost_range_start: r.float_gauge(
                "lost_range_start_seconds",
                "Earliest time of all lost ranges; 0 where there are none",
            ),
            lost_range_end: r.float_gauge(
                "lost_range_end_seconds",
                "Latest time of all lost ranges; 0 where there are none",
            ),
        }
    }

    /// Publishes what was lost.
    pub(crate) fn lost(&self, ranges: &[TimeRange]) {
        self.lost_ranges.inc_by(ranges.len() as u64);
        if let Some(hull) = ranges.iter().copied().reduce(TimeRange::hull) {
            self.lost_range_start.set(hull.start_ms() as f64 / 1e3);
            self.lost_range_end.set(hull.end_ms() as f64 / 1e3);
        }
    }
}
