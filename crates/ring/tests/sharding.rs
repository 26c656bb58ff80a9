//! Shuffle sharding: whoever was given a write is asked when it is read, whatever came and went in between.

use std::collections::{BTreeMap, BTreeSet};

use model::{SeriesHash, TenantId, TenantSeed, TimeRange};
use proptest::prelude::*;
use ring::{Instance, InstanceId, LostRange, Quorum, Ring, ShardSize, State, place};

/// Something that happens to a ring of up to 18 instances in three zones, or in none.
#[derive(Debug, Clone, Copy)]
enum Event {
    /// An instance that is not there joins; one that is there becomes active.
    Up(u8),
    Fails(u8),
    Restarts(u8),
    /// It takes no writes any more, or takes them again.
    ReadOnly(u8, bool),
    /// The tenant needs so many instances per zone.
    Size(u8),
    /// A series is written.
    Write(u64),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => (0..18u8).prop_map(Event::Up),
        2 => (0..18u8).prop_map(Event::Fails),
        1 => (0..18u8).prop_map(Event::Restarts),
        2 => (0..18u8, any::<bool>()).prop_map(|(i, on)| Event::ReadOnly(i, on)),
        2 => (1..5u8).prop_map(Event::Size),
        8 => any::<u64>().prop_map(Event::Write),
    ]
}

struct World {
    zones: bool,
    members: BTreeMap<u8, Instance>,
    size: ShardSize,
    /// When, and to whom.
    writes: Vec<(i64, BTreeSet<InstanceId>)>,
}

impl World {
    fn ring(&self) -> Ring {
        Ring::new(self.members.values().cloned().collect(), Quorum::new(3)).expect("names are unique")
    }

    fn happen(&mut self, event: Event, now_ms: i64, tenant: TenantSeed) {
        match event {
            Event::Up(i) => self.up(i, now_ms),
            Event::Fails(i) => self.becomes(i, State::Unhealthy, now_ms),
            Event::Restarts(i) => self.becomes(i, State::Joining, now_ms),
            Event::ReadOnly(i, read_only) => {
                if let Some(member) = self.members.get_mut(&i).filter(|member| member.read_only != read_only)
                {
                    (member.read_only, member.member_since_ms) = (read_only, now_ms);
                }
            }
            Event::Size(size) => self.size.change(now_ms, size.into(), i64::MIN),
            Event::Write(hash) => {
                let ring = self.ring();
                let chosen = chosen(&ring, tenant, &self.size, hash);
                let plain = plain_shard(&ring, tenant, &self.size);
                let expected = plain.lookup(SeriesHash(hash)).iter().map(|i| plain.instances()[i].id.clone());
                assert_eq!(chosen, expected.collect(), "a shard is the ring of its members");
                self.writes.push((now_ms, chosen));
            }
        }
    }

    fn becomes(&mut self, i: u8, state: State, now_ms: i64) {
        if let Some(member) = self.members.get_mut(&i).filter(|member| member.state != state) {
            (member.state, member.state_since_ms) = (state, now_ms);
        }
    }

    fn up(&mut self, i: u8, now_ms: i64) {
        if self.members.contains_key(&i) {
            return self.becomes(i, State::Active, now_ms);
        }
        let zone = self.zones.then(|| format!("zone-{}", i % 3).into());
        let others = self.members.values().filter(|other| other.zone == zone);
        let others: Vec<&[u64]> = others.map(|other| &*other.tokens).collect();
        // A few of them suffice here, and make rings quickly.
        let mut tokens = place(zone.as_deref(), &others);
        tokens.truncate(4);
        let member = Instance::active(InstanceId::new(&format!("ingester-{i}")), zone, tokens);
        self.members.insert(i, Instance { member_since_ms: now_ms, state_since_ms: now_ms, ..member });
    }
}

/// Who is to take a series.
fn chosen(ring: &Ring, tenant: TenantSeed, size: &ShardSize, hash: u64) -> BTreeSet<InstanceId> {
    let shard = ring.write_shard(tenant, size);
    shard.lookup(ring, SeriesHash(hash)).iter().map(|i| ring.instances()[i].id.clone()).collect()
}

/// A tenant's shard as a ring of its own.
fn plain_shard(ring: &Ring, tenant: TenantSeed, size: &ShardSize) -> Ring {
    let members = ring.write_members(tenant, size).into_iter().map(|i| ring.instances()[i].clone());
    Ring::new(members.collect(), ring.quorum()).expect("names are unique")
}

fn seed(tenant: &str) -> TenantSeed {
    TenantSeed::of(&TenantId::new(tenant).expect("a tenant"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whoever_was_written_to_is_asked(
        zones in any::<bool>(),
        events in prop::collection::vec(event(), 1..80),
        tenant in "[a-z]{1,8}",
    ) {
        let tenant = seed(&tenant);
        let mut world = World { zones, members: BTreeMap::new(), size: ShardSize::new(1), writes: Vec::new() };
        for (now_ms, event) in (0..).zip(events) {
            world.happen(event, now_ms, tenant);
            let ring = world.ring();
            for (written_ms, chosen) in &world.writes {
                let asked = ring.read_shard(tenant, &world.size, *written_ms);
                let asked: BTreeSet<_> = asked.into_iter().map(|i| ring.instances()[i].id.clone()).collect();
                prop_assert!(chosen.is_subset(&asked), "at {}: {:?} of {:?}", written_ms, chosen, asked);
            }
        }
    }
}

fn ring_of(zones: u8, per_zone: u8) -> Ring {
    let members = (0..per_zone).flat_map(|i| {
        (0..zones)
            .map(move |z| (InstanceId::new(&format!("ingester-{z}-{i}")), Some(format!("zone-{z}").into())))
    });
    Ring::new(Instance::all_active(members), Quorum::new(3)).expect("names are unique")
}

#[test]
fn small_tenants_touch_few_ingesters_and_all_of_them_spread() {
    let ring = ring_of(3, 20);
    let mut used = BTreeMap::new();
    for n in 0..1_000 {
        let shard = plain_shard(&ring, seed(&format!("tenant-{n}")), &ShardSize::new(1));
        assert_eq!((shard.instances().len(), shard.zones()), (3, 3));
        for instance in shard.instances() {
            *used.entry(instance.id.clone()).or_insert(0) += 1;
        }
    }
    assert_eq!(used.len(), 60);
    assert!(used.values().all(|tenants| (20..100).contains(tenants)), "{used:?}");
}

#[test]
fn a_larger_shard_holds_the_smaller_one() {
    let ring = ring_of(3, 10);
    for n in 0..50 {
        let tenant = seed(&format!("tenant-{n}"));
        let shards: Vec<BTreeSet<InstanceId>> = (1..=10)
            .map(|size| plain_shard(&ring, tenant, &ShardSize::new(size)))
            .map(|shard| shard.instances().iter().map(|instance| instance.id.clone()).collect())
            .collect();
        assert!(shards.windows(2).all(|pair| pair[0].is_subset(&pair[1])));
        assert_eq!(shards[9].len(), 30);
    }
}

#[test]
fn when_all_of_a_shard_in_a_zone_fail_another_stands_in() {
    let tenant = seed("team");
    let ring = ring_of(3, 4);
    let one = ShardSize::new(1);
    let failed = chosen(&ring, tenant, &one, 7).pop_first().expect("three");
    let members = ring.instances().iter().cloned().map(|instance| match instance.id == failed {
        true => Instance { state: State::Unhealthy, ..instance },
        false => instance,
    });
    let ring = Ring::new(members.collect(), Quorum::new(3)).expect("names are unique");
    let instead = chosen(&ring, tenant, &one, 7);
    assert_eq!(instead.len(), 3, "every zone takes it");
    assert!(!instead.contains(&failed));
}

#[test]
fn shards_of_many_small_tenants_take_little_room() {
    let ring = ring_of(3, 100);
    // As many are small as usual, one in a hundred has ten times as many series as an ingester takes.
    let size = |n: u32| ShardSize::new(if n.is_multiple_of(100) { 10 } else { 1 });
    let shards: Vec<_> =
        (0..10_000).map(|n| ring.write_shard(seed(&format!("tenant-{n}")), &size(n))).collect();
    let bytes: usize = shards.iter().map(|shard| size_of_val(shard) + shard.heap_bytes()).sum();
    assert!(bytes < 60 << 20, "{bytes} bytes");
    assert!(shards.iter().filter(|shard| shard.heap_bytes() <= 8).count() == 9_900);
    let all = ring.write_shard(seed("all"), &ShardSize::new(100));
    assert_eq!((all.members(), all.heap_bytes()), (300, 0));
}

#[test]
fn sizes_are_remembered_as_long_as_they_are_needed() {
    let mut size = ShardSize::new(2);
    size.change(100, 5, i64::MIN);
    size.change(200, 3, i64::MIN);
    assert_eq!((size.current(), size.largest_since(250), size.largest_since(150)), (3, 3, 5));
    assert_eq!((size.largest_since(200), size.largest_since(199), size.largest_since(50)), (3, 5, 5));
    size.change(300, 1, 250);
    assert_eq!((size.largest_since(250), size.largest_since(300)), (3, 1));
    assert_eq!((ShardSize::needed(0), ShardSize::needed(100_000), ShardSize::needed(100_001)), (1, 1, 2));
}

fn range(start_ms: i64, end_ms: i64) -> TimeRange {
    TimeRange::new(start_ms, end_ms).expect("a range")
}

/// The positions of the instances in these zones.
fn answers(ring: &Ring, zones: &[u8]) -> BTreeSet<usize> {
    let names: Vec<String> = zones.iter().map(|zone| format!("zone-{zone}")).collect();
    let answered = ring.instances().iter().enumerate();
    answered.filter(|(_, i)| names.iter().any(|name| name == i.zone_name())).map(|(i, _)| i).collect()
}

#[test]
fn two_whole_zones_of_three_suffice_and_nothing_less() {
    let ring = ring_of(3, 2);
    let set = ring.read_set(seed("team"), &ShardSize::new(2), range(0, 10), 0, &[]);
    assert_eq!((set.required(), set.zones().len(), set.possible()), (2, 3, true));
    assert!(set.is_whole(&answers(&ring, &[0, 1])) && set.is_whole(&answers(&ring, &[2, 1])));
    assert!(!set.is_whole(&answers(&ring, &[2])));
    let mut short = answers(&ring, &[0, 1]);
    short.pop_first();
    assert!(!set.is_whole(&short), "a zone of which one instance is missing has not answered");
}

#[test]
fn a_zone_that_lost_the_range_does_not_count() {
    let ring = ring_of(3, 2);
    let lost = |zone: u8| LostRange { zone: format!("zone-{zone}").into(), range: range(100, 200) };
    let set = |asked, lost: &[LostRange]| ring.read_set(seed("team"), &ShardSize::new(2), asked, 0, lost);
    let before = set(range(0, 99), &[lost(1)]);
    assert!(before.is_whole(&answers(&ring, &[0, 1])));
    let within = set(range(200, 300), &[lost(1)]);
    assert!(!within.is_whole(&answers(&ring, &[0, 1])) && within.is_whole(&answers(&ring, &[0, 2])));
    let twice = set(range(150, 150), &[lost(1), lost(2)]);
    assert!(!twice.possible(), "one zone alone cannot have every acknowledged sample");
    assert!(!twice.is_whole(&answers(&ring, &[0, 1, 2])));
}

#[test]
fn a_zone_that_is_gone_does_not_make_the_quorum_smaller() {
    let ring = ring_of(2, 2);
    let set = ring.read_set(seed("team"), &ShardSize::new(2), range(0, 10), 0, &[]);
    assert!(!set.is_whole(&answers(&ring, &[0])) && set.is_whole(&answers(&ring, &[0, 1])));
    // Four zones, of which one was removed with what it had.
    let lost = LostRange { zone: "zone-3".into(), range: TimeRange::ALL };
    let ring = ring_of(3, 2);
    let set = ring.read_set(seed("team"), &ShardSize::new(2), range(0, 10), 0, &[lost]);
    assert!(!set.is_whole(&answers(&ring, &[0, 1])) && set.is_whole(&answers(&ring, &[0, 1, 2])));
}
