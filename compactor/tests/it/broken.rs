//! Blocks that are broken in every way: they are named and set aside, and nothing else is kept from being done.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use block::meta::Compaction;
use block::{BlockWriter, Description, InMemory, Index, Meta, NewChunk, WriteOptions};
use bucket::TenantBucket;
use bytes::Bytes;
use chunk::XorAppender;
use env::SimFs;
use model::{Labels, TimeRange};
use ulid::Ulid;

use crate::support::{BEGIN_MS, HOUR_MS, World, part, tenant, ulid};

const HOUR: Duration = Duration::from_secs(3_600);

async fn get(bucket: &TenantBucket, id: Ulid, file: &str) -> Bytes {
    bucket.bucket().get(&bucket.file(id, file), 1 << 20).await.expect("it is there").bytes
}

async fn put(bucket: &TenantBucket, id: Ulid, file: &str, bytes: Bytes) {
    bucket.bucket().put(&bucket.file(id, file), bytes).await.expect("nothing fails");
}

/// Breaks the second of three replicas; the block is to be named with `words`.
async fn check(words: &str, spoil: impl AsyncFnOnce(&TenantBucket, Ulid)) {
    let mut world = World::new();
    let mut all = world.ship_replicas(1).await;
    let start = BEGIN_MS + 2 * HOUR_MS;
    for replica in 0..2 {
        let own = part(start, 3, replica);
        world.ship(ulid(50 + replica as u64), &own, (start, start + 2 * HOUR_MS)).await;
        all.extend(own);
    }
    spoil(&world.bucket(), ulid(1)).await;
    world.pass(6 * HOUR).await;
    let compactor = world.start();
    let looked = compactor.look(&tenant()).await.expect("the bucket is fine");
    assert_eq!(looked.set_aside, [ulid(1)], "{words}");
    // The others of its window and of the other one are merged, in this look or in the next.
    world.pass(HOUR).await;
    compactor.look(&tenant()).await.expect("the bucket is fine");
    let index = world.index().await;
    let live: Vec<Ulid> = index.live().map(|block| block.id).filter(|id| *id != ulid(1)).collect();
    assert_eq!(live.len(), 2, "{words}");
    let (samples, count) = world.samples_of(&live).await;
    // Each replica lacks other samples, so that two have all.
    assert_eq!((samples.len(), &samples), (count, &all), "{words}");
    let why = index.block(ulid(1)).and_then(|block| block.no_compact()).expect("it is set aside").to_owned();
    assert!(why.contains(words), "{words}: {why}");
    assert!(compactor.status().tenants[tenant().as_str()].excluded[&ulid(1).to_string()].contains(words));
    let marks = world.bucket().no_compact_marks().await.expect("marks");
    assert!(marks[0].id == ulid(1) && marks[0].details.contains(words), "{marks:?}");
    // Whoever mends it and removes the mark has it merged.
    assert!(compactor.look(&tenant()).await.expect("the bucket is fine").merged.is_empty());
}

#[tokio::test(start_paused = true)]
async fn segments_that_are_cut_off() {
    check("chunks/000001: offset", async |bucket, id| {
        let bytes = get(bucket, id, "chunks/000001").await;
        put(bucket, id, "chunks/000001", bytes.slice(..bytes.len() / 2)).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn segments_with_a_flipped_bit() {
    check("chunks/000001: offset", async |bucket, id| {
        let mut bytes = get(bucket, id, "chunks/000001").await.to_vec();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 8;
        put(bucket, id, "chunks/000001", bytes.into()).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn segments_that_are_missing() {
    check("the block has no file chunks/000001", async |bucket, id| {
        bucket.bucket().delete(&bucket.file(id, "chunks/000001")).await.expect("nothing fails");
    })
    .await;
}

/// All checksums are right, but what was written was not.
#[tokio::test(start_paused = true)]
async fn indexes_that_say_something_else_than_chunks() {
    check("but the index says from", async |bucket, id| {
        let fs = SimFs::new(1);
        let options = WriteOptions::default();
        let mut writer = BlockWriter::create(Arc::new(fs.clone()), Path::new("/b"), id, options).unwrap();
        let mut appender = XorAppender::new();
        for i in 0..10 {
            appender.append(BEGIN_MS + i * 1_000, i as f64).unwrap();
        }
        let range = TimeRange::new(BEGIN_MS, BEGIN_MS + 10_000).unwrap();
        let chunk = NewChunk { range, encoding: chunk::Encoding::Xor, data: appender.bytes() };
        writer.add(&Labels::from_pairs([("__name__", "up"), ("instance", "i0")]), [chunk]).unwrap();
        let compaction = Compaction::of_head(id);
        let description = Description { min_time: None, max_time: None, compaction, thanos: None };
        let (folder, _) = writer.finish(description).unwrap();
        for file in ["index", "chunks/000001"] {
            let bytes = env::read_file(&fs, &folder.join(file), 1 << 20).unwrap();
            put(bucket, id, file, bytes.into()).await;
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn indexes_that_are_cut_off() {
    check("index: offset", async |bucket, id| {
        let bytes = get(bucket, id, "index").await;
        put(bucket, id, "index", bytes.slice(..bytes.len() - 70)).await;
    })
    .await;
}

/// Without looking closely, zeros are series that are not there.
#[tokio::test(start_paused = true)]
async fn indexes_with_zeros_in_place_of_series() {
    check("a series is empty", async |bucket, id| {
        let bytes = get(bucket, id, "index").await;
        let index = Index::open(Arc::new(InMemory::new("index", bytes.clone()))).await.expect("it is whole");
        let (begin, end) = (index.toc().series as usize, index.toc().postings as usize);
        let mut bytes = bytes.to_vec();
        bytes[begin..end].fill(0);
        put(bucket, id, "index", bytes.into()).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn tombstones_that_are_missing() {
    check("the block has no file tombstones", async |bucket, id| {
        let bytes = get(bucket, id, "meta.json").await;
        let mut meta = Meta::parse("meta.json", &bytes).expect("it is whole");
        meta.stats.num_tombstones = 1;
        meta.thanos = None;
        put(bucket, id, "meta.json", meta.encode().into()).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_meta_file_that_is_none() {
    check("meta.json: offset", async |bucket, id| {
        put(bucket, id, "meta.json", Bytes::from_static(b"{\"ulid\":")).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_meta_file_of_another_block() {
    check("meta.json is that of block", async |bucket, id| {
        let other = get(bucket, ulid(2), "meta.json").await;
        put(bucket, id, "meta.json", other).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_meta_file_that_is_missing() {
    check("meta.json is missing", async |bucket, id| {
        bucket.bucket().delete(&bucket.file(id, "meta.json")).await.expect("nothing fails");
    })
    .await;
}
