//! Start timestamps of remote write 2.0, from the request to the answer of a query, through a crash.

use std::path::Path;

use rustix::process::Signal;
use serde_json::Value as Json;
use wire::encode::Rw2Writer;

use crate::http::{Connection, get, query_value};
use crate::support::{Barograph, now_ms};

const STEP_MS: i64 = 15_000;
const SAMPLES: i64 = 20;

fn start(data: &Path, wanted: bool) -> Barograph {
    let wanted = if wanted { "--limits.start-timestamps=true" } else { "--limits.start-timestamps=false" };
    Barograph::start(data, &["--self-monitoring.enabled=false", "--limits.experimental-promql=true", wanted])
}

/// A counter that began a second before its first sample, and began again before its eleventh: it is at 100 with both,
/// which without start timestamps is no change at all.
fn write(barograph: &Barograph, first_ms: i64) {
    let mut writer = Rw2Writer::default();
    for (name, value) in [("__name__", "jobs_total"), ("job", "test")] {
        writer.label(name, value);
    }
    for i in 0..SAMPLES {
        let start_ms = if i < 10 { first_ms - 1_000 } else { first_ms + 10 * STEP_MS - 1_000 };
        writer.sample(first_ms + i * STEP_MS, 100.0, start_ms);
    }
    writer.end_series();
    let headers = [
        ("Content-Type", "application/x-protobuf;proto=io.prometheus.write.v2.Request"),
        ("Content-Encoding", "snappy"),
        ("X-Prometheus-Remote-Write-Version", "2.0.0"),
    ];
    let body = wire::snappy::compress(&writer.message());
    let mut connection = Connection::open(barograph.addr).expect("connected");
    let response = connection.request("POST", "/api/v1/push", &headers, &body).expect("an answer");
    assert!(response.status / 100 == 2, "{} {}", response.status, response.body);
}

/// The value of a query with one series in its answer.
fn value(barograph: &Barograph, query: &str, at_ms: i64) -> Option<f64> {
    let path =
        format!("/prometheus/api/v1/query?query={}&time={}", query_value(query), at_ms as f64 / 1000.0);
    let (status, body) = get(barograph.addr, &path);
    assert_eq!(status, 200, "{query}: {body}");
    let answer: Json = serde_json::from_str(&body).expect("JSON");
    answer.pointer("/data/result/0/value/1")?.as_str()?.parse().ok()
}

#[test]
fn from_request_to_query_through_a_crash() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let first_ms = now_ms() - 600_000;
    let last_ms = first_ms + (SAMPLES - 1) * STEP_MS;
    let again_ms = first_ms + 10 * STEP_MS - 1_000;
    let mut barograph = start(&data, true);
    write(&barograph, first_ms);
    for round in ["live", "replayed"] {
        let started = value(&barograph, "start_timestamp(jobs_total)", last_ms);
        assert_eq!(started, Some(again_ms as f64 / 1000.0), "{round}");
        assert_eq!(
            value(&barograph, "start_timestamp(jobs_total)", first_ms),
            Some((first_ms - 1000) as f64 / 1000.0)
        );
        assert_eq!(value(&barograph, "resets(jobs_total[5m])", last_ms), Some(1.0), "{round}");
        barograph.program.signal(Signal::KILL);
        barograph.program.wait();
        barograph = start(&data, false);
    }
    // Who wants them no longer keeps those that are stored.
    assert_eq!(value(&barograph, "resets(jobs_total[5m])", last_ms), Some(1.0));
}

#[test]
fn unless_wanted_they_are_not_stored() {
    let folder = tempfile::tempdir().expect("a folder");
    let first_ms = now_ms() - 600_000;
    let last_ms = first_ms + (SAMPLES - 1) * STEP_MS;
    let barograph = start(&folder.path().join("data"), false);
    write(&barograph, first_ms);
    assert_eq!(value(&barograph, "jobs_total", last_ms), Some(100.0));
    assert_eq!(value(&barograph, "resets(jobs_total[5m])", last_ms), Some(0.0));
    assert_eq!(value(&barograph, "start_timestamp(jobs_total)", last_ms), Some(0.0));
}
