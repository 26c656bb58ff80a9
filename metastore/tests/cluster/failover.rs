//! What a crash of one, or of all, leaves.

use std::time::Duration;

use metastore::state::State;
use proto::Code;
use proto::metastore::{Consistency, RangeRequest};

use crate::support::{Cluster, put, value};

#[tokio::test(flavor = "multi_thread")]
async fn one_node_is_a_cluster() {
    let mut cluster = Cluster::with(1, |config| config.voters.clear()).await;
    let client = cluster.client();
    client.txn(put("a", "1")).await.unwrap();
    cluster.kill(0);
    cluster.start(0).await;
    assert_eq!(value(&client, "a").await.unwrap(), "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_leader_is_replaced_and_nothing_acknowledged_is_lost() {
    let mut cluster = Cluster::new(3).await;
    let client = cluster.client();
    let mut slowest = Duration::ZERO;
    for round in 0..3 {
        let leader = cluster.leader().await;
        client.txn(put(&format!("key{round}"), "acknowledged")).await.unwrap();
        let begun = cluster.clock.monotonic();
        cluster.kill(leader);
        cluster.leader().await;
        let taken = cluster.clock.monotonic().saturating_sub(begun);
        slowest = slowest.max(taken);
        for before in 0..=round {
            assert_eq!(value(&client, &format!("key{before}")).await.as_deref(), Some("acknowledged"));
        }
        cluster.start(leader).await;
    }
    println!("slowest new leader after {slowest:?}");
    // Two seconds on a quiet machine; recorded, and only what is out of all proportion fails.
    assert!(slowest < Duration::from_secs(10), "{slowest:?}");
    cluster.until("all nodes agree", |c| same_everywhere(c, 3)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_comes_back_after_all_were_killed_at_once() {
    let mut cluster = Cluster::with(3, |config| config.snapshot_entries = 20).await;
    let client = cluster.client();
    for at in 0..100 {
        client.txn(put(&format!("key{}", at % 10), &at.to_string())).await.unwrap();
    }
    let id = cluster.view(0).read(State::cluster_id);
    (0..3).for_each(|at| cluster.kill(at));
    for at in 0..3 {
        cluster.start(at).await;
    }
    for at in 90..100 {
        assert_eq!(value(&client, &format!("key{}", at % 10)).await, Some(at.to_string()));
    }
    cluster.until("all nodes agree", |c| same_everywhere(c, 3)).await;
    assert_eq!(cluster.view(0).read(State::cluster_id), id);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_quorum_nothing_is_promised_and_the_age_of_what_is_read_is_said() {
    let mut cluster = Cluster::new(3).await;
    let client = cluster.client();
    client.txn(put("a", "1")).await.unwrap();
    cluster.until("all have it", |c| (0..3).all(|at| c.view(at).read(|s| s.get(b"a").is_some()))).await;
    let leader = cluster.leader().await;
    let left = (leader + 1) % 3;
    cluster.kill(leader);
    cluster.kill((leader + 2) % 3);
    let client = cluster.client_of(&[left]);
    let error = client.txn(put("a", "2")).await.unwrap_err();
    assert!(matches!(error.code, Code::Unavailable | Code::DeadlineExceeded), "{error:?}");
    assert!(client.get("a").await.is_err(), "a linearizable read needs a quorum");
    let stale =
        RangeRequest { key: "a".into(), consistency: Consistency::Stale.into(), ..RangeRequest::default() };
    let first = client.range(stale.clone()).await.unwrap();
    assert_eq!(first.records[0].value, "1");
    cluster.clock.sleep(Duration::from_millis(200)).await;
    let second = client.range(stale).await.unwrap();
    let ages = (first.header.unwrap().staleness_ms.unwrap(), second.header.unwrap().staleness_ms.unwrap());
    assert!(ages.1 >= ages.0 + 200, "{ages:?}");
}

pub(crate) fn same_everywhere(cluster: &Cluster, nodes: usize) -> bool {
    let first = cluster.view(0).read(State::to_image);
    (1..nodes).all(|at| cluster.view(at).read(State::to_image) == first)
}
