//! Kills a server under load, again and again, and then asks for every sample that it acknowledged.

use std::fs::OpenOptions;
use std::io;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use env::Clock;
use thiserror::Error;
use tokio::process::{Child, Command};

use crate::client::Client;
use crate::population::noise_unit;
use crate::verify::{Oracle, VerifyConfig, VerifyError, VerifyReport};
use crate::write::{Run, Summary, WriteConfig, WriteError};

/// Between two looks whether the server is ready.
const READY_EVERY: Duration = Duration::from_millis(20);
/// How long one such look may take.
const READY_TIMEOUT: Duration = Duration::from_secs(2);
/// Every so many kills one comes while the server is still starting.
const KILL_STARTING_EVERY: u32 = 4;

/// How to kill.
#[derive(Debug, Clone)]
pub struct CrashConfig {
    /// The server's program.
    pub program: PathBuf,
    /// Its arguments; the same at each start, so that it finds its data again.
    pub arguments: Vec<String>,
    /// Where its output goes, all starts one behind the other.
    pub log: PathBuf,
    /// Answers 200 once the server is ready.
    pub ready_url: String,
    /// How long the server may take to be ready, after a crash too.
    pub ready_within: Duration,
    /// What is written meanwhile; `acks` must name a file, and `steps` be more than are ever reached.
    pub write: WriteConfig,
    /// Where it is read back.
    pub verify: VerifyConfig,
    /// How often the server is killed.
    pub kills: u32,
    /// How long it lives between being ready and being killed, at least and at most.
    pub life: std::ops::Range<Duration>,
    /// Makes the times of the kills other ones.
    pub seed: u64,
}

/// Why it could not be done; not a loss of samples, which is in the report.
#[derive(Debug, Error)]
pub enum CrashError {
    /// The configuration has no ledger.
    #[error("no file to note acknowledgements in: set `acks`")]
    NoLedger,
    /// The server could not be started or killed, or its log not be opened.
    #[error("{what} {path}")]
    Process {
        /// What was tried.
        what: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The server ended by itself.
    #[error("the server ended by itself with {status}; its output is in {log}")]
    Ended {
        /// How it ended.
        status: std::process::ExitStatus,
        /// Its output.
        log: PathBuf,
    },
    /// The server did not get ready in time.
    #[error("the server was not ready within {within:?}; its output is in {log}")]
    NotReady {
        /// How long it was waited for.
        within: Duration,
        /// Its output.
        log: PathBuf,
    },
    /// Writing failed for a reason of its own.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// Reading back failed.
    #[error(transparent)]
    Verify(#[from] VerifyError),
}

/// What came of it.
#[derive(Debug)]
pub struct CrashReport {
    /// What was written.
    pub written: Summary,
    /// What was found afterwards.
    pub verified: VerifyReport,
    /// The longest time from a start to being ready, crashes behind it.
    pub slowest_start: Duration,
}

/// Writes, kills so many times, lets the server come back, and verifies.
pub async fn crash(config: &CrashConfig, clock: Arc<dyn Clock>) -> Result<CrashReport, CrashError> {
    let acks = config.write.acks.clone().ok_or(CrashError::NoLedger)?;
    let run = Run::new(config.write.clone(), clock.clone())?;
    let mut server = Server { config, clock: clock.as_ref(), slowest_start: Duration::ZERO };
    let child = server.start_ready().await?;
    let killing = async {
        let result = kill_often(&mut server, child).await;
        run.stop();
        result
    };
    let (written, child) = tokio::join!(run.go(), killing);
    written?;
    // The server lives until it has answered everything.
    let child = child?;
    let (oracle, fates) = Oracle::of_ledger(config.verify.clone(), &acks, clock.clone())?;
    let verified = oracle.verify(&fates, |_, _| {}).await?;
    let slowest_start = server.slowest_start;
    drop(child);
    Ok(CrashReport { written: run.summary(), verified, slowest_start })
}

async fn kill_often(server: &mut Server<'_>, mut child: Child) -> Result<Child, CrashError> {
    let config = server.config;
    let span = config.life.end.saturating_sub(config.life.start);
    for kill in 0..config.kills {
        let fraction = noise_unit(config.seed, u64::from(kill));
        server.clock.sleep(config.life.start + span.mul_f64(fraction)).await;
        server.kill(&mut child).await?;
        if kill % KILL_STARTING_EVERY == KILL_STARTING_EVERY - 1 {
            let mut starting = server.spawn()?;
            server.clock.sleep(server.slowest_start.mul_f64(fraction)).await;
            server.kill(&mut starting).await?;
        }
        child = server.start_ready().await?;
    }
    Ok(child)
}

/// Starts and kills the server's processes.
struct Server<'a> {
    config: &'a CrashConfig,
    clock: &'a dyn Clock,
    slowest_start: Duration,
}

impl Server<'_> {
    fn spawn(&self) -> Result<Child, CrashError> {
        let CrashConfig { program, arguments, log, .. } = self.config;
        let open = || OpenOptions::new().create(true).append(true).open(log);
        let log_error = |source| CrashError::Process { what: "opening", path: log.clone(), source };
        Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(open().map_err(log_error)?)
            .stderr(open().map_err(log_error)?)
            .kill_on_drop(true)
            .spawn()
            .map_err(|source| CrashError::Process { what: "starting", path: program.clone(), source })
    }

    async fn start_ready(&mut self) -> Result<Child, CrashError> {
        let CrashConfig { ready_url, ready_within, log, .. } = self.config;
        let mut child = self.spawn()?;
        let client = Client::new(READY_TIMEOUT);
        let began = self.clock.monotonic();
        loop {
            if let Ok(Some(status)) = child.try_wait() {
                return Err(CrashError::Ended { status, log: log.clone() });
            }
            if client.get(ready_url, "", &[], None).await.is_ok_and(|answer| answer.status.is_success()) {
                self.slowest_start = self.slowest_start.max(self.clock.monotonic() - began);
                return Ok(child);
            }
            if self.clock.monotonic() - began > *ready_within {
                return Err(CrashError::NotReady { within: *ready_within, log: log.clone() });
            }
            self.clock.sleep(READY_EVERY).await;
        }
    }

    /// Kills with SIGKILL and waits until the process is gone.
    async fn kill(&self, child: &mut Child) -> Result<(), CrashError> {
        let CrashConfig { program, log, .. } = self.config;
        if let Ok(Some(status)) = child.try_wait() {
            return Err(CrashError::Ended { status, log: log.clone() });
        }
        child.kill().await.map_err(|source| CrashError::Process {
            what: "killing",
            path: program.clone(),
            source,
        })
    }
}
