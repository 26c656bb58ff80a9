//! A compactor dies at every single operation of every job of three days, on the bucket and on its disk: each time from the same
//! state, after which readers find what they found before, and the next process comes to the same end.

use std::sync::Arc;
use std::time::Duration;

use bucket::Backing;
use bucket::faults::{Fault, Faults, Kind, Memory};
use env::{CrashMode, FaultKind, OpKind};
use model::TenantId;

use crate::blocks::{self, Stored};
use crate::world::{Machine, World, bucket_over};

const HOURS: i64 = 72;
const HOURS_AFTER: i64 = 4;
const HOUR: Duration = Duration::from_secs(3_600);

/// Where a process dies.
#[derive(Debug, Clone, Copy)]
enum At {
    Bucket,
    Disk,
}

/// Objects as everybody finds them.
fn backing(memory: &Memory) -> Backing {
    Backing::on_way(memory, Arc::new(Faults::new()))
}

/// What a tenant has in the blocks of a bucket.
async fn live(memory: &Memory, world: &World, tenant: &TenantId) -> Stored {
    let bucket = bucket_over(backing(memory), &world.clock, 77);
    let bucket = bucket::TenantBucket::new(&bucket, tenant).expect("it has tenants");
    blocks::live(&bucket).await
}

/// Whether there is an operation of this number.
async fn dies_at(memory: &Memory, world: &World, tenant: &TenantId, at: At, nth: u64) -> bool {
    let before = live(memory, world, tenant).await;
    let memory = memory.fork();
    let mut machine = Machine::new(nth);
    match at {
        At::Bucket => machine.faults.plan(Kind::Any, nth, Fault::Gone),
        At::Disk => machine.fs.plan(env::Fault { op: OpKind::Change, nth, kind: FaultKind::Crash }),
    }
    let compactor = machine.start(&backing(&memory), &world.clock);
    // Whatever it says, it is dead.
    let _ = compactor.look(tenant).await;
    let is_dead = match at {
        At::Bucket => machine.faults.operations() > nth,
        At::Disk => machine.fs.has_crashed(),
    };
    machine.crash(if nth.is_multiple_of(2) { CrashMode::Torn } else { CrashMode::LoseAll });
    let context = format!("{tenant}, {at:?} operation {nth}");
    let after = live(&memory, world, tenant).await;
    assert!(after.samples == before.samples, "{context}: readers find something else");
    // Twice: with what the first look finds, such as blocks of a job that died, the second one plans.
    for _ in 0..2 {
        let compactor = machine.start(&backing(&memory), &world.clock);
        compactor.look(tenant).await.expect("nothing fails any more");
    }
    let finished = live(&memory, world, tenant).await;
    assert!(finished.samples == before.samples, "{context}: something is lost");
    assert_eq!(finished.copies, finished.samples.len(), "{context}: something is there twice");
    is_dead
}

#[tokio::test]
async fn a_compactor_dies_at_every_operation_of_every_job() {
    let memory = Memory::new();
    let mut world = World::new(backing(&memory), &["little"]).await;
    let tenant = world.tenants[0].clone();
    let mut machine = Machine::new(9);
    let (mut kills, mut jobs) = (0, 0);
    for hour in 0..HOURS + HOURS_AFTER {
        match hour < HOURS {
            true => world.write_hour().await,
            false => world.pass(HOUR).await,
        }
        world.shipped().await;
        let compactor = machine.start(world.backing(), &world.clock);
        let due = compactor.plan(&tenant).await.expect("the bucket answers").jobs.len();
        jobs += due;
        for at in [At::Bucket, At::Disk].into_iter().filter(|_| due > 0) {
            let mut nth = 0;
            while dies_at(&memory, &world, &tenant, at, nth).await {
                nth += 1;
            }
            kills += nth;
        }
        compactor.look(&tenant).await.expect("nothing fails");
        world.answers_some(&format!("hour {hour}")).await;
    }
    println!("{kills} kills in {jobs} jobs");
    assert!(kills > 4000 && jobs >= 30, "{kills} kills in {jobs} jobs");
}
