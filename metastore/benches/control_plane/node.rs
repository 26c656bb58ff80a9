//! A node of the metastore as a process: this program, started again.

use std::path::Path;
use std::sync::Arc;

use env::{Clock, OsSeededRng, Scope, SystemClock};
use metastore::store::RocksEngine;
use metastore::{Deps, Metastore, MetastoreConfig, Peer};
use rpc::grpc::{ClientPolicy, GrpcConfig, GrpcMetrics, GrpcServer, ServerPolicy, TcpDial};
use settings::{Secret, Setting as _};
use telemetry::Registry;

const SECRET: &str = "a secret of the benchmark";

/// The settings of connections.
pub(crate) fn grpc() -> GrpcConfig {
    GrpcConfig { cluster_secret: Secret::parse(SECRET).unwrap(), ..GrpcConfig::default() }
}

/// The way to other processes.
pub(crate) fn dial(clock: &Arc<dyn Clock>, scope: &Scope) -> TcpDial {
    let metrics = GrpcMetrics::register(&Registry::new(), Arc::clone(clock));
    let policy = ClientPolicy::new(&grpc(), metrics, Arc::clone(clock)).unwrap();
    TcpDial::new(grpc(), policy, scope)
}

/// Runs the node `name` at `address`, with its data in `dir`, until it is killed. `timing` is a heartbeat interval and
/// an election timeout, where they are not to be the usual ones.
pub(crate) async fn run(name: &str, address: &str, voters: &str, dir: &str, timing: Option<(&str, &str)>) {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let scope = Scope::new("node");
    let voters = voters.split(',').map(|voter| Peer::parse(voter).unwrap()).collect();
    let mut config = MetastoreConfig { name: name.to_owned(), voters, ..MetastoreConfig::default() };
    if let Some((heartbeat, election)) = timing {
        config.heartbeat_interval = settings::Setting::parse(heartbeat).unwrap();
        config.election_timeout = settings::Setting::parse(election).unwrap();
    }
    let metrics = GrpcMetrics::register(&Registry::new(), Arc::clone(&clock));
    let policy = ServerPolicy::new(&grpc(), metrics, Arc::clone(&clock)).unwrap();
    let listening = GrpcServer::bind(address.parse().unwrap(), grpc(), policy, &scope, Arc::clone(&clock));
    let server = listening.await.unwrap();
    let deps = Deps {
        engine: Arc::new(RocksEngine::open(Path::new(dir)).unwrap()),
        clock: Arc::clone(&clock),
        rng: Arc::new(OsSeededRng::new()),
        scope: scope.clone(),
        registry: Registry::new(),
        dial: Arc::new(dial(&clock, &scope)),
        address: address.to_owned(),
        max_message_bytes: grpc().max_message_bytes(),
    };
    let node = Metastore::start(config, deps).await.unwrap();
    server.serve(node.routes(), std::future::pending()).await;
}
