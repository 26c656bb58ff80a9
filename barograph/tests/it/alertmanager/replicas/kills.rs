//! Alertmanagers that die, stand still, and lose their metastore: whoever is to be told is told, and once.

use std::time::Duration;

use rustix::process::Signal;

use super::harness::{LEASE_MS, NAMES};
use super::watched::{CutShort, TENANTS, Watched, only_between_answer_and_commit};
use crate::support::{now_ms, wait_until};

/// How many replicas are killed; 18, for three minutes, where `BAROGRAPH_ALERTMANAGER_KILLS` says so.
const KILLS: usize = 4;
/// How often.
const EVERY: Duration = Duration::from_secs(10);
/// How long one that was killed is away: for less than its lease, or for longer.
const AWAY: [Duration; 2] = [Duration::from_millis(200), Duration::from_millis(LEASE_MS + 1_500)];

fn kills() -> usize {
    std::env::var("BAROGRAPH_ALERTMANAGER_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(KILLS)
}

#[test]
fn replicas_are_killed_and_everybody_is_told_once() {
    let mut watched = Watched::start();
    watched.go_on(Duration::from_secs(2));
    let (kills, mut killed) = (kills(), Vec::new());
    for kill in 0..kills {
        let begun = now_ms();
        // Any of them: none is always followed by the same.
        let victim = NAMES[(kill * 5 / 3 + kill) % NAMES.len()];
        killed.push(watched.kill(victim));
        watched.go_on(AWAY[kill % 2]);
        watched.replicas.launch(victim);
        let left = EVERY.as_millis() as i64 - (now_ms() - begun);
        watched.go_on(Duration::from_millis(u64::try_from(left).unwrap_or(0)));
    }
    NAMES.iter().for_each(|name| watched.replicas.await_ready(name));
    let repeated = watched.ended();
    let (median, longest) = watched.delays();
    eprintln!(
        "{kills} kills, {} alerts, none lost, {} repeated; told after {median} ms in the median, {longest} ms at most",
        watched.taken.len(),
        repeated.len()
    );
    only_between_answer_and_commit(&repeated, &killed);
}

#[test]
fn a_replica_without_the_metastore_leaves_its_tenants_to_the_others() {
    let mut watched = Watched::start();
    watched.go_on(Duration::from_secs(2));
    for name in NAMES {
        watched.replicas.cut(name, true);
        watched.go_on(Duration::from_millis(2 * LEASE_MS + 1_000));
        let dispatched = watched.replicas.metric(name, "alertmanager_cluster_without_metastore");
        assert_eq!(dispatched, Some(0.0), "{name}: others have theirs");
        watched.replicas.cut(name, false);
        watched.go_on(Duration::from_secs(3));
    }
    // One that stands still for longer than its lease, and does not know.
    let from_ms = now_ms();
    watched.replicas.signal("am-1", Signal::STOP);
    let stopped = CutShort { name: "am-1", from_ms, until_ms: now_ms() };
    watched.go_on_with(&["am-2", "am-3"], Duration::from_millis(2 * LEASE_MS));
    watched.replicas.signal("am-1", Signal::CONT);
    let repeated = watched.ended();
    only_between_answer_and_commit(&repeated, &[stopped]);
}

#[test]
fn without_the_metastore_everybody_is_told_also_of_what_the_dead_had() {
    let mut watched = Watched::start();
    watched.go_on(Duration::from_secs(2));
    watched.replicas.metastore.kill("metastore-1");
    for name in NAMES {
        wait_until("to go on by itself", || {
            let alone = watched.replicas.metric(name, "alertmanager_cluster_without_metastore");
            if alone == Some(1.0) { Ok(()) } else { Err(format!("{name}: {alone:?}")) }
        });
    }
    watched.go_on(Duration::from_secs(3));
    let body = "{\"alertmanager_config\": \"route: {receiver: r}\\nreceivers: [{name: r}]\"}";
    let refused = watched.replicas.ask("am-2", "t1", "POST", "/api/v1/alerts", body).expect("an answer");
    assert_eq!(refused.status, 503, "{refused:?}");
    watched.replicas.kill("am-1");
    watched.go_on(Duration::from_secs(8));
    watched.replicas.metastore.start("metastore-1");
    watched.replicas.launch("am-1");
    watched.replicas.await_members(3);
    watched.go_on(Duration::from_secs(3));
    let repeated = watched.ended();
    // Prefer a repeat: but what was told is passed on, so that there are few.
    assert!(repeated.len() <= TENANTS, "{repeated:?}");
}

#[test]
fn one_that_stops_in_order_is_followed_at_once() {
    let mut watched = Watched::start();
    watched.go_on(Duration::from_secs(2));
    for name in NAMES {
        watched.replicas.stop(name);
        watched.go_on(Duration::from_secs(2));
        watched.replicas.launch(name);
        watched.replicas.await_ready(name);
        watched.replicas.await_members(3);
        watched.go_on(Duration::from_secs(1));
    }
    assert_eq!(watched.ended(), [], "twice");
}
