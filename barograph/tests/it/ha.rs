//! Elections of HA pairs that distributors have in common, over a real node of the metastore.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use distributor::{DistributorConfig, Election, HaTracker, MetastoreHaTracker, MetastoreHaTrackerDeps};
use env::{Clock, OsSeededRng, RealFs, Scope, SystemClock};
use membership::{Client, MembershipConfig, Watcher, WatcherDeps};
use metastore::store::MemoryEngine;
use model::TenantId;
use rpc::grpc::{ChannelPool, ClientPolicy, GrpcMetrics, TcpDial};
use telemetry::Registry;

use crate::metastore::{grpc, node};

/// One distributor's tracker.
struct Tracker {
    tracker: MetastoreHaTracker,
    clock: Arc<dyn Clock>,
    tenant: TenantId,
}

const MAX_CLUSTERS: usize = 2;

/// How long a replica may be silent in these tests.
const FAILOVER: Duration = Duration::from_secs(3);

async fn tracker(name: &str, metastore: SocketAddr, dir: &std::path::Path, scope: &Scope) -> Tracker {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let metrics = GrpcMetrics::register(&Registry::new(), clock.clone());
    let policy = ClientPolicy::new(&grpc(), metrics, clock.clone()).expect("the secret fits");
    let pool = Arc::new(ChannelPool::new(Arc::new(TcpDial::new(grpc(), policy, scope))));
    let config = MembershipConfig { addresses: vec![metastore.to_string()], ..MembershipConfig::default() };
    let client = Client::new(config, pool, clock.clone(), Arc::new(OsSeededRng::new()), &Registry::new());
    let deps = WatcherDeps { fs: Arc::new(RealFs), path: dir.join(name), scope: scope.clone() };
    let watcher = Watcher::start(client.clone(), vec![MetastoreHaTracker::PREFIX.into()], deps);
    let watcher = watcher.await.expect("there is no view yet");
    watcher.known().await;
    let config = DistributorConfig { ha_tracker_failover_timeout: FAILOVER, ..DistributorConfig::default() };
    let deps = MetastoreHaTrackerDeps { client, watcher, clock: clock.clone(), scope: scope.clone() };
    Tracker { tracker: MetastoreHaTracker::start(&config, deps), clock, tenant: TenantId::anonymous() }
}

impl Tracker {
    fn observe(&self, replica: &str) -> Election {
        let now = self.clock.monotonic();
        self.tracker.observe(&self.tenant, "a pair/with a slash", replica, MAX_CLUSTERS, now)
    }

    /// What a write of the replica comes to, as the distributor asks.
    async fn ask(&self, replica: &str) -> Election {
        loop {
            match self.observe(replica) {
                Election::Undecided => {
                    let cluster = "a pair/with a slash";
                    self.tracker.elect(&self.tenant, cluster, replica, MAX_CLUSTERS).await;
                }
                decided => return decided,
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn distributors_take_the_same_replica_and_all_when_nobody_can_be_elected() {
    let dir = tempfile::tempdir().expect("a folder");
    let scope = Scope::new("distributors");
    let (metastore, at) = node("only", Arc::new(MemoryEngine::new()), Vec::new()).await;
    let first = tracker("first", at, dir.path(), &scope).await;
    let second = tracker("second", at, dir.path(), &scope).await;

    // Both at the same time: one of the two replicas is elected, for both.
    let (a, b) = tokio::join!(first.ask("a"), second.ask("b"));
    let (elected, other) = match (a, b) {
        (Election::Elected, Election::NotElected) => ("a", "b"),
        (Election::NotElected, Election::Elected) => ("b", "a"),
        decided => panic!("{decided:?}"),
    };
    assert_eq!((first.ask(elected).await, second.ask(elected).await), (Election::Elected, Election::Elected));
    assert_eq!(
        (first.ask(other).await, second.ask(other).await),
        (Election::NotElected, Election::NotElected)
    );

    // Only the first hears the elected one, for longer than it may be silent: the second learns of it.
    let until = first.clock.monotonic() + 2 * FAILOVER;
    while first.clock.monotonic() < until {
        assert_eq!(first.ask(elected).await, Election::Elected);
        assert_eq!(second.observe(other), Election::NotElected);
        first.clock.sleep(Duration::from_millis(20)).await;
    }

    // Nobody hears it any more: the other one is elected, and the first distributor learns of that.
    while second.ask(other).await != Election::Elected {
        second.clock.sleep(Duration::from_millis(20)).await;
    }
    while first.observe(elected) != Election::NotElected {
        first.clock.sleep(Duration::from_millis(20)).await;
    }

    // Without the metastore whoever is elected stays so, and when it falls silent all are taken.
    metastore.stop().await;
    drop(metastore);
    assert_eq!(
        (second.ask(other).await, second.ask(elected).await),
        (Election::Elected, Election::NotElected)
    );
    while second.ask(elected).await != Election::Elected {
        second.clock.sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(second.ask(other).await, Election::Elected);
    scope.abort();
}
