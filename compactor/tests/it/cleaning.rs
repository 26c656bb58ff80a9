//! What is too old goes, what nobody knows is found, and a tenant that is to go goes.

use std::time::Duration;

use bucket::faults::{Fault, Kind};
use bytes::Bytes;
use compactor::CompactorLimits;

use crate::support::{BEGIN_MS, HOUR_MS, World, part, tenant, ulid};

const HOUR: Duration = Duration::from_secs(3_600);

#[tokio::test(start_paused = true)]
async fn blocks_go_once_all_their_samples_are_too_old() {
    let mut world = World::new();
    world.limits =
        CompactorLimits { compactor_blocks_retention_period: 48 * HOUR, ..CompactorLimits::default() };
    world.ship_replicas(3).await;
    let compactor = world.start();
    world.pass(51 * HOUR).await;
    compactor.look(&tenant()).await.unwrap();
    let index = world.index().await;
    let oldest = index.live().map(|block| block.max_time).min().unwrap();
    assert!(oldest > world.now_ms() - 48 * HOUR_MS);
    assert_eq!(index.live().count(), 1, "{index:?}");
    world.pass(10 * HOUR).await;
    compactor.look(&tenant()).await.unwrap();
    assert_eq!(world.index().await.live().count(), 0);
    world.pass(13 * HOUR).await;
    compactor.look(&tenant()).await.unwrap();
    assert!(world.bucket().blocks().await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn blocks_that_were_copied_there_are_found_and_uploads_without_an_end_removed() {
    let mut world = World::new();
    let mut all = world.ship_replicas(1).await;
    let start = BEGIN_MS + 2 * HOUR_MS;
    let own = part(start, 2, 0);
    world.ship(ulid(70), &own, (start, start + 2 * HOUR_MS)).await;
    all.extend(own);
    let bucket = world.bucket();
    bucket
        .update_index(|index| {
            index.remove(ulid(70));
            true
        })
        .await
        .unwrap();
    bucket.bucket().put(&bucket.file(ulid(71), "chunks/000001"), Bytes::from_static(b"x")).await.unwrap();
    let compactor = world.start();
    world.pass(4 * HOUR).await;
    compactor.look(&tenant()).await.unwrap();
    assert!(world.index().await.is_live(ulid(70)));
    assert!(!bucket.blocks().await.unwrap().contains(&ulid(71)));
    assert_eq!(world.live_samples().await.0, all);
}

#[tokio::test(start_paused = true)]
async fn a_tenant_goes_whatever_interrupts_that() {
    for nth in 0.. {
        let mut world = World::new();
        world.ship_replicas(1).await;
        world.pass(4 * HOUR).await;
        let compactor = world.start();
        compactor.look(&tenant()).await.unwrap();
        compactor.delete_tenant(&tenant()).await.unwrap();
        let before = world.faults.operations();
        world.faults.plan(Kind::Any, nth, Fault::Gone);
        let _ = compactor.look(&tenant()).await;
        let operations = world.faults.operations() - before;
        world.crash();
        let compactor = world.start();
        compactor.look(&tenant()).await.unwrap();
        assert!(world.bucket().blocks().await.unwrap().is_empty());
        let mark = world.bucket().tenant_mark().await.unwrap().expect("it says that all is gone");
        assert!(mark.finished_time > 0);
        // And the mark after a while.
        world.pass(14 * HOUR).await;
        world.start().look(&tenant()).await.unwrap();
        assert_eq!(world.bucket().tenant_mark().await.unwrap(), None);
        if operations <= nth {
            break;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_entry_of_a_block_that_was_merged_and_deleted_goes_again() {
    let mut world = World::new();
    let all = world.ship_replicas(1).await;
    let late = world.index().await.block(ulid(0)).cloned().expect("it was shipped");
    let compactor = world.start();
    for _ in 0..2 {
        world.pass(14 * HOUR).await;
        compactor.look(&tenant()).await.unwrap();
    }
    assert_eq!(world.bucket().blocks().await.unwrap().len(), 1);
    // Whoever has uploaded it comes back and puts it into the index.
    world.bucket().update_index(|index| index.add(late.clone())).await.unwrap();
    let looked = compactor.look(&tenant()).await.unwrap();
    assert_eq!(looked.set_aside, []);
    assert_eq!(world.index().await.block(ulid(0)), None);
    let (samples, count) = world.live_samples().await;
    assert_eq!((samples.len(), samples), (count, all));
}
