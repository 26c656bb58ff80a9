//! Two compactors and a node of the metastore, as it is: the lease of one runs out in the middle of a job, the other takes the job and
//! does it, and the first comes back and changes nothing.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bucket::Backing;
use bucket::faults::{Errand, Fault, Faults, Memory, Way};
use bytes::Bytes;
use compactor::{Compactor, CompactorConfig, CompactorLimits, Deps, Leased, LeasedDeps, Looked};
use env::{Clock, ManualClock, Scope, SeededRng, SimFs, SystemClock};
use membership::records::LEASES;
use membership::{Client, LeaseHolder, MembershipConfig, Ownership, OwnershipDeps, Watcher, WatcherDeps};
use metastore::store::MemoryEngine;
use metastore::{Metastore, MetastoreConfig, Peer};
use proto::metastore::Lease;
use rpc::grpc::{ChannelPool, ClientPolicy, GrpcConfig, GrpcMetrics, GrpcServer, ServerPolicy, TcpDial};
use settings::{Overrides, Secret, Setting as _};
use telemetry::Registry;
use tokio::sync::watch;

use crate::blocks::{self, Stored};
use crate::world::{World, bucket_over};

const HOUR: Duration = Duration::from_secs(3_600);
/// How long a lease lasts that is not renewed.
const TTL: Duration = Duration::from_secs(1);
/// So often it is looked whether something has come about, with this time in between.
const LOOKS: u32 = 600;
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Stops whoever uploads the index of a block until it is opened.
#[derive(Debug)]
struct Gate {
    has_come: AtomicBool,
    is_open: watch::Receiver<bool>,
}

#[async_trait]
impl Way for Gate {
    async fn there(&self, errand: Errand<'_>) -> Option<Fault> {
        if errand.what == "put" && errand.object.ends_with("/index") {
            self.has_come.store(true, Ordering::Relaxed);
            // Whoever would open it lives as long as the test.
            let _ = self.is_open.clone().wait_for(|is_open| *is_open).await;
        }
        None
    }
}

fn grpc() -> GrpcConfig {
    GrpcConfig {
        cluster_secret: Secret::parse("a secret of the test").expect("it is long enough"),
        ..GrpcConfig::default()
    }
}

fn dial(clock: &Arc<dyn Clock>, scope: &Scope) -> Arc<TcpDial> {
    let metrics = GrpcMetrics::register(&Registry::new(), Arc::clone(clock));
    let policy = ClientPolicy::new(&grpc(), metrics, Arc::clone(clock)).expect("there is a secret");
    Arc::new(TcpDial::new(grpc(), policy, scope))
}

/// A node that is a cluster by itself; its address.
async fn start_metastore(clock: &Arc<dyn Clock>, scope: &Scope) -> String {
    let metrics = GrpcMetrics::register(&Registry::new(), Arc::clone(clock));
    let policy = ServerPolicy::new(&grpc(), metrics, Arc::clone(clock)).expect("there is a secret");
    let address = testkit::free_address();
    let server = GrpcServer::bind(address, grpc(), policy, scope, Arc::clone(clock)).await;
    let server = server.expect("the address is free");
    let peer = Peer { name: "m1".to_owned(), address: address.to_string() };
    let config = MetastoreConfig { name: "m1".to_owned(), voters: vec![peer], ..MetastoreConfig::default() };
    let deps = metastore::Deps {
        engine: Arc::new(MemoryEngine::new()),
        clock: Arc::clone(clock),
        rng: Arc::new(SeededRng::new(1)),
        scope: scope.clone(),
        registry: Registry::new(),
        dial: dial(clock, scope),
        address: address.to_string(),
        max_message_bytes: grpc().max_message_bytes(),
    };
    let metastore = Metastore::start(config, deps).await.expect("there is nothing that could be wrong");
    drop(scope.spawn("serve", server.serve(metastore.routes(), std::future::pending())));
    address.to_string()
}

/// A compactor with a lease, which ends some time after `scope`.
async fn start(
    name: &str,
    metastore: &str,
    (backing, time): (Backing, &ManualClock),
    (clock, scope): (&Arc<dyn Clock>, &Scope),
) -> Compactor {
    let config = MembershipConfig {
        addresses: vec![metastore.to_owned()],
        lease_ttl: TTL,
        ..MembershipConfig::default()
    };
    let pool = Arc::new(ChannelPool::new(dial(clock, scope)));
    let rng = Arc::new(SeededRng::new(name.len() as u64));
    let client = Client::new(config, pool, Arc::clone(clock), rng.clone(), &Registry::new());
    let fs = Arc::new(SimFs::new(1));
    let watching = WatcherDeps { fs: fs.clone(), path: PathBuf::from("/view"), scope: scope.clone() };
    let watcher = Watcher::start(client.clone(), vec![Bytes::from_static(LEASES.as_bytes())], watching);
    let watcher = watcher.await.expect("there is no view yet");
    let lease = Lease { instance: name.to_owned(), roles: vec!["compactor".to_owned()], ..Lease::default() };
    let lease = LeaseHolder::start(client.clone(), lease, scope);
    let margin = Duration::from_millis(100);
    let owning = OwnershipDeps {
        lease: lease.clone(),
        instance: name.into(),
        clock: Arc::clone(clock),
        scope: scope.clone(),
        margin,
    };
    let ownership = Ownership::start("compactor", &watcher, owning);
    for look in 0.. {
        if lease.held().is_valid(clock.monotonic(), margin) {
            break;
        }
        assert!(look < LOOKS, "{name} has no lease");
        clock.sleep(LOOK_EVERY).await;
    }
    let owners =
        LeasedDeps { client, ownership, lease, instance: name.to_owned(), clock: Arc::clone(clock), margin };
    let deps = Deps {
        fs,
        clock: Arc::new(time.clone()),
        rng,
        scope: Scope::simulated(name),
        registry: Registry::new(),
        dir: PathBuf::from("/compactor"),
        bucket: bucket_over(backing, time, 50),
        limits: Overrides::fixed(CompactorLimits::default()),
        replicas: 3,
        owners: Arc::new(Leased::new(owners)),
    };
    Compactor::build(CompactorConfig::default(), deps)
}

#[tokio::test]
async fn who_comes_back_without_a_lease_changes_nothing() {
    let memory = Memory::new();
    let open = || Backing::on_way(&memory, Arc::new(Faults::new()));
    let mut world = World::new(open(), &["little"]).await;
    for _ in 0..2 {
        world.write_hour().await;
    }
    world.pass(2 * HOUR).await;
    world.shipped().await;
    // Replicas are waited for.
    world.pass(HOUR).await;
    let tenant = world.tenants[0].clone();
    let (bucket, written) = (world.bucket(&tenant), Stored::of(&world.written[&tenant]));
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let (all, first, second) = (Scope::new("metastore"), Scope::new("first"), Scope::new("second"));
    let metastore = start_metastore(&clock, &all).await;
    let (opener, is_open) = watch::channel(false);
    let gate = Arc::new(Gate { has_come: AtomicBool::new(false), is_open });
    let slow = Backing::on_way(&memory, gate.clone());
    let slow = start("one", &metastore, (slow, &world.clock), (&clock, &first)).await;
    let other = start("another", &metastore, (open(), &world.clock), (&clock, &second)).await;
    let looking = all.spawn("look", {
        let tenant = tenant.clone();
        async move { slow.look(&tenant).await }
    });
    for look in 0.. {
        if gate.has_come.load(Ordering::Relaxed) {
            break;
        }
        assert!(look < LOOKS, "nothing is uploaded");
        clock.sleep(LOOK_EVERY).await;
    }
    // While it has the job nobody else does.
    let looked = other.look(&tenant).await.expect("the bucket answers");
    assert_eq!(looked, Looked::default());
    // It stands still, and so its lease is not renewed.
    first.abort();
    for look in 0.. {
        if !other.look(&tenant).await.expect("the bucket answers").merged.is_empty() {
            break;
        }
        assert!(look < LOOKS, "nobody takes the job");
        clock.sleep(LOOK_EVERY).await;
    }
    let index = blocks::index(&bucket).await;
    assert_eq!((index.live().count(), index.blocks.len()), (1, 4));
    // And it goes on.
    opener.send_replace(true);
    let looked = looking.await.expect("it was not aborted").expect("the bucket answers");
    assert_eq!((looked.failed_jobs, looked.written.len()), (1, 0));
    assert_eq!(blocks::index(&bucket).await, index);
    assert!(blocks::live(&bucket).await == written);
    world.answers_all("after both").await;
    // What it has uploaded is found, and goes.
    for _ in 0..3 {
        world.pass(13 * HOUR).await;
        other.look(&tenant).await.expect("the bucket answers");
    }
    assert_eq!(bucket.blocks().await.expect("a listing").len(), 1);
    assert!(blocks::live(&bucket).await == written);
    [first, second, all].iter().for_each(Scope::abort);
}
