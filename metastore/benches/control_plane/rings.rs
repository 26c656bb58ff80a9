//! What a process holds and does for the ring of so many ingesters, and for the shards of so many tenants.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use env::{Clock as _, SystemClock};
use model::{SeriesHash, TenantId, TenantSeed};
use ring::{Instance, InstanceId, Quorum, Ring, RingView, ShardSize};

/// Zones of the cluster.
pub(crate) const ZONES: usize = 3;
/// Lookups that are timed.
const LOOKUPS: u64 = 2_000_000;
/// Of the tenants, those whose shards are made for measuring.
const SHARDS: usize = 1_000;

pub(crate) fn members(ingesters: usize) -> impl Iterator<Item = (InstanceId, Option<Arc<str>>)> {
    let zones: Vec<Arc<str>> = (0..ZONES).map(|zone| format!("zone-{zone}").into()).collect();
    (0..ingesters)
        .map(move |n| (InstanceId::new(&format!("ingester-{n:04}")), Some(Arc::clone(&zones[n % ZONES]))))
}

pub(crate) fn tenant(n: usize) -> TenantId {
    TenantId::new(&format!("tenant-{n:05}")).unwrap()
}

/// Most tenants are small; one in twenty has 2 to 9 ingesters per zone.
pub(crate) fn size(n: usize) -> u32 {
    if n.is_multiple_of(20) { 2 + (n / 20 % 8) as u32 } else { 1 }
}

pub(crate) fn run(ingesters: usize, tenants: usize) {
    let clock = SystemClock::new();
    let took = |begun: Duration| clock.monotonic().saturating_sub(begun);
    let quorum = Quorum::at_bootstrap(3, ZONES);

    let begun = clock.monotonic();
    let instances = Instance::all_active(members(ingesters));
    println!("tokens of {ingesters} ingesters placed one after the other: {:.1?}", took(begun));
    let before = memory_bytes();
    let begun = clock.monotonic();
    let ring = Ring::new(instances, quorum).unwrap();
    println!("ring of all: {:.2} MiB made in {:.1?}", mib(before), took(begun));

    let begun = clock.monotonic();
    for n in 0..LOOKUPS {
        black_box(ring.lookup(SeriesHash(n.wrapping_mul(0x9e37_79b9_7f4a_7c15))));
    }
    println!("lookup: {:.0} ns", took(begun).as_nanos() as f64 / LOOKUPS as f64);

    let sizes = |n: usize| ShardSize::new(size(n));
    let seeds: Vec<TenantSeed> = (0..SHARDS.min(tenants)).map(|n| TenantSeed::of(&tenant(n))).collect();
    let before = memory_bytes();
    let begun = clock.monotonic();
    let shards: Vec<_> =
        seeds.iter().enumerate().map(|(n, seed)| ring.write_shard(*seed, &sizes(n))).collect();
    let (time, bytes) = (took(begun), memory_bytes().saturating_sub(before));
    println!(
        "shards of tenants: {:.1} KiB and {:.1?} each, {:.0} MiB for {tenants}",
        bytes as f64 / 1024.0 / shards.len() as f64,
        time / shards.len() as u32,
        bytes as f64 / shards.len() as f64 * tenants as f64 / 1024.0 / 1024.0
    );
    drop(shards);

    let before = memory_bytes();
    let large = (0..tenants).filter(|n| size(*n) > 1).map(|n| (tenant(n), sizes(n)));
    let view = RingView::new(ring, BTreeMap::new(), Vec::new(), large);
    println!("sizes of {tenants} tenants beside the ring: {:.2} MiB", mib(before));
    drop(view);
}

fn mib(before: usize) -> f64 {
    memory_bytes().saturating_sub(before) as f64 / 1024.0 / 1024.0
}

/// Memory of this process, of the pages that it has touched.
fn memory_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 4096
}
