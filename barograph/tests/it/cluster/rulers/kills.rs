//! Rulers that die, stand still, and lose their metastore: every group goes on, once, and alerts forget nothing.

use std::time::Duration;

use rustix::process::Signal;

use super::watched::Watched;
use super::{LOGGED, metric};
use crate::cluster::harness::Cluster;
use crate::cluster::way::Way;
use crate::support::{now_ms, wait_for};

/// How many rulers are killed; 18, for three minutes, where `BAROGRAPH_RULER_KILLS` says so.
const KILLS: u64 = 3;
/// How often.
const EVERY: Duration = Duration::from_secs(10);
/// How long a ruler that was killed is away: for less than its lease, or for longer.
const AWAY: [Duration; 2] = [Duration::from_millis(200), Duration::from_secs(5)];
/// The lease of processes, in milliseconds.
const LEASE_MS: i64 = 2_000;

fn started() -> Watched {
    let mut cluster = Cluster::of(&[
        "metastore-1",
        "metastore-2",
        "metastore-3",
        "ingester-1",
        "ingester-2",
        "ingester-3",
        "querier-1",
        "ruler-1",
        "ruler-2",
        "ruler-3",
    ]);
    cluster.add_flags(&[LOGGED.to_owned()]);
    Watched::begin(cluster.ready())
}

fn kills() -> u64 {
    std::env::var("BAROGRAPH_RULER_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(KILLS)
}

#[test]
fn rulers_are_killed_and_every_group_goes_on() {
    let mut watched = started();
    let rulers = watched.cluster.names("ruler-");
    let kills = kills();
    for kill in 0..kills {
        let begun_ms = now_ms();
        // Any of them: none is always followed by the same.
        let victim = &rulers[(kill * 5 / 3 + kill) as usize % rulers.len()];
        let other = rulers.iter().find(|name| *name != victim).expect("another");
        watched.cluster.kill(victim);
        std::thread::sleep(AWAY[(kill % 2) as usize]);
        watched.look(other);
        watched.cluster.start(victim);
        while now_ms() - begun_ms < EVERY.as_millis() as i64 {
            watched.look(other);
            std::thread::sleep(Duration::from_millis(250));
        }
    }
    let gaps = watched.gaps();
    let doubles = watched.doubles();
    let (count, late_ms) = watched.count();
    let lost: i64 = gaps.values().sum();
    let (looks, whole) = watched.looks;
    eprintln!(
        "{kills} kills: {count} evaluations, {lost} missing, {} twice, the latest {late_ms} ms after its time; alerts looked at \
         {looks} times, {whole} times all were shown",
        doubles.len()
    );
    let kills = i64::try_from(kills).expect("a few");
    assert!(gaps.values().all(|missing| *missing <= kills), "at most one a kill: {gaps:?}");
    assert!(doubles.is_empty(), "{doubles:?}");
    assert!(count > 100, "they are logged");
    wait_for("all alerts", || watched.look("ruler-1").then_some(()));
    let caught_up: f64 = rulers
        .iter()
        .filter_map(|ruler| metric(&watched.cluster, ruler, "barograph_ruler_caught_up_evaluations_total"))
        .sum();
    assert!(caught_up > 0.0, "something was made up for");
}

#[test]
fn rulers_stop_stand_still_and_go_on_without_the_metastore() {
    let mut watched = started();
    // One stops in order: the others go on at once.
    watched.cluster.stop("ruler-1");
    wait_for("its groups at others", || {
        (watched.groups_at("ruler-2") + watched.groups_at("ruler-3") >= 12.0).then_some(())
    });
    watched.cluster.start("ruler-1");
    wait_for("groups of its own", || (watched.groups_at("ruler-1") > 0.0).then_some(()));
    // One stands still for longer than its lease: what it goes on with is no more its own.
    watched.cluster.signal("ruler-2", Signal::STOP);
    wait_for("its groups at others", || {
        (watched.groups_at("ruler-1") + watched.groups_at("ruler-3") >= 12.0).then_some(())
    });
    watched.cluster.signal("ruler-2", Signal::CONT);
    wait_for("groups of its own", || {
        let before = watched.groups_at("ruler-1") + watched.groups_at("ruler-3") < 12.0;
        (before && watched.groups_at("ruler-2") > 0.0).then_some(())
    });
    assert!(watched.gaps().is_empty(), "{:?}", watched.gaps());
    let doubles = watched.doubles();
    assert!(doubles.is_empty(), "{doubles:?}");
    // Nobody of the metastore is there: everybody goes on, and one that dies is followed by the next.
    let gone_ms = now_ms();
    watched.cluster.names("metastore").iter().for_each(|name| watched.cluster.kill(name));
    let orphaned = "barograph_ruler_share{share=\"orphaned\"}";
    for ruler in ["ruler-1", "ruler-2", "ruler-3"] {
        wait_for("its share", || (metric(&watched.cluster, ruler, orphaned) == Some(1.0)).then_some(()));
    }
    wait_for("all alerts", || watched.look("ruler-1").then_some(()));
    watched.cluster.kill("ruler-3");
    wait_for("its groups at others", || {
        (watched.groups_at("ruler-1") + watched.groups_at("ruler-2") >= 12.0).then_some(())
    });
    wait_for("all alerts", || watched.look("ruler-2").then_some(()));
    assert!(watched.gaps().is_empty(), "{:?}", watched.gaps());
    // Without it one also starts.
    watched.cluster.start("ruler-3");
    wait_for("groups of its own", || (watched.groups_at("ruler-3") > 0.0).then_some(()));
    watched.cluster.names("metastore").iter().for_each(|name| watched.cluster.launch(name));
    for ruler in ["ruler-1", "ruler-2", "ruler-3"] {
        let whole = "barograph_ruler_share{share=\"whole\"}";
        wait_for("its share", || (metric(&watched.cluster, ruler, whole) == Some(1.0)).then_some(()));
    }
    let back_ms = now_ms();
    let gaps = watched.gaps();
    wait_for("all alerts", || watched.look("ruler-3").then_some(()));
    let doubles = watched.doubles();
    let (count, late_ms) = watched.count();
    eprintln!("{count} evaluations, {} twice, the latest {late_ms} ms after its time", doubles.len());
    assert!(gaps.is_empty() && count > 100, "{gaps:?}");
    for ((group, at_ms), by) in &doubles {
        // Times are those of the group, whoever evaluates it.
        let without = (gone_ms - LEASE_MS..back_ms).contains(at_ms);
        assert!(without, "{group} at {at_ms} by {by:?}, without the metastore from {gone_ms} to {back_ms}");
    }
}

/// One that is cut off from the metastore hears from the others that it is there, and lets go of what they take over.
#[test]
fn who_is_cut_off_from_the_metastore_is_followed_by_others() {
    let mut cluster = Cluster::of(&[
        "metastore-1",
        "ingester-1",
        "ingester-2",
        "ingester-3",
        "querier-1",
        "ruler-1",
        "ruler-2",
        "ruler-3",
    ]);
    cluster.add_flags(&[LOGGED.to_owned()]);
    cluster.alone_with_metastore("metastore-1");
    let node = cluster.flag("metastore-1", "--grpc").expect("it is called").parse().expect("an address");
    let way = Way::to(node);
    cluster.set_flag("ruler-2", "--metastore.addresses", &way.address().to_string());
    let mut watched = Watched::begin(cluster.ready());
    for _ in 0..3 {
        way.cut(true);
        wait_for("its groups at others", || {
            (watched.groups_at("ruler-1") + watched.groups_at("ruler-3") >= 12.0).then_some(())
        });
        let nothing = "barograph_ruler_share{share=\"nothing\"}";
        wait_for("its share", || (metric(&watched.cluster, "ruler-2", nothing) == Some(1.0)).then_some(()));
        wait_for("all alerts", || watched.look("ruler-3").then_some(()));
        way.cut(false);
        wait_for("groups of its own", || {
            let before = watched.groups_at("ruler-1") + watched.groups_at("ruler-3") < 12.0;
            (before && watched.groups_at("ruler-2") > 0.0).then_some(())
        });
    }
    let (gaps, doubles, (count, late_ms)) = (watched.gaps(), watched.doubles(), watched.count());
    eprintln!("cut off three times: {count} evaluations, the latest {late_ms} ms after its time");
    assert!(gaps.is_empty() && doubles.is_empty() && count > 40, "{gaps:?} {doubles:?} {count}");
}
