//! Nodes come, go, and lose their disks.

use std::time::Duration;

use env::OsSeededRng;
use metastore::state::State;
use metastore::store::RocksEngine;
use proto::Code;
use proto::metastore::{Node, StatusResponse};

use crate::failover::same_everywhere;
use crate::support::{Cluster, put, surely, value};

fn names(status: &StatusResponse, voter: bool) -> Vec<String> {
    let nodes = status.nodes.iter().filter(|node| node.voter == voter);
    let mut names: Vec<String> = nodes.map(|node| node.node.clone().unwrap().name).collect();
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn a_learner_gets_a_snapshot_then_a_vote_and_others_leave() {
    let mut cluster = Cluster::with(3, |config| {
        config.snapshot_entries = 20;
        config.kept_entries = 0;
    })
    .await;
    let client = cluster.client();
    for at in 0..100 {
        client.txn(put(&format!("key{at}"), &"v".repeat(50_000))).await.unwrap();
    }
    let leader = cluster.leader().await;
    cluster.until("the log is shortened", |c| c.view(leader).progress().borrow().index.is_some()).await;
    assert!(client.status().await.unwrap().purged_index > 0, "the new node cannot be sent the log alone");

    let new = cluster.make("m3").await;
    cluster.start(new).await;
    let added = client.add_node(&cluster.nodes[new].addr.to_string(), true).await.unwrap();
    assert_eq!(added.id, cluster.id(new));
    cluster.until("the learner has everything", |c| c.view(new).read(State::len) == 100).await;
    assert_eq!(names(&client.status().await.unwrap(), false), ["m3"]);

    client.add_node(&cluster.nodes[new].addr.to_string(), false).await.unwrap();
    assert_eq!(names(&client.status().await.unwrap(), true), ["m0", "m1", "m2", "m3"]);
    client.remove_node("m0").await.unwrap();
    // Any node answers, as far as it has heard.
    let rest = cluster.client_of(&[1, 2, 3]);
    while names(&rest.status().await.unwrap(), true) != ["m1", "m2", "m3"] {
        cluster.clock.sleep(Duration::from_millis(20)).await;
    }
    cluster.kill(0);

    // The three that are left survive the loss of one.
    let leader = cluster.leader().await;
    cluster.kill(leader);
    let rest: Vec<usize> = (1..4).filter(|at| *at != leader).collect();
    let client = cluster.client_of(&rest);
    surely(&client, put("after", "1")).await;
    assert_eq!(value(&client, "after").await.as_deref(), Some("1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_makes_no_sense_is_refused_with_a_reason() {
    let mut cluster = Cluster::with(1, |config| config.voters.clear()).await;
    let client = cluster.client();
    assert_eq!(client.remove_node("m0").await.unwrap_err().code, Code::Unprocessable);
    let error = client.remove_node("nobody").await.unwrap_err();
    assert_eq!(error.code, Code::NotFound);
    assert!(error.message.contains("m0"), "{}", error.message);
    assert_eq!(client.add_node("127.0.0.1:1", false).await.unwrap_err().code, Code::Unprocessable);
    assert_eq!(client.add_node("no address", false).await.unwrap_err().code, Code::InvalidArgument);

    // A node of another cluster.
    let mut other = Cluster::with(1, |config| config.voters.clear()).await;
    let error = client.add_node(&other.nodes[0].addr.to_string(), false).await.unwrap_err();
    assert_eq!(error.code, Code::Unprocessable);
    other.kill(0);
    cluster.kill(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replaced_disk_makes_another_node_which_takes_the_place_of_the_former() {
    let mut cluster = Cluster::new(3).await;
    let client = cluster.client();
    client.txn(put("a", "1")).await.unwrap();
    let follower = (cluster.leader().await + 1) % 3;
    let former = cluster.id(follower);
    cluster.kill(follower);
    cluster.replace_disk(follower);
    cluster.start(follower).await;
    assert_ne!(cluster.id(follower), former, "it has no vote that it could have forgotten");
    cluster.until("it has the data", |c| c.view(follower).read(|s| s.get(b"a").is_some())).await;
    let expected = cluster.id(follower);
    for _ in 0..200 {
        let status = client.status().await.unwrap();
        let voters: Vec<u64> = status.nodes.iter().filter(|node| node.voter).map(|node| node.id).collect();
        if voters.contains(&expected) && !voters.contains(&former) && voters.len() == 3 {
            break;
        }
        cluster.clock.sleep(Duration::from_millis(50)).await;
    }
    let status = client.status().await.unwrap();
    assert_eq!(names(&status, true), ["m0", "m1", "m2"]);
    assert!(!status.nodes.iter().any(|node| node.id == former));

    // It counts: with another one gone, there is a quorum.
    let leader = cluster.leader().await;
    let third = (0..3).find(|at| *at != leader && *at != follower).unwrap_or((follower + 1) % 3);
    cluster.kill(third);
    surely(&client, put("a", "2")).await;
    cluster
        .until("the new disk has it", |c| {
            c.view(follower).read(|state| state.get(b"a").is_some_and(|record| record.value == "2"))
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_majority_of_empty_disks_does_not_found_a_second_cluster() {
    let mut cluster = Cluster::new(3).await;
    let client = cluster.client();
    client.txn(put("a", "1")).await.unwrap();
    cluster.until("all have it", |c| same_everywhere(c, 3)).await;
    let id = cluster.view(2).read(State::cluster_id);
    for at in 0..2 {
        cluster.kill(at);
        cluster.replace_disk(at);
    }
    for at in 0..2 {
        cluster.start(at).await;
    }
    cluster.clock.sleep(Duration::from_secs(3)).await;
    for at in 0..2 {
        assert_eq!(cluster.view(at).read(State::cluster_id), 0, "node {at} waits");
    }
    assert_eq!(cluster.view(2).read(State::cluster_id), id);
    assert!(cluster.client().get("a").await.is_err(), "no quorum of those who know, no answer");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_restored_as_a_new_cluster_that_others_join() {
    let mut source = Cluster::new(3).await;
    let client = source.client();
    for at in 0..20 {
        client.txn(put(&format!("key{at}"), "v")).await.unwrap();
    }
    let backup = client.backup().await.unwrap();
    let old_id = source.view(0).read(State::cluster_id);
    (0..3).for_each(|at| source.kill(at));

    (0..3).for_each(|at| source.replace_disk(at));
    let node = Node { name: "m1".to_owned(), address: source.nodes[1].addr.to_string() };
    {
        let engine = RocksEngine::open(source.nodes[1].dir.path()).unwrap();
        let restored = metastore::restore(&engine, &backup, &node, &OsSeededRng::new()).unwrap();
        assert_eq!(restored.records, 20);
        let again = metastore::restore(&engine, &backup, &node, &OsSeededRng::new());
        assert!(matches!(again, Err(metastore::RestoreError::NotEmpty)));
        let damaged = backup.slice(..backup.len() - 1);
        assert!(metastore::restore(&engine, &damaged, &node, &OsSeededRng::new()).is_err());
    }
    for at in 0..3 {
        source.start(at).await;
    }
    let client = source.client();
    assert_eq!(value(&client, "key7").await.as_deref(), Some("v"));
    source.until("all have joined", |c| (0..3).all(|at| c.view(at).read(State::len) == 20)).await;
    assert_ne!(source.view(1).read(State::cluster_id), old_id);
    surely(&client, put("new", "1")).await;
    source.until("all agree", |c| same_everywhere(c, 3)).await;
}
