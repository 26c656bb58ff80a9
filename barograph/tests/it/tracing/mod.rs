//! Traces: what a write and a query leave with a collector, and in logs and metrics.

mod cluster;
mod collector;
mod exemplars;

use std::fs::File;
use std::net::SocketAddr;
use std::path::Path;

use rustix::process::Signal;
use serde_json::Value as Json;
use wire::encode::Rw2Writer;

use crate::http::{Connection, Response};
use crate::support::{Barograph, now_ms, wait_for};
use collector::Collector;

/// The span of the client that sends requests.
const CALLER: &str = "00f067aa0ba902b7";
const WRITE: &str = "0af7651916cd43dd8448eb211c80319c";
const QUERY: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// A process that begins no traces itself, continues those of its callers, and logs to the file `log`.
fn start(folder: &Path, collector: &Collector) -> Barograph {
    let endpoint = collector.endpoint();
    let command = Barograph::command(&[
        "--tracing.endpoint",
        &endpoint,
        "--tracing.sampling-ratio=0",
        "--tracing.export-interval=100ms",
        "--limits.query-log=true",
        "--log-format=json",
    ]);
    let log = File::create(folder.join("log")).expect("a file");
    Barograph::start_logging(command, &folder.join("data"), log)
}

fn request(addr: SocketAddr, method: &str, path: &str, trace: Option<&str>, body: &[u8]) -> Response {
    let parent = trace.map(|trace| format!("00-{trace}-{CALLER}-01"));
    let mut headers = vec![
        ("Content-Type", "application/x-protobuf;proto=io.prometheus.write.v2.Request"),
        ("Content-Encoding", "snappy"),
        ("Accept", "application/openmetrics-text"),
    ];
    headers.extend(parent.as_deref().map(|parent| ("traceparent", parent)));
    Connection::open(addr).and_then(|mut c| c.request(method, path, &headers, body)).expect("an answer")
}

fn write(addr: SocketAddr, trace: Option<&str>) {
    let mut writer = Rw2Writer::default();
    writer.label("__name__", "traced");
    writer.sample(now_ms(), 1.0, 0);
    writer.end_series();
    let response = request(addr, "POST", "/api/v1/push", trace, &wire::snappy::compress(&writer.message()));
    assert_eq!(response.status, 204, "{}", response.body);
}

fn query(addr: SocketAddr, trace: Option<&str>) {
    let response = request(addr, "GET", "/prometheus/api/v1/query?query=traced", trace, &[]);
    assert_eq!(response.status, 200, "{}", response.body);
}

#[test]
fn a_write_and_a_query_leave_one_trace_each() {
    let (folder, collector) = (tempfile::tempdir().expect("a folder"), Collector::start());
    let mut barograph = start(folder.path(), &collector);
    let (push, select) = ("POST /api/v1/push", "GET /prometheus/api/v1/query");
    write(barograph.addr, None);
    write(barograph.addr, Some(WRITE));
    query(barograph.addr, Some(QUERY));

    let trace = collector.trace(WRITE, |trace| {
        trace.has(&[
            &[push, "distributor.decode"],
            &[push, "distributor.push", "ingester.append"],
            &[push, "distributor.push", "ingester.sync"],
        ])
    });
    let roots = trace.ends(&[push]);
    assert!(roots.iter().all(|root| root.parent == CALLER && root.service == "barograph"), "{roots:#?}");
    assert_eq!(roots.len(), 1, "{trace:#?}");
    assert_eq!(trace.0.len(), 5, "{trace:#?}");
    assert_eq!(roots[0].attribute("http.response.status_code"), Some("204"));
    assert_eq!(roots[0].attribute("http.route"), Some("/api/v1/push"));
    let trace = collector.trace(QUERY, |trace| {
        trace.has(&[
            &[select, "querier.query", "querier.parse"],
            &[select, "querier.query", "querier.queue"],
            &[select, "querier.query", "querier.select", "ingester.select"],
            &[select, "querier.query", "querier.evaluate"],
            &[select, "querier.encode"],
        ])
    });
    assert_eq!(trace.0.len(), 8, "{trace:#?}");
    assert!(!trace.0.iter().any(|span| span.failed), "{trace:#?}");

    let metrics = request(barograph.addr, "GET", "/metrics", None, &[]);
    assert!(metrics.header("content-type").is_some_and(|t| t.starts_with("application/openmetrics-text")));
    let exemplar = format!("# {{trace_id=\"{WRITE}\"}} ");
    let with_exemplar =
        |name: &str| metrics.body.lines().any(|l| l.starts_with(name) && l.contains(&exemplar));
    assert!(with_exemplar("barograph_http_request_duration_seconds_bucket"), "{}", metrics.body);

    barograph.program.signal(Signal::TERM);
    assert!(barograph.program.wait().success());
    let log = std::fs::read_to_string(folder.path().join("log")).expect("a log");
    let mut lines = log.lines().filter_map(|line| serde_json::from_str::<Json>(line).ok());
    let logged = lines.find(|line| line["target"] == "query_log").expect("a query is logged");
    assert_eq!(logged["trace_id"], QUERY, "{logged}");
    let strangers = collector.spans().into_iter().filter(|span| span.trace != WRITE && span.trace != QUERY);
    assert_eq!(strangers.count(), 0, "nobody asked for other traces");
}

#[test]
fn what_is_left_is_exported_at_the_end() {
    let (folder, collector) = (tempfile::tempdir().expect("a folder"), Collector::start());
    let endpoint = collector.endpoint();
    let arguments =
        ["--tracing.endpoint", &endpoint, "--tracing.sampling-ratio=1", "--tracing.export-interval=10m"];
    let mut barograph = Barograph::start(folder.path(), &arguments);
    query(barograph.addr, None);
    barograph.program.signal(Signal::TERM);
    assert!(barograph.program.wait().success());
    wait_for("the trace of the query", || {
        collector.spans().into_iter().find(|span| span.name == "querier.query")
    });
}

#[test]
fn without_the_collector_the_process_works_and_ends() {
    let folder = tempfile::tempdir().expect("a folder");
    let endpoint = format!("http://{}", testkit::free_address());
    let arguments =
        ["--tracing.endpoint", &endpoint, "--tracing.sampling-ratio=1", "--tracing.export-timeout=1s"];
    let mut barograph = Barograph::start(folder.path(), &arguments);
    write(barograph.addr, None);
    query(barograph.addr, None);
    barograph.program.signal(Signal::TERM);
    assert!(barograph.program.wait().success());
}
