//! How many ingesters tenants are to have. Pure: it is told the time, the ring, and what ingesters hold.

use std::collections::BTreeMap;

use model::TenantId;
use ring::{Instance, InstanceId, RingView, ShardSize};

/// Series by tenant, by the ingester that has them. Who did not answer is not in it.
pub type Counts = BTreeMap<InstanceId, BTreeMap<TenantId, u64>>;

/// Room that a tenant is given to grow in: a quarter more than it has. Without it every step of growth would be a change.
const ROOM: (u64, u64) = (5, 4);

/// When a tenant's shard is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// How long a tenant must have needed less before it is given less, in milliseconds.
    pub shrink_after_ms: i64,
    /// How long after a change it is not enlarged again, in milliseconds: series that moved are counted twice, where
    /// they are and where they were. A tenant that needs twice as much gets it at once.
    pub settle_ms: i64,
}

/// A tenant that is to have another number of ingesters in each zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resize {
    /// The tenant.
    pub tenant: TenantId,
    /// Ingesters per zone from now on.
    pub per_zone: u32,
}

/// Plans the sizes of tenants' shards, and remembers who needs less than it has.
#[derive(Debug, Default)]
pub struct ShardPlan {
    low: BTreeMap<TenantId, Low>,
}

/// A tenant that needs less than it has.
#[derive(Debug, Clone, Copy)]
struct Low {
    since_ms: i64,
    /// The most that it needed since then.
    most: u32,
}

impl ShardPlan {
    /// The tenants whose shards are to change at `now_ms`, given what ingesters hold. `changed_ms` says when a tenant's
    /// shard changed last.
    pub fn look(
        &mut self,
        now_ms: i64,
        rules: Rules,
        view: &RingView,
        counts: &Counts,
        changed_ms: &dyn Fn(&TenantId) -> Option<i64>,
    ) -> Vec<Resize> {
        let zones = Zones::new(view, counts);
        let most = zones.largest();
        let whole = zones.any_answers_whole();
        let mut low = std::mem::take(&mut self.low);
        let mut resizes = Vec::new();
        for (tenant, series) in zones.series() {
            let has = view.shard_size(tenant).current();
            let (needs, roomy) = (needed(series, most), needed(series.saturating_mul(ROOM.0) / ROOM.1, most));
            // Also where the zone has less to give than that.
            let doubled = ShardSize::needed(series) >= has.saturating_mul(2);
            let settled = changed_ms(tenant).is_none_or(|at| now_ms.saturating_sub(at) >= rules.settle_ms);
            let per_zone = if needs > has {
                (settled || doubled).then_some(roomy)
            } else if roomy < has && whole {
                let before = low.remove(tenant).unwrap_or(Low { since_ms: now_ms, most: 0 });
                let seen = Low { most: before.most.max(roomy), ..before };
                let long = now_ms.saturating_sub(seen.since_ms) >= rules.shrink_after_ms;
                if !long {
                    self.low.insert(tenant.clone(), seen);
                }
                long.then_some(seen.most)
            } else {
                // Nobody can tell what it needs while no zone answers whole: what was known stays.
                let kept = low.remove(tenant).filter(|_| roomy < has);
                self.low.extend(kept.map(|kept| (tenant.clone(), kept)));
                None
            };
            resizes.extend(
                per_zone
                    .filter(|per_zone| *per_zone != has)
                    .map(|per_zone| Resize { tenant: tenant.clone(), per_zone }),
            );
        }
        resizes
    }
}

fn needed(series: u64, most: u32) -> u32 {
    ShardSize::needed(series).min(most.max(1))
}

/// What is known of each zone.
struct Zones<'a> {
    zones: BTreeMap<Option<&'a str>, Zone<'a>>,
    replication_factor: u64,
}

#[derive(Default)]
struct Zone<'a> {
    /// Instances that take new series.
    takes: usize,
    /// Instances that may hold series and did not answer.
    silent: usize,
    series: BTreeMap<&'a TenantId, u64>,
}

impl<'a> Zones<'a> {
    fn new(view: &'a RingView, counts: &'a Counts) -> Self {
        let mut zones: BTreeMap<Option<&str>, Zone<'_>> = BTreeMap::new();
        let holds = |instance: &&Instance| instance.state.has_tokens();
        for instance in view.ring().instances().iter().filter(holds) {
            let zone = zones.entry(instance.zone.as_deref()).or_default();
            zone.takes += usize::from(!instance.read_only);
            match counts.get(&instance.id) {
                Some(tenants) => {
                    tenants.iter().for_each(|(tenant, n)| *zone.series.entry(tenant).or_default() += n);
                }
                None => zone.silent += 1,
            }
        }
        Self { zones, replication_factor: view.ring().quorum().replication_factor() as u64 }
    }

    /// The most that a tenant can have per zone.
    fn largest(&self) -> u32 {
        let per_zone = self.zones.iter().map(|(zone, known)| match zone {
            Some(_) => known.takes,
            // Without zones, instances are ranked together.
            None => known.takes.div_ceil(usize::try_from(self.replication_factor).unwrap_or(1).max(1)),
        });
        u32::try_from(per_zone.max().unwrap_or(1)).unwrap_or(u32::MAX)
    }

    /// Whether a zone answered whole: it has every series.
    fn any_answers_whole(&self) -> bool {
        self.zones.values().any(|zone| zone.silent == 0)
    }

    /// By tenant, its series: as many as the zone has that has most of them.
    fn series(&self) -> BTreeMap<&'a TenantId, u64> {
        let mut all: BTreeMap<&TenantId, u64> = BTreeMap::new();
        for (zone, known) in &self.zones {
            // Without zones, each series is there once per replica.
            let copies = if zone.is_some() { 1 } else { self.replication_factor.max(1) };
            for (tenant, series) in &known.series {
                let most = all.entry(tenant).or_default();
                *most = (*most).max(series.div_ceil(copies));
            }
        }
        all
    }
}
