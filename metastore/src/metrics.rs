//! What a metastore node counts.

use telemetry::Registry;
use telemetry::metrics::{Counter, Gauge};

/// The node's metrics; clones are the same metrics.
#[derive(Clone)]
pub(crate) struct Metrics {
    pub(crate) leader: Gauge,
    pub(crate) term: Gauge,
    pub(crate) applied: Gauge,
    pub(crate) records: Gauge,
    pub(crate) leases: Gauge,
    pub(crate) revision: Gauge,
    pub(crate) watches: Gauge,
    pub(crate) proposals: Counter,
    pub(crate) failed_proposals: Counter,
    pub(crate) renewals: Counter,
    pub(crate) expired_leases: Counter,
    pub(crate) compacted_watches: Counter,
}

impl Metrics {
    pub(crate) fn new(registry: &Registry) -> Self {
        let r = registry.sub("metastore");
        Self {
            leader: r.gauge("is_leader", "1 while this node leads"),
            term: r.gauge("term", "The election that this node knows of"),
            applied: r.gauge("applied_index", "The last entry of the log that was applied"),
            records: r.gauge("records", "Records of the state"),
            leases: r.gauge("leases", "Processes that are alive"),
            revision: r.gauge("revision", "The number of the last change"),
            watches: r.gauge("watches", "Open watches"),
            proposals: r.counter("proposals", "Commands that this node proposed as leader"),
            failed_proposals: r.counter(
                "failed_proposals",
                "Proposed commands of which it is not known that they were committed",
            ),
            renewals: r.counter("lease_renewals", "Renewals of leases"),
            expired_leases: r.counter("expired_leases", "Leases that ended because they were not renewed"),
            compacted_watches: r
                .counter("compacted_watches", "Watches that had to begin again with a snapshot"),
        }
    }
}
