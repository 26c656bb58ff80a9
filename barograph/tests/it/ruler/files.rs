//! Files of rules: what is wrong with them, what changes, and that the Alertmanager of the process is told.

use std::process::Stdio;

use rustix::process::Signal;
use serde_json::json;
use testkit::Receiver;

use super::{data, start, write};
use crate::http::{Connection, get};
use crate::support::{Barograph, now_ms, wait_for};

const RULES: &str =
    "groups: [{name: g, interval: 1s, rules: [{alert: Up, expr: 'up == 1', labels: {a: b}}]}]";

#[test]
fn the_built_in_alertmanager_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let receiver = Receiver::start();
    let config = folder.path().join("am.yml");
    let text = format!(
        "route: {{receiver: w, group_wait: 100ms, group_interval: 1s}}\n\
         receivers: [{{name: w, webhook_configs: [{{url: '{}'}}]}}]\n",
        receiver.url("/hook")
    );
    std::fs::write(&config, text).expect("written");
    let config = config.to_str().expect("a path in UTF-8");
    let barograph = start(folder.path(), RULES, &["--alertmanager-config", config]);
    write(barograph.addr, "/api/v1/push", now_ms(), &[("up{job=\"x\"}".to_owned(), 1.0)]);
    let request = wait_for("a notification", || receiver.requests().pop());
    let body: serde_json::Value = serde_json::from_str(&request.body).expect("JSON");
    assert_eq!(body["status"], "firing");
    assert_eq!(body["alerts"][0]["labels"], json!({"alertname": "Up", "a": "b", "job": "x"}));
    let link = body["alerts"][0]["generatorURL"].as_str().expect("a link");
    assert!(link.starts_with(&format!("http://{}/graph?g0.expr=up+", barograph.addr)), "{link}");
    let shown = data(barograph.addr, "/prometheus/api/v1/alerts");
    assert_eq!(shown["alerts"][0]["state"], "firing");
    let (_, metrics) = get(barograph.addr, "/metrics");
    assert!(metrics.contains("prometheus_notifications_sent_total{alertmanager=\"built-in\"}"), "{metrics}");
}

#[test]
fn files_are_read_again_when_that_is_asked_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let barograph = start(folder.path(), RULES, &[]);
    let file = folder.path().join("rules.yml");
    let name = || data(barograph.addr, "/api/v1/rules")["groups"][0]["rules"][0]["name"].clone();
    wait_for("the rules", || (name() == json!("Up")).then_some(()));
    let reload = || {
        let mut connection = Connection::open(barograph.addr).expect("it listens");
        connection.request("POST", "/-/reload", &[], b"").expect("an answer")
    };
    std::fs::write(&file, RULES.replace("Up", "Down")).expect("written");
    assert_eq!(reload().status, 200);
    assert_eq!(name(), json!("Down"));
    std::fs::write(&file, RULES.replace("up == 1", "up ==")).expect("written");
    let refused = reload();
    assert!(refused.status == 500 && refused.body.contains("rules.yml: 1:"), "{}", refused.body);
    assert_eq!(name(), json!("Down"), "those that there were stay");
    std::fs::write(&file, RULES.replace("Up", "Around")).expect("written");
    barograph.program.signal(Signal::HUP);
    wait_for("the rules", || (name() == json!("Around")).then_some(()));
}

#[test]
fn a_process_with_bad_rules_does_not_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("rules.yml");
    std::fs::write(&file, "groups:\n- name: g\n  rules:\n  - {record: a, expr: sum(}\n").expect("written");
    for (rules, why) in
        [(file.as_path(), "rules.yml: 4:"), (folder.path().join("none.yml").as_path(), "no such file")]
    {
        let mut command = Barograph::command(&["--http", "127.0.0.1:0", "--rules"]);
        command.arg(rules).arg("--data").arg(folder.path().join("data"));
        let output = command.stdout(Stdio::null()).output().expect("it runs");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && error.contains(why), "{error}");
    }
}
