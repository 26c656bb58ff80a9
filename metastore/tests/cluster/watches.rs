//! Views that follow, resume, begin again, and outlive the metastore.

use std::sync::Arc;
use std::time::Duration;

use env::Scope;
use membership::{MembershipConfig, View};
use metastore::state::HISTORY_EVENTS;
use proto::metastore::watch_response::Frame;
use proto::metastore::{Op, Put, Txn, WatchRequest, op};

use crate::support::{Cluster, PATIENCE, put, surely};

fn values(view: &View) -> Vec<String> {
    let text = |bytes: &bytes::Bytes| String::from_utf8(bytes.to_vec()).unwrap();
    view.range(b"w/").map(|record| format!("{}={}", text(&record.key), text(&record.value))).collect()
}

async fn reached(watcher: &membership::Watcher, revision: u64) -> Arc<View> {
    tokio::time::timeout(PATIENCE, watcher.reached(revision)).await.expect("the view arrives")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_view_follows_through_leader_kills_and_is_there_when_the_metastore_is_not() {
    let mut cluster = Cluster::new(3).await;
    let client = cluster.client();
    let dir = tempfile::tempdir().unwrap();
    let scope = Scope::new("watcher");
    client.txn(put("w/a", "1")).await.unwrap();
    client.txn(put("other", "1")).await.unwrap();
    let watcher = cluster.watcher(&client, "w/", dir.path().join("view"), &scope).await;
    assert_eq!(values(&tokio::time::timeout(PATIENCE, watcher.known()).await.unwrap()), ["w/a=1"]);

    let mut last = 0;
    for round in 0..3 {
        let leader = cluster.leader().await;
        cluster.kill(leader);
        last = surely(&client, put("w/b", &round.to_string())).await;
        let view = reached(&watcher, last).await;
        assert_eq!(values(&view), ["w/a=1".to_owned(), format!("w/b={round}")]);
        cluster.start(leader).await;
    }
    // Long enough to be saved.
    cluster.clock.sleep(Duration::from_millis(500)).await;
    (0..3).for_each(|at| cluster.kill(at));
    scope.abort();

    let scope = Scope::new("watcher again");
    let watcher = cluster.watcher(&cluster.client(), "w/", dir.path().join("view"), &scope).await;
    assert_eq!(values(&watcher.view()), ["w/a=1", "w/b=2"], "at once, without the metastore");
    for at in 0..3 {
        cluster.start(at).await;
    }
    let written = surely(&cluster.client(), put("w/c", "1")).await;
    let view = reached(&watcher, written).await;
    assert_eq!(values(&view), ["w/a=1", "w/b=2", "w/c=1"]);
    assert!(view.revision() > last);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_heard_last_is_saved_by_a_process_that_stops_in_order() {
    let mut cluster = Cluster::new(1).await;
    let seldom = MembershipConfig { save_interval: Duration::from_secs(600), ..cluster.config_of(&[0]) };
    let client = cluster.client_with(seldom);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("view");
    let scope = Scope::new("watcher");
    client.txn(put("w/a", "1")).await.unwrap();
    let watcher = cluster.watcher(&client, "w/", path.clone(), &scope).await;
    tokio::time::timeout(PATIENCE, watcher.known()).await.unwrap();
    cluster.until("the first save", |_| path.exists()).await;
    let last = surely(&client, put("w/b", "1")).await;
    reached(&watcher, last).await;
    watcher.save().await;
    cluster.kill(0);
    scope.abort();

    let watcher = cluster.watcher(&client, "w/", path, &Scope::new("watcher again")).await;
    assert_eq!(values(&watcher.view()), ["w/a=1", "w/b=1"]);
}

/// One revision with many events.
fn burst(value: usize) -> Txn {
    let put = |key: usize| Put {
        key: format!("w/{key:03}").into(),
        value: value.to_string().into(),
        lease: String::new(),
    };
    Txn { then: (0..512).map(|key| Op { op: Some(op::Op::Put(put(key))) }).collect(), ..Txn::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revision_that_is_forgotten_says_so_and_a_snapshot_follows() {
    let cluster = Cluster::new(1).await;
    let client = cluster.client();
    let first = client.txn(put("w/gone", "1")).await.unwrap().header.unwrap();
    let delete = Op { op: Some(op::Op::Delete("w/gone".into())) };
    client.txn(Txn { then: vec![delete], ..Txn::default() }).await.unwrap();
    let bursts = HISTORY_EVENTS / 512 + 2;
    for value in 0..bursts {
        client.txn(burst(value)).await.unwrap();
    }
    let request = WatchRequest {
        prefixes: vec!["w/".into()],
        after_revision: first.revision,
        cluster_id: first.cluster_id,
    };
    let mut frames = client.watch(request.clone()).await.unwrap();
    let frame = frames.message().await.unwrap().unwrap().frame;
    let Some(Frame::CompactedRevision(compacted)) = frame else { panic!("{frame:?}") };
    assert!(compacted > first.revision);
    assert!(frames.message().await.unwrap().is_none(), "it is the last frame");

    // From there on, everything is told, and from another cluster's revision nothing.
    let recent = WatchRequest { after_revision: compacted, ..request.clone() };
    let mut frames = client.watch(recent).await.unwrap();
    let Some(Frame::Events(events)) = frames.message().await.unwrap().unwrap().frame else {
        panic!("no events")
    };
    assert_eq!(events.events[0].record.as_ref().unwrap().mod_revision, compacted + 1);
    let foreign = WatchRequest { after_revision: compacted, cluster_id: 1, ..request };
    let mut frames = client.watch(foreign).await.unwrap();
    assert!(matches!(frames.message().await.unwrap().unwrap().frame, Some(Frame::CompactedRevision(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_view_that_was_away_for_too_long_is_replaced_by_a_snapshot() {
    let mut cluster = Cluster::new(1).await;
    let client = cluster.client();
    let dir = tempfile::tempdir().unwrap();
    let scope = Scope::new("watcher");
    let first = client.txn(put("w/gone", "1")).await.unwrap().header.unwrap();
    let watcher = cluster.watcher(&client, "w/", dir.path().join("view"), &scope).await;
    reached(&watcher, first.revision).await;
    cluster.clock.sleep(Duration::from_millis(300)).await;
    scope.abort();

    let delete = Op { op: Some(op::Op::Delete("w/gone".into())) };
    client.txn(Txn { then: vec![delete], ..Txn::default() }).await.unwrap();
    let mut last = 0;
    for value in 0..HISTORY_EVENTS / 512 + 2 {
        last = client.txn(burst(value)).await.unwrap().header.unwrap().revision;
    }
    // The history is on the disk too.
    cluster.kill(0);
    let watcher = cluster.watcher(&client, "w/", dir.path().join("view"), &Scope::new("again")).await;
    assert_eq!(values(&watcher.view()), ["w/gone=1"]);
    cluster.start(0).await;
    let view = reached(&watcher, last).await;
    assert_eq!(values(&view).len(), 512);
    assert!(view.get(b"w/gone").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_hears_that_it_is_current_while_only_others_change() {
    let cluster =
        Cluster::with(1, |config| config.watch_progress_interval = Duration::from_millis(100)).await;
    let client = cluster.client();
    let first = client.txn(put("w/a", "1")).await.unwrap().header.unwrap();
    let request = WatchRequest {
        prefixes: vec!["w/".into()],
        after_revision: first.revision,
        cluster_id: first.cluster_id,
    };
    let mut frames = client.watch(request).await.unwrap();
    let (stop, mut stopped) = tokio::sync::oneshot::channel::<()>();
    let busy = Scope::new("busy").spawn("writer", async move {
        let mut written = 0;
        while stopped.try_recv().is_err() {
            client.txn(put("other/a", &written.to_string())).await.unwrap();
            written += 1;
        }
        written
    });
    for _ in 0..3 {
        let frame =
            tokio::time::timeout(PATIENCE, frames.message()).await.expect("it is told").unwrap().unwrap();
        assert!(matches!(frame.frame, Some(Frame::Progress(true))), "{frame:?}");
        assert!(frame.header.unwrap().revision > first.revision);
    }
    stop.send(()).unwrap();
    assert!(busy.await.unwrap() > 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_that_come_close_together_are_told_together_and_none_is_missing() {
    let cluster = Cluster::with(1, |config| config.watch_gap = Duration::from_millis(300)).await;
    let client = cluster.client();
    let first = client.txn(put("w/a", "0")).await.unwrap().header.unwrap();
    let request = WatchRequest {
        prefixes: vec!["w/".into()],
        after_revision: first.revision,
        cluster_id: first.cluster_id,
    };
    let mut frames = client.watch(request).await.unwrap();
    let mut last = first.revision;
    for value in 1..=40 {
        last = client.txn(put("w/a", &value.to_string())).await.unwrap().header.unwrap().revision;
    }
    let (mut told, mut seen) = (0, first.revision);
    while seen < last {
        let frame =
            tokio::time::timeout(PATIENCE, frames.message()).await.expect("it is told").unwrap().unwrap();
        let Some(Frame::Events(events)) = frame.frame else { continue };
        for event in events.events {
            let revision = event.record.unwrap().mod_revision;
            assert_eq!(revision, seen + 1);
            seen = revision;
        }
        told += 1;
    }
    assert!(told < 40, "{told} frames for 40 changes");
}
