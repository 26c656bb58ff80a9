//! Random faults on a cluster under load, for a while: every answer is compared with what was acknowledged, and after
//! each fault writes and reads have to go on.

mod schedule;

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use env::Clock;
use serde::Serialize;
use thiserror::Error;

use crate::cluster::{Cluster, ClusterError, read_plan};
use crate::scenario::{LoadConfig, Scenario, ScenarioError, ScenarioReport, play};
pub use schedule::{Event, Fault, schedule};

/// How long the load runs before the first fault and after the last one.
const CALM: Duration = Duration::from_secs(10);

/// How to make chaos.
#[derive(Debug, Clone)]
pub struct ChaosConfig {
    /// The server's program.
    pub program: PathBuf,
    /// Lists the processes: `SCRIPT commands`.
    pub script: PathBuf,
    /// For how long.
    pub length: Duration,
    /// Which faults.
    pub seed: u64,
    /// Gets data, output of processes, timeline and summary.
    pub folder: PathBuf,
    /// Under which load.
    pub load: LoadConfig,
}

/// Why there was no chaos; not what it found.
#[derive(Debug, Error)]
pub enum ChaosError {
    /// The cluster could not be set up.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// The folder could not be written to.
    #[error("writing {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

/// What came of it.
#[derive(Debug, Serialize)]
pub struct ChaosReport {
    /// Repeats the faults.
    pub seed: u64,
    /// Whether packets were cut off in namespaces; else processes were frozen instead.
    pub namespaces: bool,
    /// What happened.
    pub events: Vec<Event>,
    /// What was written, read and verified, if it came to its end.
    pub scenario: Option<ScenarioReport>,
    /// Why it did not.
    pub failure: Option<String>,
}

impl ChaosReport {
    /// Whether it came to its end, and no answer was wrong.
    pub fn passed(&self) -> bool {
        self.scenario.as_ref().is_some_and(ScenarioReport::agrees)
    }

    /// For people.
    pub fn readable(&self) -> String {
        let mut text = format!("seed {}, {} events\n", self.seed, self.events.len());
        if let Some(scenario) = &self.scenario {
            text.push_str(&scenario.readable());
        }
        if let Some(failure) = &self.failure {
            text.push_str(&format!("failed: {failure}\n"));
        }
        text.push_str(if self.passed() { "passed\n" } else { "NOT passed\n" });
        text
    }
}

/// Makes chaos. The timeline goes to standard error and, with a summary as JSON, into the folder.
pub async fn chaos(config: &ChaosConfig, clock: Arc<dyn Clock>) -> Result<ChaosReport, ChaosError> {
    let data = config.folder.join("cluster");
    if data.exists() {
        fs::remove_dir_all(&data).map_err(writing(&data))?;
    }
    fs::create_dir_all(&data).map_err(writing(&data))?;
    let plan = read_plan(&config.script).await?;
    let made = Cluster::in_namespaces(&config.program, &data, &plan, std::process::id(), clock.clone());
    let mut cluster = match made {
        Err(ClusterError::Network(error)) if error.is_unavailable() => Cluster::on_loopback(
            &config.program,
            &data,
            &plan,
            |_, port| ([127, 0, 0, 1], port).into(),
            clock.clone(),
        )?,
        made => made?,
    };
    let mut timeline = Timeline::begin(&config.folder, clock.as_ref())?;
    timeline.note(&format!(
        "seed {}, {}",
        config.seed,
        if cluster.has_network() {
            "in namespaces"
        } else {
            "without namespaces: processes are frozen instead of cut off"
        }
    ))?;
    cluster.start_all().await?;
    timeline.note("every process is ready")?;
    let namespaces = cluster.has_network();
    let (mut events, mut writing_failed) = (Vec::new(), None);
    let played = play(&mut cluster, &config.load, async |scenario| {
        match torment(config, scenario, &mut timeline, &mut events).await {
            Ok(()) => Ok(()),
            Err(Stopped::Scenario(error)) => Err(error),
            Err(Stopped::Timeline(error)) => {
                writing_failed = Some(error);
                Ok(())
            }
        }
    })
    .await;
    if let Some(error) = writing_failed {
        return Err(error);
    }
    let (scenario, failure) = match played {
        Ok(report) => (Some(report), None),
        Err(error) => (None, Some(with_causes(&error))),
    };
    let report = ChaosReport { seed: config.seed, namespaces, events, scenario, failure };
    timeline.note(&report.readable())?;
    let summary = config.folder.join("summary.json");
    let json = serde_json::to_vec_pretty(&report).map_err(|error| writing(&summary)(error.into()))?;
    fs::write(&summary, json).map_err(writing(&summary))?;
    Ok(report)
}

/// What ends the torment early.
enum Stopped {
    Scenario(ScenarioError),
    Timeline(ChaosError),
}

impl<E: Into<ScenarioError>> From<E> for Stopped {
    fn from(error: E) -> Self {
        Self::Scenario(error.into())
    }
}

async fn torment(
    config: &ChaosConfig,
    scenario: &mut Scenario<'_>,
    timeline: &mut Timeline<'_>,
    events: &mut Vec<Event>,
) -> Result<(), Stopped> {
    let planned = schedule(config.seed, scenario.cluster.plan(), config.length);
    let ends = scenario.cluster.clock().monotonic() + config.length;
    scenario.pass(CALM).await;
    for event in planned {
        if scenario.cluster.clock().monotonic() + event.quiet + CALM >= ends {
            break;
        }
        scenario.pass(event.quiet).await;
        scenario.cluster.all_run()?;
        let what = event.faults.iter().map(Fault::to_string).collect::<Vec<_>>().join("; ");
        scenario.begin(&what);
        timeline
            .note(&format!("{what}, for {:.1} s", event.lasts.as_secs_f64()))
            .map_err(Stopped::Timeline)?;
        for fault in &event.faults {
            begin(scenario.cluster, fault).await?;
        }
        scenario.pass(event.lasts).await;
        note_counts(scenario, timeline, "over")?;
        for fault in event.faults.iter().rev() {
            end(scenario.cluster, fault).await?;
        }
        scenario.begin("healed");
        events.push(event);
        scenario.cluster.all_ready().await?;
        timeline.note("  ready").map_err(Stopped::Timeline)?;
        scenario.writes_go_on().await?;
        scenario.reads_go_on().await?;
        note_counts(scenario, timeline, "writes and reads go on")?;
    }
    scenario.pass(CALM).await;
    Ok(())
}

fn note_counts(scenario: &Scenario<'_>, timeline: &mut Timeline<'_>, what: &str) -> Result<(), Stopped> {
    let (samples, answered, failed) = scenario.counts();
    let text = format!(
        "  {what}: {samples} samples acknowledged, {answered} queries answered, {failed} failed so far"
    );
    timeline.note(&text).map_err(Stopped::Timeline)
}

async fn begin(cluster: &mut Cluster, fault: &Fault) -> Result<(), ClusterError> {
    match fault {
        Fault::CutOff(names) => return cluster.cut_off(names),
        Fault::Freeze(names) => names.iter().try_for_each(|name| cluster.freeze(name))?,
        Fault::Stop(names) => {
            for name in names {
                cluster.stop(name).await?;
            }
        }
        Fault::Kill(_) | Fault::Wipe(_) => {
            for name in fault.victims() {
                cluster.kill(name).await?;
            }
        }
    }
    Ok(())
}

async fn end(cluster: &mut Cluster, fault: &Fault) -> Result<(), ClusterError> {
    match fault {
        Fault::CutOff(names) => return cluster.connect(names),
        Fault::Freeze(names) => names.iter().try_for_each(|name| cluster.thaw(name))?,
        Fault::Wipe(name) => {
            cluster.wipe(name)?;
            cluster.start(name)?;
        }
        Fault::Kill(names) | Fault::Stop(names) => names.iter().try_for_each(|name| cluster.start(name))?,
    }
    Ok(())
}

/// What happened when, for people.
struct Timeline<'a> {
    path: PathBuf,
    file: fs::File,
    clock: &'a dyn Clock,
    began: Duration,
}

impl<'a> Timeline<'a> {
    fn begin(folder: &Path, clock: &'a dyn Clock) -> Result<Self, ChaosError> {
        let path = folder.join("timeline.txt");
        let file = fs::File::create(&path).map_err(writing(&path))?;
        Ok(Self { path, file, clock, began: clock.monotonic() })
    }

    fn note(&mut self, text: &str) -> Result<(), ChaosError> {
        let at = (self.clock.monotonic() - self.began).as_secs_f64();
        for line in text.lines() {
            let line = format!("{at:7.1} s  {line}\n");
            // Nothing can be done about a closed stderr.
            let _ = io::stderr().write_all(line.as_bytes());
            self.file.write_all(line.as_bytes()).map_err(writing(&self.path))?;
        }
        Ok(())
    }
}

fn writing(path: &Path) -> impl Fn(io::Error) -> ChaosError {
    let path = path.to_owned();
    move |source| ChaosError::Write { path: path.clone(), source }
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    text
}
