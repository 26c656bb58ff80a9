//! What cannot be read is an error, and never a shorter answer; what one tenant has, no other gets.

use bucket::BucketIndex;
use bucket::faults::{Fault, Kind};
use futures::TryStreamExt;
use model::{Labels, Matcher, TimeRange};
use proto::{Code, Error, IngesterRead, SelectRequest, SeriesChunks, SeriesRequest};
use querier::Blocks;
use ulid::Ulid;

use crate::support::{Data, NOW_MS, World, tenant};

fn series(name: &str, value: f64) -> Data {
    let samples = (0..10).map(|i| (i * 1000, value + i as f64)).collect();
    vec![(Labels::from_pairs([("__name__", name)]), vec![samples])]
}

async fn select(blocks: &Blocks, name: &str) -> Result<Vec<SeriesChunks>, Error> {
    let request = SelectRequest {
        tenant: tenant(name),
        matchers: vec![Matcher::new("__name__", model::MatchOp::Regex, ".+").expect("it is right")],
        range: TimeRange::ALL,
        newest_only: false,
        max_series: 100,
        max_chunk_bytes: 1 << 20,
    };
    let batches: Vec<_> = blocks.select(request).await?.try_collect().await?;
    Ok(batches.into_iter().flatten().collect())
}

async fn names(blocks: &Blocks, name: &str) -> Result<Vec<String>, Error> {
    let found = select(blocks, name).await?;
    Ok(found.iter().map(|series| series.labels.get_or_empty("__name__").to_owned()).collect())
}

#[track_caller]
fn unavailable<T: std::fmt::Debug>(result: Result<T, Error>, words: &str) {
    let error = result.expect_err("it cannot be answered");
    assert!(error.code == Code::Unavailable && error.retry_after.is_some(), "{error:?}");
    assert!(error.message.contains(words), "{error}");
}

#[tokio::test]
async fn a_bucket_that_is_gone_is_believed_for_a_while_and_then_nobody_is_answered() {
    let mut world = World::new();
    world.add("t", &series("one", 1.0), &vec![]).await;
    let blocks = world.blocks(&[]);
    assert_eq!(names(&blocks, "t").await.unwrap(), ["one"]);
    world.faults.plan(Kind::Any, 0, Fault::Gone);
    assert_eq!(names(&blocks, "t").await.unwrap(), ["one"]);
    // What is known is as old as it may be, and all that is read is at hand.
    world.pass(85);
    assert_eq!(names(&blocks, "t").await.unwrap(), ["one"]);
    world.pass(60);
    unavailable(names(&blocks, "t").await, "what blocks there are cannot be read");
    unavailable(names(&world.blocks(&[]), "t").await, "what blocks there are cannot be read");
    world.faults.heal();
    world.add("t", &series("two", 1.0), &vec![]).await;
    assert_eq!(names(&blocks, "t").await.unwrap(), ["one", "two"]);
}

/// Deletions that are lost are an error, except of blocks that were put into the bucket without them, as Thanos does.
#[tokio::test]
async fn what_was_deleted_comes_back_only_where_the_block_came_without_deletions() {
    let mut world = World::new();
    // Of two blocks the second lists its files, and tombstones are not among them.
    for (name, has_list) in [("t", false), ("u", true)] {
        let deleted = vec![(0, 0, 4_000)];
        let meta = world.add(name, &series("m", 1.0), &deleted).await;
        assert_eq!(meta.thanos.is_some(), has_list);
        let first_of = |found: Vec<SeriesChunks>| found[0].chunks[0].range.start_ms();
        assert_eq!(first_of(select(&world.blocks(&[]), name).await.unwrap()), 5_000);
        world.bucket.delete(&world.of(name).file(meta.ulid, "tombstones")).await.unwrap();
        let found = select(&world.blocks(&[]), name).await;
        match has_list {
            true => assert_eq!(first_of(found.unwrap()), 0),
            false => unavailable(found, "tombstones"),
        }
    }
}

#[tokio::test]
async fn every_read_that_fails_makes_the_request_fail() {
    let mut world = World::new();
    for i in 0..3 {
        world.add("t", &series(&format!("m{i}"), 1.0), &vec![]).await;
    }
    let before = world.faults.operations();
    let all = select(&world.blocks(&[]), "t").await.unwrap();
    let reads = world.faults.operations() - before;
    assert!(reads > 10, "{reads}");
    for fault in [Fault::Refused, Fault::Forbidden, Fault::Half] {
        for nth in 0..reads {
            // A process without headers on its disk.
            world.fs = std::sync::Arc::new(env::SimFs::new(9));
            world.faults.plan(Kind::Any, nth, fault);
            match select(&world.blocks(&[]), "t").await {
                Ok(found) => assert_eq!(found, all, "{fault:?} of read {nth}"),
                Err(error) => assert!(!error.message.is_empty()),
            }
            world.faults.heal();
        }
    }
}

#[tokio::test]
async fn a_block_that_is_listed_and_not_there_is_an_error_until_it_is_not_listed() {
    let mut world = World::new();
    let gone = world.add("t", &series("gone", 1.0), &vec![]).await;
    world.add("t", &series("stays", 1.0), &vec![]).await;
    // Pages on disk would answer for it.
    let none = [("cache_disk", "0")];
    let (fresh, known) = (world.blocks(&none), world.blocks(&none));
    assert_eq!(names(&known, "t").await.unwrap(), ["gone", "stays"]);
    world.of("t").delete_block(gone.ulid).await.unwrap();
    unavailable(names(&fresh, "t").await, &format!("block {} cannot be", gone.ulid));
    // Who deletes a block takes it out of the index; who has not heard of that looks again.
    world
        .of("t")
        .update_index(|index| {
            index.remove(gone.ulid);
            true
        })
        .await
        .unwrap();
    assert_eq!(names(&fresh, "t").await.unwrap(), ["stays"]);
    world.pass(61);
    assert_eq!(names(&known, "t").await.unwrap(), ["stays"]);
}

#[tokio::test]
async fn a_block_cut_short_is_an_error_that_names_block_and_file() {
    let mut world = World::new();
    let meta = world.add("t", &series("one", 1.0), &vec![]).await;
    let name = world.of("t").file(meta.ulid, "chunks/000001");
    let whole = world.bucket.get(&name, 1 << 20).await.unwrap().bytes;
    world.bucket.put(&name, whole.slice(..whole.len() / 2)).await.unwrap();
    let error = names(&world.blocks(&[]), "t").await.unwrap_err();
    assert!(
        error.message.contains(&meta.ulid.to_string()) && error.message.contains("chunks/000001"),
        "{error}"
    );
    let mut damaged = whole.to_vec();
    damaged[20] ^= 1;
    world.bucket.put(&name, damaged.into()).await.unwrap();
    let error = names(&world.blocks(&[]), "t").await.unwrap_err();
    assert!(error.code == Code::Internal && error.message.contains("checksum mismatch"), "{error:?}");
}

#[tokio::test]
async fn marked_blocks_are_read_for_a_while() {
    let mut world = World::new();
    let meta = world.add("t", &series("marked", 1.0), &vec![]).await;
    let of_tenant = world.of("t");
    of_tenant
        .update_index(|index| {
            index.mark(meta.ulid, NOW_MS / 1000);
            true
        })
        .await
        .unwrap();
    let blocks = world.blocks(&[]);
    assert_eq!(names(&blocks, "t").await.unwrap(), ["marked"]);
    world.pass(3600 - 5);
    assert_eq!(names(&blocks, "t").await.unwrap(), ["marked"]);
    world.pass(66);
    assert!(names(&blocks, "t").await.unwrap().is_empty());
}

#[tokio::test]
async fn without_an_index_the_bucket_is_listed() {
    let mut world = World::new();
    let blocks = world.blocks(&[]);
    assert!(names(&blocks, "t").await.unwrap().is_empty());
    let listed = world.add_as("t", Ulid(7), &series("listed", 1.0), &vec![]).await;
    world.pass(61);
    assert_eq!(names(&blocks, "t").await.unwrap(), ["listed"]);
    // One that is being uploaded has no meta.json yet.
    let partial = world.of("t").file(Ulid(8), "index");
    world.bucket.put(&partial, "half of it".into()).await.unwrap();
    world.pass(61);
    assert_eq!(names(&blocks, "t").await.unwrap(), ["listed"]);
    world.of("t").mark_for_deletion(listed.ulid, "a test").await.unwrap();
    world.pass(3600 + 61);
    assert!(names(&blocks, "t").await.unwrap().is_empty());
}

#[tokio::test]
async fn an_index_that_nobody_writes_any_more_is_not_believed_where_that_is_wanted() {
    let mut world = World::new();
    world.add("t", &series("one", 1.0), &vec![]).await;
    let (any, young) = (world.blocks(&[]), world.blocks(&[("max_index_age", "1h")]));
    world.pass(3500);
    assert_eq!(names(&young, "t").await.unwrap(), ["one"]);
    world.pass(200);
    unavailable(names(&young, "t").await, "blocks.max_index_age");
    assert_eq!(names(&any, "t").await.unwrap(), ["one"]);
    let broken =
        world.of("t").file(Ulid(1), "x").as_str().replace(&format!("{}/x", Ulid(1)), BucketIndex::FILE);
    world.bucket.put(&bucket::ObjectName::new(broken).unwrap(), "not an index".into()).await.unwrap();
    world.pass(200);
    unavailable(names(&any, "t").await, "it is not packed with gzip");
}

#[tokio::test]
async fn tenants_have_their_own_blocks_whatever_they_are_called() {
    let mut world = World::new();
    world.add_as("a", Ulid(5), &series("of_a", 1.0), &vec![]).await;
    world.add_as("b", Ulid(5), &series("of_b", 2.0), &vec![]).await;
    for _ in 0..2 {
        // The second time from headers on disk.
        let blocks = world.blocks(&[]);
        for _ in 0..2 {
            assert_eq!(names(&blocks, "a").await.unwrap(), ["of_a"]);
            assert_eq!(names(&blocks, "b").await.unwrap(), ["of_b"]);
            assert!(names(&blocks, "c").await.unwrap().is_empty());
        }
    }
}

#[tokio::test]
async fn headers_outlive_the_process_and_go_with_their_blocks() {
    let mut world = World::new();
    let meta = world.add("t", &series("one", 1.0), &vec![]).await;
    let (blocks, metrics) = world.counted_blocks(&[]);
    let headers = |from: &str| format!("querier_blocks_headers_opened_total{{from=\"{from}\"}}");
    let count =
        |metrics: &crate::support::Metrics, from: &str| metrics.get(&format!("barograph_{}", headers(from)));
    assert_eq!(names(&blocks, "t").await.unwrap(), ["one"]);
    assert_eq!(names(&blocks, "t").await.unwrap(), ["one"]);
    assert_eq!(
        (count(&metrics, "bucket"), count(&metrics, "memory"), count(&metrics, "disk")),
        (1.0, 1.0, 0.0)
    );
    let path = std::path::Path::new("/headers/headers/t").join(meta.ulid.to_string());
    assert!(world.fs.exists(&path));
    let (again, metrics) = world.counted_blocks(&[]);
    assert_eq!(names(&again, "t").await.unwrap(), ["one"]);
    assert_eq!((count(&metrics, "bucket"), count(&metrics, "disk")), (0.0, 1.0));
    // A damaged one is fetched again.
    let bytes = env::read_file(&*world.fs, &path, 1 << 20).unwrap();
    let mut damaged = bytes.clone();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 4;
    env::write_file_durable(&*world.fs, &path, &damaged).unwrap();
    let (third, metrics) = world.counted_blocks(&[]);
    assert_eq!(names(&third, "t").await.unwrap(), ["one"]);
    assert_eq!((count(&metrics, "bucket"), count(&metrics, "disk")), (1.0, 0.0));
    assert_eq!(env::read_file(&*world.fs, &path, 1 << 20).unwrap(), bytes);
    // No room on disk, and none in memory.
    let (narrow, metrics) = world.counted_blocks(&[("header_disk", "1"), ("header_memory", "1MiB")]);
    world.fs.remove_file(&path).unwrap();
    assert_eq!(names(&narrow, "t").await.unwrap(), ["one"]);
    assert!(!world.fs.exists(&path) && count(&metrics, "bucket") == 1.0);
    // Used last an hour ago.
    world.pass(3700);
    assert_eq!(names(&narrow, "t").await.unwrap(), ["one"]);
    assert_eq!(count(&metrics, "bucket"), 2.0);
    assert_eq!(names(&third, "t").await.unwrap(), ["one"]);
    world
        .of("t")
        .update_index(|index| {
            index.remove(meta.ulid);
            true
        })
        .await
        .unwrap();
    env::write_file_durable(&*world.fs, &path, &bytes).unwrap();
    world.pass(61);
    assert!(names(&third, "t").await.unwrap().is_empty());
    assert!(!world.fs.exists(&path));
}

#[tokio::test]
async fn limits_of_answers_hold() {
    let mut world = World::new();
    let data: Data = (0..100)
        .map(|i| (Labels::from_pairs([("__name__", format!("m{i:03}"))]), vec![vec![(1, 1.0)]]))
        .collect();
    world.add("t", &data, &vec![]).await;
    let request =
        |limit| SeriesRequest { tenant: tenant("t"), matcher_sets: Vec::new(), range: TimeRange::ALL, limit };
    let blocks = world.blocks(&[]);
    assert_eq!(blocks.series(request(7)).await.unwrap().len(), 7);
    assert_eq!(blocks.series(request(0)).await.unwrap().len(), 100);
    let nobody = SeriesRequest { range: TimeRange::new(50, 60).unwrap(), ..request(0) };
    assert!(blocks.series(nobody).await.unwrap().is_empty());
}

/// Waits until so many pages are on the disk.
async fn pages_on_disk(world: &World, metrics: &crate::support::Metrics, pages: usize) {
    let folder = std::path::Path::new("/headers/pages");
    let on_disk =
        || if world.fs.exists(folder) { world.fs.read_dir(folder).map_or(0, |files| files.len()) } else { 0 };
    while on_disk() < pages || metrics.get("barograph_querier_blocks_cache_disk_bytes") == 0.0 {
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn what_was_fetched_is_on_disk_after_a_restart() {
    let mut world = World::new();
    let meta = world.add("t", &series("one", 1.0), &vec![]).await;
    let (blocks, metrics) = world.counted_blocks(&[]);
    assert_eq!(names(&blocks, "t").await.unwrap(), ["one"]);
    // A page of the index, and one of the segment.
    pages_on_disk(&world, &metrics, 2).await;
    let all = select(&blocks, "t").await.unwrap();
    let (again, metrics) = world.counted_blocks(&[]);
    let before = world.faults.operations();
    assert_eq!(select(&again, "t").await.unwrap(), all);
    assert_eq!(
        world.faults.operations() - before,
        1,
        "the index of all blocks is asked for, and nothing else"
    );
    assert_eq!(metrics.get("barograph_querier_blocks_page_disk_hits_total"), 2.0);
    // Without such pages the bucket is asked.
    let name = world.of("t").file(meta.ulid, "chunks/000001");
    world.bucket.put(&name, bytes::Bytes::new()).await.unwrap();
    let (none, _) = world.counted_blocks(&[("cache_disk", "0")]);
    assert!(select(&none, "t").await.is_err());
}
