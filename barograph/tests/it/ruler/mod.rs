//! The ruler in the built program: rules of files, evaluated over what is written to it, told to Alertmanagers.

mod alert_generator;
mod beside_prometheus;
mod discovery;
mod files;
mod remote;

use std::net::SocketAddr;
use std::path::Path;

use model::Labels;
use serde_json::Value;
use wire::encode::Rw1Writer;

use crate::http::{Connection, get};
use crate::support::Barograph;

/// Starts a process with rules in a file of `folder`, and its data below it.
fn start(folder: &Path, rules: &str, arguments: &[&str]) -> Barograph {
    let file = folder.join("rules.yml");
    std::fs::write(&file, rules).expect("written");
    start_with(folder, &file, arguments)
}

/// Starts a process with this file of rules, and its data in `folder`.
fn start_with(folder: &Path, file: &Path, arguments: &[&str]) -> Barograph {
    let own = ["--self-monitoring.enabled=false", "--rules", file.to_str().expect("a path in UTF-8")];
    Barograph::start(&folder.join("data"), &[own.as_slice(), arguments].concat())
}

/// Writes samples: series as `name{a="b"}`, and values.
#[track_caller]
fn write(addr: SocketAddr, path: &str, at_ms: i64, samples: &[(String, f64)]) {
    let mut writer = Rw1Writer::default();
    for (series, value) in samples {
        let (labels, _): (Labels, usize) = promql::parse_metric_prefix(series).expect("a series");
        for (name, value) in labels.iter() {
            writer.label(name, value);
        }
        writer.sample(at_ms, *value).end_series();
    }
    let body = wire::snappy::compress(writer.message());
    let headers = [
        ("Content-Type", "application/x-protobuf"),
        ("Content-Encoding", "snappy"),
        ("X-Prometheus-Remote-Write-Version", "0.1.0"),
    ];
    let mut connection = Connection::open(addr).expect("it listens");
    let response = connection.request("POST", path, &headers, &body).expect("an answer");
    assert!((200..300).contains(&response.status), "{addr}{path}: {} {}", response.status, response.body);
}

/// The data of a path of a Prometheus API.
#[track_caller]
fn data(addr: SocketAddr, path: &str) -> Value {
    let (status, body) = get(addr, path);
    assert_eq!(status, 200, "{path}: {body}");
    let mut answer: Value =
        serde_json::from_str(&body).unwrap_or_else(|error| panic!("{path}: {error}: {body}"));
    assert_eq!(answer["status"], "success", "{path}: {body}");
    answer["data"].take()
}
