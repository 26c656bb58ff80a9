//! Two compactors that both believe that a job is theirs.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bucket::faults::{Fault, Faults, Kind};
use compactor::{Compactor, Hold, Owners};
use model::TenantId;
use tokio::sync::Mutex;

use crate::support::{World, tenant};

/// Gives leave for everything; just before a job is finished somebody else does all there is to do.
struct Slow {
    rival: Arc<Mutex<Option<Compactor>>>,
    /// What a look at the lease says then.
    believes: bool,
    /// At which operation the other one dies, if it does.
    dies: Option<(Faults, u64)>,
}

#[async_trait]
impl Owners for Slow {
    fn owns(&self, _: &TenantId) -> bool {
        true
    }

    async fn hold(&self, _: &TenantId, _: &str) -> Option<Box<dyn Hold>> {
        let dies = self.dies.clone();
        Some(Box::new(Self { rival: Arc::clone(&self.rival), believes: self.believes, dies }))
    }
}

#[async_trait]
impl Hold for Slow {
    async fn holds(&self) -> bool {
        if let Some(rival) = self.rival.lock().await.take() {
            match &self.dies {
                None => drop(rival.look(&tenant()).await.expect("nothing fails")),
                Some((faults, nth)) => {
                    faults.plan(Kind::Any, *nth, Fault::Gone);
                    // It may come to its end before.
                    let _ = rival.look(&tenant()).await;
                    faults.heal();
                }
            }
        }
        self.believes
    }

    async fn release(self: Box<Self>) {}
}

async fn overtaken(believes: bool) {
    let mut world = World::new();
    // The rival does not look for what is not in the index.
    world.config.list_interval = Duration::from_secs(30 * 86_400);
    let all = world.ship_replicas(1).await;
    let rival = world.start();
    rival.look(&tenant()).await.expect("the bucket answers");
    world.pass(Duration::from_secs(4 * 3_600)).await;
    world.owners = Arc::new(Slow { rival: Arc::new(Mutex::new(Some(rival))), believes, dies: None });
    let slow = world.start();
    let looked = slow.look(&tenant()).await.expect("the bucket answers");
    assert_eq!((looked.failed_jobs, looked.written.len()), (1, 0));
    let index = world.index().await;
    // What the slow one has made is known as marked, if it came to that.
    assert_eq!((index.live().count(), index.blocks.len()), (1, if believes { 5 } else { 4 }));
    let (samples, count) = world.live_samples().await;
    assert_eq!((samples.len(), &samples), (count, &all));
    // What it had uploaded goes when its time has come, or is found to be contained in what the other one made.
    world.owners = Arc::new(compactor::Alone);
    let next = world.start();
    for _ in 0..2 {
        world.pass(Duration::from_secs(14 * 3_600)).await;
        next.look(&tenant()).await.expect("the bucket answers");
    }
    assert_eq!(world.bucket().blocks().await.expect("the bucket answers").len(), 1);
    let (samples, count) = world.live_samples().await;
    assert_eq!((samples.len(), samples), (count, all));
}

#[tokio::test(start_paused = true)]
async fn the_second_one_to_finish_changes_nothing() {
    overtaken(true).await;
}

#[tokio::test(start_paused = true)]
async fn one_whose_lease_has_ended_does_not_finish() {
    overtaken(false).await;
}

/// The second one finds what the first has uploaded, and drops what that replaces: the first has nothing left to do.
#[tokio::test(start_paused = true)]
async fn what_another_one_has_found_is_done() {
    let mut world = World::new();
    let all = world.ship_replicas(1).await;
    world.pass(Duration::from_secs(4 * 3_600)).await;
    let rival = world.start();
    world.owners = Arc::new(Slow { rival: Arc::new(Mutex::new(Some(rival))), believes: true, dies: None });
    let looked = world.start().look(&tenant()).await.expect("the bucket answers");
    assert_eq!((looked.failed_jobs, looked.written.len()), (0, 1));
    let index = world.index().await;
    assert_eq!((index.live().count(), index.blocks.len()), (1, 4));
    let (samples, count) = world.live_samples().await;
    assert_eq!((samples.len(), samples), (count, all));
}

/// The second one dies while it drops what is in the block that the first has uploaded: some inputs are marked then, and some are
/// not, and the block is what has their samples.
#[tokio::test(start_paused = true)]
async fn what_another_one_has_found_is_kept_wherever_it_dies() {
    for nth in 0.. {
        let mut world = World::new();
        let all = world.ship_replicas(1).await;
        world.pass(Duration::from_secs(4 * 3_600)).await;
        let rival = Arc::new(Mutex::new(Some(world.start())));
        let dies = Some((world.faults.clone(), nth));
        world.owners = Arc::new(Slow { rival, believes: true, dies });
        let before = world.faults.operations();
        // It may be overtaken.
        let _ = world.start().look(&tenant()).await;
        let operations = world.faults.operations() - before;
        let (samples, _) = world.live_samples().await;
        assert_eq!(samples, all, "dies at {nth}");
        world.owners = Arc::new(compactor::Alone);
        for _ in 0..3 {
            world.pass(Duration::from_secs(14 * 3_600)).await;
            world.start().look(&tenant()).await.expect("the bucket answers");
        }
        assert_eq!(world.bucket().blocks().await.expect("the bucket answers").len(), 1, "dies at {nth}");
        let (samples, count) = world.live_samples().await;
        assert_eq!((samples.len(), &samples), (count, &all), "dies at {nth}");
        if operations <= nth {
            break;
        }
    }
}
