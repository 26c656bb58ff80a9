//! Nodes of the metastore as processes, and `barograph metastore …` against running nodes.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use env::{Clock, OsSeededRng, Scope, SystemClock};
use metastore::store::{Engine, MemoryEngine, RocksEngine};
use metastore::{Deps, Metastore, MetastoreConfig, Peer};
use rpc::grpc::{ClientPolicy, GrpcConfig, GrpcMetrics, GrpcServer, ServerPolicy, TcpDial};
use rustix::process::Signal;
use settings::{Secret, Setting as _};
use telemetry::Registry;

use testkit::free_address;

use crate::support::{Barograph, INTERVAL, PATIENCE, wait_until};

const SECRET: &str = "not for everybody";

pub(crate) fn grpc() -> GrpcConfig {
    GrpcConfig { cluster_secret: Secret::parse(SECRET).expect("a text is a secret"), ..GrpcConfig::default() }
}

/// Starts a node; one without voters founds a cluster of its own.
pub(crate) async fn node(name: &str, engine: Arc<dyn Engine>, voters: Vec<Peer>) -> (Metastore, SocketAddr) {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let scope = Scope::new(name);
    let metrics = GrpcMetrics::register(&Registry::new(), clock.clone());
    let policy = ServerPolicy::new(&grpc(), metrics.clone(), clock.clone()).expect("the secret fits");
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let server = GrpcServer::bind(any, grpc(), policy, &scope, clock.clone()).await.expect("a port is free");
    let addr = server.local_addr();
    let deps = Deps {
        engine,
        dial: Arc::new(TcpDial::new(
            grpc(),
            ClientPolicy::new(&grpc(), metrics, clock.clone()).expect("the secret fits"),
            &scope,
        )),
        clock,
        rng: Arc::new(OsSeededRng::new()),
        registry: Registry::new(),
        address: addr.to_string(),
        max_message_bytes: grpc().max_message_bytes(),
        scope: scope.clone(),
    };
    let config = MetastoreConfig { name: name.to_owned(), voters, ..MetastoreConfig::default() };
    let metastore = Metastore::start(config, deps).await.expect("the node starts");
    drop(scope.spawn("serve", server.serve(metastore.routes(), std::future::pending())));
    (metastore, addr)
}

/// Runs a command; what it printed, or what it complained of.
async fn barograph(arguments: Vec<String>) -> Result<String, String> {
    let scope = Scope::new("command");
    let run = scope.run_blocking(move || {
        Command::new(env!("CARGO_BIN_EXE_barograph"))
            .arg("metastore")
            .args(arguments)
            .output()
            .expect("the program runs")
    });
    let output = run.await.expect("the program ran");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("output is text");
    if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
}

fn arguments(command: &[&str], endpoint: SocketAddr, secret: &Path) -> Vec<String> {
    let mut all: Vec<String> = command.iter().map(|&argument| argument.to_owned()).collect();
    all.extend(["--endpoint".to_owned(), endpoint.to_string()]);
    all.extend(["--secret-file".to_owned(), secret.to_str().expect("the path is text").to_owned()]);
    all
}

/// The table of a node's status as soon as the node knows a leader: it answers before that, too.
async fn status_once_led(endpoint: SocketAddr, secret: &Path) -> String {
    let clock = SystemClock::new();
    loop {
        let status = barograph(arguments(&["status"], endpoint, secret)).await;
        match status {
            Ok(text) if text.contains("leader") && !text.contains("no leader") => return text,
            other => assert!(clock.monotonic() < PATIENCE, "waited {PATIENCE:?} for a leader: {other:?}"),
        }
        clock.sleep(INTERVAL).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_looks_adds_removes_backs_up_and_restores() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let secret = dir.path().join("secret");
    std::fs::write(&secret, format!("{SECRET}\n")).unwrap();

    let (first, at) = node("first", Arc::new(MemoryEngine::new()), Vec::new()).await;
    let status = status_once_led(at, &secret).await;
    assert!(status.contains("first"), "{status}");
    let wrong = dir.path().join("wrong");
    std::fs::write(&wrong, "guessed").unwrap();
    let refused = barograph(arguments(&["status"], at, &wrong)).await.unwrap_err();
    assert!(refused.contains("secret"), "{refused}");

    // Waits to be added: its only voter is nowhere.
    let nowhere = vec![Peer { name: "nobody".into(), address: "127.0.0.1:1".into() }];
    let (second, second_at) = node("second", Arc::new(MemoryEngine::new()), nowhere).await;
    let added = barograph(arguments(&["add", &second_at.to_string()], at, &secret)).await.unwrap();
    assert!(added.contains("second") && added.contains("voter"), "{added}");
    let status = barograph(arguments(&["status", "--format", "json"], at, &secret)).await.unwrap();
    let status: serde_json::Value = serde_json::from_str(&status).unwrap();
    assert_eq!(status["nodes"].as_array().unwrap().len(), 2);
    barograph(arguments(&["remove", "second"], at, &secret)).await.unwrap();
    let refused = barograph(arguments(&["remove", "first"], at, &secret)).await.unwrap_err();
    assert!(refused.contains("only voter"), "{refused}");
    second.stop().await;

    barograph(arguments(&["backup", &path("backup")], at, &secret)).await.unwrap();
    first.stop().await;
    let restore = |data: &str| {
        ["restore", &path("backup"), "--data", data, "--name", "again", "--address", "127.0.0.1:1"]
            .map(str::to_owned)
            .to_vec()
    };
    let said = barograph(restore(&path("restored"))).await.unwrap();
    assert!(said.contains("again"), "{said}");
    let refused = barograph(restore(&path("restored"))).await.unwrap_err();
    assert!(refused.contains("empty"), "{refused}");
    assert!(dir.path().join("restored/VERSION").exists(), "it is a whole data directory");
    std::fs::write(path("damaged"), b"barograph metastore state").unwrap();
    let damaged =
        ["restore", &path("damaged"), "--data", &path("nothing"), "--name", "x", "--address", "h:1"];
    barograph(damaged.map(str::to_owned).to_vec()).await.unwrap_err();
    assert!(!dir.path().join("nothing").exists(), "a backup that cannot be read leaves nothing behind");
    let engine = Arc::new(RocksEngine::open(&dir.path().join("restored/metastore")).unwrap());
    let (restored, at) = node("again", engine, Vec::new()).await;
    let status = status_once_led(at, &secret).await;
    assert!(status.contains("again"), "{status}");
    restored.stop().await;
}

/// A node as a process; `voters` are all of them.
fn process(name: &str, at: SocketAddr, voters: &str, data: &Path) -> Barograph {
    let at = at.to_string();
    let arguments = [
        ["--target", "metastore"],
        ["--metastore.name", name],
        ["--metastore.voters", voters],
        ["--grpc.cluster-secret", SECRET],
        ["--grpc", &at],
    ];
    Barograph::start(data, &arguments.concat())
}

#[test]
fn three_processes_found_a_cluster_and_outlive_a_kill() {
    const NAMES: [&str; 3] = ["a", "b", "c"];
    let dir = tempfile::tempdir().unwrap();
    let secret = dir.path().join("secret");
    std::fs::write(&secret, SECRET).unwrap();
    let at = NAMES.map(|_| free_address());
    let voters = NAMES.iter().zip(at).map(|(name, at)| format!("{name}={at}")).collect::<Vec<_>>().join(",");
    let start = |i: usize| process(NAMES[i], at[i], &voters, &dir.path().join(NAMES[i]));
    let mut nodes: BTreeMap<usize, Barograph> = (0..3).map(|i| (i, start(i))).collect();
    // Who leads, once as many as this are there, as one that runs sees it.
    let leader_of = |nodes: &BTreeMap<usize, Barograph>, not: Option<&str>| {
        let asked = at[*nodes.keys().next().unwrap()];
        wait_until("a leader", || {
            let mut command = Barograph::command(&["metastore", "status", "--format", "json"]);
            command.args(["--endpoint", &asked.to_string(), "--secret-file", secret.to_str().unwrap()]);
            let output = command.output().unwrap();
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            let status: serde_json::Value = serde_json::from_str(&text)
                .map_err(|_| String::from_utf8_lossy(&output.stderr).into_owned())?;
            let all = status["nodes"].as_array().ok_or("no nodes")?;
            let leader =
                all.iter().find(|node| node["leader"] == true).and_then(|node| node["name"].as_str());
            let leader = leader.filter(|name| all.len() == 3 && Some(*name) != not);
            leader.map(str::to_owned).ok_or(text.clone())
        })
    };
    let first = leader_of(&nodes, None);
    let killed = NAMES.iter().position(|name| *name == first).unwrap();
    nodes.remove(&killed);
    leader_of(&nodes, Some(&first));
    nodes.insert(killed, start(killed));
    leader_of(&nodes, None);
    for (_, mut node) in nodes {
        node.program.signal(Signal::TERM);
        assert!(node.program.wait().success());
    }
}
