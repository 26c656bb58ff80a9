//! A Prometheus without data reads ours.

use std::net::SocketAddr;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::data::{SAMPLES, STEP_MS, write};
use crate::http::{get, query_value};
use testkit::free_address;

use crate::support::{Barograph, Program, peer, wait_for};

/// A Prometheus that reads from `barograph` and scrapes nothing.
fn start_prometheus(folder: &std::path::Path, barograph: SocketAddr) -> (Program, SocketAddr) {
    let addr = free_address();
    let file = folder.join("prometheus.yml");
    let configuration =
        format!("remote_read:\n  - url: http://{barograph}/api/v1/read\n    read_recent: true\n");
    std::fs::write(&file, configuration).expect("written");
    let mut command = Command::new(peer("prometheus"));
    command
        .arg(format!("--config.file={}", file.display()))
        .arg(format!("--storage.tsdb.path={}", folder.join("prometheus").display()))
        .arg(format!("--web.listen-address={addr}"))
        .arg("--log.level=error");
    let program = Program::start(command.stdout(Stdio::null()));
    wait_for("Prometheus", || (get(addr, "/-/ready").0 == 200).then_some(()));
    (program, addr)
}

fn answer(addr: SocketAddr, path: &str) -> Value {
    let (status, body) = get(addr, path);
    assert_eq!(status, 200, "{path}: {body}");
    let answer: Value = serde_json::from_str(&body).unwrap_or_else(|error| panic!("{path}: {error}: {body}"));
    assert!(answer.get("warnings").is_none(), "{path}: {body}");
    answer["data"].clone()
}

#[test]
fn prometheus_reads_everything_as_we_answer_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let barograph = Barograph::start(&folder.path().join("barograph"), &["--self-monitoring.enabled=false"]);
    let end = write(barograph.addr) / 1_000;
    let start = end - SAMPLES * STEP_MS / 1_000;
    let (_prometheus, prometheus) = start_prometheus(folder.path(), barograph.addr);
    let range = format!("start={start}&end={end}&step=15");
    for expression in [
        // Raw samples: every one, and from the middle of chunks.
        "{job=\"api\"}[1h]",
        "{job=\"api\"}[1m] offset 2m",
        "api_requests_total",
        "{__name__=\"api.gauge with spaces\"}",
        "api_native_seconds",
        "api_custom_seconds",
        "api_requests_total{code=~\"5..\"}",
        "api_requests_total{code!=\"200\",instance!~\"b.*\"}",
        "nothing_like_this",
        "sum by (instance) (rate(api_requests_total[2m]))",
        "histogram_quantile(0.9, sum by (le) (rate(api_seconds_bucket[2m])))",
        "histogram_quantile(0.9, rate(api_native_seconds[2m]))",
    ] {
        let query = query_value(expression);
        let instant = format!("/api/v1/query?query={query}&time={end}");
        assert_same(&answer(prometheus, &instant), &answer(barograph.addr, &instant), expression);
        if !expression.contains("[1") {
            let over_time = format!("/api/v1/query_range?query={query}&{range}");
            assert_same(&answer(prometheus, &over_time), &answer(barograph.addr, &over_time), expression);
        }
    }
    let everything =
        answer(prometheus, &format!("/api/v1/query?query={}&time={end}", query_value("{job=\"api\"}[1h]")));
    let series = everything["result"].as_array().expect("series");
    let samples: usize = series
        .iter()
        .flat_map(|s| [&s["values"], &s["histograms"]])
        .map(|samples| samples.as_array().map_or(0, Vec::len))
        .sum();
    assert_eq!((series.len(), samples as i64), (9, 9 * SAMPLES));
    let labels = "/api/v1/series?match%5B%5D=api_requests_total";
    assert_same(&answer(prometheus, labels), &answer(barograph.addr, labels), "series");
}

/// Equal but for the order of series, which Prometheus does not fix for instant queries, and for the last digits of what
/// is computed.
fn assert_same(theirs: &Value, ours: &Value, what: &str) {
    let (theirs, ours) = (sorted(theirs), sorted(ours));
    assert!(close(&theirs, &ours), "{what}:\n{theirs}\n{ours}");
}

fn sorted(data: &Value) -> Value {
    let mut data = data.clone();
    let list = if data.is_array() { Some(&mut data) } else { data.get_mut("result") };
    if let Some(Value::Array(series)) = list {
        series.sort_by_key(|s| s.get("metric").unwrap_or(s).to_string());
    }
    data
}

fn close(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| close(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| close(a, b)))
        }
        (Value::String(a), Value::String(b)) if a != b => match (a.parse::<f64>(), b.parse::<f64>()) {
            (Ok(a), Ok(b)) => (a - b).abs() <= 1e-12 * a.abs().max(b.abs()),
            _ => false,
        },
        (a, b) => a == b,
    }
}
