//! Configurations that tenants set, by Mimir's API and from a shell.

use rustix::process::Signal;
use serde_json::{Value, json};
use testkit::Receiver;

use super::shell::{bad, good, written};
use super::{body, json_of, requests, start, start_with, webhook_config};
use crate::http::{Connection, Response};
use crate::support::Barograph;

/// What a tenant's request is answered.
#[track_caller]
fn ask(barograph: &Barograph, tenant: &str, method: &str, path: &str, body: &str) -> Response {
    let mut connection = Connection::open(barograph.addr).expect("it listens");
    connection.request(method, path, &[("X-Scope-OrgID", tenant)], body.as_bytes()).expect("an answer")
}

/// A body with a configuration that tells a webhook at once, in words of a template.
fn own(receiver: &Receiver) -> String {
    let config = format!(
        "route: {{receiver: own, group_wait: 100ms}}\nreceivers:\n- name: own\n  slack_configs:\n  - api_url: '{}'\n    \
         text: '{{{{ template \"mine\" . }}}}'\ntemplates: ['*.tmpl']\n",
        receiver.url("/own")
    );
    json!({"alertmanager_config": config, "template_files": {"a.tmpl": "{{ define \"mine\" }}mine!{{ end }}"}}).to_string()
}

#[test]
fn a_tenant_has_its_own_configuration_or_that_of_the_process() {
    let folder = tempfile::tempdir().expect("a folder");
    let (all, mine) = (Receiver::start(), Receiver::start());
    let arguments = ["--multitenancy-enabled"];
    let mut barograph = start_with(folder.path(), &webhook_config(&all), &arguments);
    let absent = ask(&barograph, "a", "GET", "/api/v1/alerts", "");
    assert_eq!((absent.status, absent.body.as_str()), (404, "alertmanager storage object not found\n"));
    let own = own(&mine);
    let set = ask(&barograph, "a", "POST", "/api/v1/alerts", &own);
    assert_eq!((set.status, set.body.as_str()), (201, ""));
    for round in 0..2 {
        let kept = ask(&barograph, "a", "GET", "/api/v1/alerts", "");
        assert_eq!((kept.status, kept.header("content-type")), (200, Some("application/yaml")), "{round}");
        assert!(kept.body.contains("\n  - name: own\n") && kept.body.contains("mine!"), "{}", kept.body);
        assert!(
            kept.body.contains(&mine.url("/own")),
            "its own tenant gets back what it has set: {}",
            kept.body
        );
        let status = ask(&barograph, "a", "GET", "/api/v2/status", "").body;
        assert!(
            !status.contains(&mine.url("/own")) && status.contains("own"),
            "secrets are not shown: {status}"
        );
        for tenant in ["a", "b"] {
            let alerts = json!([{"labels": {"alertname": format!("{tenant}{round}")}}]).to_string();
            let posted = ask(&barograph, tenant, "POST", "/api/v2/alerts", &alerts);
            assert_eq!(posted.status, 200, "{posted:?}");
        }
        assert!(requests(&mine, round + 1)[round].body.contains("mine!"));
        assert_eq!(body(&requests(&all, round + 1)[round])["groupLabels"]["alertname"], format!("b{round}"));
        barograph.program.signal(Signal::KILL);
        barograph.program.wait();
        barograph = start_with(folder.path(), &webhook_config(&all), &arguments);
    }
    assert_eq!(ask(&barograph, "a", "DELETE", "/api/v1/alerts", "").status, 200);
    assert_eq!(ask(&barograph, "a", "DELETE", "/api/v1/alerts", "").status, 200, "as Mimir has it");
    assert_eq!(ask(&barograph, "a", "GET", "/api/v1/alerts", "").status, 404);
    let receivers: Value =
        serde_json::from_str(&ask(&barograph, "a", "GET", "/api/v2/receivers", "").body).expect("JSON");
    assert_eq!(receivers[0]["name"], "w");
    assert_eq!(ask(&barograph, "", "GET", "/api/v1/alerts", "").status, 401);
}

#[test]
fn what_is_wrong_with_a_configuration_is_said_and_nothing_is_taken() {
    let folder = tempfile::tempdir().expect("a folder");
    let limits = written(
        folder.path(),
        "limits.yml",
        "overrides:\n  small:\n    alertmanager_max_config_size_bytes: 200\n    alertmanager_max_templates_count: 1\n    \
         alertmanager_max_template_size_bytes: 20\n    alertmanager_max_silences_count: 1\n",
    );
    let arguments = ["--multitenancy-enabled", "--runtime-config.file", &limits];
    let barograph = start_with(folder.path(), &webhook_config(&Receiver::start()), &arguments);
    let check = |tenant: &str, body: &str, why: &str| {
        let answer = ask(&barograph, tenant, "POST", "/api/v1/alerts", body);
        assert_eq!(answer.status, 400, "{body}: {answer:?}");
        assert!(answer.body.contains(why), "{body}: {}", answer.body);
        assert_eq!(ask(&barograph, tenant, "GET", "/api/v1/alerts", "").status, 404);
    };
    let config = |text: &str| json!({"alertmanager_config": text}).to_string();
    let receivers = |of: &str| config(&format!("route: {{receiver: r}}\nreceivers: [{{name: r, {of}}}]\n"));
    check("a", "[", "error unmarshalling Alertmanager config");
    check("a", "", "configuration provided is empty");
    check(
        "a",
        &config("route: {}"),
        "error validating Alertmanager config: root route must specify a default receiver",
    );
    check(
        "a",
        &config("route: {receiver: r}\nreceivers: [{name: r}]\nunknown: 1"),
        "field unknown not found",
    );
    check(
        "a",
        &receivers("webhook_configs: [{url_file: /etc/passwd}]"),
        "receivers[0].webhook_configs[0].url_file is not allowed",
    );
    let headers =
        "webhook_configs: [{url: 'http://x', http_config: {http_headers: {X: {files: [/etc/passwd]}}}}]";
    check("a", &receivers(headers), "http_headers.X.files is not allowed");
    check(
        "a",
        &config("global: {smtp_auth_password_file: /x}\nroute: {receiver: r}\nreceivers: [{name: r}]"),
        "smtp_auth_password_file",
    );
    let sns = "sns_configs: [{topic_arn: 'arn:aws:sns:eu-west-1:1:t', sigv4: {region: eu-west-1}}]";
    check("a", &receivers(sns), "the credentials of the machine are not for tenants");
    let templates = |names: &str, files: Value| {
        let text = format!("route: {{receiver: r}}\nreceivers: [{{name: r}}]\ntemplates: [{names}]\n");
        json!({"alertmanager_config": text, "template_files": files}).to_string()
    };
    check("a", &templates("/etc/am/x.tmpl", json!({})), "the template name cannot contain any path");
    check("a", &templates("x.tmpl", json!({"../x.tmpl": ""})), "the template name cannot contain any path");
    check("a", &templates("x.tmpl", json!({"y.tmpl": ""})), "is not among template_files");
    check("a", &templates("x.tmpl", json!({"x.tmpl": "{{ define"})), "failed to parse templates");
    check("small", &config(&"#".repeat(300)), "Alertmanager configuration is too big, limit: 200 bytes");
    check(
        "small",
        &templates("a", json!({"a": "", "b": ""})),
        "too many templates in the configuration: 2 (limit: 1)",
    );
    check(
        "small",
        &templates("a", json!({"a": "x".repeat(21)})),
        "template a is too big: 21 bytes (limit: 20 bytes)",
    );
    let silence = super::silence(&[("a", "b")]);
    let set = |status| {
        let mut connection = Connection::open(barograph.addr).expect("it listens");
        let headers = [("Content-Type", "application/json"), ("X-Scope-OrgID", "small")];
        let answer =
            connection.request("POST", "/api/v2/silences", &headers, silence.as_bytes()).expect("an answer");
        assert_eq!(answer.status, status, "{answer:?}");
    };
    set(200);
    set(400);
}

#[test]
fn a_configuration_is_set_and_shown_from_a_shell() {
    let folder = tempfile::tempdir().expect("a folder");
    let barograph = start(folder.path(), &webhook_config(&Receiver::start()));
    let url = format!("--url=http://{}", barograph.addr);
    assert_eq!(
        bad(&["config", "get", &url]),
        format!(
            "barograph: http://{}/api/v1/alerts: there is none; the tenant has that of the process\n",
            barograph.addr
        )
    );
    let config = written(
        folder.path(),
        "own.yml",
        "route: {receiver: own}\nreceivers: [{name: own}]\ntemplates: [a.tmpl]\n",
    );
    let template = written(folder.path(), "a.tmpl", "{{ define \"x\" }}y{{ end }}\n");
    good(&["config", "load", &config, &template, &url]);
    assert_eq!(json_of(barograph.addr, "/api/v2/receivers")[0]["name"], "own");
    let shown = good(&["config", "get", &url]);
    assert!(shown.contains("route: {receiver: own}") && shown.contains("\"a.tmpl\": |"), "{shown}");
    let wrong = written(folder.path(), "wrong.yml", "route: {}\n");
    assert!(bad(&["config", "load", &wrong, &url]).contains("root route must specify a default receiver"));
    good(&["config", "delete", &url]);
    assert_eq!(json_of(barograph.addr, "/api/v2/receivers")[0]["name"], "w");
}
