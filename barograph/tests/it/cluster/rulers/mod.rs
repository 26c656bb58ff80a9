//! Rulers of a cluster: rules are set at any of them, and groups shared out among all, whoever dies.

mod kills;
mod setting;
mod watched;

use std::net::SocketAddr;

use serde_json::Value;

use super::harness::Cluster;
use crate::http::{Connection, Response, get};
use crate::support::wait_for;

/// Where rules are set.
const RULES: &str = "/prometheus/config/v1/rules";
/// Every evaluation is logged.
const LOGGED: &str = "--log-level=info,openraft=off,ruler=debug";

/// What a request is answered.
fn send(addr: SocketAddr, method: &str, path: &str, body: &str) -> Option<Response> {
    Connection::open(addr).ok()?.request(method, path, &[], body.as_bytes()).ok()
}

/// Sets a group in a namespace at a ruler, as often as it takes.
fn set(cluster: &Cluster, ruler: &str, namespace: &str, group: &str) {
    wait_for("a group to be set", || {
        let answer = send(cluster.http(ruler), "POST", &format!("{RULES}/{namespace}"), group)?;
        assert!(matches!(answer.status, 202 | 503), "{answer:?}");
        (answer.status == 202).then_some(())
    });
}

/// The data of a path of a ruler's Prometheus API, or what it answers instead.
fn data(cluster: &Cluster, ruler: &str, path: &str) -> Result<Value, String> {
    let (status, body) = get(cluster.http(ruler), path);
    let mut answer: Value =
        serde_json::from_str(&body).map_err(|error| format!("{status} {error}: {body}"))?;
    if status == 200 { Ok(answer["data"].take()) } else { Err(format!("{status} {}", answer["error"])) }
}

/// The value of a metric of a process, if it has it.
fn metric(cluster: &Cluster, name: &str, metric: &str) -> Option<f64> {
    let (_, text) = get(cluster.http(name), "/metrics");
    let line = text.lines().find(|line| line.starts_with(metric))?;
    line.rsplit(' ').next()?.parse().ok()
}
