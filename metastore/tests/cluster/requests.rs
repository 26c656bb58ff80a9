//! Transactions whose answers are lost on the way, and that are therefore sent again.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::SeqCst;

use env::Scope;
use membership::{Client, MembershipConfig};
use proto::metastore::metastore_client::MetastoreClient;
use proto::metastore::{RequestId, TxnRequest};
use rpc::grpc::ChannelPool;
use telemetry::Registry;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::support::{Cluster, dial, put};

/// Carries connections to a node, and can keep its answers to itself and break off.
struct Proxy {
    address: SocketAddr,
    swallows: Arc<AtomicBool>,
    breaks: watch::Sender<()>,
}

impl Proxy {
    async fn start(target: SocketAddr, scope: &Scope) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let swallows = Arc::new(AtomicBool::new(false));
        let (breaks, broken) = watch::channel(());
        let (swallow, tasks) = (Arc::clone(&swallows), scope.clone());
        drop(scope.spawn("proxy", async move {
            loop {
                let (near, _) = listener.accept().await.unwrap();
                let far = TcpStream::connect(target).await.unwrap();
                let (swallow, mut broken) = (Arc::clone(&swallow), broken.clone());
                broken.borrow_and_update();
                drop(tasks.spawn("proxied connection", async move {
                    tokio::select! {
                        () = carry(near, far, &swallow) => {}
                        _ = broken.changed() => {}
                    }
                }));
            }
        }));
        Self { address, swallows, breaks }
    }
}

async fn carry(near: TcpStream, far: TcpStream, swallow: &AtomicBool) {
    let (mut from_near, mut to_near) = near.into_split();
    let (mut from_far, mut to_far) = far.into_split();
    let there = async {
        let _ = tokio::io::copy(&mut from_near, &mut to_far).await;
    };
    let back = async {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(read @ 1..) = from_far.read(&mut buffer).await {
            if !swallow.load(SeqCst) && to_near.write_all(&buffer[..read]).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = there => {}
        () = back => {}
    }
}

fn client_of(cluster: &Cluster, address: SocketAddr, scope: &Scope) -> Client {
    let config = MembershipConfig { addresses: vec![address.to_string()], ..MembershipConfig::default() };
    let pool = Arc::new(ChannelPool::new(dial(&cluster.clock, scope)));
    Client::new(config, pool, cluster.clock.clone(), Arc::new(env::OsSeededRng::new()), &Registry::new())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_whose_answer_is_lost_is_done_once() {
    let cluster = Cluster::new(1).await;
    let scope = Scope::new("proxy");
    let proxy = Proxy::start(cluster.nodes[0].addr, &scope).await;
    let client = client_of(&cluster, proxy.address, &scope);
    client.txn(put("other", "1")).await.unwrap();
    for round in 1..=3 {
        proxy.swallows.store(true, SeqCst);
        let sending = {
            let client = client.clone();
            scope.spawn("sender", async move { client.txn(put("counted", &round.to_string())).await })
        };
        let version = move |c: &Cluster| {
            c.view(0).read(|state| state.get(b"counted").map_or(0, |record| record.version))
        };
        cluster.until("it is done", move |c| version(c) == round).await;
        proxy.swallows.store(false, SeqCst);
        proxy.breaks.send_replace(());
        let answer = sending.await.unwrap().unwrap();
        let (done, record) =
            cluster.view(0).read(|state| (state.revision(), state.get(b"counted").cloned().unwrap()));
        assert_eq!(record.version, round, "the one that was sent again was not done again");
        assert_eq!(answer.header.unwrap().revision, done);
        let result = answer.result.unwrap();
        assert_eq!(result.results[0].record.as_ref().unwrap().mod_revision, record.mod_revision);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_done_is_remembered_through_restarts_snapshots_and_other_leaders() {
    let mut cluster = Cluster::with(3, |config| config.snapshot_entries = 20).await;
    let client = cluster.client();
    let scope = Scope::new("sender");
    let request = |again| TxnRequest {
        txn: Some(put("once", "1")),
        request: Some(RequestId { id: vec![7; 16].into(), again, known_revision: 0 }),
    };
    let pool = ChannelPool::new(dial(&cluster.clock, &scope));
    let send = async |cluster: &Cluster, again| {
        loop {
            let leader = cluster.leader().await;
            let channel = pool.get(&cluster.nodes[leader].addr.to_string()).unwrap();
            if let Ok(answer) = MetastoreClient::new(channel).txn(request(again)).await {
                return answer.into_inner();
            }
        }
    };
    let first = send(&cluster, false).await;
    // More than a snapshot, so that a node without a disk gets it as one.
    for at in 0..100 {
        client.txn(put("other", &at.to_string())).await.unwrap();
    }
    let leader = cluster.leader().await;
    cluster.kill(leader);
    cluster.replace_disk(leader);
    let second = send(&cluster, true).await;
    assert_eq!((second.result.as_ref(), first.result.is_some()), (first.result.as_ref(), true));
    assert_eq!(second.header.unwrap().revision, first.header.unwrap().revision);
    cluster.start(leader).await;
    let has_it = |c: &Cluster| c.view(leader).read(|state| state.get(b"once").is_some());
    cluster.until("the new disk has the state", has_it).await;
    (0..3).for_each(|at| cluster.kill(at));
    for at in 0..3 {
        cluster.start(at).await;
    }
    let third = send(&cluster, true).await;
    assert_eq!(third.result, first.result);
    for at in 0..3 {
        let version = |c: &Cluster| c.view(at).read(|state| state.get(b"once").map(|record| record.version));
        cluster.until("it was done once", |c| version(c) == Some(1)).await;
    }
}
