//! Handing over at a scale-down: whoever gets a series is asked for it afterwards, and a quorum of zones has it still.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::{SeriesHash, TenantId, TenantSeed, TimeRange};
use proptest::prelude::*;
use ring::{Instance, InstanceId, NoHeir, Quorum, Ring, ShardSize, State};

const NOW_MS: i64 = 1_000_000;

fn ring(per_zone: &[usize], zones: bool) -> Ring {
    let names = per_zone.iter().enumerate().flat_map(|(z, n)| {
        (0..*n).map(move |i| {
            let zone = zones.then(|| Arc::from(format!("zone-{z}")));
            (InstanceId::new(&format!("ingester-{z}-{i}")), zone)
        })
    });
    Ring::new(Instance::all_active(names), Quorum::new(3)).expect("names are unique")
}

/// The ring with one instance in another state, or (`None`) without it.
fn changed(ring: &Ring, id: &InstanceId, state: Option<State>) -> Ring {
    let instances = ring.instances().iter().cloned().filter_map(|mut instance| {
        if instance.id == *id {
            (instance.state, instance.state_since_ms) = (state?, NOW_MS);
        }
        Some(instance)
    });
    Ring::new(instances.collect(), ring.quorum()).expect("names are unique")
}

fn seed(name: &str) -> TenantSeed {
    TenantSeed::of(&TenantId::new(name).expect("a name"))
}

#[test]
fn the_last_of_a_zone_cannot_leave() {
    let three = ring(&[1, 2, 2], true);
    let last = InstanceId::new("ingester-0-0");
    let error = three.heirs(&last).expect_err("it is alone");
    assert!(
        error.to_string().contains("zone zone-0") && error.to_string().contains("ingester-0-0"),
        "{error}"
    );
    assert!(three.heirs(&InstanceId::new("ingester-1-0")).is_ok());
    let failing = changed(&three, &InstanceId::new("ingester-1-1"), Some(State::Unhealthy));
    assert!(matches!(failing.heirs(&InstanceId::new("ingester-1-0")), Err(NoHeir::LastOfZone { .. })));
    let plain = ring(&[3], false);
    let error = plain.heirs(&InstanceId::new("ingester-0-0")).expect_err("two are left of three");
    assert!(matches!(error, NoHeir::TooFewLeft { left: 2, replication_factor: 3, .. }), "{error}");
    assert!(plain.heirs(&InstanceId::new("nobody")).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]
    /// Series are written to their replicas; then an instance leaves, and hands over to its heirs. Every acknowledged write
    /// is in every whole answer from then on.
    #[test]
    fn every_whole_answer_has_what_was_handed_over(
        per_zone in proptest::collection::vec(1..5usize, 3..5),
        zones in any::<bool>(),
        leaver in any::<prop::sample::Index>(),
        size in 1..4u32,
        hashes in proptest::collection::vec(any::<u64>(), 1..20),
        acknowledged in any::<u64>(),
    ) {
        let before = ring(&per_zone, zones);
        let (tenant, size) = (seed("team"), ShardSize::new(size));
        let leaver = before.instances()[leaver.index(before.instances().len())].id.clone();
        let leaving = changed(&before, &leaver, Some(State::Leaving));
        let Ok(heirs) = leaving.heirs(&leaver) else { return Ok(()) };
        let heirs = heirs.of_tenant(tenant, &size);
        let shard = before.write_shard(tenant, &size);
        // A quorum of the replicas has each series: all but one, or all.
        let mut holders: BTreeMap<u64, BTreeSet<InstanceId>> = BTreeMap::new();
        for (nth, hash) in hashes.iter().enumerate() {
            let replicas: Vec<_> = shard.lookup(&before, SeriesHash(*hash)).iter().map(|i| before.instances()[i].id.clone()).collect();
            let missed = (acknowledged >> nth) as usize % (replicas.len() + 1);
            let has = replicas.into_iter().enumerate().filter(|(i, _)| *i != missed).map(|(_, id)| id);
            holders.insert(*hash, has.collect());
        }
        for (hash, holders) in &mut holders {
            if holders.remove(&leaver) {
                let to = heirs.of(SeriesHash(*hash));
                prop_assert!(!to.contains(&&leaver));
                prop_assert!(to.len() <= 1 && (to.len() == 1 || !zones), "{to:?}");
                holders.extend(to.into_iter().cloned());
            }
        }
        let after = changed(&before, &leaver, None);
        for since_ms in [NOW_MS - 500_000, NOW_MS] {
            let set = after.read_set(tenant, &size, TimeRange::ALL, since_ms, &[]);
            // Of the zones as few as possible answer, each choice of them in turn.
            let zones = set.zones();
            for choice in 0..1u32 << zones.len() {
                let chosen = || zones.iter().enumerate().filter(|(z, _)| choice & (1 << z) != 0).map(|(_, zone)| zone);
                let answered: BTreeSet<usize> = chosen().flat_map(|zone| zone.instances.iter().copied()).collect();
                if !set.is_whole(&answered) {
                    continue;
                }
                for (hash, holders) in &holders {
                    let found = answered.iter().any(|i| holders.contains(&after.instances()[*i].id));
                    prop_assert!(found, "{hash}: {holders:?}, answered by {answered:?}");
                }
            }
        }
    }
}
