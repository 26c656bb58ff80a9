//! A cluster of processes on this machine, and what can be done to them: kill, freeze, restart, cut off, wipe.

mod network;
mod plan;

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use env::Clock;
use rustix::process::{Pid, Signal, kill_process};
use thiserror::Error;
use tokio::process::{Child, Command};

use crate::client::Client;
pub use network::{Network, NetworkError};
pub use plan::{Plan, PlanError, ProcessPlan};

/// How long a process may take to be ready, or to end.
const PATIENCE: Duration = Duration::from_secs(120);
/// Between two looks at a process.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// What the processes of a cluster share; it is there for as long as the cluster.
const SECRET: &str = "of a cluster under test";
/// How long a look may take.
const LOOK_TIMEOUT: Duration = Duration::from_secs(2);

/// Why something could not be done to a cluster.
#[derive(Debug, Error)]
pub enum ClusterError {
    /// The list of processes is wrong.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// Namespaces cannot be had.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// What lists the processes failed.
    #[error("{script} lists no processes: {message}")]
    Script {
        /// The script.
        script: PathBuf,
        /// What it said.
        message: String,
    },
    /// The operating system refused something.
    #[error("{what} {name}")]
    Process {
        /// What was tried.
        what: &'static str,
        /// With which process, or file.
        name: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// No process of that name, or it does not run.
    #[error("process {name:?} does not run")]
    NotRunning {
        /// Which.
        name: String,
    },
    /// A process ended by itself.
    #[error("{name} ended by itself with {status}; its output is in {log}")]
    Ended {
        /// Which.
        name: String,
        /// How.
        status: ExitStatus,
        /// Its output.
        log: PathBuf,
    },
    /// A process did not become what was waited for.
    #[error("{name} was not {what} within {PATIENCE:?}: {why}; its output is in {log}")]
    Patience {
        /// Which.
        name: String,
        /// What it should have become.
        what: &'static str,
        /// What it was instead.
        why: String,
        /// Its output.
        log: PathBuf,
    },
}

/// Processes, their folders and, where it has one, the network between them. Dropped, it kills them all.
pub struct Cluster {
    program: PathBuf,
    folder: PathBuf,
    plan: Plan,
    network: Option<Network>,
    children: BTreeMap<String, Child>,
    client: Client,
    clock: Arc<dyn Clock>,
}

/// Reads the processes of a cluster from `SCRIPT commands`.
pub async fn read_plan(script: &Path) -> Result<Plan, ClusterError> {
    let failed = |message: String| ClusterError::Script { script: script.to_owned(), message };
    let output = Command::new(script).arg("commands").stdin(Stdio::null()).output().await;
    let output = output.map_err(|error| failed(error.to_string()))?;
    if !output.status.success() {
        return Err(failed(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
    }
    Ok(Plan::parse(&String::from_utf8_lossy(&output.stdout))?)
}

impl Cluster {
    /// A cluster on addresses of loopback; nothing is started yet. `folder` gets data and output of all processes.
    pub fn on_loopback(
        program: &Path,
        folder: &Path,
        plan: &Plan,
        place: impl FnMut(&str, u16) -> SocketAddr,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ClusterError> {
        let plan = plan.placed(place)?;
        Ok(Self::new(program, folder, &plan, None, clock))
    }

    /// A cluster with a network namespace for each process; nothing is started yet. `seed` makes networks of programs
    /// that run at once different.
    pub fn in_namespaces(
        program: &Path,
        folder: &Path,
        plan: &Plan,
        seed: u32,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ClusterError> {
        let names: Vec<String> = plan.processes().iter().map(|process| process.name.clone()).collect();
        let network = Network::create(seed, &names)?;
        let addresses: Result<BTreeMap<String, _>, NetworkError> =
            names.iter().map(|name| Ok((name.clone(), network.address_of(name)?))).collect();
        let addresses = addresses?;
        let plan = plan.placed(|name, port| (addresses[name], port).into())?;
        Ok(Self::new(program, folder, &plan, Some(network), clock))
    }

    fn new(
        program: &Path,
        folder: &Path,
        plan: &Plan,
        network: Option<Network>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let plan = plan.with_data_below(folder);
        Self {
            program: program.to_owned(),
            folder: folder.to_owned(),
            plan,
            network,
            children: BTreeMap::new(),
            client: Client::new(LOOK_TIMEOUT),
            clock,
        }
    }

    /// Its processes.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Its clock.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// Whether processes can be cut off from each other.
    pub fn has_network(&self) -> bool {
        self.network.is_some()
    }

    /// Where writes are accepted.
    pub fn write_urls(&self) -> Vec<String> {
        let of = |process: &ProcessPlan| format!("http://{}/api/v1/push", process.http);
        self.plan.of_role("distributor").map(of).collect()
    }

    /// Where the query API is.
    pub fn query_urls(&self) -> Vec<String> {
        self.plan.of_role("querier").map(|process| format!("http://{}/prometheus", process.http)).collect()
    }

    /// The processes that run, by name.
    pub fn pids(&self) -> Vec<u32> {
        self.children.values().filter_map(Child::id).collect()
    }

    /// Starts all processes, and waits until every one is ready.
    pub async fn start_all(&mut self) -> Result<(), ClusterError> {
        for name in self.names() {
            self.start(&name)?;
        }
        self.all_ready().await
    }

    /// Starts a process; one that runs is left alone.
    pub fn start(&mut self, name: &str) -> Result<(), ClusterError> {
        if self.children.contains_key(name) {
            return Ok(());
        }
        let process = self.process(name)?;
        let mut command: Command = match &self.network {
            Some(network) => network.command(name, &self.program)?.into(),
            None => Command::new(&self.program),
        };
        for (variable, _) in std::env::vars_os() {
            if variable.to_string_lossy().starts_with("BAROGRAPH_") {
                command.env_remove(variable);
            }
        }
        command.env("BAROGRAPH_GRPC_CLUSTER_SECRET", SECRET);
        let log = self.log(name);
        let failed = |what, name: String| move |source| ClusterError::Process { what, name, source };
        std::fs::create_dir_all(&self.folder).map_err(failed("making", self.folder.display().to_string()))?;
        let output = OpenOptions::new().create(true).append(true).open(&log);
        let output = output.map_err(failed("opening", log.display().to_string()))?;
        let errors = output.try_clone().map_err(failed("opening", log.display().to_string()))?;
        command.args(&process.arguments).stdin(Stdio::null()).stdout(output).stderr(errors);
        let child = command.kill_on_drop(true).spawn().map_err(failed("starting", name.to_owned()))?;
        self.children.insert(name.to_owned(), child);
        Ok(())
    }

    /// Waits until every process that runs is ready.
    pub async fn all_ready(&mut self) -> Result<(), ClusterError> {
        for name in self.names() {
            if self.children.contains_key(&name) {
                self.ready(&name).await?;
            }
        }
        Ok(())
    }

    /// Waits until a process is ready.
    pub async fn ready(&mut self, name: &str) -> Result<(), ClusterError> {
        let url = format!("http://{}/ready", self.process(name)?.http);
        let began = self.clock.monotonic();
        loop {
            self.still_runs(name)?;
            let why = match self.client.get(&url, "", &[], None).await {
                Ok(answer) if answer.status.is_success() => return Ok(()),
                Ok(answer) => format!("{}: {}", answer.status, answer.text()),
                Err(error) => error.to_string(),
            };
            if self.clock.monotonic() - began > PATIENCE {
                return Err(self.impatient(name, "ready", why));
            }
            self.clock.sleep(LOOK_EVERY).await;
        }
    }

    /// Fails if any process has ended that nobody ended.
    pub fn all_run(&mut self) -> Result<(), ClusterError> {
        let running: Vec<String> = self.children.keys().cloned().collect();
        running.iter().try_for_each(|name| self.still_runs(name))
    }

    /// Ends a process with SIGKILL.
    pub async fn kill(&mut self, name: &str) -> Result<(), ClusterError> {
        self.still_runs(name)?;
        let mut child = self.take(name)?;
        let failed = |source| ClusterError::Process { what: "killing", name: name.to_owned(), source };
        child.kill().await.map_err(failed)
    }

    /// Stops a process in order, with SIGTERM, and waits until it has ended.
    pub async fn stop(&mut self, name: &str) -> Result<(), ClusterError> {
        self.still_runs(name)?;
        self.signal(name, Signal::TERM)?;
        let mut child = self.take(name)?;
        let began = self.clock.monotonic();
        loop {
            let status = child.try_wait();
            match status.map_err(|source| ClusterError::Process {
                what: "awaiting",
                name: name.to_owned(),
                source,
            })? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => {
                    return Err(ClusterError::Ended { name: name.to_owned(), status, log: self.log(name) });
                }
                None if self.clock.monotonic() - began > PATIENCE => {
                    return Err(self.impatient(name, "stopped", "it runs".to_owned()));
                }
                None => self.clock.sleep(LOOK_EVERY).await,
            }
        }
    }

    /// Stops a process in order, starts it again, and waits until it is ready.
    pub async fn restart(&mut self, name: &str) -> Result<(), ClusterError> {
        self.stop(name).await?;
        self.start(name)?;
        self.ready(name).await
    }

    /// Stops a process' execution without ending it: its connections stay open and nothing answers.
    pub fn freeze(&self, name: &str) -> Result<(), ClusterError> {
        self.signal(name, Signal::STOP)
    }

    /// Lets a frozen process go on.
    pub fn thaw(&self, name: &str) -> Result<(), ClusterError> {
        self.signal(name, Signal::CONT)
    }

    /// Cuts processes off from all others; they still reach each other. Without a network they are frozen, which is
    /// nearest to it.
    pub fn cut_off(&self, names: &[String]) -> Result<(), ClusterError> {
        match &self.network {
            Some(network) => Ok(network.cut_off(names)?),
            None => names.iter().try_for_each(|name| self.freeze(name)),
        }
    }

    /// Connects processes again that were cut off.
    pub fn connect(&self, names: &[String]) -> Result<(), ClusterError> {
        match &self.network {
            Some(network) => Ok(network.connect(names)?),
            None => names.iter().try_for_each(|name| self.thaw(name)),
        }
    }

    /// Removes all data of a process that does not run.
    pub fn wipe(&self, name: &str) -> Result<(), ClusterError> {
        let data = self.folder.join(name);
        let failed =
            |source| ClusterError::Process { what: "wiping the data of", name: name.to_owned(), source };
        std::fs::remove_dir_all(&data).map_err(failed)
    }

    /// Gets a page of a process.
    pub async fn page(&self, name: &str, path: &str) -> Result<String, ClusterError> {
        let url = format!("http://{}{path}", self.process(name)?.http);
        let failed = |error: crate::client::ClientError| ClusterError::Process {
            what: "asking",
            name: name.to_owned(),
            source: io::Error::other(error),
        };
        let answer = self.client.get(&url, "", &[], None).await.map_err(failed)?;
        Ok(String::from_utf8_lossy(&answer.body).into_owned())
    }

    /// Who leads the metastore, as those of its nodes see it that run and answer; nobody while there is no leader.
    pub async fn metastore_leader(&self) -> Result<Option<String>, ClusterError> {
        let secret = self.folder.join("secret");
        let failed = |name: &Path| {
            let name = name.display().to_string();
            move |source| ClusterError::Process { what: "asking with", name, source }
        };
        std::fs::write(&secret, SECRET).map_err(failed(&secret))?;
        for process in
            self.plan.of_role("metastore").filter(|process| self.children.contains_key(&process.name))
        {
            let Some(endpoint) = process.value("--grpc") else { continue };
            let mut command = Command::new(&self.program);
            command.args([
                "metastore",
                "status",
                "--format",
                "json",
                "--endpoint",
                endpoint,
                "--secret-file",
            ]);
            let output = command.arg(&secret).stdin(Stdio::null()).kill_on_drop(true).output();
            let output = output.await.map_err(failed(&self.program))?;
            let status: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
            let nodes = status["nodes"].as_array().into_iter().flatten();
            let leader = nodes.filter(|node| node["leader"] == true).find_map(|node| node["name"].as_str());
            // A node that was killed may still be remembered as the leader.
            if let Some(leader) = leader.filter(|leader| self.children.contains_key(*leader)) {
                return Ok(Some(leader.to_owned()));
            }
        }
        Ok(None)
    }

    /// The last lines that a process wrote.
    pub fn tail(&self, name: &str, lines: usize) -> String {
        let text = std::fs::read_to_string(self.log(name)).unwrap_or_default();
        let all: Vec<&str> = text.lines().collect();
        all.get(all.len().saturating_sub(lines)..).unwrap_or_default().join("\n")
    }

    /// The names of all processes, in the order in which they start.
    pub fn names(&self) -> Vec<String> {
        self.plan.processes().iter().map(|process| process.name.clone()).collect()
    }

    fn log(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.log"))
    }

    fn process(&self, name: &str) -> Result<&ProcessPlan, ClusterError> {
        let found = self.plan.processes().iter().find(|process| process.name == name);
        found.ok_or_else(|| ClusterError::NotRunning { name: name.to_owned() })
    }

    fn take(&mut self, name: &str) -> Result<Child, ClusterError> {
        self.children.remove(name).ok_or_else(|| ClusterError::NotRunning { name: name.to_owned() })
    }

    fn still_runs(&mut self, name: &str) -> Result<(), ClusterError> {
        let log = self.log(name);
        let child = self.children.get_mut(name);
        let child = child.ok_or_else(|| ClusterError::NotRunning { name: name.to_owned() })?;
        match child.try_wait() {
            Ok(Some(status)) => Err(ClusterError::Ended { name: name.to_owned(), status, log }),
            _ => Ok(()),
        }
    }

    fn signal(&self, name: &str, signal: Signal) -> Result<(), ClusterError> {
        let child = self.children.get(name);
        let pid = child.and_then(Child::id).and_then(|pid| Pid::from_raw(pid.cast_signed()));
        let pid = pid.ok_or_else(|| ClusterError::NotRunning { name: name.to_owned() })?;
        kill_process(pid, signal).map_err(|error| ClusterError::Process {
            what: "signalling",
            name: name.to_owned(),
            source: error.into(),
        })
    }

    fn impatient(&self, name: &str, what: &'static str, why: String) -> ClusterError {
        ClusterError::Patience { name: name.to_owned(), what, why, log: self.log(name) }
    }
}
