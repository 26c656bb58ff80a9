//! The API, as upstream's acceptance tests ask it: `conformance/alertmanager/api_scenarios.yml`, of which the cluster is not
//! here.

use serde_json::{Value, json};
use testkit::Receiver;

use super::{ask, create_silence, json_of, push, silence, start, start_with, webhook_config};
use crate::http::get;
use crate::support::wait_for;

const NOBODY: &str = "route: {receiver: r}\nreceivers: [{name: r}]\n";

/// What the alert with this severity is said to be.
fn status_of(alerts: &Value, severity: &str) -> Value {
    let alerts = alerts.as_array().expect("a list").iter();
    let mut found = alerts.filter(|alert| alert["labels"]["severity"] == severity);
    found.next().unwrap_or_else(|| panic!("no alert with severity {severity}"))["status"].clone()
}

#[test]
fn alerts_of_any_text_are_taken() {
    let folder = tempfile::tempdir().expect("a folder");
    let barograph = start(folder.path(), NOBODY);
    let alerts = json!([{"labels": {"a": "b", "b": "Σ", "c": "🙂"}, "startsAt": "2026-01-01T00:00:00Z"}]);
    let response = ask(barograph.addr, "POST", "/api/v2/alerts", &alerts.to_string());
    assert_eq!((response.status, response.body.as_str()), (200, ""));
    // Names may be any text, too.
    push(barograph.addr, &[json!({"a": "a", "00": "b", "Σ": "c", "🙂": "dΘ"})]);
    let filter = "filter=00%3Db&filter=%CE%A3%3Dc&filter=%22%5Cxf0%5Cx9f%5Cx99%5Cx82%22%3Dd%CE%98";
    let found = json_of(barograph.addr, &format!("/api/v2/alerts?{filter}"));
    assert_eq!(found.as_array().map(Vec::len), Some(1), "{found}");
    assert_eq!(found[0]["labels"], json!({"a": "a", "00": "b", "Σ": "c", "🙂": "dΘ"}));
    let groups = json_of(barograph.addr, &format!("/api/v2/alerts/groups?{filter}"));
    assert_eq!(
        (groups.as_array().map(Vec::len), groups[0]["alerts"].as_array().map(Vec::len)),
        (Some(1), Some(1))
    );
}

#[test]
fn classic_mode_takes_classic_names_only() {
    let folder = tempfile::tempdir().expect("a folder");
    let barograph = start_with(folder.path(), NOBODY, &["--alertmanager.matchers=classic"]);
    push(barograph.addr, &[json!({"a": "b", "b": "Σ", "c": "🙂"})]);
    let alerts = json!([{"labels": {"a": "a", "00": "b", "Σ": "c", "🙂": "dΘ"}}]);
    let response = ask(barograph.addr, "POST", "/api/v2/alerts", &alerts.to_string());
    assert_eq!(response.status, 400);
    assert!(response.body.contains("invalid label set"), "{}", response.body);
}

#[test]
fn the_status_of_an_alert_is_that_of_now() {
    let folder = tempfile::tempdir().expect("a folder");
    let receiver = Receiver::start();
    let config = format!(
        "route: {{receiver: w, group_wait: 1s, group_interval: 10m}}\n\
         inhibit_rules: [{{source_matchers: [severity=critical], target_matchers: [severity=warning], equal: [alertname]}}]\n\
         receivers: [{{name: w, webhook_configs: [{{url: '{}'}}]}}]\n",
        receiver.url("/")
    );
    let barograph = start(folder.path(), &config);
    let addr = barograph.addr;
    push(addr, &[json!({"alertname": "test1", "severity": "warning"})]);
    let alerts = json_of(addr, "/api/v2/alerts");
    assert_eq!(status_of(&alerts, "warning")["state"], "active");
    let warning = alerts[0]["fingerprint"].as_str().expect("a fingerprint").to_owned();
    wait_for("the first notification", || (!receiver.requests().is_empty()).then_some(()));
    let id = create_silence(addr, &silence(&[("alertname", "test1")]));
    let alerts = json_of(addr, "/api/v2/alerts");
    assert_eq!(status_of(&alerts, "warning")["state"], "suppressed");
    assert_eq!(status_of(&alerts, "warning")["silencedBy"], json!([id]));
    assert_eq!(alerts[0]["fingerprint"], json!(warning));
    push(addr, &[json!({"alertname": "test1", "severity": "critical"})]);
    let alerts = json_of(addr, "/api/v2/alerts");
    let critical = alerts.as_array().expect("a list").iter();
    let critical =
        critical.filter(|alert| alert["labels"]["severity"] == "critical").map(|a| a["fingerprint"].clone());
    let critical: Vec<Value> = critical.collect();
    for severity in ["warning", "critical"] {
        assert_eq!(status_of(&alerts, severity)["silencedBy"], json!([id]), "{severity}");
    }
    assert_eq!(status_of(&alerts, "warning")["inhibitedBy"], Value::Array(critical));
    assert_eq!(ask(addr, "DELETE", &format!("/api/v2/silence/{id}"), "").status, 200);
    let alerts = json_of(addr, "/api/v2/alerts");
    for (severity, state) in [("warning", "suppressed"), ("critical", "active")] {
        let status = status_of(&alerts, severity);
        assert_eq!((&status["silencedBy"], &status["state"]), (&json!([]), &json!(state)), "{severity}");
    }
}

#[test]
fn filters_are_all_asked_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let barograph = start(folder.path(), NOBODY);
    push(
        barograph.addr,
        &[
            json!({"alertname": "test1", "severity": "warning"}),
            json!({"system": "foo", "severity": "critical"}),
        ],
    );
    let found = |query: &str| {
        let alerts = json_of(barograph.addr, &format!("/api/v2/alerts?{query}"));
        alerts.as_array().map(Vec::len).unwrap_or_default()
    };
    let alerts = json_of(barograph.addr, "/api/v2/alerts?filter=alertname%3Dtest1&filter=severity%3Dwarning");
    assert_eq!((alerts[0]["labels"]["alertname"].as_str(), found("")), (Some("test1"), 2));
    assert_eq!(alerts.as_array().map(Vec::len), Some(1));
    assert_eq!(alerts[0]["status"]["state"], "active");
    assert_eq!(found("filter=alertname%3Dtest1&filter=severity%3Dcritical"), 0);
    // An empty value asks whether there is such a label.
    assert_eq!((found("filter=system%3D%22%22"), found("filter=system%21%3D%22%22")), (1, 1));
    assert_eq!((found("receiver=r"), found("receiver=x"), found("receiver=.%2A")), (2, 0, 2));
    assert_eq!((found("receiver_matchers=name%3Dr"), found("receiver_matchers=name%3Dx")), (2, 0));
    assert_eq!((found("active=false"), found("silenced=false"), found("inhibited=false")), (0, 2, 2));
}

#[test]
fn an_ended_silence_stays_and_can_be_made_anew() {
    let folder = tempfile::tempdir().expect("a folder");
    let barograph = start(folder.path(), NOBODY);
    let addr = barograph.addr;
    let id = create_silence(addr, &silence(&[("foo", "bar")]));
    assert_eq!(json_of(addr, &format!("/api/v2/silence/{id}"))["status"]["state"], "active");
    assert_eq!(ask(addr, "DELETE", &format!("/api/v2/silence/{id}"), "").status, 200);
    let ended = json_of(addr, "/api/v2/silences");
    assert_eq!((&ended[0]["id"], &ended[0]["status"]["state"]), (&json!(id), &json!("expired")));
    assert!(ended[0]["endsAt"].as_str() <= ended[0]["updatedAt"].as_str(), "{ended}");
    let wanted = |query: &str| json_of(addr, &format!("/api/v2/silences?{query}")).as_array().map(Vec::len);
    assert_eq!((wanted("expired=false"), wanted("expired=true&active=false")), (Some(0), Some(1)));
    assert_eq!((wanted("filter=foo%3Dbar"), wanted("filter=foo%3Dbaz")), (Some(1), Some(0)));
    let again = create_silence(addr, &silence(&[("foo", "bar")]));
    assert_ne!(again, id);
    // One that holds is changed in place as long as its past stays true.
    let mut changed = json_of(addr, &format!("/api/v2/silence/{again}"));
    changed["comment"] = json!("another reason");
    assert_eq!(create_silence(addr, &changed.to_string()), again);
    changed["matchers"][0]["value"] = json!("baz");
    assert_ne!(create_silence(addr, &changed.to_string()), again);
    assert_eq!(json_of(addr, &format!("/api/v2/silence/{again}"))["status"]["state"], "expired");
}

#[test]
fn everything_is_under_the_prefix() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("am.yml");
    std::fs::write(&file, NOBODY).expect("written");
    let mut command =
        crate::support::Barograph::command(&["--target=alertmanager", "--web.route-prefix=/foo"]);
    command.arg("--alertmanager-config").arg(&file).arg("--data").arg(folder.path().join("data"));
    let addr = testkit::free_address();
    command.arg("--http").arg(addr.to_string()).stdout(std::process::Stdio::null());
    let _program = crate::support::Program::start(&mut command);
    let status = |path: &str| std::net::TcpStream::connect(addr).ok().map(|_| get(addr, path).0);
    wait_for("readiness", || (status("/foo/-/ready") == Some(200)).then_some(()));
    for path in ["/foo/-/healthy", "/foo/metrics", "/foo/api/v2/status", "/foo/api/v2/alerts"] {
        assert_eq!(status(path), Some(200), "{path}");
    }
    assert_eq!((status("/api/v2/status"), status("/-/ready")), (Some(404), Some(404)));
}

#[test]
fn a_process_with_all_roles_has_it_below_a_path() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("am.yml");
    let receiver = Receiver::start();
    std::fs::write(&file, webhook_config(&receiver)).expect("written");
    let file = file.to_str().expect("a path");
    let barograph =
        crate::support::Barograph::start(&folder.path().join("data"), &["--alertmanager-config", file]);
    for path in ["/alertmanager/-/ready", "/alertmanager/-/healthy", "/alertmanager/api/v2/status"] {
        assert_eq!(get(barograph.addr, path).0, 200, "{path}");
    }
    let alerts = r#"[{"labels":{"alertname":"a"}}]"#;
    assert_eq!(ask(barograph.addr, "POST", "/alertmanager/api/v2/alerts", alerts).status, 200);
    let told = super::body(&super::requests(&receiver, 1)[0]);
    assert_eq!(told["externalURL"], json!(format!("http://{}/alertmanager", barograph.addr)));
}

/// What is wrong with requests is said in upstream's words: status and body were taken down from 0.33.
const REFUSED: [(&str, &str, &str, u16, &str); 21] = [
    ("POST", "/silences", "{}", 422, r#"{"code":602,"message":"comment in body is required"}"#),
    ("POST", "/silences", "", 422, r#"{"code":602,"message":"silence in body is required"}"#),
    (
        "POST",
        "/silences",
        r#"{"matchers":[],"startsAt":"2026-01-01T00:00:00Z","endsAt":"2027-01-01T00:00:00Z","createdBy":"a","comment":"c"}"#,
        422,
        r#"{"code":612,"message":"matchers in body should have at least 1 items"}"#,
    ),
    (
        "POST",
        "/silences",
        r#"{"matchers":[{"name":"a","value":"b"}],"startsAt":"x","endsAt":"2027-01-01T00:00:00Z","createdBy":"a","comment":"c"}"#,
        400,
        r#"{"code":400,"message":"parsing silence body from \"\" failed, because parsing time \"x\" as \"2006-01-02\": cannot parse \"x\" as \"2006\""}"#,
    ),
    (
        "POST",
        "/silences",
        r#"{"matchers":[{"name":"a","isRegex":false}],"startsAt":"2026-01-01T00:00:00Z","endsAt":"2027-01-01T00:00:00Z","createdBy":"a","comment":"c"}"#,
        422,
        r#"{"code":602,"message":"matchers.0.value in body is required"}"#,
    ),
    (
        "POST",
        "/silences",
        r#"{"matchers":[{"name":"a","isRegex":false,"value":"b"}],"startsAt":"2026-01-01T00:00:00Z","endsAt":"2026-02-01T00:00:00Z","createdBy":"a","comment":"c"}"#,
        400,
        r#""Failed to create silence: end time can't be in the past""#,
    ),
    (
        "POST",
        "/silences",
        r#"{"matchers":[{"name":"a","isRegex":false,"value":"b"}],"startsAt":"2199-01-01T00:00:00Z","endsAt":"2198-12-01T00:00:00Z","createdBy":"a","comment":"c"}"#,
        400,
        r#""Failed to create silence: start time must be before end time""#,
    ),
    (
        "POST",
        "/silences",
        r#"{"id":"6f9f2ab1-7a8e-4d2e-8e0c-1fdc6aadc1a5","matchers":[{"name":"a","isRegex":false,"value":"b"}],"startsAt":"2026-01-01T00:00:00Z","endsAt":"2196-12-01T00:00:00Z","createdBy":"a","comment":"c"}"#,
        404,
        r#""silence not found""#,
    ),
    (
        "POST",
        "/silences",
        r#"{"matchers":[{"name":"a","isRegex":true,"value":".*"}],"startsAt":"2026-01-01T00:00:00Z","endsAt":"2196-12-01T00:00:00Z","createdBy":"a","comment":"c"}"#,
        400,
        r#""invalid silence: matcher set 0: at least one matcher must not match the empty string""#,
    ),
    (
        "GET",
        "/silence/abc",
        "",
        422,
        r#"{"code":601,"message":"silenceID in path must be of type uuid: \"abc\""}"#,
    ),
    ("GET", "/silence/6f9f2ab1-7a8e-4d2e-8e0c-1fdc6aadc1a5", "", 404, ""),
    ("DELETE", "/silence/6f9f2ab1-7a8e-4d2e-8e0c-1fdc6aadc1a5", "", 404, ""),
    (
        "POST",
        "/alerts",
        "{}",
        400,
        r#"{"code":400,"message":"parsing alerts body from \"\" failed, because json: cannot unmarshal object into Go value of type models.PostableAlerts"}"#,
    ),
    ("POST", "/alerts", "[{}]", 422, r#"{"code":602,"message":"0.labels in body is required"}"#),
    ("POST", "/alerts", r#"[{"labels":{}}]"#, 400, r#""at least one label pair required""#),
    (
        "POST",
        "/alerts",
        r#"[{"labels":{"a":1}}]"#,
        400,
        r#"{"code":400,"message":"parsing alerts body from \"\" failed, because json: cannot unmarshal number into Go struct field Alert.labels.a of type string"}"#,
    ),
    (
        "POST",
        "/alerts",
        r#"[{"labels":{"a":"b"},"generatorURL":"://x"}]"#,
        422,
        r#"{"code":601,"message":"0.generatorURL in body must be of type uri: \"://x\""}"#,
    ),
    (
        "POST",
        "/alerts",
        r#"[{"labels":{"a":"b"},"startsAt":"2026-01-02T00:00:00Z","endsAt":"2026-01-01T00:00:00Z"},{"labels":{"":"x"}}]"#,
        400,
        r#""start time must be before end time\ninvalid label set: invalid name \"\"""#,
    ),
    ("GET", "/alerts?filter=x", "", 400, r#""bad matcher format: x""#),
    ("PUT", "/alerts", "", 405, r#"{"code":405,"message":"method PUT is not allowed, but [POST,GET] are"}"#),
    ("GET", "/nope", "", 404, r#"{"code":404,"message":"path /api/v2/nope was not found"}"#),
];

#[test]
fn what_is_wrong_is_said_in_upstreams_words() {
    let folder = tempfile::tempdir().expect("a folder");
    let barograph = start(folder.path(), NOBODY);
    let mut wrong = Vec::new();
    for (method, path, sent, status, expected) in REFUSED {
        let response = ask(barograph.addr, method, &format!("/api/v2{path}"), sent);
        if (response.status, response.body.trim_end()) != (status, expected) {
            wrong.push(format!(
                "{method} {path} {sent}\n  {} {}\n  {status} {expected}",
                response.status, response.body
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
