//! A load on a cluster while something happens to it: writing in real time as Prometheus does, reading back all the
//! while, and the oracle's word at the end.

use std::path::PathBuf;
use std::time::Duration;

use parking_lot::Mutex;
use serde::Serialize;
use thiserror::Error;

use crate::cluster::{Cluster, ClusterError};
use crate::encode::Protocol;
use crate::population::PopulationConfig;
use crate::verify::{Oracle, VerifyConfig, VerifyError, VerifyReport};
use crate::write::{RetryPolicy, Run, Summary, WriteConfig, WriteError};

/// How long progress may take once nothing is in its way.
const PATIENCE: Duration = Duration::from_secs(90);
/// Between two looks at it.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How long one attempt of a writer or reader may take: shorter than a cut lasts, so that others get their turn.
const TIMEOUT: Duration = Duration::from_secs(10);
/// For how long a query of the last verification is asked again: breakers may still be open.
const VERIFY_PATIENCE: Duration = Duration::from_secs(30);
/// The longest load, in steps.
const MAX_STEPS: u32 = 24 * 3_600;
/// The most samples that one query asks for while writing goes on.
const SAMPLES_PER_QUERY: u32 = 20_000;

/// How much is written and read.
#[derive(Debug, Clone)]
pub struct LoadConfig {
    /// Active series, each with a sample a second.
    pub series: u32,
    /// Series in one request.
    pub series_per_request: u32,
    /// Over how many tenants they are spread; 0 names none.
    pub tenants: u32,
    /// Between two queries.
    pub read_every: Duration,
    /// Makes it another population.
    pub seed: u32,
    /// Where to note what was acknowledged; nowhere by default.
    pub acks: Option<PathBuf>,
}

impl Default for LoadConfig {
    fn default() -> Self {
        Self {
            series: 2_000,
            series_per_request: 200,
            tenants: 0,
            read_every: Duration::from_millis(100),
            seed: 1,
            acks: None,
        }
    }
}

/// Why a scenario could not be played to its end; not a difference, which is in the report.
#[derive(Debug, Error)]
pub enum ScenarioError {
    /// The cluster did not do what was asked of it.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// Writing failed for a reason of its own.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// Reading everything back failed.
    #[error("reading back everything")]
    Verify(#[from] VerifyError),
    /// Nothing went on although nothing was in its way.
    #[error("no {what} within {PATIENCE:?}: {why}")]
    NoProgress {
        /// What should have gone on.
        what: &'static str,
        /// What was seen last.
        why: String,
    },
    /// Something that the scenario itself asks about is not as it should be.
    #[error("{0}")]
    Expected(String),
}

/// A part of a scenario.
#[derive(Debug, Clone, Serialize)]
pub struct Phase {
    /// What happened in it.
    pub name: String,
    /// How long it took.
    pub seconds: f64,
    /// Samples acknowledged in it.
    pub acknowledged: u64,
    /// What was read back in it.
    pub reading: VerifyReport,
}

/// What came of it.
#[derive(Debug, Clone, Serialize)]
pub struct ScenarioReport {
    /// What was written.
    pub written: Summary,
    /// What was read meanwhile.
    pub phases: Vec<Phase>,
    /// What was found at the end.
    pub verified: VerifyReport,
}

impl ScenarioReport {
    /// Whether no answer was wrong, meanwhile or at the end.
    pub fn agrees(&self) -> bool {
        self.verified.agrees() && self.phases.iter().all(|phase| phase.reading.agrees())
    }

    /// A phase by its name; the first of several.
    pub fn phase(&self, name: &str) -> Option<&Phase> {
        self.phases.iter().find(|phase| phase.name == name)
    }

    /// For people.
    pub fn readable(&self) -> String {
        let Summary { samples, retries, samples_not_acknowledged, seconds, .. } = self.written;
        let mut text = format!(
            "{samples} samples acknowledged in {seconds:.0} s, {retries} retries, {samples_not_acknowledged} samples not \
             acknowledged; writes took p50 {:.1} ms, p99 {:.1} ms\n",
            self.written.latency_p50_ms, self.written.latency_p99_ms
        );
        for (kind, count) in &self.written.errors {
            text.push_str(&format!("  {count} × {kind}\n"));
        }
        for message in &self.written.messages {
            text.push_str(&format!("  {message}\n"));
        }
        for phase in &self.phases {
            let Phase { name, seconds, acknowledged, reading } = phase;
            text.push_str(&format!(
                "{name} ({seconds:.1} s, {acknowledged} samples): {}",
                reading.readable()
            ));
        }
        text.push_str(&format!("at the end: {}", self.verified.readable()));
        text
    }
}

/// A scenario under way, for what makes things happen in it.
pub struct Scenario<'a> {
    /// What things happen to.
    pub cluster: &'a mut Cluster,
    run: &'a Run,
    reading: &'a Mutex<VerifyReport>,
    phases: Vec<Phase>,
    phase: String,
    phase_began: Duration,
    acknowledged_before: u64,
}

impl Scenario<'_> {
    /// Ends the phase so far and begins another.
    pub fn begin(&mut self, name: &str) {
        let now = self.cluster.clock().monotonic();
        let acknowledged = self.run.summary().samples;
        let ended = Phase {
            name: std::mem::replace(&mut self.phase, name.to_owned()),
            seconds: (now - self.phase_began).as_secs_f64(),
            acknowledged: acknowledged - self.acknowledged_before,
            reading: std::mem::take(&mut *self.reading.lock()),
        };
        self.phases.push(ended);
        self.phase_began = now;
        self.acknowledged_before = acknowledged;
    }

    /// Lets time pass.
    pub async fn pass(&self, time: Duration) {
        self.cluster.clock().sleep(time).await;
    }

    /// Samples acknowledged so far, and queries answered and failed.
    pub fn counts(&self) -> (u64, u64, u64) {
        let reading = self.reading.lock();
        let past = |count: fn(&VerifyReport) -> u64| {
            self.phases.iter().map(|phase| count(&phase.reading)).sum::<u64>()
        };
        let answered = past(|reading| reading.queries) + reading.queries;
        let failed = past(VerifyReport::failures) + reading.failures();
        (self.run.summary().samples, answered, failed)
    }

    /// Waits until as many samples as there are series have been acknowledged from now on.
    pub async fn writes_go_on(&self) -> Result<(), ScenarioError> {
        let wanted = self.counts().0 + u64::from(self.run.population().slots());
        self.wait("acknowledged writes", || self.counts().0 >= wanted).await
    }

    /// Waits until some queries have been answered from now on.
    pub async fn reads_go_on(&self) -> Result<(), ScenarioError> {
        const QUERIES: u64 = 5;
        let wanted = self.counts().1 + QUERIES;
        self.wait("answered queries", || self.counts().1 >= wanted).await
    }

    async fn wait(&self, what: &'static str, done: impl Fn() -> bool) -> Result<(), ScenarioError> {
        let clock = self.cluster.clock().clone();
        let began = clock.monotonic();
        while !done() {
            if clock.monotonic() - began > PATIENCE {
                let summary = self.run.summary();
                let reading = self.reading.lock();
                let why = format!(
                    "writes failed with {:?} ({:?}), queries with {:?} ({:?})",
                    summary.errors, summary.messages, reading.failed, reading.messages
                );
                return Err(ScenarioError::NoProgress { what, why });
            }
            clock.sleep(LOOK_EVERY).await;
        }
        Ok(())
    }
}

/// Plays a scenario on a cluster that runs: load from its first moment to its last, `happen` in between, and then the
/// verification of everything.
pub async fn play<F>(
    cluster: &mut Cluster,
    load: &LoadConfig,
    happen: F,
) -> Result<ScenarioReport, ScenarioError>
where
    F: AsyncFnOnce(&mut Scenario<'_>) -> Result<(), ScenarioError>,
{
    let clock = cluster.clock().clone();
    let run = Run::new(write_config(cluster, load, clock.now_ms()), clock.clone())?;
    let during = VerifyConfig {
        urls: cluster.query_urls(),
        samples_per_query: SAMPLES_PER_QUERY,
        timeout: TIMEOUT,
        read_every: load.read_every,
        ..VerifyConfig::new(String::new())
    };
    let at_end = VerifyConfig {
        urls: cluster.query_urls(),
        keep_trying: VERIFY_PATIENCE,
        ..VerifyConfig::new(String::new())
    };
    let oracle =
        |config| Oracle::new(config, run.population().clone(), run.series_per_request(), clock.clone());
    let reader = oracle(during);
    let reading = Mutex::new(VerifyReport::default());
    let mut scenario = Scenario {
        phase: "calm".to_owned(),
        phase_began: clock.monotonic(),
        acknowledged_before: 0,
        phases: Vec::new(),
        cluster,
        run: &run,
        reading: &reading,
    };
    {
        let happening = async {
            let result = happen(&mut scenario).await;
            run.stop();
            result
        };
        let both = async { tokio::join!(run.go(), happening) };
        tokio::select! {
            biased;
            (written, happened) = both => {
                written?;
                happened?;
            }
            () = reader.watch(run.ledger(), &reading) => {}
        }
    }
    scenario.begin("verified");
    let phases = scenario.phases;
    let verified = oracle(at_end).verify(&run.ledger().fates(), |_, _| {}).await?;
    Ok(ScenarioReport { written: run.summary(), phases, verified })
}

fn write_config(cluster: &Cluster, load: &LoadConfig, now_ms: i64) -> WriteConfig {
    let groups = load.series.div_ceil(load.series_per_request.max(1));
    WriteConfig {
        urls: cluster.write_urls(),
        population: PopulationConfig {
            seed: load.seed,
            series: load.series,
            tenants: load.tenants,
            tenant_name: "team".to_owned(),
            interval_ms: 1_000,
            start_ms: now_ms,
            churn_per_hour: 0.0,
            native_histograms: false,
            exemplars: false,
        },
        steps: MAX_STEPS,
        protocol: Protocol::V1,
        series_per_request: load.series_per_request,
        // A sender of its own for each group, as each Prometheus is one: none waits for another's retries.
        concurrency: groups as usize + load.tenants as usize,
        rate: 0.0,
        realtime: true,
        retry: RetryPolicy::default(),
        timeout: TIMEOUT,
        acks: load.acks.clone(),
        resume: false,
    }
}
