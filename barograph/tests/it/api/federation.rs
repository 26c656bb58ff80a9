//! A Prometheus scrapes what we federate, and promtool reads it.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::data::write;
use crate::http::{Connection, get, query_value};
use testkit::free_address;

use crate::support::{Barograph, Program, peer, wait_for};

fn start_prometheus(folder: &Path, barograph: SocketAddr, protocol: &str) -> (Program, SocketAddr) {
    let addr = free_address();
    let file = folder.join(format!("{protocol}.yml"));
    let configuration = format!(
        "scrape_configs:\n  - job_name: federate\n    scrape_interval: 1s\n    scrape_timeout: 1s\n    \
         honor_labels: true\n    metrics_path: /federate\n    params: {{'match[]': ['{{job=\"api\"}}']}}\n    \
         scrape_protocols: [{protocol}]\n    static_configs: [{{targets: ['{barograph}']}}]\n"
    );
    std::fs::write(&file, configuration).expect("written");
    let mut command = Command::new(peer("prometheus"));
    command
        .arg(format!("--config.file={}", file.display()))
        .arg(format!("--storage.tsdb.path={}", folder.join(protocol).display()))
        .arg(format!("--web.listen-address={addr}"))
        .args(["--enable-feature=native-histograms", "--log.level=error"]);
    let program = Program::start(command.stdout(Stdio::null()));
    wait_for("Prometheus", || (get(addr, "/-/ready").0 == 200).then_some(()));
    (program, addr)
}

/// The newest sample of each series, by labels, without its time.
fn newest(addr: SocketAddr, expression: &str) -> Vec<Value> {
    let (status, body) = get(addr, &format!("/api/v1/query?query={}", query_value(expression)));
    assert_eq!(status, 200, "{body}");
    let answer: Value = serde_json::from_str(&body).expect("JSON");
    let series = answer["data"]["result"].as_array().cloned().unwrap_or_default();
    let of_series = |s: Value| {
        let value = s["value"].get(1).or_else(|| s["histogram"].get(1)).cloned();
        json!([s["metric"], value])
    };
    let mut newest: Vec<_> = series.into_iter().map(of_series).collect();
    newest.sort_by_key(Value::to_string);
    newest
}

/// The bounds and values of one series of the classic histogram.
fn named<'a>(classic: &'a [Value], suffix: &str) -> Vec<(&'a str, &'a str)> {
    let name = format!("api_custom_seconds_{suffix}");
    let of_name = classic.iter().filter(|s| s[0]["__name__"] == *name);
    of_name.map(|s| (s[0]["le"].as_str().unwrap_or(""), s[1].as_str().unwrap_or(""))).collect()
}

/// Buckets of histograms with custom bounds become a classic histogram on the way.
const CLASSIC: &str = "api_custom_seconds_.*";
/// What is compared by itself: a name that is not plain, as it is and as it is escaped.
const ODD: &str = "api.gauge.*";

#[test]
fn prometheus_federates_text_and_protobuf() {
    let folder = tempfile::tempdir().expect("a folder");
    let barograph = Barograph::start(&folder.path().join("barograph"), &["--self-monitoring.enabled=false"]);
    write(barograph.addr);
    let text = ("PrometheusText1.0.0", "api_custom_seconds|api_native_seconds", "api.gauge with spaces");
    // Prometheus does not say that it knows odd names when it asks for protobuf.
    let protobuf = ("PrometheusProto", "api_custom_seconds", "api_gauge_with_spaces");
    for (protocol, missing, odd) in [text, protobuf] {
        let (_prometheus, addr) = start_prometheus(folder.path(), barograph.addr, protocol);
        let expected = newest(barograph.addr, &format!("{{job=\"api\",__name__!~\"{missing}|{ODD}\"}}"));
        assert!(expected.len() >= 6, "{expected:?}");
        wait_for("a scrape", || (!newest(addr, "up{job=\"federate\"} == 1").is_empty()).then_some(()));
        let found = wait_for("the series", || {
            let found = newest(addr, &format!("{{job=\"api\",__name__!~\"{CLASSIC}|{ODD}\"}}"));
            (found.len() == expected.len()).then_some(found)
        });
        assert_eq!(found, expected, "{protocol}");
        assert_eq!(newest(addr, &format!("{{\"{odd}\"}}")).len(), 1, "{protocol}");
        let classic = newest(addr, &format!("{{__name__=~\"{CLASSIC}\"}}"));
        assert_eq!(named(&classic, "bucket"), [("+Inf", "80"), ("0.5", "40"), ("1.0", "80")]);
        assert_eq!(named(&classic, "count"), [("", "80")]);
        assert_eq!(named(&classic, "sum"), [("", "60")]);
    }
}

#[test]
fn promtool_reads_the_text() {
    let data = tempfile::tempdir().expect("a folder");
    let barograph = Barograph::start(data.path(), &["--self-monitoring.enabled=false"]);
    write(barograph.addr);
    let mut connection = Connection::open(barograph.addr).expect("connected");
    let selector = query_value("{job=\"api\"}");
    let path = format!("/prometheus/federate?match[]={selector}");
    let text = connection.request("GET", &path, &[], b"").expect("an answer");
    assert_eq!(
        text.header("content-type"),
        Some("text/plain; version=0.0.4; charset=utf-8; escaping=underscores")
    );
    assert!(
        text.body.contains("api_requests_total{code=\"200\",instance=\"a\",job=\"api\"} 1521.5 "),
        "{}",
        text.body
    );
    let mut check = Command::new(peer("promtool"))
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool runs");
    check.stdin.take().expect("piped").write_all(text.body.as_bytes()).expect("read");
    let output = check.wait_with_output().expect("it ends");
    // It can read all of it. What it would do better is that every metric should have help, which federation has none of.
    let remarks = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{remarks}");
    assert!(remarks.lines().all(|remark| remark.ends_with("no help text")), "{remarks}");
    assert_eq!(remarks.lines().count(), 4, "{remarks}");
}
