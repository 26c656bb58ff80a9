//! `barograph metastore …` against a running node.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use env::{Clock, OsSeededRng, Scope, SystemClock};
use metastore::store::{Engine, MemoryEngine, RocksEngine};
use metastore::{Deps, Metastore, MetastoreConfig, Peer};
use rpc::grpc::{ClientPolicy, GrpcConfig, GrpcMetrics, GrpcServer, ServerPolicy, TcpDial};
use settings::{Secret, Setting as _};
use telemetry::Registry;

const SECRET: &str = "not for everybody";

fn grpc() -> GrpcConfig {
    GrpcConfig { cluster_secret: Secret::parse(SECRET).expect("a text is a secret"), ..GrpcConfig::default() }
}

/// Starts a node; one without voters founds a cluster of its own.
async fn node(name: &str, engine: Arc<dyn Engine>, voters: Vec<Peer>) -> (Metastore, SocketAddr) {
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

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_looks_adds_removes_backs_up_and_restores() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let secret = dir.path().join("secret");
    std::fs::write(&secret, format!("{SECRET}\n")).unwrap();

    let (first, at) = node("first", Arc::new(MemoryEngine::new()), Vec::new()).await;
    let status = barograph(arguments(&["status"], at, &secret)).await.unwrap();
    assert!(status.contains("first") && status.contains("leader"), "{status}");
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
    let engine = Arc::new(RocksEngine::open(&dir.path().join("restored")).unwrap());
    let (restored, at) = node("again", engine, Vec::new()).await;
    let mut status = Err(String::new());
    for _ in 0..10 {
        status = barograph(arguments(&["status"], at, &secret)).await;
        if status.as_ref().is_ok_and(|text| text.contains("leader")) {
            break;
        }
        SystemClock::new().sleep(Duration::from_millis(200)).await;
    }
    assert!(status.as_ref().is_ok_and(|text| text.contains("again")), "{status:?}");
    restored.stop().await;
}
