//! What a client of the metastore counts.

use telemetry::Registry;
use telemetry::metrics::{Counter, Gauge};

/// The client's metrics; clones are the same metrics.
#[derive(Clone)]
pub(crate) struct Metrics {
    pub(crate) retries: Counter,
    pub(crate) failed_calls: Counter,
    pub(crate) watch_starts: Counter,
    pub(crate) snapshots: Counter,
    pub(crate) revision: Gauge,
    pub(crate) connected: Gauge,
    pub(crate) failed_saves: Counter,
    pub(crate) lease_losses: Counter,
    pub(crate) resized_tenants: Counter,
}

impl Metrics {
    pub(crate) fn new(registry: &Registry) -> Self {
        let r = registry.sub("membership");
        Self {
            retries: r.counter("call_retries", "Calls of the metastore that were repeated"),
            failed_calls: r.counter("failed_calls", "Calls of the metastore that failed for good"),
            watch_starts: r.counter("watch_starts", "Watches that were begun, after an interruption too"),
            snapshots: r.counter("snapshots", "Views that were replaced by a snapshot"),
            revision: r.gauge("revision", "The revision of the view"),
            connected: r.gauge("watch_connected", "1 while the view follows the metastore"),
            failed_saves: r.counter("failed_saves", "Views that could not be written to the disk"),
            resized_tenants: r.counter(
                "resized_tenants",
                "Tenants whose number of ingesters this process changed as the planner of shards",
            ),
            lease_losses: r.counter(
                "lease_losses",
                "Leases that the metastore ended, or that could not be renewed in time",
            ),
        }
    }
}
