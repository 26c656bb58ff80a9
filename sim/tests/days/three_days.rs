//! The three days, with a bucket on a server that is reached over HTTP.

use std::sync::Arc;
use std::time::Duration;

use bucket::faults::{Fault, Kind};
use bucket::{BackendKind, Backing, BucketConfig};
use compactor::Compactor;
use env::{CrashMode, FaultKind, FileSystem, OpKind, RealFs, Scope};
use model::TenantId;
use settings::{Secret, Setting as _};
use testkit::S3Server;

use crate::blocks::{self, Stored};
use crate::data::TENANTS;
use crate::promtool::{self, Promtool};
use crate::world::{Machine, World};

const HOURS: i64 = 72;
/// After the last write all windows end, all blocks are merged, and what was merged is deleted.
const HOURS_AFTER: i64 = 43;
const HOUR: Duration = Duration::from_secs(3_600);

/// Compactors that die, each time at the operation behind the one before.
struct Killed {
    /// Each with its process, while it lives.
    machines: [(Machine, Option<Compactor>); 2],
    bucket_operation: u64,
    disk_operation: u64,
    kills: usize,
    fights: usize,
}

impl Killed {
    /// One of the compactors looks at a tenant's blocks.
    async fn look(&mut self, world: &mut World, tenant: &TenantId, hour: i64) {
        let (machine, running) = &mut self.machines[which(hour)];
        let compactor = running.get_or_insert_with(|| machine.start(world.backing(), &world.clock));
        let looked = compactor.look(tenant).await.expect("the bucket answers");
        assert_eq!((looked.failed_jobs, looked.set_aside.len()), (0, 0), "hour {hour}, {tenant}");
        world.answers_some(&format!("hour {hour}, after a look at {tenant}")).await;
    }

    /// It dies at an operation on the bucket, and then at one on its disk.
    async fn die(&mut self, world: &mut World, tenant: &TenantId, hour: i64) {
        self.machines[which(hour)].1 = None;
        self.die_at_the_bucket(world, tenant, which(hour)).await;
        self.die_at_the_disk(world, tenant, which(hour)).await;
    }

    async fn die_at_the_bucket(&mut self, world: &mut World, tenant: &TenantId, which: usize) {
        let (machine, nth) = (&mut self.machines[which].0, self.bucket_operation);
        let compactor = machine.start(world.backing(), &world.clock);
        machine.faults.plan(Kind::Any, nth, Fault::Gone);
        // Whatever it says, it is dead.
        let _ = compactor.look(tenant).await;
        let is_dead = machine.faults.operations() > nth;
        machine.crash(CrashMode::LoseAll);
        self.kills += usize::from(is_dead);
        self.bucket_operation = if is_dead { nth + 1 } else { 0 };
        world.answers_some(&format!("{tenant}, the compactor died at operation {nth} on the bucket")).await;
    }

    async fn die_at_the_disk(&mut self, world: &mut World, tenant: &TenantId, which: usize) {
        let (machine, nth) = (&mut self.machines[which].0, self.disk_operation);
        machine.fs.plan(env::Fault { op: OpKind::Change, nth, kind: FaultKind::Crash });
        let compactor = machine.start(world.backing(), &world.clock);
        let _ = compactor.look(tenant).await;
        let is_dead = machine.fs.has_crashed();
        machine.crash(CrashMode::Torn);
        self.kills += usize::from(is_dead);
        self.disk_operation = if is_dead { nth + 1 } else { 0 };
        world.answers_some(&format!("{tenant}, the compactor died at operation {nth} on its disk")).await;
    }

    /// Both do everything at the same time, and nobody tells them from each other.
    async fn fight(&mut self, world: &mut World, tenant: &TenantId) {
        let [(one, _), (other, _)] = &mut self.machines;
        let (one, other) =
            (one.start(world.backing(), &world.clock), other.start(world.backing(), &world.clock));
        let looked = tokio::join!(one.look(tenant), other.look(tenant));
        // Who comes second may find that what it was to read is not there any more.
        assert!(looked.0.is_ok() || looked.1.is_ok(), "{looked:?}");
        self.fights += 1;
        world.answers_some(&format!("{tenant}, after a fight")).await;
    }
}

/// Whose turn it is.
fn which(hour: i64) -> usize {
    usize::try_from(hour / 4 % 2).expect("small")
}

fn backing(server: &S3Server) -> Backing {
    let config = BucketConfig {
        backend: BackendKind::S3,
        name: "days".to_owned(),
        endpoint: Some(server.url()),
        access_key_id: "test".to_owned(),
        secret_access_key: Secret::parse("test").expect("a secret"),
        ..BucketConfig::default()
    };
    let fs: Arc<dyn FileSystem> = Arc::new(RealFs);
    let opened = Backing::open(&config, std::path::Path::new("/nowhere"), &fs, &Scope::new("bucket"));
    opened.expect("settings of a bucket").expect("there is one")
}

#[tokio::test]
async fn three_days_over_http() {
    let server = S3Server::start("days");
    let mut world = World::new(backing(&server), &TENANTS).await;
    let machines = [(Machine::new(1), None), (Machine::new(2), None)];
    let mut killed = Killed { machines, bucket_operation: 0, disk_operation: 0, kills: 0, fights: 0 };
    let mut promtool = Promtool::default();
    for hour in 0..HOURS + HOURS_AFTER {
        match hour < HOURS {
            true => world.write_hour().await,
            false => world.pass(HOUR).await,
        }
        world.shipped().await;
        world.answers_some(&format!("hour {hour}, after shipping")).await;
        // Nothing ends in between, and in the end there is little to do.
        if hour % 2 == 0 && (hour < HOURS || hour % 6 == 0) {
            let tenants = world.tenants.clone();
            let victim = &tenants[usize::try_from(hour / 2 % 2).expect("small")];
            if hour % 12 == 4 && hour < HOURS {
                killed.fight(&mut world, victim).await;
            } else if hour < HOURS {
                killed.die(&mut world, victim, hour).await;
            }
            for tenant in &tenants {
                killed.look(&mut world, tenant, hour).await;
                if hour % 8 == 0 {
                    promtool.accepts(&world.bucket(tenant)).await;
                }
            }
        }
        if hour % 24 == 23 {
            world.answers_all(&format!("hour {hour}")).await;
        }
    }
    let (mut samples, mut live) = (0, 0);
    for tenant in world.tenants.clone() {
        let (bucket, written) = (world.bucket(&tenant), Stored::of(&world.written[&tenant]));
        assert!(
            blocks::live(&bucket).await == written,
            "{tenant}: the bucket has something else than what was written"
        );
        let index = blocks::index(&bucket).await;
        assert_eq!(index.block_deletion_marks, [], "{tenant}");
        assert_eq!(bucket.blocks().await.expect("a listing").len(), index.blocks.len(), "{tenant}");
        let floats =
            written.samples.keys().filter(|(labels, _)| labels.get("__name__") == Some("up")).count();
        assert_eq!(promtool::floats(&bucket, "up").await, floats, "{tenant}");
        samples += written.copies;
        live += index.blocks.len();
    }
    world.answers_all("in the end").await;
    println!(
        "{samples} samples; {} blocks there were, {live} are left; {} kills, {} fights",
        promtool.count(),
        killed.kills,
        killed.fights
    );
    assert!(killed.kills > 40 && killed.fights > 5, "{} kills, {} fights", killed.kills, killed.fights);
}
