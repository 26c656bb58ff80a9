//! Changing the index while the bucket fails.

use std::sync::Arc;

use bucket::faults::{Fault, Faults, Kind};
use bucket::{Backing, Bucket, BucketDeps, TenantBucket};
use env::{SeededRng, SimClock};
use model::TenantId;
use telemetry::Registry;
use ulid::Ulid;

use super::suite::config;

/// At every operation that fails, in every way: a change that is reported as done is there, once; one that is not may be.
#[tokio::test(start_paused = true)]
async fn a_change_that_is_done_is_there() {
    for nth in 0..6 {
        for fault in [Fault::Refused, Fault::Unanswered, Fault::Gone, Fault::Forbidden] {
            let faults = Faults::new();
            let deps = BucketDeps {
                clock: Arc::new(SimClock::new(1_700_000_000_000, 0)),
                rng: Arc::new(SeededRng::new(nth)),
                registry: Registry::new(),
            };
            let bucket = Bucket::new(Backing::faulty_memory(&faults), &config(), deps);
            let tenant = TenantBucket::new(&bucket, &TenantId::new("team-a").unwrap()).unwrap();
            faults.plan(Kind::Any, nth, fault);
            let mut done = Vec::new();
            for id in 1..=3u128 {
                let changed = tenant.update_index(|index| {
                    let before = index.block_deletion_marks.len();
                    index.mark(Ulid(id), 7);
                    index.block_deletion_marks.len() > before
                });
                if changed.await.is_ok() {
                    done.push(Ulid(id));
                }
            }
            faults.heal();
            let found = tenant.index().await.unwrap();
            let marks: Vec<Ulid> =
                found.iter().flat_map(|(index, _)| &index.block_deletion_marks).map(|mark| mark.id).collect();
            assert!(done.iter().all(|id| marks.contains(id)), "{fault:?} at {nth}: {done:?} in {marks:?}");
            let mut once = marks.clone();
            once.dedup();
            assert_eq!(once, marks);
            assert!(
                fault == Fault::Gone || fault == Fault::Forbidden || done.len() == 3,
                "{fault:?} at {nth}"
            );
            if let Some((index, _)) = found {
                assert_eq!(index.updated_at, 1_700_000_000);
            }
        }
    }
}

/// Blocks that others have put there are not hidden by the first index.
#[tokio::test(start_paused = true)]
async fn the_first_index_has_what_was_there_before_it() {
    let deps = BucketDeps {
        clock: Arc::new(SimClock::new(1_700_000_000_000, 0)),
        rng: Arc::new(SeededRng::new(1)),
        registry: Registry::new(),
    };
    let bucket = Bucket::new(Backing::memory(), &config(), deps);
    let tenant = TenantBucket::new(&bucket, &TenantId::new("team-a").unwrap()).unwrap();
    let foreign = Ulid(77);
    let meta = format!(
        r#"{{"ulid":"{foreign}","minTime":1,"maxTime":9,"version":1,"compaction":{{"level":1,"sources":["{foreign}"]}}}}"#
    );
    bucket.put(&tenant.file(foreign, "meta.json"), meta.into()).await.unwrap();
    let index = tenant.update_index(|index| {
        index.mark(Ulid(78), 7);
        true
    });
    let index = index.await.unwrap();
    assert_eq!(index.block(foreign).map(|block| (block.min_time, block.max_time)), Some((1, 9)));
    assert_eq!(tenant.index().await.unwrap().unwrap().0.block_deletion_marks.len(), 1);
}
