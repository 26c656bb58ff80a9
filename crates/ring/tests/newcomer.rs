//! An instance that joins: nobody's replicas change before every reader knows of it.

use std::collections::BTreeSet;
use std::sync::Arc;

use model::{SeriesHash, TenantId, TenantSeed};
use proptest::prelude::*;
use ring::{Instance, InstanceId, Quorum, Ring, ShardSize, State};

fn id(zone: usize, i: usize) -> InstanceId {
    InstanceId::new(&format!("ingester-{zone}-{i}"))
}

/// Instances that have been there for long, `per_zone` in each zone, or each by itself.
fn members(per_zone: &[usize], zones: bool) -> Vec<Instance> {
    let names = per_zone
        .iter()
        .enumerate()
        .flat_map(|(z, n)| (0..*n).map(move |i| (id(z, i), zones.then(|| Arc::from(format!("zone-{z}"))))));
    Instance::all_active(names)
}

/// The same, and one more in the first zone, in this state.
fn with_newcomer(mut members: Vec<Instance>, zones: bool, state: State) -> Ring {
    let zone: Option<Arc<str>> = zones.then(|| "zone-0".into());
    let others: Vec<&[u64]> =
        members.iter().filter(|other| other.zone == zone).map(|other| &*other.tokens).collect();
    let tokens = ring::place(zone.as_deref(), &others);
    let mut newcomer = Instance::active(InstanceId::new("newcomer"), zone, tokens);
    (newcomer.state, newcomer.member_since_ms, newcomer.state_since_ms) = (state, 1_000, 1_000);
    members.push(newcomer);
    Ring::new(members, Quorum::new(3)).expect("names are unique")
}

/// Whom the tenant's series with this hash is sent to, by name.
fn takers(ring: &Ring, tenant: TenantSeed, size: &ShardSize, hash: SeriesHash) -> BTreeSet<String> {
    let shard = ring.write_shard(tenant, size);
    let replicas = shard.lookup(ring, hash).iter().collect::<Vec<_>>();
    let taking =
        replicas.into_iter().map(|i| &ring.instances()[i]).filter(|instance| instance.takes_writes());
    taking.map(|instance| instance.id.to_string()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// A reader that has not heard of the newcomer asks everyone that writers choose meanwhile.
    #[test]
    fn who_joins_is_given_nothing_and_takes_nothing_from_others(
        per_zone in prop::collection::vec(1_usize..5, 3),
        zones: bool,
        size in 1_u32..4,
        hashes in prop::collection::vec(any::<u64>(), 1..50),
    ) {
        let tenant = TenantSeed::of(&TenantId::new("anyone").expect("a name"));
        let size = ShardSize::new(size);
        let known = Ring::new(members(&per_zone, zones), Quorum::new(3)).expect("names are unique");
        let joining = with_newcomer(members(&per_zone, zones), zones, State::Joining);
        for hash in hashes.into_iter().map(SeriesHash) {
            let by_reader: BTreeSet<String> = known
                .read_shard(tenant, &size, 0)
                .into_iter()
                .map(|i| known.instances()[i].id.to_string())
                .collect();
            let by_writer = takers(&joining, tenant, &size, hash);
            prop_assert!(by_writer.is_subset(&by_reader), "{by_writer:?} and {by_reader:?}");
        }
        prop_assert!(joining.displaces(&InstanceId::new("newcomer")));
    }
}

#[test]
fn the_first_of_a_zone_does_not_wait() {
    let zones = |n: usize| {
        with_newcomer(
            members(&vec![0; 1].into_iter().chain(vec![2; n]).collect::<Vec<_>>(), true),
            true,
            State::Joining,
        )
    };
    let newcomer = InstanceId::new("newcomer");
    for others in 0..3 {
        assert!(
            !zones(others).displaces(&newcomer),
            "{others} other zones: its zone counted as failed before"
        );
    }
    // Three replicas stood in three zones of four, and some of them move.
    assert!(zones(3).displaces(&newcomer));
    assert!(!zones(0).displaces(&InstanceId::new("nobody")));
}

#[test]
fn those_who_come_together_do_not_wait_for_each_other() {
    let mut both = members(&[2, 1, 1], true);
    for instance in &mut both {
        (instance.state, instance.member_since_ms) = (State::Joining, 5);
    }
    let ring = Ring::new(both.clone(), Quorum::new(3)).expect("names are unique");
    assert!(!ring.displaces(&id(0, 0)) && ring.displaces(&id(0, 1)));
    // One that restarts has what it had.
    both[1].member_since_ms = 4;
    let ring = Ring::new(both.clone(), Quorum::new(3)).expect("names are unique");
    assert!(ring.displaces(&id(0, 0)) && !ring.displaces(&id(0, 1)));
    both[1].state = State::Left;
    let ring = Ring::new(both, Quorum::new(3)).expect("names are unique");
    assert!(!ring.displaces(&id(0, 0)));
}
