//! A cluster of processes as `make cluster` starts it: the same processes with the same flags, at other addresses.

use std::collections::BTreeMap;
use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::Signal;
use tempfile::TempDir;
use testkit::free_address;

use crate::http::get;
use crate::support::{Barograph, Program, last_lines, wait_until};

/// What lists the processes.
const SCRIPT: &str = "scripts/cluster.sh";
pub(crate) const SECRET: &str = "of this test";
/// Of every process: nothing is written but by the test.
const FLAGS: [&str; 1] = ["--self-monitoring.enabled=false"];
/// For clusters that processes are to go from: who is gone is missed sooner.
const MISSED_SOON: [&str; 1] = ["--metastore.lease-ttl=2s"];

/// Processes of a cluster by name, with their data and logs in a folder that goes with it.
pub(crate) struct Cluster {
    folder: TempDir,
    /// Name and flags, in the order in which they start.
    commands: Vec<(String, Vec<String>)>,
    /// Further flags of every process.
    flags: Vec<String>,
    running: BTreeMap<String, Program>,
}

impl Cluster {
    /// A cluster of which nothing runs.
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let flags = MISSED_SOON.map(str::to_owned).to_vec();
        Self { folder, commands: commands(), flags, running: BTreeMap::new() }
    }

    /// A cluster that is ready.
    pub(crate) fn started() -> Self {
        Self::new().ready()
    }

    /// A cluster that is ready, that nobody is to go from, and all of whose processes have these flags besides.
    pub(crate) fn steady(flags: Vec<String>) -> Self {
        let mut cluster = Self::new();
        cluster.flags = flags;
        cluster.ready()
    }

    /// A cluster of these of its processes only, of which nothing runs.
    pub(crate) fn of(names: &[&str]) -> Self {
        let mut cluster = Self::new();
        cluster.commands.retain(|(name, _)| names.contains(&name.as_str()));
        cluster
    }

    /// Further flags of every process.
    pub(crate) fn add_flags(&mut self, flags: &[String]) {
        self.flags.extend_from_slice(flags);
    }

    /// One process is the metastore.
    pub(crate) fn alone_with_metastore(&mut self, name: &str) {
        let address = self.flag(name, "--grpc").expect("it is called").to_owned();
        for (own, flags) in &mut self.commands {
            flags.retain(|flag| {
                !flag.starts_with("--metastore.voters=") && !flag.starts_with("--metastore.addresses=")
            });
            if own != name {
                flags.push(format!("--metastore.addresses={address}"));
            }
        }
    }

    /// Gives a flag of a process another value.
    pub(crate) fn set_flag(&mut self, name: &str, flag: &str, value: &str) {
        let (_, flags) = self.commands.iter_mut().find(|(known, _)| known == name).expect("a process");
        flags.retain(|given| given.strip_prefix(flag).is_none_or(|rest| !rest.starts_with('=')));
        flags.push(format!("{flag}={value}"));
    }

    /// The log of a process so far.
    pub(crate) fn logged(&self, name: &str) -> String {
        std::fs::read_to_string(self.log(name)).unwrap_or_default()
    }

    /// Lets a process stand still, or go on.
    pub(crate) fn signal(&self, name: &str, signal: Signal) {
        self.running.get(name).expect("it runs").signal(signal);
    }

    /// Starts all processes, and waits until they are ready.
    pub(crate) fn ready(mut self) -> Self {
        let cluster = &mut self;
        let names = cluster.names("");
        names.iter().for_each(|name| cluster.launch(name));
        names.iter().for_each(|name| cluster.await_ready(name));
        self
    }

    /// The names of the processes that begin so, in the order in which they start.
    pub(crate) fn names(&self, prefix: &str) -> Vec<String> {
        let names = self.commands.iter().map(|(name, _)| name);
        names.filter(|name| name.starts_with(prefix)).cloned().collect()
    }

    /// The value of a flag of a process.
    pub(crate) fn flag(&self, name: &str, flag: &str) -> Option<&str> {
        let flags = &self.commands.iter().find(|(known, _)| known == name)?.1;
        flags.iter().find_map(|given| given.strip_prefix(flag)?.strip_prefix('='))
    }

    /// Where a process serves HTTP.
    pub(crate) fn http(&self, name: &str) -> SocketAddr {
        let flags =
            &self.commands.iter().find(|(known, _)| known == name).expect("a process of the cluster").1;
        let http = flags.iter().find_map(|flag| flag.strip_prefix("--http="));
        http.and_then(|address| address.parse().ok()).expect("it has an address")
    }

    /// Where a process keeps its data.
    pub(crate) fn data(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Starts a process, and waits until it is ready.
    pub(crate) fn start(&mut self, name: &str) {
        self.launch(name);
        self.await_ready(name);
    }

    /// Starts a process.
    pub(crate) fn launch(&mut self, name: &str) {
        let flags =
            &self.commands.iter().find(|(known, _)| known == name).expect("a process of the cluster").1;
        let flags: Vec<&str> = flags.iter().chain(&self.flags).map(String::as_str).chain(FLAGS).collect();
        let log = File::options().create(true).append(true).open(self.log(name)).expect("a log");
        let mut command = Barograph::command(&flags);
        command.env("BAROGRAPH_GRPC_CLUSTER_SECRET", SECRET).arg("--data").arg(self.data(name));
        command.stdout(log.try_clone().expect("the same log"));
        self.running.insert(name.to_owned(), Program::start_logging(&mut command, log));
    }

    /// Waits until a process is ready.
    pub(crate) fn await_ready(&mut self, name: &str) {
        let addr = self.http(name);
        let program = self.running.get_mut(name).expect("it was started");
        wait_until(&format!("{name} to be ready"), || match get(addr, "/ready") {
            (200, _) => Ok(()),
            (status, body) => {
                assert!(program.runs(), "{name} has ended");
                Err(format!("{status} {body}"))
            }
        });
    }

    /// That a process sees so many instances of the ring in this state.
    pub(crate) fn sees(&self, name: &str, state: &str, count: usize) -> Result<(), String> {
        let (_, metrics) = get(self.http(name), "/metrics");
        let state = format!("\"{state}\"");
        let members = |line: &&str| line.starts_with("barograph_ring_members{") && line.contains(&state);
        let seen = metrics.lines().find(members);
        let counted = seen.filter(|line| line.ends_with(&format!(" {count}")));
        counted.map(drop).ok_or_else(|| format!("{seen:?}"))
    }

    /// Ends a process as a crash does.
    pub(crate) fn kill(&mut self, name: &str) {
        let mut program = self.running.remove(name).expect("it runs");
        program.signal(Signal::KILL);
        program.wait();
    }

    /// Stops a process in order.
    pub(crate) fn stop(&mut self, name: &str) {
        self.terminate(name);
        self.stopped(name);
    }

    /// Adds a process that is like another one, at addresses of its own.
    pub(crate) fn add(&mut self, name: &str, like: &str) {
        let flags =
            &self.commands.iter().find(|(known, _)| known == like).expect("a process of the cluster").1;
        let mut own = BTreeMap::new();
        let mut moved = |flag: &str, address: &str| {
            let to = own.entry(address.to_owned()).or_insert_with(|| free_address().to_string());
            format!("{flag}={to}")
        };
        let flags = flags.iter().map(|flag| match flag.split_once('=') {
            Some((flag @ ("--http" | "--grpc" | "--grpc.advertise"), address)) => moved(flag, address),
            Some((flag @ "--instance-id", _)) => format!("{flag}={name}"),
            _ => flag.clone(),
        });
        let flags = flags.collect();
        self.commands.push((name.to_owned(), flags));
    }

    /// Asks a process to stop, and does not wait for it.
    pub(crate) fn terminate(&self, name: &str) {
        self.running.get(name).expect("it runs").signal(Signal::TERM);
    }

    /// Whether a process has not ended.
    pub(crate) fn runs(&mut self, name: &str) -> bool {
        self.running.get_mut(name).expect("it was started").runs()
    }

    /// Waits for the end of a process that was asked to stop.
    pub(crate) fn stopped(&mut self, name: &str) {
        let mut program = self.running.remove(name).expect("it was started");
        assert!(program.wait().success(), "{name} did not stop in order");
    }

    fn log(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("{name}.log"))
    }
}

impl Drop for Cluster {
    #[expect(clippy::print_stderr, reason = "what the processes said belongs to the failure")]
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        for (name, _) in &self.commands {
            let log = std::fs::read_to_string(self.log(name)).unwrap_or_default();
            eprintln!("---- {name}\n{}", last_lines(&log));
        }
    }
}

/// What the script lists, with an address of its own for each that it names.
fn commands() -> Vec<(String, Vec<String>)> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a workspace");
    let output = Command::new(workspace.join(SCRIPT)).arg("commands").output().expect("the script runs");
    let mut listed = String::from_utf8(output.stdout).expect("the list is text");
    assert!(output.status.success() && !listed.is_empty(), "{SCRIPT} lists nothing");
    let addresses = listed.split(['=', ',', ' ', '\n']).filter(|word| word.starts_with("127.0.0.1:"));
    let addresses: std::collections::BTreeSet<String> = addresses.map(str::to_owned).collect();
    for address in addresses {
        listed = listed.replace(&address, &free_address().to_string());
    }
    let lines = listed.lines().filter_map(|line| line.split_once(' '));
    lines.map(|(name, flags)| (name.to_owned(), flags.split(' ').map(str::to_owned).collect())).collect()
}
