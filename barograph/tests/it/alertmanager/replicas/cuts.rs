//! Alertmanagers that cannot reach each other, and a metastore whose leader dies: whoever is to be told is told, and once.

use std::time::Duration;

use super::harness::{LEASE_MS, NAMES, Replicas};
use super::watched::{Watched, only_between_answer_and_commit};
use crate::support::{now_ms, wait_for};

/// How long a cut lasts: long enough for every lease to end, if it depended on that.
const CUT: Duration = Duration::from_millis(2 * LEASE_MS + 1_000);
/// How often the leader of the metastore is killed.
const LEADERS: usize = 3;

#[test]
fn replicas_that_do_not_reach_each_other_tell_everybody_once() {
    let mut watched = Watched::of(Replicas::with_three_nodes());
    watched.go_on(Duration::from_secs(2));
    // One that nobody reaches: it hears of alerts only from whoever posts them to it, and keeps its tenants.
    for name in NAMES {
        watched.replicas.cut_off(name, true);
        watched.go_on(CUT);
        watched.replicas.cut_off(name, false);
        watched.go_on(Duration::from_secs(2));
    }
    // Nobody reaches anybody: no alert is acknowledged that only one of them has.
    NAMES.iter().for_each(|name| watched.replicas.cut_off(name, true));
    for name in NAMES {
        let body = "[{\"labels\": {\"alertname\": \"alone\"}}]";
        let refused = watched.replicas.ask(name, "t0", "POST", "/api/v2/alerts", body).expect("an answer");
        assert!(refused.status == 503 && refused.body.contains("only 1 of 3"), "{name}: {refused:?}");
    }
    NAMES.iter().for_each(|name| watched.replicas.cut_off(name, false));
    watched.replicas.post_to_any(0, "t0", "alone");
    watched.taken.insert("alone".to_owned(), now_ms());
    watched.go_on(Duration::from_secs(3));
    // One dies while another one is not reached by the third, which takes over what it had.
    watched.replicas.cut_off("am-1", true);
    watched.go_on(Duration::from_secs(1));
    let killed = watched.kill("am-2");
    watched.go_on(CUT);
    watched.replicas.cut_off("am-1", false);
    watched.replicas.launch("am-2");
    watched.replicas.await_members(3);
    let repeated = watched.ended();
    only_between_answer_and_commit(&repeated, &[killed]);
}

#[test]
fn the_leader_of_the_metastore_dies_and_everybody_is_told_once() {
    let mut watched = Watched::of(Replicas::with_three_nodes());
    watched.go_on(Duration::from_secs(2));
    for _ in 0..LEADERS {
        let leader = wait_for("a leader", || watched.replicas.leader());
        watched.replicas.metastore.kill(&leader);
        watched.go_on(CUT);
        watched.replicas.metastore.start(&leader);
        watched.go_on(Duration::from_secs(2));
    }
    for name in NAMES {
        let without = watched.replicas.metric(name, "alertmanager_cluster_without_metastore");
        assert_eq!(without, Some(0.0), "{name}");
    }
    assert_eq!(watched.ended(), [], "twice, and no Alertmanager died");
}

#[test]
fn who_does_not_know_the_others_takes_no_alerts() {
    let mut replicas = Replicas::start();
    replicas.kill("am-3");
    replicas.forget("am-3");
    replicas.cut("am-3", true);
    replicas.launch("am-3");
    let body = "[{\"labels\": {\"alertname\": \"early\"}}]";
    let refused = wait_for("an answer", || replicas.ask("am-3", "t", "POST", "/api/v2/alerts", body));
    assert!(refused.status == 503 && refused.body.contains("nothing was heard"), "{refused:?}");
    replicas.cut("am-3", false);
    wait_for("it to be taken", || replicas.post("am-3", "t", "early").then_some(()));
    wait_for("it to be told", || replicas.told().contains(&"early".to_owned()).then_some(()));
}
