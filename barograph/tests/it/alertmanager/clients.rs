//! Who talks to an Alertmanager: a Prometheus that sends it alerts, and Grafana's data source.

use std::process::{Command, Stdio};

use serde_json::{Value, json};
use testkit::{Receiver, free_address};

use super::{ask, body, create_silence, json_of, push, requests, silence, start, webhook_config};
use crate::http::get;
use crate::support::{Program, peer, wait_for};

#[test]
fn prometheus_sends_its_alerts_and_their_ends() {
    let folder = tempfile::tempdir().expect("a folder");
    let receiver = Receiver::start();
    let barograph = start(folder.path(), &webhook_config(&receiver));
    let addr = free_address();
    let write = |name: &str, text: &str| {
        let file = folder.path().join(name);
        std::fs::write(&file, text).expect("written");
        file
    };
    write(
        "rules.yml",
        "groups: [{name: g, interval: 1s, rules: [{alert: Up, expr: 'up{job=\"it\"} == 1', labels: {severity: page}, \
         annotations: {summary: 'of {{ $labels.instance }} <b>'}}]}]\n",
    );
    let config = |jobs: &str| {
        format!(
            "global: {{evaluation_interval: 1s, scrape_interval: 1s, scrape_timeout: 1s, external_labels: {{cluster: c}}}}\n\
             rule_files: [rules.yml]\nscrape_configs: {jobs}\n\
             alerting: {{alertmanagers: [{{api_version: v2, static_configs: [{{targets: ['{}']}}]}}]}}\n",
            barograph.addr
        )
    };
    let jobs = format!("[{{job_name: it, static_configs: [{{targets: ['{addr}']}}]}}]");
    let file = write("prometheus.yml", &config(&jobs));
    let mut command = Command::new(peer("prometheus"));
    command
        .arg(format!("--config.file={}", file.display()))
        .arg(format!("--storage.tsdb.path={}", folder.path().join("prometheus").display()))
        .arg(format!("--web.listen-address={addr}"))
        // Alerts that fire before Prometheus knows whom to tell are sent when this is over.
        .args(["--rules.alert.resend-delay=1s", "--web.enable-lifecycle", "--log.level=error"]);
    let _prometheus = Program::start(command.stdout(Stdio::null()));
    let told = body(&requests(&receiver, 1)[0]);
    let alert = &told["alerts"][0];
    let instance = addr.to_string();
    assert_eq!(
        alert["labels"],
        json!({"alertname": "Up", "cluster": "c", "instance": instance, "job": "it", "severity": "page"})
    );
    assert_eq!(alert["annotations"], json!({"summary": format!("of {instance} <b>")}));
    assert!(alert["generatorURL"].as_str().is_some_and(|url| url.contains("/graph?g0.expr=")), "{alert}");
    let known = wait_for("Prometheus to know whom it tells", || {
        let (status, text) = get(addr, "/api/v1/alertmanagers");
        let answer: Value = serde_json::from_str(&text).ok().filter(|_| status == 200)?;
        answer["data"]["activeAlertmanagers"].get(0).cloned()
    });
    assert_eq!(known["url"], json!(format!("http://{}/api/v2/alerts", barograph.addr)));
    // A target that is gone is up no more.
    write("prometheus.yml", &config("[{job_name: it}]"));
    assert_eq!(ask(addr, "POST", "/-/reload", "").status, 200);
    wait_for("the end of the alert", || {
        let told = receiver.requests();
        told.iter().any(|request| body(request)["status"] == "resolved").then_some(())
    });
}

/// What Grafana's data source asks, as its source has it: the test of its settings looks for Mimir first, which must not be
/// there; then everything is below `/api/v2`, with what the browser asked for behind the question mark.
#[test]
fn grafanas_data_source_gets_what_it_asks_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let barograph = start(folder.path(), &webhook_config(&Receiver::start()));
    let addr = barograph.addr;
    assert_eq!(get(addr, "/alertmanager/api/v2/status").0, 404);
    assert_eq!(get(addr, "/api/v1/status/buildinfo").0, 404);
    let status = json_of(addr, "/api/v2/status");
    assert!(
        status["config"]["original"].as_str().is_some_and(|text| text.contains("receiver: w")),
        "{status}"
    );
    assert_eq!(
        (&status["versionInfo"]["version"], &status["cluster"]["peers"]),
        (&json!("0.34.0"), &json!([]))
    );
    push(addr, &[json!({"alertname": "a", "team": "x y"}), json!({"alertname": "b"})]);
    let found =
        json_of(addr, "/api/v2/alerts?active=true&silenced=false&inhibited=false&filter=team%3D%22x%20y%22");
    assert_eq!(found.as_array().map(Vec::len), Some(1));
    let fields: Vec<&str> = found[0].as_object().expect("an alert").keys().map(String::as_str).collect();
    let expected =
        ["annotations", "endsAt", "fingerprint", "labels", "receivers", "startsAt", "status", "updatedAt"];
    assert_eq!(fields, expected);
    let groups = json_of(addr, "/api/v2/alerts/groups");
    assert_eq!(groups.as_array().map(Vec::len), Some(2));
    assert_eq!(groups[0]["receiver"], json!({"name": "w"}));
    // Grafana's own form of a silence: the fields in the order of its types, `isEqual` always there.
    let id = create_silence(addr, &silence(&[("team", "x y")]));
    let one = json_of(addr, &format!("/api/v2/silence/{id}"));
    assert_eq!(one["matchers"], json!([{"isEqual": true, "isRegex": false, "name": "team", "value": "x y"}]));
    assert_eq!(json_of(addr, "/api/v2/silences").as_array().map(Vec::len), Some(1));
    let silenced = json_of(addr, "/api/v2/alerts?filter=alertname%3D%22a%22");
    assert_eq!(silenced[0]["status"]["silencedBy"], json!([id]));
    assert_eq!(ask(addr, "DELETE", &format!("/api/v2/silence/{id}"), "").status, 200);
    assert_eq!(json_of(addr, &format!("/api/v2/silence/{id}"))["status"]["state"], "expired");
}
