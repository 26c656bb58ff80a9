//! Nodes in one process, over real loopback gRPC, that can be killed, restarted, and given an empty disk.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use env::{Clock, OsSeededRng, RealFs, Scope, SystemClock};
use membership::{Client, MembershipConfig, Watcher, WatcherDeps};
use metastore::store::{Engine, RocksEngine, View};
use metastore::{Deps, Metastore, MetastoreConfig, Peer};
use proto::metastore::{Op, Put, Txn, op};
use rpc::grpc::{ChannelPool, ClientPolicy, GrpcConfig, GrpcMetrics, GrpcServer, ServerPolicy, TcpDial};
use settings::{Secret, Setting as _};
use telemetry::Registry;
use tempfile::TempDir;

/// How long a test waits for what has to come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) addr: SocketAddr,
    pub(crate) dir: TempDir,
    pub(crate) running: Option<Running>,
}

pub(crate) struct Running {
    pub(crate) scope: Scope,
    pub(crate) metastore: Metastore,
}

pub(crate) struct Cluster {
    pub(crate) nodes: Vec<Node>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) config: MetastoreConfig,
    voters: Vec<Peer>,
}

pub(crate) fn grpc() -> GrpcConfig {
    GrpcConfig {
        cluster_secret: Secret::parse("a secret of the test").unwrap(),
        connect_timeout: Duration::from_millis(300),
        drain_timeout: Duration::from_secs(1),
        ..GrpcConfig::default()
    }
}

pub(crate) fn dial(clock: &Arc<dyn Clock>, scope: &Scope) -> Arc<TcpDial> {
    let metrics = GrpcMetrics::register(&Registry::new(), clock.clone());
    let policy = ClientPolicy::new(&grpc(), metrics, clock.clone()).unwrap();
    Arc::new(TcpDial::new(grpc(), policy, scope))
}

impl Cluster {
    /// So many voters, which found a cluster, with a changed configuration.
    pub(crate) async fn with(voters: usize, change: impl FnOnce(&mut MetastoreConfig)) -> Self {
        let mut config = MetastoreConfig::default();
        change(&mut config);
        let mut cluster =
            Self { nodes: Vec::new(), clock: Arc::new(SystemClock::new()), config, voters: Vec::new() };
        for at in 0..voters {
            cluster.make(&format!("m{at}")).await;
        }
        let peers = cluster.nodes.iter();
        cluster.voters = peers.map(|n| Peer { name: n.name.clone(), address: n.addr.to_string() }).collect();
        for at in 0..voters {
            cluster.start(at).await;
        }
        cluster.leader().await;
        cluster
    }

    pub(crate) async fn new(voters: usize) -> Self {
        Self::with(voters, |_| {}).await
    }

    /// A place for one more node, which does not run yet.
    pub(crate) async fn make(&mut self, name: &str) -> usize {
        let addr = testkit::free_address();
        let dir = tempfile::tempdir().unwrap();
        self.nodes.push(Node { name: name.to_owned(), addr, dir, running: None });
        self.nodes.len() - 1
    }

    /// Starts a node on what its directory holds. One that was no voter from the beginning waits to be added.
    pub(crate) async fn start(&mut self, at: usize) {
        let clock = self.clock.clone();
        let (name, addr, dir) = {
            let node = &self.nodes[at];
            (node.name.clone(), node.addr, node.dir.path().to_owned())
        };
        let scope = Scope::new(name.clone());
        let engine = open(&dir, &*clock).await;
        let policy = {
            let metrics = GrpcMetrics::register(&Registry::new(), clock.clone());
            ServerPolicy::new(&grpc(), metrics, clock.clone()).unwrap()
        };
        let server = loop {
            match GrpcServer::bind(addr, grpc(), policy.clone(), &scope, clock.clone()).await {
                Ok(server) => break server,
                Err(_) => clock.sleep(Duration::from_millis(10)).await,
            }
        };
        let mut voters = self.voters.clone();
        if !voters.iter().any(|peer| peer.name == name) {
            // It must not found a cluster of its own, and nobody has told the others of it.
            voters = vec![Peer { name: "nobody".to_owned(), address: "127.0.0.1:1".to_owned() }];
        }
        let config = MetastoreConfig { name, voters, ..self.config.clone() };
        let deps = Deps {
            engine,
            clock: clock.clone(),
            rng: Arc::new(OsSeededRng::new()),
            scope: scope.clone(),
            registry: Registry::new(),
            dial: dial(&clock, &scope),
            address: addr.to_string(),
            max_message_bytes: grpc().max_message_bytes(),
        };
        let metastore = Metastore::start(config, deps).await.unwrap();
        drop(scope.spawn("serve", server.serve(metastore.routes(), std::future::pending())));
        self.nodes[at].running = Some(Running { scope, metastore });
    }

    /// Ends a node as a crash does: nothing of it runs any more.
    pub(crate) fn kill(&mut self, at: usize) {
        if let Some(running) = self.nodes[at].running.take() {
            running.scope.abort();
        }
    }

    /// Gives a node that does not run an empty disk.
    pub(crate) fn replace_disk(&mut self, at: usize) {
        assert!(self.nodes[at].running.is_none());
        self.nodes[at].dir = tempfile::tempdir().unwrap();
    }

    pub(crate) fn view(&self, at: usize) -> View {
        self.nodes[at].running.as_ref().unwrap().metastore.view().clone()
    }

    pub(crate) fn id(&self, at: usize) -> u64 {
        self.nodes[at].running.as_ref().unwrap().metastore.id()
    }

    /// The node that leads, once there is one that the others know too.
    pub(crate) async fn leader(&self) -> usize {
        let found = async {
            loop {
                let leads = |node: &Node| node.running.as_ref().is_some_and(|r| r.metastore.is_leader());
                let leaders: Vec<usize> =
                    (0..self.nodes.len()).filter(|at| leads(&self.nodes[*at])).collect();
                if let [leader] = leaders[..]
                    && self.view(leader).read(metastore::state::State::cluster_id) != 0
                {
                    return leader;
                }
                self.clock.sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, found).await.expect("a leader is elected")
    }

    /// A client of all nodes that there are now.
    pub(crate) fn client(&self) -> Client {
        self.client_of(&(0..self.nodes.len()).collect::<Vec<_>>())
    }

    pub(crate) fn client_of(&self, nodes: &[usize]) -> Client {
        self.client_with(self.config_of(nodes))
    }

    pub(crate) fn config_of(&self, nodes: &[usize]) -> MembershipConfig {
        MembershipConfig {
            addresses: nodes.iter().map(|at| self.nodes[*at].addr.to_string()).collect(),
            attempt_timeout: Duration::from_secs(1),
            lease_ttl: Duration::from_secs(1),
            save_interval: Duration::from_millis(10),
            silence_timeout: Duration::from_secs(2),
            ..MembershipConfig::default()
        }
    }

    pub(crate) fn client_with(&self, config: MembershipConfig) -> Client {
        let pool = Arc::new(ChannelPool::new(dial(&self.clock, &Scope::new("client"))));
        Client::new(config, pool, self.clock.clone(), Arc::new(OsSeededRng::new()), &Registry::new())
    }

    pub(crate) async fn watcher(
        &self,
        client: &Client,
        prefix: &str,
        path: PathBuf,
        scope: &Scope,
    ) -> Watcher {
        let deps = WatcherDeps { fs: Arc::new(RealFs), path, scope: scope.clone() };
        Watcher::start(client.clone(), vec![prefix.to_owned().into()], deps).await.unwrap()
    }

    /// Waits until a condition holds.
    pub(crate) async fn until(&self, what: &str, mut holds: impl FnMut(&Self) -> bool) {
        let wait = async {
            while !holds(self) {
                self.clock.sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("never: {what}"));
    }
}

/// Opens a directory; the node that was killed there may not have let go of it yet.
async fn open(dir: &std::path::Path, clock: &dyn Clock) -> Arc<dyn Engine> {
    for _ in 0..500 {
        match RocksEngine::open(dir) {
            Ok(engine) => return Arc::new(engine),
            Err(error) if error.message.contains("lock") => clock.sleep(Duration::from_millis(10)).await,
            Err(error) => panic!("{error}"),
        }
    }
    panic!("{} stays locked", dir.display());
}

pub(crate) fn put(key: &str, value: &str) -> Txn {
    let put = Put { key: key.to_owned().into(), value: value.to_owned().into(), lease: String::new() };
    Txn { then: vec![Op { op: Some(op::Op::Put(put)) }], ..Txn::default() }
}

/// Does what may be done twice until it is known to be done; gives its revision.
pub(crate) async fn surely(client: &Client, txn: Txn) -> u64 {
    loop {
        if let Ok(done) = client.txn(txn.clone()).await {
            return done.header.unwrap().revision;
        }
    }
}

pub(crate) async fn value(client: &Client, key: &str) -> Option<String> {
    let record = client.get(key.to_owned()).await.unwrap()?;
    Some(String::from_utf8(record.value.to_vec()).unwrap())
}
