//! Alertmanagers behind a name, in the built program: the machine's own file of hosts knows one name everywhere.

use serde_json::Value;
use testkit::Receiver;

use super::{start, write};
use crate::http::get;
use crate::support::{now_ms, wait_for};

const RULES: &str = "groups: [{name: g, interval: 1s, rules: [{alert: Up, expr: 'up == 1'}]}]";

#[test]
fn the_alertmanagers_of_a_name_are_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let receiver = Receiver::start();
    let port = receiver.address().port();
    let url = format!("dns+http://localhost:{port}/am");
    let barograph = start(folder.path(), RULES, &["--alertmanager-url", &url]);
    write(barograph.addr, "/api/v1/push", now_ms(), &[("up".to_owned(), 1.0)]);
    let told = wait_for("the alert", || receiver.requests().into_iter().next());
    assert_eq!(told.path, "/am/api/v2/alerts");
    assert_eq!(told.header("host"), Some(format!("localhost:{port}").as_str()));
    let alerts: Value = serde_json::from_str(&told.body).expect("JSON");
    assert_eq!(alerts[0]["labels"]["alertname"], "Up");
    let (status, page) = get(barograph.addr, "/metrics");
    let named = format!(
        "prometheus_notifications_sent_total{{alertmanager=\"http://127.0.0.1:{port}/am/api/v2/alerts\"}}"
    );
    assert!(status == 200 && page.contains(&named), "no {named} in\n{page}");
}
