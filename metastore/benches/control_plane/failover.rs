//! Leaders are killed, one after another: how long until there is another, until a client's write is done, until a watch
//! goes on.

use std::sync::Arc;
use std::time::Duration;

use membership::{Client, Watcher, WatcherDeps};
use proto::metastore::{Op, Put, Txn, op};

use crate::nodes::{NAMES, Nodes};
use crate::spread;

/// How long a new cluster is left alone before the next kill.
const CALM: Duration = Duration::from_millis(1500);

pub(crate) async fn run(kills: usize, timing: Option<String>) {
    let mut nodes = Nodes::start(timing).await;
    let client = nodes.client(&[0, 1, 2]);
    let deps =
        WatcherDeps { fs: Arc::new(env::RealFs), path: nodes.path("view"), scope: nodes.scope.clone() };
    let watcher = Watcher::start(client.clone(), vec!["bench/".into()], deps).await.unwrap();
    let (mut elected, mut written, mut watched) = (Vec::new(), Vec::new(), Vec::new());
    for kill in 0..kills {
        let leader = nodes.settled().await;
        client.txn(put(kill)).await.unwrap();
        nodes.clock.sleep(CALM).await;
        let others: Vec<usize> = (0..3).filter(|node| *node != leader).collect();
        nodes.kill(leader);
        let begun = nodes.clock.monotonic();
        let since = |clock: &dyn env::Clock| clock.monotonic().saturating_sub(begun);
        let election = async {
            next_leader(&nodes, &others, leader).await;
            since(&*nodes.clock)
        };
        let writing = async {
            let revision = surely(&client, kill).await;
            let written = since(&*nodes.clock);
            watcher.reached(revision).await;
            (written, since(&*nodes.clock))
        };
        let (election, (write, watch)) = tokio::join!(election, writing);
        println!(
            "kill {:>2} of {}: leader {election:.2?}, write {write:.2?}, watch {watch:.2?}",
            kill + 1,
            NAMES[leader]
        );
        elected.push(election);
        written.push(write);
        watched.push(watch);
        nodes.begin(leader);
    }
    spread("a new leader", elected);
    spread("a client's write, begun with the kill, done", written);
    spread("a watch has it", watched);
}

/// Waits until one of the nodes that are left leads.
async fn next_leader(nodes: &Nodes, others: &[usize], former: usize) {
    let clients: Vec<Client> = others.iter().map(|node| nodes.client(&[*node])).collect();
    loop {
        for client in &clients {
            let Ok(status) = client.status().await else { continue };
            let leads = |node: &&proto::metastore::NodeStatus| node.leader;
            let leader = status.nodes.iter().find(leads).and_then(|node| node.node.as_ref());
            if leader.is_some_and(|node| node.name != NAMES[former]) {
                return;
            }
        }
        nodes.clock.sleep(Duration::from_millis(5)).await;
    }
}

async fn surely(client: &Client, value: usize) -> u64 {
    loop {
        if let Ok(done) = client.txn(put(value)).await {
            return done.header.unwrap().revision;
        }
    }
}

fn put(value: usize) -> Txn {
    let put = Put { key: "bench/key".into(), value: value.to_string().into(), lease: String::new() };
    Txn { then: vec![Op { op: Some(op::Op::Put(put)) }], ..Txn::default() }
}
