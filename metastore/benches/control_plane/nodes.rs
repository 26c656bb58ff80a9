//! Three metastore processes, and clients of them.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use env::{Clock, OsSeededRng, Scope, SystemClock};
use membership::{Client, MembershipConfig};
use rpc::grpc::ChannelPool;
use telemetry::Registry;
use tempfile::TempDir;

use crate::node::dial;

pub(crate) const NAMES: [&str; 3] = ["a", "b", "c"];

pub(crate) struct Nodes {
    dir: TempDir,
    pub(crate) at: [SocketAddr; 3],
    running: [Option<Child>; 3],
    timing: Option<String>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) scope: Scope,
}

impl Nodes {
    /// Three nodes that have founded their cluster, with a timing of their own where one is given.
    pub(crate) async fn start(timing: Option<String>) -> Self {
        let mut nodes = Self {
            dir: tempfile::tempdir().unwrap(),
            at: NAMES.map(|_| testkit::free_address()),
            running: [const { None }; 3],
            timing,
            clock: Arc::new(SystemClock::new()),
            scope: Scope::new("bench"),
        };
        (0..3).for_each(|node| nodes.begin(node));
        nodes.settled().await;
        nodes
    }

    pub(crate) fn begin(&mut self, node: usize) {
        let voters: Vec<String> =
            NAMES.iter().zip(self.at).map(|(name, at)| format!("{name}={at}")).collect();
        let data = self.dir.path().join(NAMES[node]);
        let log = std::fs::File::create(self.dir.path().join(format!("{}.log", NAMES[node]))).unwrap();
        let at = self.at[node].to_string();
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["node", NAMES[node], &at, &voters.join(",")])
            .arg(data)
            .args(&self.timing)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn();
        self.running[node] = Some(child.unwrap());
    }

    /// Ends a node as the kernel ends one that takes too much memory.
    pub(crate) fn kill(&mut self, node: usize) {
        let mut child = self.running[node].take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Waits until a leader has all three nodes with what it has itself, and gives it.
    pub(crate) async fn settled(&self) -> usize {
        let client = self.client(&[0, 1, 2]);
        loop {
            if let Ok(status) = client.status().await
                && let Some(leader) = status.nodes.iter().find(|node| node.leader)
                && status
                    .nodes
                    .iter()
                    .filter(|node| node.matched_index >= Some(status.last_log_index))
                    .count()
                    == 3
            {
                let name = leader.node.as_ref().map_or("", |node| node.name.as_str());
                return NAMES.iter().position(|known| *known == name).unwrap();
            }
            self.clock.sleep(Duration::from_millis(20)).await;
        }
    }

    /// A client with connections of its own.
    pub(crate) fn client(&self, nodes: &[usize]) -> Client {
        let pool = ChannelPool::new(Arc::new(dial(&self.clock, &self.scope)));
        let addresses = nodes.iter().map(|node| self.at[*node].to_string()).collect();
        let config = MembershipConfig { addresses, ..MembershipConfig::default() };
        let (clock, rng) = (Arc::clone(&self.clock), Arc::new(OsSeededRng::new()));
        Client::new(config, Arc::new(pool), clock, rng, &Registry::new())
    }

    /// CPU time that each node has taken so far, in seconds, and its memory in MiB.
    pub(crate) fn usage(&self) -> Vec<(f64, f64)> {
        self.running.iter().flatten().map(|child| (cpu_seconds(child.id()), memory_mib(child.id()))).collect()
    }

    pub(crate) fn path(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }
}

impl Drop for Nodes {
    fn drop(&mut self) {
        for child in self.running.iter_mut().flatten() {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn cpu_seconds(process: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    // Behind the name, which may have anything in it.
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks: f64 = fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap();
    ticks / 100.0
}

fn memory_mib(process: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse::<f64>().unwrap() / 1024.0
}
