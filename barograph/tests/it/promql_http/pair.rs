//! Prometheus and Barograph with the same data, and questions to both.

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use model::Value as SampleValue;
use serde_json::Value;
use tempfile::TempDir;
use wire::encode::Rw1Writer;
use wire::histogram::HistogramSample;
use wire::snappy;

use super::data::{START_MS, Series};
use crate::http::{Connection, get, query_value};
use testkit::free_address;

use crate::support::{Barograph, Program, peer, wait_for};

/// How many connections to each side are used at the same time.
const CONNECTIONS: usize = 4;

/// How much time one write request covers: Prometheus takes nothing older than half of two hours before its newest
/// sample.
const REQUEST_MS: i64 = 30 * 60_000;

/// What both sides accept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Features {
    /// What is not experimental.
    Stable,
    /// All that Prometheus keeps behind flags, delayed name removal included.
    Experimental,
}

impl Features {
    fn configuration(self) -> String {
        let experimental = self == Self::Experimental;
        format!(
            "self_monitoring: {{enabled: false}}
retention: 100y
limits: {{experimental_promql: {experimental}}}
"
        )
    }

    /// The flags of Prometheus 3.5. Native histograms and arithmetic of durations need none in newer ones.
    fn flags(self) -> &'static str {
        match self {
            Self::Stable => "native-histograms,promql-duration-expr",
            Self::Experimental => {
                "native-histograms,promql-duration-expr,promql-experimental-functions,promql-delayed-name-removal"
            }
        }
    }
}

/// A request of the query API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Query {
    /// What of the API: `query`, `query_range`.
    pub(super) endpoint: String,
    /// The expression, empty where parameters are given as they are.
    pub(super) expression: String,
    /// The other parameters, encoded.
    pub(super) parameters: String,
}

impl Query {
    /// An instant query.
    pub(super) fn instant(expression: &str, at_ms: i64) -> Self {
        let parameters = format!("time={}", seconds(at_ms));
        Self { endpoint: "query".to_owned(), expression: expression.to_owned(), parameters }
    }

    /// A range query.
    pub(super) fn range(expression: &str, start_ms: i64, end_ms: i64, step_ms: i64) -> Self {
        let [start, end, step] = [start_ms, end_ms, step_ms].map(seconds);
        let parameters = format!("start={start}&end={end}&step={step}");
        Self { endpoint: "query_range".to_owned(), expression: expression.to_owned(), parameters }
    }

    /// The same question about another expression.
    pub(super) fn with_expression(&self, expression: String) -> Self {
        Self { expression, ..self.clone() }
    }

    fn form(&self) -> String {
        if self.expression.is_empty() {
            return self.parameters.clone();
        }
        format!("query={}&{}", query_value(&self.expression), self.parameters)
    }
}

impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} [{} {}]", self.expression, self.endpoint, self.parameters)
    }
}

fn seconds(ms: i64) -> String {
    format!("{}.{:03}", ms / 1_000, ms % 1_000)
}

/// Status and body of an answer.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Value,
}

/// Both answers to a query.
#[derive(Debug, Clone)]
pub(super) struct Answers {
    pub(super) ours: Answer,
    pub(super) theirs: Answer,
}

/// The two programs.
pub(super) struct Pair {
    barograph: Barograph,
    prometheus: SocketAddr,
    _prometheus: Program,
    _folder: TempDir,
}

impl Pair {
    /// Starts both and gives them `series`, which are in order of labels.
    pub(super) fn start(series: &[Series], features: Features) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("barograph.yaml");
        std::fs::write(&file, features.configuration()).expect("written");
        let barograph =
            Barograph::start(&folder.path().join("barograph"), &["--config", &file.to_string_lossy()]);
        let (program, prometheus) = start_prometheus(folder.path(), features);
        let pair = Self { barograph, prometheus, _prometheus: program, _folder: folder };
        pair.write(series);
        pair
    }

    fn write(&self, series: &[Series]) {
        let mut connections = [self.barograph.addr, self.prometheus].map(open);
        let last_ms = series.iter().filter_map(|s| Some(s.samples.last()?.0)).max().expect("samples");
        let mut writer = Rw1Writer::default();
        for from_ms in (START_MS..=last_ms).step_by(REQUEST_MS as usize) {
            for round in 0.. {
                writer.clear();
                for one in series {
                    put_run(&mut writer, one, from_ms..from_ms + REQUEST_MS, round);
                }
                if writer.message().is_empty() {
                    break;
                }
                let body = snappy::compress(writer.message());
                for connection in &mut connections {
                    let headers =
                        [("Content-Type", "application/x-protobuf"), ("Content-Encoding", "snappy")];
                    let answer =
                        connection.request("POST", "/api/v1/write", &headers, &body).expect("an answer");
                    assert!((200..300).contains(&answer.status), "{}: {}", answer.status, answer.body);
                }
            }
        }
    }

    /// Asks both everything, over a few connections, and judges each with `judge`; results are in the order of
    /// `queries`.
    pub(super) fn ask_all<T: Send>(
        &self,
        queries: &[Query],
        judge: impl Fn(&mut Connections, &Query, &Answers) -> T + Sync,
    ) -> Vec<T> {
        let next = AtomicUsize::new(0);
        let work = |mut connections: Connections| {
            let mut judged = Vec::new();
            loop {
                let i = next.fetch_add(1, Ordering::Relaxed);
                let Some(query) = queries.get(i) else { return judged };
                let answers = connections.ask(query);
                judged.push((i, judge(&mut connections, query, &answers)));
            }
        };
        let mut judged = std::thread::scope(|scope| {
            let start = || {
                let connections = self.connections();
                scope.spawn(|| work(connections))
            };
            let workers: Vec<_> = (0..CONNECTIONS).map(|_| start()).collect();
            let joined = workers.into_iter().flat_map(|worker| worker.join().expect("a worker"));
            joined.collect::<Vec<_>>()
        });
        judged.sort_by_key(|(i, _)| *i);
        judged.into_iter().map(|(_, judged)| judged).collect()
    }

    fn connections(&self) -> Connections {
        Connections { barograph: open(self.barograph.addr), prometheus: open(self.prometheus) }
    }
}

/// A connection to each side.
pub(super) struct Connections {
    barograph: Connection,
    prometheus: Connection,
}

impl Connections {
    fn ask(&mut self, query: &Query) -> Answers {
        let ours = ask(&mut self.barograph, "/prometheus", query);
        Answers { ours, theirs: self.ask_prometheus(query) }
    }

    /// What Prometheus alone says.
    pub(super) fn ask_prometheus(&mut self, query: &Query) -> Answer {
        ask(&mut self.prometheus, "", query)
    }
}

fn ask(connection: &mut Connection, prefix: &str, query: &Query) -> Answer {
    let path = format!("{prefix}/api/v1/{}", query.endpoint);
    let headers = [("Content-Type", "application/x-www-form-urlencoded")];
    let answer = connection.request("POST", &path, &headers, query.form().as_bytes());
    let answer = answer.unwrap_or_else(|error| panic!("{query}: {error}"));
    let body = serde_json::from_str(&answer.body);
    Answer { status: answer.status, body: body.unwrap_or(Value::String(answer.body)) }
}

fn open(addr: SocketAddr) -> Connection {
    Connection::open(addr).expect("connected")
}

/// Prometheus that scrapes nothing and takes remote writes.
fn start_prometheus(folder: &Path, features: Features) -> (Program, SocketAddr) {
    let addr = free_address();
    let file = folder.join("prometheus.yml");
    std::fs::write(&file, "{}\n").expect("written");
    let mut command = Command::new(peer("prometheus"));
    command
        .arg(format!("--config.file={}", file.display()))
        .arg(format!("--storage.tsdb.path={}", folder.join("prometheus").display()))
        .arg(format!("--web.listen-address={addr}"))
        .arg("--web.enable-remote-write-receiver")
        .arg(format!("--enable-feature={}", features.flags()))
        .arg("--log.level=error");
    let program = Program::start(command.stdout(Stdio::null()));
    wait_for("Prometheus to be ready", || (get(addr, "/-/ready").0 == 200).then_some(()));
    (program, addr)
}

/// Of the samples of a series within a range of time, a run of floats or of histograms. A request does not tell in which
/// order floats and histograms of a series come, and Prometheus 3.5 takes all floats of a request first: further runs
/// go into further requests.
fn put_run(writer: &mut Rw1Writer, series: &Series, range: std::ops::Range<i64>, number: usize) {
    let samples: Vec<_> = series.samples.iter().filter(|(at, _)| range.contains(at)).collect();
    let is_float = |value: &SampleValue| matches!(value, SampleValue::Float(_));
    let Some(run) = samples.chunk_by(|(_, a), (_, b)| is_float(a) == is_float(b)).nth(number) else { return };
    for (name, value) in &series.labels {
        writer.label(name, value);
    }
    for (at, value) in run {
        match value {
            SampleValue::Float(value) => writer.sample(*at, *value),
            histogram => writer.histogram(&HistogramSample {
                timestamp_ms: *at,
                start_timestamp_ms: 0,
                value: histogram.clone(),
            }),
        };
    }
    writer.end_series();
}
