//! Whose answers make a read whole: quorums of zones, less what zones have lost.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::{TenantSeed, TimeRange};

use crate::{Ring, ShardSize};

/// A range of time for which an instance has lost acknowledged data: its zone cannot vouch for it any more.
///
/// Published when an instance comes back with another data directory, finds its log damaged, was removed without
/// having handed over what it had, or lost power without having synced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LostRange {
    /// The zone, as in [`crate::Instance::zone_name`].
    pub zone: Arc<str>,
    /// The samples that may be missing there.
    pub range: TimeRange,
}

/// Whom a read has to ask, and how many of them have to answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadSet {
    zones: Vec<ZoneReaders>,
    required: usize,
}

/// The instances of one zone that may hold what is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZoneReaders {
    /// The zone's name.
    pub zone: Arc<str>,
    /// Positions in [`Ring::instances`], ascending.
    pub instances: Vec<usize>,
    /// Whether the zone counts: not if it has lost some of what is asked for. What it still has is worth reading
    /// all the same.
    pub counts: bool,
}

impl ReadSet {
    /// The zones, by name.
    pub fn zones(&self) -> &[ZoneReaders] {
        &self.zones
    }

    /// How many of the zones that count have to answer, each with all its instances.
    pub fn required(&self) -> usize {
        self.required
    }

    /// Whether a whole answer is possible at all.
    pub fn possible(&self) -> bool {
        self.zones.iter().filter(|zone| zone.counts).count() >= self.required
    }

    /// Whether the answers of these instances (positions in [`Ring::instances`]) make a whole one.
    pub fn is_whole(&self, answered: &BTreeSet<usize>) -> bool {
        let whole = |zone: &&ZoneReaders| zone.counts && zone.instances.iter().all(|i| answered.contains(i));
        self.zones.iter().filter(whole).count() >= self.required
    }
}

impl Ring {
    /// Whom to ask for what the tenant has in `range`. Ingesters hold samples by the time at which they were written,
    /// so `written_since_ms` is the earliest time at which something in the range may have been written that no block
    /// holds yet.
    ///
    /// A sample is acknowledged once a quorum of W zones has it, so any Z - W + 1 of Z zones have all. A zone that lost
    /// the range is not among them.
    pub fn read_set(
        &self,
        tenant: TenantSeed,
        size: &ShardSize,
        range: TimeRange,
        written_since_ms: i64,
        lost: &[LostRange],
    ) -> ReadSet {
        let mut zones: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for instance in self.instances().iter().filter(|instance| instance.state.has_tokens()) {
            zones.entry(instance.zone_name()).or_default();
        }
        for i in self.read_shard(tenant, size, written_since_ms) {
            zones.entry(self.instances()[i].zone_name()).or_default().push(i);
        }
        // A zone of which nothing is left but the news that it lost something is a zone all the same.
        let lost: BTreeSet<&str> =
            lost.iter().filter(|lost| lost.range.overlaps(range)).map(|lost| &*lost.zone).collect();
        for zone in &lost {
            zones.entry(zone).or_default();
        }
        let required = self.quorum().read_zones(zones.len().max(self.quorum().replication_factor()));
        let zones = zones.into_iter().map(|(zone, instances)| ZoneReaders {
            counts: !lost.contains(zone),
            zone: zone.into(),
            instances,
        });
        ReadSet { zones: zones.collect(), required }
    }
}
