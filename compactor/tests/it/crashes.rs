//! The process dies, or an answer is lost, at every single operation on the bucket: no reader ever misses a sample, and in the
//! end each is there once.

use std::time::Duration;

use bucket::faults::{Fault, Kind};

use crate::support::{Samples, World, tenant};

const HOUR: Duration = Duration::from_secs(3_600);

/// What readers see: every block of the index, those that were marked lately included, and those that are not.
async fn assert_readable(world: &World, all: &Samples, context: &str) {
    assert_eq!(&world.live_samples().await.0, all, "{context}");
}

async fn dies_everywhere(fault: Fault) {
    let mut operations = 0;
    for nth in 0.. {
        let mut world = World::new();
        // A window to be merged, and then another with it, and one that was merged so long ago that its replicas go.
        let all = world.ship_windows(0..1).await;
        world.pass(4 * HOUR).await;
        world.start().look(&tenant()).await.expect("nothing fails yet");
        world.pass(13 * HOUR).await;
        let late = world.ship_windows(1..2).await;
        let all: Samples = all.into_iter().chain(late).collect();
        world.pass(HOUR).await;
        let before = world.faults.operations();
        world.faults.plan(Kind::Any, nth, fault);
        // It may fail or not.
        let _ = world.start().look(&tenant()).await;
        operations = world.faults.operations() - before;
        world.crash();
        let context = format!("{fault:?} at operation {nth}");
        assert_readable(&world, &all, &context).await;
        // Twice: what the first look finds, such as blocks of a job that died, the second one plans with.
        for _ in 0..2 {
            world.pass(2 * HOUR).await;
            world.start().look(&tenant()).await.expect("nothing fails any more");
            assert_readable(&world, &all, &context).await;
        }
        world.pass(13 * HOUR).await;
        world.start().look(&tenant()).await.expect("nothing fails any more");
        let (samples, count) = world.live_samples().await;
        assert_eq!((samples.len(), &samples), (count, &all), "{context}");
        let index = world.index().await;
        let there = world.bucket().blocks().await.expect("a listing");
        assert_eq!(there.len(), index.blocks.len(), "{context}: nothing is left that nobody knows");
        if operations <= nth {
            break;
        }
    }
    assert!(operations > 30, "{operations}");
}

#[tokio::test(start_paused = true)]
async fn the_process_dies_at_any_operation() {
    dies_everywhere(Fault::Gone).await;
}

#[tokio::test(start_paused = true)]
async fn any_answer_is_lost() {
    dies_everywhere(Fault::Unanswered).await;
}
