//! Blocks become fewer, and have what they had.

use std::time::Duration;

use compactor::CompactorLimits;

use crate::support::{BEGIN_MS, HOUR_MS, World, tenant};

const HOUR: Duration = Duration::from_secs(3_600);

#[tokio::test(start_paused = true)]
async fn replicas_of_a_day_become_one_block() {
    let mut world = World::new();
    let all = world.ship_replicas(12).await;
    let compactor = world.start();
    // While the day goes on, what is over of it is merged.
    world.pass(4 * HOUR).await;
    let looked = compactor.look(&tenant()).await.unwrap();
    assert_eq!((looked.merged.len(), looked.written.len()), (3, 1));
    world.pass(22 * HOUR).await;
    let plan = compactor.plan(&tenant()).await.unwrap();
    assert_eq!(plan.jobs.len(), 11);
    compactor.look(&tenant()).await.unwrap();
    let index = world.index().await;
    let live: Vec<_> = index.live().collect();
    assert_eq!(live.len(), 1);
    assert_eq!((live[0].min_time, live[0].max_time), (BEGIN_MS, BEGIN_MS + 24 * HOUR_MS));
    assert_eq!((live[0].compaction_level, live[0].source.as_str()), (4, "compactor"));
    let (samples, count) = world.live_samples().await;
    assert_eq!((samples.len(), &samples), (count, &all));
    let meta = world.bucket().meta(live[0].id).await.unwrap();
    assert_eq!(meta.compaction.sources.len(), 36);
    assert_eq!(meta.compaction.parents.len(), 2);
    // Those that were merged can be read for a while, and are marked beside themselves, too; the three that were merged
    // first are gone already.
    assert_eq!(index.block_deletion_marks.len(), 36 + 12 + 2 - 3);
    assert_eq!(world.bucket().deletion_marks().await.unwrap().len(), 47);
    assert!(compactor.look(&tenant()).await.unwrap().merged.is_empty());
    world.pass(13 * HOUR).await;
    compactor.look(&tenant()).await.unwrap();
    assert_eq!(world.bucket().blocks().await.unwrap(), [live[0].id]);
    assert!(world.index().await.block_deletion_marks.is_empty());
    assert_eq!(world.live_samples().await.0, all);
    let status = compactor.status();
    assert_eq!(status.tenants[tenant().as_str()].blocks_by_level.get(&4), Some(&1));
    // Nothing stays on the disk.
    let left = env::FileSystem::read_dir(&world.fs, std::path::Path::new("/compactor/jobs/team-a")).unwrap();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test(start_paused = true)]
async fn a_large_tenant_is_divided_by_series() {
    let mut world = World::new();
    world.limits = CompactorLimits { compactor_max_block_series: 3, ..CompactorLimits::default() };
    let all = world.ship_replicas(6).await;
    world.pass(14 * HOUR).await;
    world.start().look(&tenant()).await.unwrap();
    let index = world.index().await;
    let shards: Vec<&str> = index.live().map(|block| block.compactor_shard_id.as_str()).collect();
    assert!(shards.iter().all(|shard| ["1_of_2", "2_of_2"].contains(shard)), "{shards:?}");
    assert_eq!(shards.len(), 2);
    let (samples, count) = world.live_samples().await;
    assert_eq!((samples.len(), samples), (count, all));
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_changes_nothing() {
    let mut world = World::new();
    let all = world.ship_replicas(1).await;
    world.pass(4 * HOUR).await;
    let before = world.index().await;
    world.fs.set_enospc(true);
    let compactor = world.start();
    let looked = compactor.look(&tenant()).await.unwrap();
    assert_eq!((looked.failed_jobs, looked.merged.len()), (1, 0));
    assert_eq!(world.index().await, before);
    // It is left alone for a while, and then it works.
    world.fs.set_enospc(false);
    assert_eq!(compactor.look(&tenant()).await.unwrap().failed_jobs, 0);
    assert_eq!(world.index().await, before);
    world.pass(HOUR).await;
    assert_eq!(compactor.look(&tenant()).await.unwrap().merged.len(), 3);
    let (samples, count) = world.live_samples().await;
    assert_eq!((samples.len(), samples), (count, all));
}
