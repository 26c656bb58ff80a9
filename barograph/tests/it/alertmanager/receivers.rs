//! Receivers, against fakes of what they talk to: what is sent, what counts as sent, and what is tried again.

use serde_json::json;
use testkit::{Receiver, Reply};

use super::{body, push, requests, start};
use crate::http::get;
use crate::support::wait_for;

/// A configuration with one receiver, `kind` of which has these lines.
pub(super) fn config(kind: &str, lines: &str) -> String {
    let lines: String =
        lines.lines().map(|line| format!("    {}\n", line.trim_start_matches("        "))).collect();
    format!(
        "route: {{receiver: r, group_by: [alertname], group_wait: 100ms, group_interval: 1s, repeat_interval: 1h}}\n\
         receivers:\n- name: r\n  {kind}_configs:\n  -\n{lines}"
    )
}

#[test]
fn a_webhook_gets_upstreams_message() {
    let folder = tempfile::tempdir().expect("a folder");
    let receiver = Receiver::start();
    let barograph = start(folder.path(), &config("webhook", &format!("url: '{}'", receiver.url("/a?b=c"))));
    push(barograph.addr, &[json!({"alertname": "a", "x": "<&>"}), json!({"alertname": "a", "x": "2"})]);
    let request = &requests(&receiver, 1)[0];
    assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/a?b=c"));
    assert_eq!(request.header("content-type"), Some("application/json"));
    assert!(request.header("user-agent").is_some_and(|agent| agent.starts_with("Alertmanager/")));
    let keys = ["receiver", "status", "alerts", "notification_reason", "groupLabels", "commonLabels"];
    let places: Vec<Option<usize>> =
        keys.iter().map(|key| request.body.find(&format!("\"{key}\":"))).collect();
    assert!(places.is_sorted() && places.iter().all(Option::is_some), "{}", request.body);
    assert!(request.body.contains(r"\u003c\u0026\u003e"), "{}", request.body);
    let told = body(request);
    assert_eq!(
        (&told["receiver"], &told["status"], &told["version"]),
        (&json!("r"), &json!("firing"), &json!("4"))
    );
    assert_eq!(told["groupKey"], json!("{}:{alertname=\"a\"}"));
    assert_eq!((&told["truncatedAlerts"], &told["commonLabels"]), (&json!(0), &json!({"alertname": "a"})));
    assert_eq!(told["alerts"].as_array().map(Vec::len), Some(2));
    assert_eq!(told["alerts"][0]["endsAt"], json!("0001-01-01T00:00:00Z"));
}

#[test]
fn a_webhook_may_have_a_payload_of_its_own_and_a_bound() {
    let folder = tempfile::tempdir().expect("a folder");
    let receiver = Receiver::start();
    let lines = format!(
        "url: '{}/{{{{ .GroupLabels.alertname }}}}'\nmax_alerts: 1\npayload: {{n: '{{{{ len .Alerts }}}}', '{{{{ .Status }}}}': ['{{{{ .CommonLabels.alertname }}}}', 7]}}",
        receiver.url("")
    );
    let barograph = start(folder.path(), &config("webhook", &lines));
    push(barograph.addr, &[json!({"alertname": "a", "x": "1"}), json!({"alertname": "a", "x": "2"})]);
    let request = &requests(&receiver, 1)[0];
    assert_eq!(request.path, "/a");
    assert_eq!(body(request), json!({"n": 1, "firing": ["a", 7]}));
}

#[test]
fn what_fails_is_tried_again_where_that_may_help() {
    let folder = tempfile::tempdir().expect("a folder");
    let receiver = Receiver::start();
    let barograph = start(folder.path(), &config("webhook", &format!("url: '{}'", receiver.url("/"))));
    receiver.answer_next(Reply::new(500, "x"));
    receiver.answer_next(Reply::new(503, "x").header("retry-after", "2"));
    push(barograph.addr, &[json!({"alertname": "a"})]);
    requests(&receiver, 3);
    let metric = |name: &str| {
        let metrics = get(barograph.addr, "/metrics").1;
        let line = metrics.lines().find(|line| line.starts_with(name)).unwrap_or_default().to_owned();
        line.rsplit(' ').next().and_then(|value| value.parse::<f64>().ok()).unwrap_or(-1.0)
    };
    let of = |name: &str| metric(&format!("alertmanager_{name}_total{{integration=\"webhook\""));
    wait_for("the requests to be counted", || (of("notification_requests") == 3.0).then_some(()));
    assert_eq!((of("notifications"), of("notification_requests_failed")), (1.0, 2.0));
    // A client's error is final until the group is due again.
    receiver.answer_next(Reply::new(400, "no"));
    push(barograph.addr, &[json!({"alertname": "b"})]);
    requests(&receiver, 5);
    let failed = "alertmanager_notifications_failed_total{integration=\"webhook\",reason=\"clientError\"}";
    wait_for("the failure to be counted", || (metric(failed) == 1.0).then_some(()));
}

#[test]
fn receivers_that_hang_or_fail_delay_no_other() {
    let folder = tempfile::tempdir().expect("a folder");
    let (slow, broken, quick) = (Receiver::start(), Receiver::start(), Receiver::start());
    slow.answer(Reply::new(200, "").after(std::time::Duration::from_secs(600)));
    broken.answer(Reply::new(500, "not today"));
    let config = format!(
        "route: {{receiver: slow, group_by: ['...'], group_wait: 100ms, routes: [\
         {{matchers: [to=broken], receiver: broken}}, {{matchers: [to=quick], receiver: quick}}]}}\n\
         receivers:\n- {{name: slow, webhook_configs: [{{url: '{}'}}]}}\n\
         - {{name: broken, webhook_configs: [{{url: '{}'}}]}}\n- {{name: quick, webhook_configs: [{{url: '{}'}}]}}\n",
        slow.url("/"),
        broken.url("/"),
        quick.url("/")
    );
    let barograph = start(folder.path(), &config);
    let labels =
        |to: &str| (0..200).map(|n| json!({"alertname": n.to_string(), "to": to})).collect::<Vec<_>>();
    push(barograph.addr, &labels("slow"));
    push(barograph.addr, &labels("broken"));
    requests(&slow, 1);
    requests(&broken, 200);
    push(barograph.addr, &labels("quick"));
    assert_eq!(requests(&quick, 200).len(), 200);
}

#[test]
fn requests_say_who_sends_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let (receiver, tokens) = (Receiver::start(), Receiver::start());
    tokens.answer(Reply::new(200, r#"{"access_token":"t","token_type":"bearer","expires_in":3600}"#));
    let check = |http: &str, headers: &[(&str, &str)]| {
        let own = tempfile::tempdir_in(folder.path()).expect("a folder");
        std::fs::write(own.path().join("secret"), "from a file\n").expect("written");
        let before = receiver.requests().len();
        let lines = format!("url: '{}'\nhttp_config: {http}", receiver.url("/"));
        let barograph = start(own.path(), &config("webhook", &lines));
        push(barograph.addr, &[json!({"alertname": "a"})]);
        let request = requests(&receiver, before + 1)[before].clone();
        for (name, value) in headers {
            assert_eq!(request.header(name), Some(*value), "{http}");
        }
    };
    check("{basic_auth: {username: u, password: p}}", &[("authorization", "Basic dTpw")]);
    check("{authorization: {credentials_file: secret}}", &[("authorization", "Bearer from a file")]);
    check(
        "{bearer_token: b, http_headers: {X-A: {values: [v]}}}",
        &[("authorization", "Bearer b"), ("x-a", "v")],
    );
    let oauth = format!(
        "{{oauth2: {{client_id: me, client_secret: s, scopes: [a, b], token_url: '{}'}}}}",
        tokens.url("/t")
    );
    check(&oauth, &[("authorization", "Bearer t")]);
    let asked = &tokens.requests()[0];
    assert_eq!(asked.header("authorization"), Some("Basic bWU6cw=="));
    assert_eq!(asked.body, "grant_type=client_credentials&scope=a+b");
}

#[test]
fn slack_gets_a_message_with_an_attachment() {
    let folder = tempfile::tempdir().expect("a folder");
    let receiver = Receiver::start();
    receiver.answer_next(
        Reply::new(200, r#"{"ok":false,"error":"channel_not_found"}"#)
            .header("content-type", "application/json"),
    );
    receiver.answer(Reply::new(200, "ok"));
    let lines = format!(
        "api_url: '{}'\nchannel: '#x'\nfields: [{{title: t, value: '{{{{ .Status }}}}'}}]\nactions: [{{type: button, text: go, url: 'http://x'}}]",
        receiver.url("/services/x")
    );
    let barograph = start(folder.path(), &config("slack", &lines));
    push(barograph.addr, &[json!({"alertname": "a"})]);
    // The first was refused though its status was 200, which is final until the group is due again.
    let told = body(&requests(&receiver, 2)[1]);
    assert_eq!((&told["channel"], &told["username"]), (&json!("#x"), &json!("Alertmanager")));
    let attachment = &told["attachments"][0];
    assert_eq!((&attachment["title"], &attachment["color"]), (&json!("[FIRING:1] a "), &json!("danger")));
    assert_eq!(attachment["fields"], json!([{"title": "t", "value": "firing", "short": false}]));
    assert_eq!(attachment["actions"], json!([{"type": "button", "text": "go", "url": "http://x"}]));
    assert_eq!(attachment["mrkdwn_in"], json!(["fallback", "pretext", "text"]));
}

#[test]
fn pagerduty_gets_events_of_one_key() {
    let folder = tempfile::tempdir().expect("a folder");
    let receiver = Receiver::start();
    receiver.answer_next(Reply::new(429, ""));
    receiver.answer(Reply::new(202, ""));
    let lines = format!(
        "routing_key: k\nurl: '{}'\ndetails: {{more: '{{{{ len .Alerts }}}}'}}",
        receiver.url("/v2/enqueue")
    );
    let barograph = start(folder.path(), &config("pagerduty", &lines));
    push(barograph.addr, &[json!({"alertname": "a"})]);
    let told = body(&requests(&receiver, 2)[1]);
    assert_eq!((&told["routing_key"], &told["event_action"]), (&json!("k"), &json!("trigger")));
    let details = &told["payload"]["custom_details"];
    assert_eq!(
        (&details["num_firing"], &details["more"], &details["resolved"]),
        (&json!(1), &json!(1), &json!([]))
    );
    assert_eq!(
        (&told["payload"]["severity"], &told["payload"]["summary"]),
        (&json!("error"), &json!("[FIRING:1] a "))
    );
    let key = told["dedup_key"].as_str().expect("a key").to_owned();
    assert_eq!(key.len(), 64);
    let resolved = json!([{"labels": {"alertname": "a"}, "endsAt": "2026-01-01T00:00:00Z"}]);
    super::ask(barograph.addr, "POST", "/api/v2/alerts", &resolved.to_string());
    let told = body(&requests(&receiver, 3)[2]);
    assert_eq!((&told["event_action"], &told["dedup_key"]), (&json!("resolve"), &json!(key)));
}

#[test]
fn opsgenie_gets_alerts_that_are_made_changed_and_closed() {
    let folder = tempfile::tempdir().expect("a folder");
    let receiver = Receiver::start();
    receiver.answer(Reply::new(202, "{}"));
    let lines = format!(
        "api_key: k\napi_url: '{}'\nupdate_alerts: true\ntags: 'a,,b'\nresponders: [{{name: 'x,y', type: teams}}]",
        receiver.url("")
    );
    let barograph = start(folder.path(), &config("opsgenie", &lines));
    push(barograph.addr, &[json!({"alertname": "a", "l": "v"})]);
    let told = requests(&receiver, 3);
    let alias = body(&told[0])["alias"].as_str().expect("an alias").to_owned();
    assert_eq!((told[0].method.as_str(), told[0].path.as_str()), ("POST", "/v2/alerts"));
    assert_eq!(told[0].header("authorization"), Some("GenieKey k"));
    let made = body(&told[0]);
    assert_eq!((&made["details"], &made["tags"]), (&json!({"alertname": "a", "l": "v"}), &json!(["a", "b"])));
    assert_eq!(made["responders"], json!([{"name": "x", "type": "team"}, {"name": "y", "type": "team"}]));
    assert_eq!(told[1].method, "PUT");
    assert_eq!(told[1].path, format!("/v2/alerts/{alias}/message?identifierType=alias"));
    assert_eq!(told[2].path, format!("/v2/alerts/{alias}/description?identifierType=alias"));
    let resolved = json!([{"labels": {"alertname": "a", "l": "v"}, "endsAt": "2026-01-01T00:00:00Z"}]);
    super::ask(barograph.addr, "POST", "/api/v2/alerts", &resolved.to_string());
    let closed = &requests(&receiver, 4)[3];
    assert_eq!(closed.path, format!("/v2/alerts/{alias}/close?identifierType=alias"));
}

#[test]
fn teams_get_cards() {
    let folder = tempfile::tempdir().expect("a folder");
    let receiver = Receiver::start();
    let barograph =
        start(folder.path(), &config("msteams", &format!("webhook_url: '{}'", receiver.url("/1"))));
    push(barograph.addr, &[json!({"alertname": "a"})]);
    let card = body(&requests(&receiver, 1)[0]);
    assert_eq!((&card["type"], &card["title"]), (&json!("MessageCard"), &json!("[FIRING:1] a ")));
    assert_eq!(
        (&card["@context"], &card["themeColor"]),
        (&json!("http://schema.org/extensions"), &json!("8C1A1A"))
    );
    drop(barograph);
    let barograph =
        start(folder.path(), &config("msteamsv2", &format!("webhook_url: '{}'", receiver.url("/2"))));
    push(barograph.addr, &[json!({"alertname": "a"})]);
    let message = body(&requests(&receiver, 2)[1]);
    let card = &message["attachments"][0]["content"];
    assert_eq!((&card["type"], &card["version"]), (&json!("AdaptiveCard"), &json!("1.2")));
    assert_eq!(
        (&card["body"][0]["text"], &card["body"][0]["color"]),
        (&json!("[FIRING:1] a "), &json!("Attention"))
    );
    assert_eq!(message["attachments"][0]["contentUrl"], json!(null));
}
