//! The notification log as the metastore has it, from beside: what was written down, and when that was seen.

use std::sync::Arc;

use env::{Clock, OsSeededRng, RealFs, Scope, SystemClock};
use membership::records::{self, Kind as _, NotificationLog};
use membership::{Client, MembershipConfig, View, Watcher, WatcherDeps};
use rpc::grpc::{ChannelPool, ClientPolicy, GrpcConfig, GrpcMetrics, TcpDial};
use serde_json::Value;
use settings::{Secret, Setting as _};
use telemetry::Registry;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::watch;

use crate::cluster::harness::SECRET;
use crate::support::now_ms;

/// The keys of groups of which something was written down, and when that was seen, in order.
type Committed = Vec<(String, i64)>;

/// Follows the log.
pub(super) struct Log {
    committed: watch::Receiver<Committed>,
    _folder: TempDir,
    _runtime: Runtime,
}

impl Log {
    /// The log of the metastore with these nodes.
    pub(super) fn of(nodes: Vec<String>) -> Self {
        let runtime = Runtime::new().expect("threads");
        let folder = tempfile::tempdir().expect("a folder");
        let watcher = runtime.block_on(async {
            let scope = Scope::new("log");
            let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
            let metrics = GrpcMetrics::register(&Registry::new(), Arc::clone(&clock));
            let cluster_secret = Secret::parse(SECRET).expect("a text is a secret");
            let grpc = || GrpcConfig { cluster_secret: cluster_secret.clone(), ..GrpcConfig::default() };
            let policy = ClientPolicy::new(&grpc(), metrics, Arc::clone(&clock)).expect("the secret fits");
            let pool = Arc::new(ChannelPool::new(Arc::new(TcpDial::new(grpc(), policy, &scope))));
            let config = MembershipConfig { addresses: nodes, ..MembershipConfig::default() };
            let rng = Arc::new(OsSeededRng::new());
            let client = Client::new(config, pool, clock, rng, &Registry::new());
            let deps = WatcherDeps { fs: Arc::new(RealFs), path: folder.path().join("view"), scope };
            Watcher::start(client, vec![NotificationLog::PREFIX.into()], deps).await.expect("an empty folder")
        });
        let (publish, committed) = watch::channel(Committed::new());
        drop(runtime.spawn(async move {
            let (mut views, mut revision) = (watcher.subscribe(), 0);
            loop {
                let view = Arc::clone(&views.borrow_and_update());
                publish.send_modify(|committed| committed.extend(changed(&view, revision)));
                revision = view.revision();
                if views.changed().await.is_err() {
                    return;
                }
            }
        }));
        Self { committed, _folder: folder, _runtime: runtime }
    }

    /// What was written down so far.
    pub(super) fn committed(&self) -> Committed {
        self.committed.borrow().clone()
    }
}

/// The groups of which something was written down after a revision.
fn changed(view: &View, after: u64) -> Committed {
    let now_ms = now_ms();
    let records = view.range(NotificationLog::PREFIX.as_bytes()).filter(|record| record.mod_revision > after);
    let groups = records.map(|record| {
        let state = records::value::<NotificationLog>(record).expect("of this version").message;
        let told: Value = serde_json::from_slice(&state.record).expect("JSON");
        told["told"]["group"].as_str().expect("a group").to_owned()
    });
    groups.map(|group| (group, now_ms)).collect()
}
