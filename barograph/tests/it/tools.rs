//! The tools that people point at the process: promtool, and a shell with curl.

use std::io::Write as _;
use std::net::SocketAddr;
use std::process::{Command, Output, Stdio};

use rustix::process::Signal;
use serde_json::Value;

use crate::http::{Connection, Response, get, query_value};
use crate::support::{Barograph, now_ms, peer, wait_for};

/// Runs promtool.
fn promtool(arguments: &[&str]) -> Output {
    Command::new(peer("promtool")).args(arguments).stdin(Stdio::null()).output().expect("promtool runs")
}

/// What promtool says, when it succeeds.
#[track_caller]
fn said(arguments: &[&str]) -> String {
    let output = promtool(arguments);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && error.is_empty(), "promtool {arguments:?}: {error}");
    String::from_utf8(output.stdout).expect("text")
}

/// A process that has its own metrics, at a time of its own.
fn start(data: &tempfile::TempDir) -> Barograph {
    let barograph = Barograph::start(data.path(), &["--self-monitoring.interval", "1s"]);
    wait_for("its own metrics", || {
        let found = result(barograph.addr, "count_over_time(up{job=\"barograph\"}[5m]) >= 3");
        (!found.is_empty()).then_some(())
    });
    barograph
}

fn answer(addr: SocketAddr, path: &str) -> Value {
    let (status, body) = get(addr, path);
    assert_eq!(status, 200, "{path}: {body}");
    let answer: Value = serde_json::from_str(&body).unwrap_or_else(|error| panic!("{path}: {error}: {body}"));
    assert_eq!(answer["status"], "success", "{path}: {body}");
    answer
}

/// The result of an instant query.
fn result(addr: SocketAddr, query: &str) -> Vec<Value> {
    let answer = answer(addr, &format!("/prometheus/api/v1/query?query={}", query_value(query)));
    answer["data"]["result"].as_array().cloned().unwrap_or_default()
}

#[test]
fn promtool_queries() {
    let data = tempfile::tempdir().expect("a folder");
    let barograph = start(&data);
    let instance = barograph.addr.to_string();
    let up = format!("up{{instance=\"{instance}\", job=\"barograph\"}}");
    let (base, root) = (format!("http://{instance}/prometheus"), format!("http://{instance}"));
    let now = now_ms() / 1_000;
    let (start, end) = (format!("--start={}", now - 60), format!("--end={now}"));
    for url in [&base, &root] {
        let instant = said(&["query", "instant", url, "up"]);
        assert!(instant.starts_with(&format!("{up} => 1 @[")), "{instant}");
        let range = said(&["query", "range", &start, &end, "--step=1s", url, "up"]);
        assert!(range.starts_with(&format!("{up} =>\n1 @[")), "{range}");
        let series = said(&["query", "series", &start, &end, "--match=up{job=\"barograph\"}", url]);
        assert_eq!(series, format!("{{__name__=\"up\", instance=\"{instance}\", job=\"barograph\"}}\n"));
        let labels = said(&["query", "labels", url, "job"]);
        assert_eq!(labels, "barograph\n");
    }
    let sum = said(&["query", "instant", &base, "sum by (job) (count_over_time(up[1m])) > bool 0"]);
    assert!(sum.starts_with("{job=\"barograph\"} => 1 @["), "{sum}");
    let json = said(&["query", "instant", "--format=json", &base, "up"]);
    let json: Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(json[0]["metric"]["instance"], *instance);
    let wrong = promtool(&["query", "instant", &base, "up{"]);
    let error = String::from_utf8_lossy(&wrong.stderr);
    assert!(!wrong.status.success() && error.contains("bad_data") && error.contains("1:4"), "{error}");
}

#[test]
fn promtool_analyzes_histograms() {
    let data = tempfile::tempdir().expect("a folder");
    let barograph = Barograph::start(data.path(), &["--self-monitoring.enabled=false"]);
    crate::api::write(barograph.addr);
    for url in [format!("http://{}/prometheus", barograph.addr), format!("http://{}", barograph.addr)] {
        let server = format!("--server={url}");
        let analyze = |matcher: &str| {
            said(&[
                "query",
                "analyze",
                &server,
                "--type=histogram",
                "--duration=5m",
                &format!("--match={matcher}"),
            ])
        };
        let classic = analyze("api_seconds_bucket");
        assert!(classic.contains("- api_seconds_bucket{job=\"api\"} (classic): "), "{classic}");
        let native = analyze("api_native_seconds");
        assert!(native.contains("- api_native_seconds{job=\"api\"} (native): "), "{native}");
    }
}

#[test]
fn promtool_finds_nothing_wrong_with_the_metrics() {
    let data = tempfile::tempdir().expect("a folder");
    let barograph = start(&data);
    let mut connection = Connection::open(barograph.addr).expect("connected");
    let plain = connection.request("GET", "/metrics", &[], b"").expect("an answer");
    let content_type = plain.header("content-type").expect("a type").to_owned();
    assert!(content_type.starts_with("text/plain; version=0.0.4"), "{content_type}");
    let mut check = Command::new(peer("promtool"))
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool runs");
    check.stdin.take().expect("piped").write_all(plain.body.as_bytes()).expect("read");
    let output = check.wait_with_output().expect("it ends");
    let problems = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && problems.is_empty() && output.stdout.is_empty(), "{problems}");

    let accept = [("Accept", "application/openmetrics-text; version=1.0.0")];
    let open = connection.request("GET", "/metrics", &accept, b"").expect("an answer");
    let content_type = open.header("content-type").expect("a type").to_owned();
    assert!(content_type.starts_with("application/openmetrics-text; version=1.0.0"), "{content_type}");
    assert!(open.body.ends_with("\n# EOF\n"), "{}", open.body);
}

#[test]
fn every_metric_becomes_a_series_of_its_own_job() {
    let data = tempfile::tempdir().expect("a folder");
    let barograph = start(&data);
    let (_, metrics) = get(barograph.addr, "/metrics");
    let families = metrics.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let mut count = 0;
    let metadata = answer(barograph.addr, "/prometheus/api/v1/metadata");
    for (name, kind) in families.filter_map(|line| line.split_once(' ')) {
        let series = if kind == "histogram" { format!("{name}_count") } else { name.to_owned() };
        // A family without children, such as one with a tenant's label, has no sample yet.
        if !metrics.lines().any(|line| line.starts_with(&series)) {
            continue;
        }
        count += 1;
        let of_job = format!("{series}{{job=\"barograph\",instance=\"{}\"}}", barograph.addr);
        wait_for(&of_job, || (!result(barograph.addr, &of_job).is_empty()).then_some(()));
        let family =
            metadata["data"].get(name).or_else(|| metadata["data"].get(name.strip_suffix("_total")?));
        let told = family.unwrap_or_else(|| panic!("no metadata of {name}"));
        assert_eq!(told[0]["type"], kind, "{name}");
        assert!(told[0]["help"].as_str().is_some_and(|help| help.len() > 10), "{name}: {told}");
    }
    assert!(count > 30, "only {count} metrics");
}

fn text(response: &Response) -> (u16, &str) {
    (response.status, response.header("content-type").unwrap_or_default())
}

#[test]
fn pages_answer_a_shell() {
    let data = tempfile::tempdir().expect("a folder");
    let barograph = Barograph::start(data.path(), &[]);
    let mut connection = Connection::open(barograph.addr).expect("connected");
    let mut page = |method: &str, path: &str| connection.request(method, path, &[], b"").expect("an answer");
    for path in ["/ready", "/-/ready", "/-/healthy", "/config", "/"] {
        let response = page("GET", path);
        let (status, content_type) = text(&response);
        assert!(status == 200 && content_type.starts_with("text/"), "{path}: {response:?}");
        assert!(response.body.ends_with('\n'), "{path} does not end with a line's end: {:?}", response.body);
        let head = page("HEAD", path);
        assert_eq!((head.status, head.body.as_str()), (200, ""), "{path}");
        assert_eq!(page("DELETE", path).status, 405, "{path}");
    }
    let info = page("GET", "/prometheus/api/v1/status/buildinfo");
    let info: Value = serde_json::from_str(&info.body).expect("JSON");
    for key in ["version", "revision", "branch", "buildUser", "buildDate", "goVersion"] {
        assert!(info["data"][key].is_string(), "{key}: {info}");
    }
    // Grafana decides by it what it may ask for.
    assert!(info["data"]["version"].as_str().is_some_and(|version| version.starts_with("3.")), "{info}");
    for path in ["/prometheus/-/healthy", "/api/v1/status/buildinfo", "/prometheus/api/v1/labels"] {
        let status = page("GET", path).status;
        assert!(status == 200 || path.contains("/-/"), "{path}: {status}");
    }
    assert_eq!(page("GET", "/prometheus/api/v1/no_such_thing").status, 404);
}

#[test]
fn a_post_is_as_good_as_a_get() {
    let data = tempfile::tempdir().expect("a folder");
    let barograph = start(&data);
    let form = [("Content-Type", "application/x-www-form-urlencoded")];
    let mut connection = Connection::open(barograph.addr).expect("connected");
    let time = now_ms() / 1_000;
    for (path, parameters) in [
        ("query", format!("query=up&time={time}")),
        ("query_range", format!("query=up&start={}&end={time}&step=5", time - 60)),
        ("series", format!("match%5B%5D=up&start={}&end={time}", time - 60)),
        ("labels", format!("match%5B%5D=up&start={}&end={time}", time - 60)),
        ("query_exemplars", format!("query=up&start={}&end={time}", time - 60)),
    ] {
        let path = format!("/prometheus/api/v1/{path}");
        let posted = connection.request("POST", &path, &form, parameters.as_bytes()).expect("an answer");
        assert_eq!(posted.status, 200, "{path}: {posted:?}");
        assert_eq!(posted.header("content-type"), Some("application/json"), "{path}");
        assert_eq!(get(barograph.addr, &format!("{path}?{parameters}")).1, posted.body, "{path}");
    }
}

#[test]
fn a_restart_after_a_gentle_stop_has_everything() {
    let data = tempfile::tempdir().expect("a folder");
    let mut barograph = start(&data);
    // Left out: what is written between the question and the stop.
    let end = now_ms() / 1_000 - 1;
    let path =
        format!("/prometheus/api/v1/query?query={}&time={end}", query_value("{job=\"barograph\"}[5m]"));
    let before = answer(barograph.addr, &path);
    assert!(before["data"]["result"].as_array().is_some_and(|series| series.len() > 30), "{before}");
    barograph.program.signal(Signal::TERM);
    assert!(barograph.program.wait().success());
    let mut again = Barograph::start(data.path(), &["--self-monitoring.enabled=false"]);
    assert!(answer(again.addr, &path) == before, "the answer after a restart is another");
    again.program.signal(Signal::KILL);
    again.program.wait();
    let last = Barograph::start(data.path(), &["--self-monitoring.enabled=false"]);
    assert!(answer(last.addr, &path) == before, "the answer after a kill is another");
}
