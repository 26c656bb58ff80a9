//! The Alertmanager in a process of its own: its API, its receivers, its files, and the tools that people point at it.

mod api;
mod browser;
mod chats;
mod clients;
mod configs;
mod mail;
mod pagers;
mod pages;
mod receivers;
mod replicas;
mod restarts;
mod seen;
mod services;
mod shell;
pub(crate) mod side_by_side;
mod tls;
mod tools;

use std::net::SocketAddr;
use std::path::Path;

use serde_json::{Value, json};
use testkit::{ReceivedRequest, Receiver};

use crate::http::{Connection, Response};
use crate::support::{Barograph, wait_for};

/// A configuration that groups by `alertname` and tells a webhook at once.
fn webhook_config(receiver: &Receiver) -> String {
    format!(
        "route: {{receiver: w, group_by: [alertname], group_wait: 100ms, group_interval: 1s, repeat_interval: 1h}}\n\
         receivers: [{{name: w, webhook_configs: [{{url: '{}'}}]}}]\n",
        receiver.url("/hook")
    )
}

/// An Alertmanager with this configuration, which is written into `folder`, and its data below it.
fn start(folder: &Path, config: &str) -> Barograph {
    start_with(folder, config, &[])
}

/// The same with further arguments.
fn start_with(folder: &Path, config: &str, arguments: &[&str]) -> Barograph {
    let file = folder.join("alertmanager.yml");
    std::fs::write(&file, config).expect("written");
    let file = file.to_str().expect("a path in UTF-8");
    let own = ["--target=alertmanager", "--alertmanager-config", file];
    Barograph::start(&folder.join("data"), &[own.as_slice(), arguments].concat())
}

/// Asks: what was answered.
#[track_caller]
fn ask(addr: SocketAddr, method: &str, path: &str, body: &str) -> Response {
    let mut connection = Connection::open(addr).expect("it listens");
    let headers = [("Content-Type", "application/json")];
    connection.request(method, path, &headers, body.as_bytes()).expect("an answer")
}

/// Asks for JSON.
#[track_caller]
fn json_of(addr: SocketAddr, path: &str) -> Value {
    let response = ask(addr, "GET", path, "");
    assert_eq!(response.status, 200, "{path}: {}", response.body);
    serde_json::from_str(&response.body).unwrap_or_else(|error| panic!("{path}: {error}: {}", response.body))
}

/// Pushes alerts that fire.
#[track_caller]
fn push(addr: SocketAddr, labels: &[Value]) {
    let alerts: Vec<Value> = labels.iter().map(|labels| json!({"labels": labels})).collect();
    let response = ask(addr, "POST", "/api/v2/alerts", &Value::Array(alerts).to_string());
    assert_eq!((response.status, response.body.as_str()), (200, ""));
}

/// A silence of alerts with these labels, from long ago until far away.
fn silence(labels: &[(&str, &str)]) -> String {
    let matchers: Vec<Value> = labels
        .iter()
        .map(|(name, value)| json!({"name": name, "value": value, "isRegex": false, "isEqual": true}))
        .collect();
    json!({
        "matchers": matchers,
        "startsAt": "2020-01-01T00:00:00Z",
        "endsAt": "2100-01-01T00:00:00Z",
        "createdBy": "somebody",
        "comment": "a reason",
    })
    .to_string()
}

/// Creates a silence: its name.
#[track_caller]
fn create_silence(addr: SocketAddr, body: &str) -> String {
    let response = ask(addr, "POST", "/api/v2/silences", body);
    assert_eq!(response.status, 200, "{}", response.body);
    let answer: Value = serde_json::from_str(&response.body).expect("JSON");
    answer["silenceID"].as_str().expect("a name").to_owned()
}

/// Waits until so many requests have come in.
#[track_caller]
fn requests(receiver: &Receiver, count: usize) -> Vec<ReceivedRequest> {
    wait_for("requests to the receiver", || Some(receiver.requests()).filter(|all| all.len() >= count))
}

/// The body of a request, as JSON.
fn body(request: &ReceivedRequest) -> Value {
    serde_json::from_str(&request.body).unwrap_or_else(|error| panic!("{error}: {}", request.body))
}
