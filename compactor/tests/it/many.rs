//! Many tenants with many blocks: a round looks at each tenant's index, lists no folder and reads nothing that is known.

use std::time::Duration;

use block::Meta;
use bucket::{IndexedBlock, TenantBucket};
use model::TenantId;
use ulid::Ulid;

use crate::support::{BEGIN_MS, HOUR_MS, World};

/// Requests for a tenant in a round, at most: whether it is to be deleted, its index, and what changes rarely.
const REQUESTS_OF_LOOK: u64 = 4;

/// How many there are, unless an environment variable says otherwise.
fn count(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

/// A block of a week, of which nothing is to be made any more.
fn meta(week: u64) -> Meta {
    let ulid = Ulid::from_parts(1_000, u128::from(week));
    let start = BEGIN_MS - 168 * HOUR_MS * i64::try_from(week + 2).expect("weeks of some years");
    let text = format!(
        r#"{{"ulid": "{ulid}", "minTime": {start}, "maxTime": {}, "version": 1,
             "stats": {{"numSamples": 1, "numFloatSamples": 1, "numSeries": 1, "numChunks": 1}},
             "compaction": {{"level": 4, "sources": ["{ulid}"]}}}}"#,
        start + 168 * HOUR_MS
    );
    Meta::parse("meta.json", text.as_bytes()).expect("a meta.json")
}

async fn put(world: &World, tenant: u64, metas: &[Meta]) {
    let tenant = TenantId::new(&format!("team-{tenant}")).expect("a tenant");
    let bucket = TenantBucket::new(&world.over(99), &tenant).expect("it has tenants");
    for meta in metas {
        let name = bucket.file(meta.ulid, "meta.json");
        bucket.bucket().put_checked(&name, meta.encode().into()).await.expect("nothing fails");
    }
    let entries: Vec<_> = metas.iter().map(|meta| IndexedBlock::of(meta, BEGIN_MS / 1_000)).collect();
    let changed = bucket.update_index(|index| {
        let added = entries.iter().filter(|entry| index.add((*entry).clone())).count();
        added > 0
    });
    changed.await.expect("nothing fails");
}

/// `COMPACTOR_TENANTS=10000 COMPACTOR_BLOCKS=100` is a million blocks (some minutes).
#[tokio::test(start_paused = true)]
async fn what_is_known_is_not_read_again() {
    let (tenants, blocks) = (count("COMPACTOR_TENANTS", 60), count("COMPACTOR_BLOCKS", 30));
    let mut world = World::new();
    let metas: Vec<Meta> = (0..blocks).map(meta).collect();
    for tenant in 0..tenants {
        put(&world, tenant, &metas).await;
    }
    let compactor = world.start();
    let requests = async |compactor: &compactor::Compactor| {
        let before = world.faults.operations();
        compactor.round().await;
        world.faults.operations() - before
    };
    let first = requests(&compactor).await;
    assert!(first >= tenants * blocks, "{first} requests read each meta.json once");
    for round in 1..=3 {
        tokio::time::sleep(Duration::from_secs(15 * 60)).await;
        let again = requests(&compactor).await;
        println!(
            "round {round}: {again} requests for {tenants} tenants with {blocks} blocks each, {first} at first"
        );
        assert!(again <= REQUESTS_OF_LOOK * tenants + 1, "{again} requests");
    }
}
