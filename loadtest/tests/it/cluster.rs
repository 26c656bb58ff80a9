//! A cluster of ten processes under load for a minute, while something happens to it. Every sample that was
//! acknowledged is in every answer, once, before, during and after; or there is no answer.
//!
//! The processes and their flags are those of `make cluster`. A scenario leaves its report in `$CLUSTER_REPORTS`, if that
//! names a folder.

use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use env::{Clock, SystemClock};
use loadtest::cluster::{Cluster, ClusterError, read_plan};
use loadtest::scenario::{LoadConfig, Scenario, ScenarioError, ScenarioReport, play};
use tokio::sync::Semaphore;

use crate::support::barograph;

/// Scenarios that run at once: each is sixteen processes.
static TURNS: Semaphore = Semaphore::const_new(3);

/// Between the first write and what happens.
const CALM: Duration = Duration::from_secs(10);
/// For how long it happens.
const DURING: Duration = Duration::from_secs(25);
/// How long the load goes on afterwards.
const AFTER: Duration = Duration::from_secs(20);

/// Where a cluster's processes stand.
enum Hosts {
    Loopback,
    /// Where they cannot be made (they need root), on loopback: processes are frozen then instead of cut off.
    Namespaces,
}

/// Plays a scenario on a fresh cluster; no answer may be wrong.
async fn check<F>(name: &str, hosts: Hosts, load: LoadConfig, happen: F) -> ScenarioReport
where
    F: AsyncFnOnce(&mut Scenario<'_>) -> Result<(), ScenarioError>,
{
    let _turn = TURNS.acquire().await.expect("never closed");
    let folder = tempfile::tempdir().expect("a folder");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/cluster.sh");
    let plan = read_plan(&script).await.expect("the script lists processes");
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let on_loopback = || {
        Cluster::on_loopback(
            &barograph(),
            folder.path(),
            &plan,
            |_, _| testkit::free_address(),
            clock.clone(),
        )
    };
    let mut cluster = match hosts {
        Hosts::Loopback => on_loopback().expect("a cluster can be made"),
        Hosts::Namespaces => {
            let seed = std::process::id();
            match Cluster::in_namespaces(&barograph(), folder.path(), &plan, seed, clock.clone()) {
                Err(ClusterError::Network(error)) if error.is_unavailable() => {
                    on_loopback().expect("a cluster can be made")
                }
                made => made.expect("a cluster can be made"),
            }
        }
    };
    let played = match cluster.start_all().await {
        Ok(()) => play(&mut cluster, &load, happen).await,
        Err(error) => Err(error.into()),
    };
    let report = match played {
        Ok(report) => report,
        Err(error) => panic!("{name}: {error:?}\n{}", tails(&cluster)),
    };
    writeln!(std::io::stdout(), "{name}: {}", report.readable()).expect("standard output is open");
    if let Some(reports) = std::env::var_os("CLUSTER_REPORTS") {
        let path = Path::new(&reports).join(format!("{name}.json"));
        let json = serde_json::to_vec_pretty(&report).expect("a report is JSON");
        std::fs::write(path, json).expect("the folder is there");
    }
    assert!(report.agrees(), "{name}: {}\n{}", report.readable(), tails(&cluster));
    report
}

fn tails(cluster: &Cluster) -> String {
    let tail = |name: String| format!("---- {name}\n{}\n", cluster.tail(&name, 12));
    cluster.names().into_iter().map(tail).collect()
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

/// Everything was acknowledged in the end: a client that tries again as Prometheus does loses nothing.
#[track_caller]
fn nothing_was_given_up(report: &ScenarioReport) {
    assert_eq!(report.written.samples_not_acknowledged, 0, "{}", report.readable());
}

#[tokio::test]
async fn an_ingester_is_killed_and_comes_back() {
    let report = check("ingester-killed", Hosts::Loopback, LoadConfig::default(), async |scenario| {
        scenario.pass(CALM).await;
        scenario.begin("ingester-2 is dead");
        scenario.cluster.kill("ingester-2").await?;
        scenario.writes_go_on().await?;
        scenario.reads_go_on().await?;
        scenario.pass(DURING).await;
        scenario.begin("it is back");
        scenario.cluster.start("ingester-2")?;
        scenario.cluster.ready("ingester-2").await?;
        scenario.pass(AFTER).await;
        // What it missed and what it has are both part of the answers that others can no longer give alone.
        scenario.begin("ingester-3 is dead");
        scenario.cluster.kill("ingester-3").await?;
        scenario.writes_go_on().await?;
        scenario.reads_go_on().await?;
        scenario.cluster.start("ingester-3")?;
        scenario.cluster.ready("ingester-3").await?;
        Ok(())
    })
    .await;
    nothing_was_given_up(&report);
}

#[tokio::test]
async fn without_any_metastore_everything_goes_on() {
    let report = check("metastores-killed", Hosts::Loopback, LoadConfig::default(), async |scenario| {
        scenario.pass(Duration::from_secs(5)).await;
        scenario.begin("no metastore");
        for name in ["metastore-1", "metastore-2", "metastore-3"] {
            scenario.cluster.kill(name).await?;
        }
        scenario.writes_go_on().await?;
        scenario.reads_go_on().await?;
        scenario.pass(DURING).await;
        scenario.begin("no metastore, and restarts on saved views");
        for name in ["distributor-1", "querier-2", "ingester-1"] {
            scenario.cluster.restart(name).await?;
            scenario.writes_go_on().await?;
            scenario.reads_go_on().await?;
        }
        scenario.pass(AFTER).await;
        Ok(())
    })
    .await;
    nothing_was_given_up(&report);
}

#[tokio::test]
async fn a_zone_is_cut_off_and_comes_back() {
    let report = check("zone-cut-off", Hosts::Namespaces, LoadConfig::default(), async |scenario| {
        scenario.pass(CALM).await;
        // Not a zone with a distributor: its clients would be cut off with it.
        let zone = scenario.cluster.plan().zone("zone-c");
        scenario.begin("zone-c is cut off");
        scenario.cluster.cut_off(&zone)?;
        scenario.writes_go_on().await?;
        scenario.reads_go_on().await?;
        scenario.pass(DURING).await;
        scenario.begin("it is back");
        scenario.cluster.connect(&zone)?;
        scenario.cluster.all_ready().await?;
        scenario.writes_go_on().await?;
        scenario.reads_go_on().await?;
        scenario.pass(AFTER).await;
        Ok(())
    })
    .await;
    nothing_was_given_up(&report);
}

/// What was acknowledged while ingester-1 was down is on ingester-3 alone once ingester-2's disk is empty: two zones
/// that answer are then not enough, unless one of them is zone-c.
#[tokio::test]
async fn a_disk_is_wiped_while_another_ingester_is_down() {
    let report = check("disk-wiped", Hosts::Loopback, LoadConfig::default(), async |scenario| {
        scenario.pass(CALM).await;
        scenario.begin("ingester-1 is dead");
        scenario.cluster.kill("ingester-1").await?;
        scenario.writes_go_on().await?;
        scenario.pass(Duration::from_secs(10)).await;
        scenario.begin("ingester-2 loses its disk, too");
        scenario.cluster.kill("ingester-2").await?;
        scenario.cluster.wipe("ingester-2")?;
        scenario.cluster.start("ingester-2")?;
        scenario.cluster.ready("ingester-2").await?;
        scenario.writes_go_on().await?;
        scenario.pass(Duration::from_secs(10)).await;
        scenario.begin("ingester-1 is back");
        scenario.cluster.start("ingester-1")?;
        scenario.cluster.ready("ingester-1").await?;
        scenario.writes_go_on().await?;
        scenario.reads_go_on().await?;
        scenario.begin("ingester-3 is dead");
        scenario.cluster.kill("ingester-3").await?;
        scenario.writes_go_on().await?;
        scenario.pass(Duration::from_secs(10)).await;
        scenario.begin("ingester-3 is back");
        scenario.cluster.start("ingester-3")?;
        scenario.cluster.ready("ingester-3").await?;
        scenario.reads_go_on().await?;
        scenario.pass(Duration::from_secs(5)).await;
        Ok(())
    })
    .await;
    nothing_was_given_up(&report);
    let lonely = report.phase("ingester-3 is dead").expect("it was played");
    assert!(lonely.reading.failures() > 0, "nothing could have answered: {}", report.readable());
}

#[tokio::test]
async fn every_process_restarts_one_after_the_other() {
    let report = check("rolling-restart", Hosts::Loopback, LoadConfig::default(), async |scenario| {
        scenario.pass(2 * CALM).await;
        scenario.begin("rolling restart");
        for name in names(&[
            "metastore-1",
            "metastore-2",
            "metastore-3",
            "ingester-1",
            "ingester-2",
            "ingester-3",
            "distributor-1",
            "distributor-2",
            "querier-1",
            "querier-2",
        ]) {
            scenario.cluster.restart(&name).await?;
            scenario.writes_go_on().await?;
            scenario.reads_go_on().await?;
        }
        scenario.begin("afterwards");
        scenario.pass(CALM).await;
        Ok(())
    })
    .await;
    nothing_was_given_up(&report);
    let restarts = report.phase("rolling restart").expect("it was played");
    assert_eq!(restarts.reading.failures(), 0, "a query failed: {}", report.readable());
}

#[tokio::test]
async fn the_leader_of_the_metastore_is_killed() {
    let mut took = Duration::ZERO;
    let report = check("leader-killed", Hosts::Loopback, LoadConfig::default(), async |scenario| {
        scenario.pass(CALM).await;
        let nobody = || ScenarioError::Expected("nobody leads the metastore".to_owned());
        let leader = scenario.cluster.metastore_leader().await?.ok_or_else(nobody)?;
        scenario.begin("the leader is dead");
        scenario.cluster.kill(&leader).await?;
        let clock = scenario.cluster.clock().clone();
        let began = clock.monotonic();
        while scenario.cluster.metastore_leader().await?.is_none() {
            took = clock.monotonic() - began;
            if took > Duration::from_secs(60) {
                return Err(nobody());
            }
        }
        scenario.pass(DURING).await;
        scenario.begin("it is back");
        scenario.cluster.start(&leader)?;
        scenario.cluster.ready(&leader).await?;
        scenario.pass(AFTER).await;
        Ok(())
    })
    .await;
    println!("a new leader after {took:?}");
    nothing_was_given_up(&report);
    // The data plane did not notice.
    assert_eq!(report.written.retries, 0, "{}", report.readable());
    let dead = report.phase("the leader is dead").expect("it was played");
    assert_eq!(dead.reading.failures(), 0, "{}", report.readable());
}
