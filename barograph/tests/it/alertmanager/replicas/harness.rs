//! Alertmanagers that share a metastore, as processes, whose ways to it and to each other can be cut.

use std::collections::BTreeMap;
use std::fs::File;
use std::net::SocketAddr;

use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::{Receiver, free_address};

use crate::cluster::harness::{Cluster, SECRET};
use crate::cluster::way::Way;
use crate::http::{Connection, Response, get};
use crate::support::{Barograph, Program, last_lines, wait_for, wait_until};

/// The lease of the processes.
pub(super) const LEASE_MS: u64 = 4_000;
/// The replicas.
pub(super) const NAMES: [&str; 3] = ["am-1", "am-2", "am-3"];

/// A notification that the receiver took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Notified {
    pub(super) alert: String,
    /// The key of its group.
    pub(super) group: String,
    /// The name of the replica that sent it.
    pub(super) teller: String,
    /// When it was all there; the answer goes out at once.
    pub(super) arrived_ms: i64,
}

/// A metastore, three Alertmanagers, and a receiver that they tell.
pub(super) struct Replicas {
    pub(super) metastore: Cluster,
    pub(super) receiver: Receiver,
    folder: TempDir,
    http: BTreeMap<&'static str, SocketAddr>,
    grpc: BTreeMap<&'static str, SocketAddr>,
    /// The ways of each to the nodes of the metastore.
    ways: BTreeMap<&'static str, Vec<Way>>,
    /// The way of the others to each.
    to: BTreeMap<&'static str, Way>,
    running: BTreeMap<&'static str, Program>,
}

impl Replicas {
    /// All run, and know of each other. The metastore has one node.
    pub(super) fn start() -> Self {
        Self::beside(Cluster::of(&["metastore-1"]))
    }

    /// The same, with further processes of their cluster.
    pub(super) fn beside(mut metastore: Cluster) -> Self {
        metastore.alone_with_metastore("metastore-1");
        Self::with(metastore)
    }

    /// The same, with a metastore of three nodes. They name each other, so that its ways cannot be cut.
    pub(super) fn with_three_nodes() -> Self {
        Self::with(Cluster::of(&["metastore-1", "metastore-2", "metastore-3"]))
    }

    fn with(metastore: Cluster) -> Self {
        let node = |name: &String| -> SocketAddr {
            metastore.flag(name, "--grpc").expect("it is called").parse().expect("an address")
        };
        let nodes: Vec<SocketAddr> = metastore.names("metastore").iter().map(node).collect();
        let ways = || nodes.iter().copied().map(Way::to).collect();
        let grpc = NAMES.map(|name| (name, free_address()));
        let mut replicas = Self {
            ways: NAMES.map(|name| (name, ways())).into(),
            metastore: metastore.ready(),
            receiver: Receiver::start(),
            folder: tempfile::tempdir().expect("a folder"),
            http: NAMES.map(|name| (name, free_address())).into(),
            to: grpc.map(|(name, address)| (name, Way::to(address))).into(),
            grpc: grpc.into(),
            running: BTreeMap::new(),
        };
        NAMES.iter().for_each(|name| replicas.launch(name));
        NAMES.iter().for_each(|name| replicas.await_ready(name));
        replicas.await_members(3);
        replicas
    }

    /// Where the nodes of the metastore are reached.
    pub(super) fn nodes(&self) -> Vec<String> {
        let node = |name: &String| self.metastore.flag(name, "--grpc").expect("it is called").to_owned();
        self.metastore.names("metastore").iter().map(node).collect()
    }

    /// Where one serves HTTP.
    pub(super) fn http(&self, name: &str) -> SocketAddr {
        self.http[name]
    }

    /// Starts a replica.
    pub(super) fn launch(&mut self, name: &'static str) {
        // A file of its own: another one may read it while this one is launched.
        let config = self.folder.path().join(format!("{name}.yml"));
        let text = format!(
            "route: {{receiver: w, group_by: [alertname], group_wait: 500ms, group_interval: 2s, repeat_interval: 1h}}\n\
             receivers: [{{name: w, webhook_configs: [{{url: '{}'}}]}}]\n",
            // Who tells is known by the path.
            self.receiver.url(&format!("/{name}"))
        );
        std::fs::write(&config, text).expect("written");
        let flag = |name: &str, value: &dyn std::fmt::Display| format!("--{name}={value}");
        let nodes: Vec<String> = self.ways[name].iter().map(|way| way.address().to_string()).collect();
        let flags = [
            flag("target", &"alertmanager"),
            flag("multitenancy-enabled", &true),
            flag("instance-id", &name),
            flag("http", &self.http[name]),
            flag("grpc", &self.grpc[name]),
            flag("grpc.advertise", &self.to[name].address()),
            flag("metastore.addresses", &nodes.join(",")),
            flag("metastore.lease-ttl", &format!("{LEASE_MS}ms")),
            flag("metastore.call-timeout", &"3s"),
            flag("alertmanager-config", &config.display()),
            flag("data", &self.folder.path().join(name).display()),
        ];
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        let log = File::options().create(true).append(true).open(self.log(name)).expect("a log");
        let mut command = Barograph::command(&flags);
        command.env("BAROGRAPH_GRPC_CLUSTER_SECRET", SECRET).stdout(log.try_clone().expect("the same log"));
        self.running.insert(name, Program::start_logging(&mut command, log));
    }

    pub(super) fn await_ready(&self, name: &str) {
        let addr = self.http(name);
        wait_until(&format!("{name} to be ready"), || match get(addr, "/ready") {
            (200, _) => Ok(()),
            (status, body) => Err(format!("{status} {body}")),
        });
    }

    /// Waits until all that run see so many of them.
    pub(super) fn await_members(&self, count: usize) {
        for name in self.running.keys() {
            wait_until(&format!("{name} to see {count}"), || {
                match self.metric(name, "alertmanager_cluster_members") {
                    Some(seen) if seen == count as f64 => Ok(()),
                    seen => Err(format!("{seen:?}")),
                }
            });
        }
    }

    /// Ends one as a crash does.
    pub(super) fn kill(&mut self, name: &str) {
        let mut program = self.running.remove(name).expect("it runs");
        program.signal(Signal::KILL);
        program.wait();
    }

    /// Takes away what one that does not run has kept.
    pub(super) fn forget(&self, name: &str) {
        std::fs::remove_dir_all(self.folder.path().join(name)).expect("removed");
    }

    /// Stops one in order.
    pub(super) fn stop(&mut self, name: &str) {
        let mut program = self.running.remove(name).expect("it runs");
        program.signal(Signal::TERM);
        assert!(program.wait().success(), "{name} did not stop in order");
    }

    /// Lets one stand still, or go on.
    pub(super) fn signal(&self, name: &str, signal: Signal) {
        self.running[name].signal(signal);
    }

    /// Cuts the way of one to the metastore, or mends it.
    pub(super) fn cut(&self, name: &str, is_cut: bool) {
        self.ways[name].iter().for_each(|way| way.cut(is_cut));
    }

    /// Cuts the way of the others to one, or mends it. It still reaches them.
    pub(super) fn cut_off(&self, name: &str, is_cut: bool) {
        self.to[name].cut(is_cut);
    }

    /// The value of a metric of one, if it answers and has it.
    pub(super) fn metric(&self, name: &str, metric: &str) -> Option<f64> {
        metric_of(self.http(name), metric)
    }

    /// The node of the metastore that leads, if one does.
    pub(super) fn leader(&self) -> Option<String> {
        let leads = |name: &String| {
            metric_of(self.metastore.http(name), "barograph_metastore_is_leader") == Some(1.0)
        };
        self.metastore.names("metastore").into_iter().find(leads)
    }

    /// What one answers a tenant, if it answers.
    pub(super) fn ask(
        &self,
        name: &str,
        tenant: &str,
        method: &str,
        path: &str,
        body: &str,
    ) -> Option<Response> {
        let headers = [("Content-Type", "application/json"), ("X-Scope-OrgID", tenant)];
        Connection::open(self.http(name)).ok()?.request(method, path, &headers, body.as_bytes()).ok()
    }

    /// Posts an alert to one; whether it was taken.
    pub(super) fn post(&self, name: &str, tenant: &str, alert: &str) -> bool {
        let body = json!([{"labels": {"alertname": alert}}]).to_string();
        self.ask(name, tenant, "POST", "/api/v2/alerts", &body).is_some_and(|answer| answer.status == 200)
    }

    /// Posts an alert until one of those that run takes it.
    pub(super) fn post_to_any(&self, first: usize, tenant: &str, alert: &str) {
        let mut turn = first;
        wait_for("an alert to be taken", || {
            turn += 1;
            let running: Vec<&&str> = self.running.keys().collect();
            self.post(running[turn % running.len()], tenant, alert).then_some(())
        });
    }

    /// The name of the alert of each notification so far.
    pub(super) fn told(&self) -> Vec<String> {
        self.notifications().into_iter().map(|told| told.alert).collect()
    }

    /// The notifications so far.
    pub(super) fn notifications(&self) -> Vec<Notified> {
        let notified = |(request, arrived_ms): (testkit::ReceivedRequest, i64)| {
            let body: Value = serde_json::from_str(&request.body).expect("JSON");
            let alert = body["groupLabels"]["alertname"].as_str().expect("a group").to_owned();
            let teller = request.path.trim_start_matches('/').to_owned();
            Notified {
                alert,
                group: body["groupKey"].as_str().expect("a key").to_owned(),
                teller,
                arrived_ms,
            }
        };
        self.receiver.timed().into_iter().map(notified).collect()
    }

    fn log(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(format!("{name}.log"))
    }
}

/// The value of a metric of a process, if it answers and has it.
fn metric_of(address: SocketAddr, metric: &str) -> Option<f64> {
    let mut connection = Connection::open(address).ok()?;
    let text = connection.request("GET", "/metrics", &[], b"").ok()?.body;
    let line = text
        .lines()
        .find(|line| line.strip_prefix(metric).is_some_and(|rest| rest.starts_with([' ', '{'])))?;
    line.rsplit(' ').next()?.parse().ok()
}

impl Drop for Replicas {
    #[expect(clippy::print_stderr, reason = "what the processes said belongs to the failure")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            for name in NAMES {
                let log = std::fs::read_to_string(self.log(name)).unwrap_or_default();
                eprintln!("---- {name}\n{}", last_lines(&log));
            }
        }
    }
}
