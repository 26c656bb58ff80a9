//! What is counted about reading from zones.

use telemetry::Registry;
use telemetry::metrics::Counter;

/// Counters of reads from zones.
#[derive(Debug, Clone)]
pub(super) struct ZoneMetrics {
    /// Zones that were asked because others took long.
    pub(super) hedged: Counter,
    /// Zones that could not answer a call.
    pub(super) failed: Counter,
    /// Series whose chunks were compared with those of another zone.
    pub(super) compared: Counter,
    /// Those of them that were fetched from there too.
    pub(super) differing: Counter,
}

impl ZoneMetrics {
    pub(super) fn register(registry: &Registry) -> Self {
        let registry = registry.sub("querier");
        Self {
            hedged: registry.counter("zones_hedged", "Zones that were asked because others took long"),
            failed: registry.counter("zone_failures", "Zones that could not answer a call whole"),
            compared: registry.counter(
                "zone_series_compared",
                "Series of one zone whose chunks another zone had checksums of",
            ),
            differing: registry.counter(
                "zone_series_differing",
                "Series that were fetched from a second zone because checksums differed",
            ),
        }
    }
}
