//! Places in a ring: taken at once by several, kept over restarts, seen by others, and written again where they were
//! forgotten.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use env::{RealFs, Scope};
use membership::rings::{self, Members};
use membership::{Announcement, Client, Lifecycle, Place, Watcher, WatcherDeps, records};
use proto::metastore::{InstanceState, Lease, LostRange, Txn};
use ring::{InstanceId, Quorum, RingView, State};
use telemetry::Registry;
use tempfile::TempDir;
use tokio::sync::watch;

use crate::support::{Cluster, PATIENCE};

const RING: &str = "ingester";
const ZONE: &str = "zone-a";

/// A process with a place in the ring.
struct Process {
    scope: Scope,
    client: Client,
    lifecycle: Lifecycle,
    view: watch::Receiver<Arc<RingView>>,
}

fn announcement(state: InstanceState) -> Announcement {
    Announcement {
        state,
        read_only: None,
        incarnation: 0,
        lost_ranges: Vec::new(),
        lost_with_former_life: None,
        forget_before_ms: 0,
    }
}

async fn watcher(client: &Client, path: PathBuf, scope: &Scope) -> Watcher {
    let deps = WatcherDeps { fs: Arc::new(RealFs), path, scope: scope.clone() };
    Watcher::start(client.clone(), rings::prefixes(RING), deps).await.unwrap()
}

async fn joining(cluster: &Cluster, name: &str, zone: &str, dir: &TempDir) -> Process {
    try_joining(cluster, name, zone, dir).await.unwrap()
}

async fn try_joining(
    cluster: &Cluster,
    name: &str,
    zone: &str,
    dir: &TempDir,
) -> Result<Process, membership::WrongPlace> {
    let scope = Scope::new(name);
    let client = cluster.client();
    let watcher = watcher(&client, dir.path().join(name), &scope).await;
    let view = rings::follow(&watcher, Members::new(RING, Quorum::new(3)), &Registry::new(), &scope);
    let place = Place {
        ring: RING.to_owned(),
        instance: name.to_owned(),
        zone: zone.to_owned(),
        addresses: BTreeMap::from([("grpc".to_owned(), format!("{name}:9095"))]),
    };
    let lease = Lease { instance: name.to_owned(), ..Lease::default() };
    let first = announcement(InstanceState::Joining);
    let lifecycle = Lifecycle::start(client.clone(), watcher, place, lease, first, &scope)?;
    Ok(Process { scope, client, lifecycle, view })
}

impl Process {
    async fn announce(&self, change: impl FnOnce(&mut Announcement)) {
        self.lifecycle.announce(change);
        tokio::time::timeout(PATIENCE, self.lifecycle.announced()).await.expect("written").unwrap();
    }

    async fn activate(&self) {
        self.announce(|announcement| announcement.state = InstanceState::Active).await;
    }

    /// Waits until this process sees the ring like that.
    async fn sees(&mut self, what: &str, holds: impl Fn(&RingView) -> bool) -> Arc<RingView> {
        let seen = tokio::time::timeout(PATIENCE, self.view.wait_for(|view| holds(view))).await;
        Arc::clone(&seen.unwrap_or_else(|_| panic!("never: {what}")).expect("the ring is followed"))
    }
}

fn state(view: &RingView, name: &str) -> Option<State> {
    let id = InstanceId::new(name);
    view.ring().instances().iter().find(|instance| instance.id == id).map(|instance| instance.state)
}

fn tokens(view: &RingView, name: &str) -> Arc<[u64]> {
    let id = InstanceId::new(name);
    let found = view.ring().instances().iter().find(|instance| instance.id == id);
    Arc::clone(&found.expect("it is in the ring").tokens)
}

#[tokio::test(flavor = "multi_thread")]
async fn who_joins_a_zone_at_the_same_time_gets_other_tokens_and_keeps_them() {
    let cluster = Cluster::new(1).await;
    let dir = tempfile::tempdir().unwrap();
    let names = ["i-1", "i-2", "i-3", "i-4"];
    let mut processes = Vec::new();
    for name in names {
        processes.push(joining(&cluster, name, ZONE, &dir).await);
    }
    for process in &processes {
        process.activate().await;
    }
    let all_active = |view: &RingView| names.iter().all(|name| state(view, name) == Some(State::Active));
    let view = processes[0].sees("four active instances", all_active).await;
    let mut all: Vec<u64> = names.iter().flat_map(|name| tokens(&view, name).to_vec()).collect();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), names.len() * ring::TOKENS_PER_INSTANCE);
    assert_eq!(view.address(&InstanceId::new("i-2")).map(|at| &**at), Some("i-2:9095"));

    // One stops: the others see it at once, and it keeps its place.
    let stopped = processes.remove(1);
    stopped.lifecycle.pause().await;
    stopped.scope.abort();
    let gone = |view: &RingView| state(view, "i-2") == Some(State::Unhealthy);
    let while_gone = processes[0].sees("it is gone", gone).await;
    assert_eq!(tokens(&while_gone, "i-2"), tokens(&view, "i-2"));
    let back = joining(&cluster, "i-2", ZONE, &dir).await;
    let joins = |view: &RingView| state(view, "i-2") == Some(State::Joining);
    processes[0].sees("it is joining", joins).await;
    back.activate().await;
    let again = processes[0].sees("it is back", all_active).await;
    assert_eq!(tokens(&again, "i-2"), tokens(&view, "i-2"));
    let since = |view: &RingView| {
        let instance = view.ring().instances().iter().find(|instance| instance.id.as_str() == "i-2");
        instance.map(|instance| instance.state_since_ms).unwrap()
    };
    assert!(since(&again) > since(&view), "readers go back to who stood in for it");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_was_forgotten_or_contradicted_says_again_what_it_is() {
    let cluster = Cluster::new(1).await;
    let dir = tempfile::tempdir().unwrap();
    let mut process = joining(&cluster, "i-1", ZONE, &dir).await;
    process.activate().await;
    process.announce(|announcement| announcement.incarnation = 7).await;
    let active = |view: &RingView| state(view, "i-1") == Some(State::Active);
    process.sees("it is active", active).await;

    let key = records::key::<records::Instances>(&[RING, "i-1"]);
    let remove = Txn { then: vec![records::delete(key.clone())], ..Txn::default() };
    process.client.txn(remove).await.unwrap();
    process.sees("it is forgotten", |view| state(view, "i-1").is_none()).await;
    process.sees("it is there again", active).await;

    let found = process.client.get(key.clone()).await.unwrap().unwrap();
    let mut stored = records::value::<records::Instances>(&found).unwrap();
    stored.message.set_state(InstanceState::Left);
    let change = records::replace::<records::Instances>(&key, found.mod_revision, &stored);
    assert!(process.client.txn(change).await.unwrap().result.unwrap().succeeded);
    process.sees("it has left", |view| state(view, "i-1") == Some(State::Left)).await;
    process.sees("it has not", active).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_life_of_the_directory_is_a_loss_that_everybody_sees_before_it_counts() {
    let cluster = Cluster::new(1).await;
    let dir = tempfile::tempdir().unwrap();
    let lost = |start_ms, end_ms| Some(LostRange { start_ms, end_ms });
    for (incarnation, losses) in [(7, 0), (7, 0), (8, 1), (8, 1)] {
        let mut process = joining(&cluster, "i-1", ZONE, &dir).await;
        process.lifecycle.placed().await.unwrap();
        process
            .announce(|announcement| {
                announcement.state = InstanceState::Active;
                announcement.incarnation = incarnation;
                announcement.lost_with_former_life = lost(10, 20);
            })
            .await;
        // The view that was saved may still show it as it was.
        let active =
            |view: &RingView| state(view, "i-1") == Some(State::Active) && view.lost().len() == losses;
        let view = process.sees("it is active", active).await;
        assert!(view.lost().iter().all(|lost| &*lost.zone == ZONE));
        process.lifecycle.pause().await;
        process.scope.abort();
    }
    // With the zone on record, another one is refused: at once where the view has come already, or by the metastore.
    let empty = tempfile::tempdir().unwrap();
    let wrong = match try_joining(&cluster, "i-1", "zone-b", &empty).await {
        Err(wrong) => wrong,
        Ok(process) => {
            let placed = tokio::time::timeout(PATIENCE, process.lifecycle.placed()).await;
            placed.expect("it is told").unwrap_err()
        }
    };
    assert!(wrong.to_string().contains("zone-a"));
}
