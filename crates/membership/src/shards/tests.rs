//! Plans against what they promise, whatever tenants do.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::TenantId;
use proptest::prelude::*;
use ring::{Instance, InstanceId, Quorum, Ring, RingView, ShardSize};

use super::*;

const HOUR: i64 = 3_600_000;
const RULES: Rules = Rules { shrink_after_ms: 6 * HOUR, settle_ms: HOUR / 2 };

fn tenant() -> TenantId {
    TenantId::new("t").expect("a name")
}

fn ring(zones: &[&str], per_zone: usize) -> Ring {
    let members = zones.iter().flat_map(|zone| {
        (0..per_zone).map(move |n| {
            let named = (!zone.is_empty()).then(|| Arc::from(*zone));
            (InstanceId::new(&format!("i{zone}{n}")), named)
        })
    });
    Ring::new(Instance::all_active(members), Quorum::at_bootstrap(3, zones.len().max(per_zone)))
        .expect("a ring")
}

fn view(ring: &Ring, size: &ShardSize) -> RingView {
    RingView::new(ring.clone(), Default::default(), Vec::new(), [(tenant(), size.clone())])
}

/// So many series of the tenant in every zone, on its first instance.
fn counts(ring: &Ring, series: u64) -> Counts {
    let first = |id: &InstanceId| id.as_str().ends_with('0');
    let held = |id: &InstanceId| if first(id) { [(tenant(), series)].into() } else { BTreeMap::new() };
    ring.instances().iter().map(|instance| (instance.id.clone(), held(&instance.id))).collect()
}

/// A tenant over time.
struct World {
    ring: Ring,
    plan: ShardPlan,
    size: ShardSize,
    changed: Option<i64>,
}

impl World {
    fn new(ring: Ring) -> Self {
        Self { ring, plan: ShardPlan::default(), size: ShardSize::new(1), changed: None }
    }

    fn look(&mut self, now: i64, counts: &Counts) -> Option<u32> {
        let changed = self.changed;
        let view = view(&self.ring, &self.size);
        let resizes = self.plan.look(now, RULES, &view, counts, &|_| changed);
        let to = resizes.first()?.per_zone;
        self.size.change(now, to, i64::MIN);
        self.changed = Some(now);
        Some(to)
    }

    fn series(&mut self, now: i64, series: u64) -> Option<u32> {
        let counts = counts(&self.ring, series);
        self.look(now, &counts)
    }
}

#[test]
fn a_tenant_grows_at_once_and_shrinks_late() {
    let mut world = World::new(ring(&["a", "b", "c"], 10));
    assert_eq!(world.series(0, 90_000), None);
    assert_eq!(world.series(1, 250_000), Some(4), "with room to grow");
    assert_eq!(world.series(2, 450_000), None, "moved series are counted twice");
    assert_eq!(world.series(2 + HOUR / 2, 450_000), Some(6));
    assert_eq!(
        world.series(HOUR, 1_200_000),
        Some(10),
        "never more than the zone has; twice as much at once"
    );
    assert_eq!(world.series(2 * HOUR, 100_000), None);
    assert_eq!(world.series(5 * HOUR, 300_000), None);
    assert_eq!(world.series(8 * HOUR, 50_000), Some(4), "as much as it needed meanwhile");
}

#[test]
fn who_needs_twice_as_much_does_not_wait() {
    let mut world = World::new(ring(&["a", "b", "c"], 10));
    assert_eq!(world.series(0, 150_000), Some(2));
    assert_eq!(world.series(1, 290_000), None);
    assert_eq!(world.series(2, 390_000), Some(5));
}

#[test]
fn what_is_high_once_in_a_while_does_not_flap() {
    let mut world = World::new(ring(&["a", "b", "c"], 10));
    let mut changes = 0;
    for minute in 0..(48 * 60) {
        let series = if minute % 60 < 30 { 99_000 } else { 101_000 };
        changes += usize::from(world.series(minute * 60_000, series).is_some());
    }
    assert_eq!((changes, world.size.current()), (1, 2));
}

#[test]
fn nobody_shrinks_while_no_zone_answers_whole() {
    let mut world = World::new(ring(&["a", "b", "c"], 4));
    assert_eq!(world.series(0, 290_000), Some(4));
    let mut missing = counts(&world.ring, 1_000);
    for zone in ["a", "b", "c"] {
        missing.remove(&InstanceId::new(&format!("i{zone}0")));
    }
    for hour in 1..20 {
        assert_eq!(world.look(hour * HOUR, &missing), None);
    }
    // One zone is enough.
    missing.insert(InstanceId::new("ib0"), [(tenant(), 1_000)].into());
    assert_eq!(world.look(20 * HOUR, &missing), None);
    assert_eq!(world.look(26 * HOUR, &missing), Some(1));
}

#[test]
fn without_zones_replicas_are_not_series() {
    let mut world = World::new(ring(&[""], 9));
    let each: BTreeMap<TenantId, u64> = [(tenant(), 100_000)].into();
    let all: Counts = world.ring.instances().iter().map(|i| (i.id.clone(), each.clone())).collect();
    // 900,000 copies are 300,000 series; nine instances are three per replica.
    assert_eq!(world.look(0, &all), Some(3));
}

proptest! {
    /// Whatever a tenant does, it has as much as it needs once it is settled, and never more than there is.
    #[test]
    fn who_needs_more_gets_it(steps in prop::collection::vec((0_u64..2_000_000, 1_i64..120), 1..60)) {
        let mut world = World::new(ring(&["a", "b", "c"], 12));
        let mut now = 0;
        for (series, minutes) in steps {
            now += minutes * 60_000;
            let before = (world.changed, world.size.current());
            let change = world.series(now, series);
            let has = world.size.current();
            prop_assert!((1..=12).contains(&has));
            let settled = before.0.is_none_or(|at| now - at >= RULES.settle_ms);
            if settled {
                prop_assert!(has >= ShardSize::needed(series).min(12), "{series} series on {has}");
            }
            prop_assert!(change.is_none_or(|to| to != before.1));
        }
    }
}
