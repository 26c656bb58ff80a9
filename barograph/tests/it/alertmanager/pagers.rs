//! Receivers that page people, against fakes of their APIs: VictorOps, Pushover, incident.io.

use std::collections::BTreeMap;

use serde_json::json;
use testkit::{Receiver, Reply};

use super::receivers::config;
use super::tls::Proxy;
use super::{ask, body, push, requests, start};

/// An alert that has ended.
const RESOLVED: &str = r#"[{"labels": {"alertname": "a"}, "endsAt": "2026-01-01T00:00:00Z"}]"#;

#[test]
fn victorops_gets_events_of_one_entity() {
    let folder = tempfile::tempdir().expect("a folder");
    let receiver = Receiver::start();
    receiver.answer_next(Reply::new(503, "later"));
    let lines = format!(
        "api_key: k\napi_url: '{}'\nrouting_key: 'team {{{{ .GroupLabels.alertname }}}}'\nmessage_type: 'warn'\n\
         custom_fields: {{More: '{{{{ len .Alerts }}}}'}}",
        receiver.url("/alert")
    );
    let barograph = start(folder.path(), &config("victorops", &lines));
    push(barograph.addr, &[json!({"alertname": "a"})]);
    let told = &requests(&receiver, 2)[1];
    assert_eq!(told.path, "/alert/k/team%20a");
    let event = body(told);
    let expected = json!({
        "message_type": "CRITICAL",
        "entity_id": event["entity_id"],
        "entity_display_name": "[FIRING:1] a ",
        "state_message": event["state_message"],
        "monitoring_tool": "Alertmanager",
        "More": "1",
    });
    assert_eq!(event, expected);
    assert_eq!(event["entity_id"].as_str().map(str::len), Some(64));
    ask(barograph.addr, "POST", "/api/v2/alerts", RESOLVED);
    let recovered = body(&requests(&receiver, 3)[2]);
    assert_eq!(recovered["message_type"], json!("RECOVERY"));
    assert_eq!(recovered["entity_id"], event["entity_id"]);
}

#[test]
fn pushover_gets_what_it_asks_for_in_a_query() {
    let folder = tempfile::tempdir().expect("a folder");
    let receiver = Receiver::start();
    let proxy = Proxy::start("api.pushover.net", &receiver);
    std::fs::write(folder.path().join("ca.pem"), &proxy.authority).expect("written");
    let lines = format!(
        "user_key: u\ntoken: t\nhtml: true\nttl: 90s\ntitle: '{{{{ .GroupLabels.alertname }}}}'\n\
         message: '<b>{{{{ (index .Alerts 0).Labels.x }}}}</b>'\nurl: ''\n{}",
        proxy.http_config("ca.pem")
    );
    let barograph = start(folder.path(), &config("pushover", &lines));
    push(barograph.addr, &[json!({"alertname": "a", "x": "<i> & ö"})]);
    let told = &requests(&receiver, 1)[0];
    let (path, query) = told.path.split_once('?').expect("a query");
    assert_eq!((told.method.as_str(), path, told.body.as_str()), ("POST", "/1/messages.json", ""));
    assert!(query.contains("message=%3Cb%3E%26lt%3Bi%26gt%3B+%26amp%3B+%C3%B6%3C%2Fb%3E"), "{query}");
    let fields: BTreeMap<&str, &str> = query.split('&').filter_map(|pair| pair.split_once('=')).collect();
    let expected = [
        ("device", ""),
        ("expire", "3600"),
        ("html", "1"),
        ("priority", "2"),
        ("retry", "60"),
        ("sound", ""),
        ("title", "a"),
        ("token", "t"),
        ("ttl", "90"),
        ("url", ""),
        ("url_title", ""),
        ("user", "u"),
    ];
    let others: Vec<(&str, &str)> =
        fields.iter().filter(|(name, _)| **name != "message").map(|(name, value)| (*name, *value)).collect();
    assert_eq!(others, expected);
}

#[test]
fn incident_io_gets_the_webhooks_message_with_a_token() {
    let folder = tempfile::tempdir().expect("a folder");
    let receiver = Receiver::start();
    receiver.answer_next(Reply::new(429, r#"{"message":"slower"}"#));
    let token = folder.path().join("token");
    std::fs::write(&token, "secret\n").expect("written");
    let lines = format!(
        "url: '{}'\nalert_source_token_file: '{}'\nmax_alerts: 1",
        receiver.url("/v2/alerts"),
        token.display()
    );
    let barograph = start(folder.path(), &config("incidentio", &lines));
    push(barograph.addr, &[json!({"alertname": "a", "x": "1"}), json!({"alertname": "a", "x": "2"})]);
    let told = &requests(&receiver, 2)[1];
    assert_eq!(told.header("authorization"), Some("Bearer secret"));
    let message = body(told);
    assert_eq!((&message["version"], &message["truncatedAlerts"]), (&json!("1"), &json!(1)));
    assert_eq!(message["alerts"].as_array().map(Vec::len), Some(1));
}

#[test]
fn what_is_too_large_for_incident_io_is_cut_to_one_alert() {
    let folder = tempfile::tempdir().expect("a folder");
    let receiver = Receiver::start();
    let lines = format!("url: '{}'\nalert_source_token: t", receiver.url("/"));
    let barograph = start(folder.path(), &config("incidentio", &lines));
    let long = "x".repeat(300_000);
    push(
        barograph.addr,
        &[json!({"alertname": "a", "i": "1", "x": long}), json!({"alertname": "a", "i": "2", "x": long})],
    );
    let message = body(&requests(&receiver, 1)[0]);
    assert_eq!(message["alerts"].as_array().map(Vec::len), Some(1));
}
