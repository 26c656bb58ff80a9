//! What a compactor counts. Those that dashboards of Mimir show have its names.

use prometheus_client::encoding::EncodeLabelSet;
use telemetry::metrics::{Counter, Family, Gauge, Histogram};
use telemetry::{Registry, TenantFamily};

/// Jobs take from less than a second to hours.
const SECONDS: [f64; 10] = [0.1, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3_600.0, 10_800.0, 43_200.0];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct ByReason {
    pub(crate) reason: &'static str,
}

/// The metrics of a compactor. Clones are the same.
#[derive(Clone)]
pub(crate) struct Metrics {
    pub(crate) runs_started: Counter,
    pub(crate) runs_completed: Counter,
    pub(crate) runs_failed: Counter,
    pub(crate) last_success: Gauge,
    pub(crate) jobs: Counter,
    pub(crate) failed_jobs: Family<ByReason, Counter>,
    pub(crate) job_seconds: Histogram,
    pub(crate) samples: Counter,
    pub(crate) read_bytes: Counter,
    pub(crate) written_bytes: Counter,
    pub(crate) marked: Family<ByReason, Counter>,
    pub(crate) excluded: Family<ByReason, Counter>,
    pub(crate) cleaned: Counter,
    pub(crate) clean_failures: Counter,
    pub(crate) partial: Counter,
    pub(crate) adopted: Counter,
    pub(crate) tenants: Gauge,
    pub(crate) planned: Gauge,
    pub(crate) running: Gauge,
    pub(crate) broken: Gauge,
    pub(crate) behind_seconds: Gauge,
    pub(crate) blocks: TenantFamily<Gauge>,
    pub(crate) blocks_marked: TenantFamily<Gauge>,
    pub(crate) index_updated: TenantFamily<Gauge>,
}

impl Metrics {
    pub(crate) fn register(registry: &Registry) -> Self {
        let r = registry.under("cortex").sub("compactor");
        let of_bucket = registry.under("cortex").sub("bucket");
        let own = registry.sub("compactor");
        let tenant = |name, help| TenantFamily::register(&of_bucket, name, help);
        Self {
            runs_started: r.counter("runs_started", "Rounds through the tenants that were begun"),
            runs_completed: r.counter("runs_completed", "Rounds through the tenants without a failure"),
            runs_failed: r.counter("runs_failed", "Rounds in which something failed for a tenant"),
            last_success: r.gauge(
                "last_successful_run_timestamp_seconds",
                "When the last round without a failure ended",
            ),
            jobs: r.counter("group_compactions", "Jobs that merged or split blocks"),
            failed_jobs: r.family("group_compactions_failures", "Jobs that failed, by reason"),
            job_seconds: own.histogram("job_duration_seconds", "How long jobs took", &SECONDS),
            samples: own.counter("written_samples", "Samples in blocks that were written"),
            read_bytes: own.counter("read_bytes", "Bytes of blocks that were merged"),
            written_bytes: own.counter("written_bytes", "Bytes of blocks that were written"),
            marked: r
                .family("blocks_marked_for_deletion", "Blocks that were marked to be deleted, by reason"),
            excluded: r.family(
                "blocks_marked_for_no_compaction",
                "Blocks that were set aside, by what is wrong with them",
            ),
            cleaned: r.counter("blocks_cleaned", "Blocks that were deleted"),
            clean_failures: r.counter("block_cleanup_failures", "Blocks that could not be deleted"),
            partial: own.counter("partial_uploads_removed", "Uploads without an end that were removed"),
            adopted: own.counter("blocks_found", "Blocks that the index did not have"),
            tenants: r.gauge("tenants_discovered", "Tenants that have something in the bucket"),
            planned: own.gauge("planned_jobs", "Jobs that are to be done"),
            running: own.gauge("running_jobs", "Jobs that are being done"),
            broken: own.gauge("excluded_blocks", "Blocks that are not merged: broken, or marked by somebody"),
            behind_seconds: own.gauge(
                "lag_seconds",
                "How long ago the oldest time ended whose blocks are to be merged and are not",
            ),
            blocks: tenant("blocks_count", "Blocks of the tenant, those that are marked included"),
            blocks_marked: tenant(
                "blocks_marked_for_deletion_count",
                "Blocks of the tenant that are marked to be deleted",
            ),
            index_updated: tenant(
                "index_last_successful_update_timestamp_seconds",
                "When the tenant's index was read or written last without a failure",
            ),
        }
    }

    pub(crate) fn marked(&self, reason: &'static str, count: usize) {
        self.marked.get_or_create(&ByReason { reason }).inc_by(count as u64);
    }

    pub(crate) fn job_failed(&self, reason: &'static str) {
        self.failed_jobs.get_or_create(&ByReason { reason }).inc();
    }

    pub(crate) fn set_aside(&self, reason: &'static str) {
        self.excluded.get_or_create(&ByReason { reason }).inc();
    }
}
