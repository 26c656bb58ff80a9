//! What must hold of every ring.

use std::collections::{BTreeMap, BTreeSet};

use model::SeriesHash;
use proptest::prelude::*;
use ring::{Instance, InstanceId, Quorum, Ring, RingError, State};

/// Instances of zones that joined in this order, in these states.
fn instances(members: impl IntoIterator<Item = (Option<u8>, u8, State)>) -> Vec<Instance> {
    let (names, states): (Vec<_>, Vec<_>) = members
        .into_iter()
        .map(|(zone, number, state)| {
            let name = match zone {
                Some(zone) => format!("ingester-zone-{zone}-{number}"),
                None => format!("ingester-{number}"),
            };
            ((InstanceId::new(&name), zone.map(|zone| format!("zone-{zone}").into())), state)
        })
        .unzip();
    let placed = Instance::all_active(names).into_iter().zip(states);
    placed.map(|(instance, state)| Instance { state, ..instance }).collect()
}

/// As many active instances in each of some zones.
fn in_zones(zones: u8, per_zone: u8) -> Vec<(Option<u8>, u8, State)> {
    (0..zones).flat_map(|zone| (0..per_zone).map(move |i| (Some(zone), i, State::Active))).collect()
}

fn names(ring: &Ring, hash: u64) -> Vec<&str> {
    ring.lookup(SeriesHash(hash)).iter().map(|i| ring.instances()[i].id.as_str()).collect()
}

/// Hashes that lie everywhere: multiples of an odd number near 2^64 divided by the golden ratio.
fn hashes(count: u64) -> impl Iterator<Item = u64> {
    (0..count).map(|i| i.wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

/// The rule, spelt out without tables: walk the circle, take the first owner of each zone, replace inside the zone.
fn reference(instances: &[Instance], replicas: usize, hash: u64) -> Vec<&str> {
    let zone = |i: &Instance| i.zone.as_deref().unwrap_or(i.id.as_str()).to_owned();
    let mut circle: Vec<(u64, &Instance)> = instances
        .iter()
        .filter(|i| i.state.has_tokens())
        .flat_map(|i| i.tokens.iter().map(move |t| (*t, i)))
        .collect();
    circle.sort_by(|a, b| (a.0.wrapping_sub(hash), &a.1.id).cmp(&(b.0.wrapping_sub(hash), &b.1.id)));
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    for (at, (_, owner)) in circle.iter().enumerate() {
        if seen.len() == replicas || !seen.insert(zone(owner)) {
            continue;
        }
        let stand_in = circle[at..].iter().find(|(_, i)| zone(i) == zone(owner) && i.state == State::Active);
        found.extend(stand_in.map(|(_, i)| i.id.as_str()));
    }
    found
}

fn state() -> impl Strategy<Value = State> {
    prop_oneof![
        4 => Just(State::Active),
        1 => Just(State::Unhealthy),
        1 => Just(State::Leaving),
        1 => Just(State::Joining),
        1 => Just(State::Pending),
        1 => Just(State::Left),
    ]
}

fn members() -> impl Strategy<Value = Vec<Instance>> {
    prop::collection::btree_map((prop::option::of(0..4u8), 0..5u8), state(), 0..10).prop_map(|members| {
        instances(members.into_iter().map(|((zone, number), state)| (zone, number, state)))
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn lookup_is_the_walk_around_the_circle(
        members in members(),
        replicas in 1..5u8,
        hashes in prop::collection::vec(any::<u64>(), 50),
    ) {
        let ring = Ring::new(members.clone(), Quorum::new(replicas)).unwrap();
        let tokens: Vec<u64> = members.iter().flat_map(|i| i.tokens.iter().copied().take(3)).collect();
        let edges = tokens.iter().flat_map(|t| [t.wrapping_sub(1), *t, t.wrapping_add(1)]);
        for hash in hashes.into_iter().chain([0, u64::MAX]).chain(edges) {
            prop_assert_eq!(names(&ring, hash), reference(&members, replicas.into(), hash));
        }
    }

    #[test]
    fn replicas_are_in_distinct_zones_and_take_writes(members in members(), replicas in 1..5u8, hash in any::<u64>()) {
        let ring = Ring::new(members, Quorum::new(replicas)).unwrap();
        let chosen: Vec<&Instance> = ring.lookup(SeriesHash(hash)).iter().map(|i| &ring.instances()[i]).collect();
        prop_assert!(chosen.len() <= ring.zones().min(replicas.into()));
        prop_assert!(chosen.iter().all(|i| i.state == State::Active));
        let zones: BTreeSet<_> = chosen.iter().map(|i| i.zone.as_deref().unwrap_or(i.id.as_str())).collect();
        prop_assert_eq!(zones.len(), chosen.len());
    }

    #[test]
    fn who_comes_takes_series_only_for_itself(zones in 1..4u8, per_zone in 1..4u8, zone in 0..3u8) {
        let mut members = in_zones(zones, per_zone);
        let before = Ring::new(instances(members.clone()), Quorum::new(zones)).unwrap();
        members.push((Some(zone % zones), per_zone, State::Active));
        let members = instances(members);
        let newcomer = members.last().unwrap().clone();
        let after = Ring::new(members, Quorum::new(zones)).unwrap();
        let mut moved = 0;
        for hash in hashes(2_000) {
            let (old, new): (BTreeSet<_>, BTreeSet<_>) =
                (names(&before, hash).into_iter().collect(), names(&after, hash).into_iter().collect());
            prop_assert_eq!(old.len(), new.len());
            if old != new {
                prop_assert_eq!(new.difference(&old).copied().collect::<Vec<_>>(), [newcomer.id.as_str()]);
                moved += 1;
            }
        }
        // It takes its share of the zone, with room for the unevenness of two thousand hashes.
        let share = 2_000.0 / f64::from(per_zone + 1);
        prop_assert!((f64::from(moved) / share - 1.0).abs() < 0.05, "{} of a fair {}", moved, share);
    }

    #[test]
    fn who_fails_is_replaced_in_its_zone_and_nothing_else_moves(per_zone in 2..4u8, zone in 0..3u8) {
        let mut members = instances(in_zones(3, per_zone));
        let before = Ring::new(members.clone(), Quorum::new(3)).unwrap();
        let failed = usize::from(zone * per_zone);
        members[failed].state = State::Unhealthy;
        let name = members[failed].id.as_str().to_owned();
        let after = Ring::new(members.clone(), Quorum::new(3)).unwrap();
        let zone_of = |name: &str| members.iter().find(|i| i.id.as_str() == name).and_then(|i| i.zone.clone());
        for hash in hashes(500) {
            for (old, new) in names(&before, hash).into_iter().zip(names(&after, hash)) {
                prop_assert_eq!(zone_of(old), zone_of(new));
                prop_assert_eq!(old == name, old != new);
            }
        }
    }
}

#[test]
fn series_spread_evenly() {
    let ring = Ring::new(instances(in_zones(3, 4)), Quorum::new(3)).unwrap();
    let mut counts = BTreeMap::new();
    for hash in hashes(60_000) {
        for name in names(&ring, hash) {
            *counts.entry(name.to_owned()).or_insert(0u32) += 1;
        }
    }
    assert_eq!(counts.len(), 12);
    let mean = 60_000.0 * 3.0 / 12.0;
    for (name, count) in counts {
        assert!((f64::from(count) / mean - 1.0).abs() < 0.03, "{name} has {count}, the mean is {mean}");
    }
}

#[test]
fn one_instance_owns_everything() {
    let ring = Ring::new(instances([(None, 0, State::Active)]), Quorum::at_bootstrap(3, 1)).unwrap();
    assert!(hashes(1_000).all(|hash| names(&ring, hash) == ["ingester-0"]));
}

#[test]
fn an_empty_ring_has_no_replicas() {
    let ring = Ring::new(Vec::new(), Quorum::new(3)).unwrap();
    assert!(names(&ring, 7).is_empty());
}

#[test]
fn a_zone_without_anyone_healthy_counts_as_failed() {
    let members = [(Some(0), 0, State::Active), (Some(1), 0, State::Unhealthy), (Some(2), 0, State::Active)];
    let ring = Ring::new(instances(members), Quorum::new(3)).unwrap();
    assert!(hashes(100).all(|hash| names(&ring, hash).len() == 2));
}

#[test]
fn names_are_unique() {
    let members = instances([(None, 0, State::Active), (None, 0, State::Leaving)]);
    let error = Ring::new(members, Quorum::new(1)).unwrap_err();
    assert_eq!(error, RingError::Duplicate { id: InstanceId::new("ingester-0") });
}
