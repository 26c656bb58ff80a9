//! Configurations: what is accepted, what is refused and why, what is shown, what receivers inherit.

use alertmanager::config::{Config, ConfigError, HIDDEN, SecretUrl};
use alertmanager::matcher::Language;

use crate::support::{cases, config, conformance, none_wrong, text};

fn error(text: &str) -> ConfigError {
    match Config::parse(text, Language::Fallback) {
        Ok(_) => panic!("accepted:\n{text}"),
        Err(error) => error,
    }
}

#[test]
fn files_of_upstream_are_read_as_upstream_reads_them() {
    let Some(expectations) = conformance("configs/expectations.tsv") else { return };
    let mut wrong = Vec::new();
    let mut count = 0;
    for line in expectations.lines().skip(1) {
        let fields: Vec<&str> = line.split('\t').collect();
        let [file, expect, message, ..] = fields.as_slice() else { panic!("{line}") };
        let text = conformance(&format!("configs/{file}")).expect("the file");
        let result = Config::parse(&text, Language::Fallback);
        count += 1;
        match (&result, *expect) {
            (Ok(_), "ok") => {}
            (Err(error), "error") if error.to_string().contains(message) => {}
            (Ok(_), _) => wrong.push(format!("{file}: accepted, expected {message:?}")),
            (Err(error), _) => wrong.push(format!("{file}: {error}, expected {expect} {message:?}")),
        }
    }
    assert!(count >= 38, "{count}");
    none_wrong(&wrong);
}

#[test]
fn small_configurations_get_their_verdict() {
    let mut wrong = Vec::new();
    for case in cases("config_cases.yml") {
        // One case is for those who know classic label names only.
        let language =
            if text(&case, "note").contains("classic") { Language::Classic } else { Language::Fallback };
        let result = Config::parse(text(&case, "config"), language).map(|_| ());
        let expected = text(&case, "error");
        match result {
            Ok(()) if expected.is_empty() => {}
            Err(error) if !expected.is_empty() && error.to_string().contains(expected) => {}
            result => wrong.push(format!("{}: {result:?}, expected {expected:?}", text(&case, "id"))),
        }
    }
    none_wrong(&wrong);
}

#[test]
fn what_is_shown_can_be_read_again_and_shows_no_secret() {
    let mut texts = vec![EVERYTHING.to_owned()];
    texts.extend(conformance("configs/conf.good.yml"));
    for text in texts {
        assert!(text.contains("mysecret"));
        let config = config(&text);
        let shown = config.to_yaml();
        assert!(shown.contains(HIDDEN), "{shown}");
        assert!(!shown.contains("mysecret"), "{shown}");
        assert!(!format!("{:?}", (&config.global, &config.receivers)).contains("mysecret"));
        let again =
            Config::parse(shown, Language::Fallback).unwrap_or_else(|error| panic!("{error}:\n{shown}"));
        assert_eq!(again.to_yaml(), shown);
        assert_eq!(again.route.routes.len(), config.route.routes.len());
        assert_eq!(config.original(), text);
    }
}

const EVERYTHING: &str = r#"
global:
  resolve_timeout: 1h30m
  smtp_smarthost: '[::1]:25'
  smtp_from: a@b
  smtp_auth_password: mysecret
  slack_api_url: https://mysecret/x
  http_config:
    proxy_url: http://user:mysecret@proxy/
    http_headers: {X-Key: {secrets: [mysecret], values: ["yes"]}}
    authorization: {credentials: mysecret}
templates: ['/etc/*.tmpl']
route:
  receiver: r
  group_by: [a, b]
  routes:
  - matchers: ['a=~"x|y"', 'b!=c']
    match: {c: "d: e"}
    match_re: {e: 'f.*'}
    continue: yes
    mute_time_intervals: [nights]
    labels: {team: '{{ .GroupLabels.a }}'}
inhibit_rules:
- name: one
  source_matchers: ['severity="page"']
  target_match: {severity: warn}
  equal: [a]
time_intervals:
- name: nights
  time_intervals: [{times: [{start_time: '00:00', end_time: '06:00'}], location: Europe/Berlin}]
receivers:
- name: r
  labels: {team: x}
  webhook_configs:
  - url: 'http://mysecret/{{ .Status }}'
    timeout: 90s
    payload: {a: ['{{ .Status }}', 1, true, null]}
  email_configs: [{to: x@y, headers: {subject: s}, auth_secret: mysecret}]
  slack_configs: [{channel: '#x', actions: [{type: button, text: t, url: u, name: n}]}]
  pagerduty_configs: [{routing_key: mysecret, details: {more: {deep: [1]}}}]
  opsgenie_configs: [{api_key: mysecret, api_url: 'https://o/x', responders: [{name: n, type: team}]}]
  sns_configs: [{topic_arn: t, sigv4: {access_key: a, secret_key: mysecret}}]
  telegram_configs: [{bot_token: mysecret, chat_id: -5}]
  jira_configs: [{api_url: 'http://j', project: p, issue_type: i, summary: s, description: {template: d, enable_update: false}}]
  webex_configs: [{room_id: r, http_config: {authorization: {credentials: mysecret}}}]
  mattermost_configs: [{webhook_url: 'http://mysecret', props: {card: c}}]
"#;

#[test]
fn receivers_inherit_what_they_do_not_say() {
    let config = config(EVERYTHING);
    let receiver = config.receiver("r").expect("the receiver");
    let email = &receiver.email[0];
    assert_eq!((email.smarthost.to_string().as_str(), email.from.as_str()), ("[::1]:25", "a@b"));
    assert_eq!((email.auth_password.expose(), email.require_tls), ("mysecret", Some(true)));
    assert_eq!(email.headers.get("Subject").map(String::as_str), Some("s"));
    let slack = receiver.slack[0].api_url.as_ref().and_then(SecretUrl::expose);
    assert_eq!(slack, Some("https://mysecret/x"));
    assert_eq!(receiver.slack[0].actions[0].name, "");
    let url = |url: &Option<alertmanager::config::Url>| url.as_ref().map(|url| url.as_str().to_owned());
    assert_eq!(url(&receiver.opsgenie[0].api_url).as_deref(), Some("https://o/x/"));
    assert_eq!(url(&receiver.pagerduty[0].url).as_deref(), Some("https://events.pagerduty.com/v2/enqueue"));
    assert_eq!(receiver.pagerduty[0].details.len(), 5);
    let http = receiver.webhook[0].http_config.as_ref().expect("the global one");
    assert_eq!(http.authorization.as_ref().map(|a| a.kind.as_str()), Some("Bearer"));
    let kinds: Vec<(&str, bool)> =
        receiver.integrations().iter().map(|i| (i.kind, i.send_resolved)).collect();
    assert_eq!(kinds[..3], [("email", false), ("pagerduty", true), ("slack", false)]);
}

#[test]
fn values_are_what_upstreams_yaml_makes_of_them() {
    let text = "route: {receiver: r}
receivers:
- name: r
  webhook_configs: [{url: 'http://x', max_alerts: 0x10, timeout: -5m, send_resolved: ~}]
  telegram_configs: [{bot_token: t, chat_id: 1_000, message_thread_id: 7.9, message: ~}]
";
    let config = config(text);
    let receiver = config.receiver("r").expect("the receiver");
    let webhook = &receiver.webhook[0];
    assert_eq!((webhook.max_alerts, webhook.timeout.0.as_nanos(), webhook.send_resolved), (16, 0, false));
    let telegram = &receiver.telegram[0];
    assert_eq!((telegram.chat_id, telegram.message_thread_id, telegram.message.as_str()), (1_000, 7, ""));
}

/// A configuration with a receiver `r` of this one kind.
fn with(kind: &str, fields: &str) -> String {
    format!("route: {{receiver: r}}\nreceivers: [{{name: r, {kind}_configs: [{{{fields}}}]}}]")
}

#[test]
fn what_is_wrong_is_said_in_the_words_of_upstream() {
    let cases = [
        (with("webhook", "url: 'http://x', url_file: f"), "at most one of url & url_file must be configured"),
        (with("webhook", "url: 'http://x/{{'"), "invalid template syntax"),
        (with("webhook", "url: 'http:///x'"), "missing host for URL"),
        (
            with("webhook", "url: 'http://x', timeout: soon"),
            "cannot unmarshal !!str `soon` into time.Duration",
        ),
        (with("webhook", "url: 'http://x', max_alerts: -1"), "into uint64"),
        (with("webhook", "url: 'http://x', nope: 1"), "line 2: field nope not found in type webhook.plain"),
        (with("email", "from: a"), "missing to address in email config"),
        (with("email", "to: a"), "no global SMTP smarthost set"),
        (with("email", "to: a, smarthost: 'x:1'"), "no global SMTP from set"),
        (with("email", "to: a, smarthost: x"), "missing port in address"),
        (with("email", "to: a, smarthost: 'x:'"), "port cannot be empty"),
        (with("email", "to: a, headers: {a-b: x, A-B: y}"), "duplicate header \"A-B\" in email config"),
        (with("slack", "channel: a"), "no Slack API URL nor App token set either inline or in a file"),
        (
            with("slack", "api_url: 'http://x', fields: [{title: a}]"),
            "missing value in Slack field configuration",
        ),
        (with("pagerduty", "client: a"), "missing service or routing key in PagerDuty config"),
        (with("pushover", "token: a"), "one of user_key or user_key_file must be configured"),
        (
            with("pushover", "token: a, user_key: b, html: true, monospace: true"),
            "at most one of monospace & html",
        ),
        (with("victorops", "api_key: a"), "missing Routing key in VictorOps config"),
        (
            with("victorops", "api_key: a, routing_key: b, custom_fields: {entity_id: c}"),
            "custom field entity_id",
        ),
        (
            with("opsgenie", "api_key: a, responders: [{name: b, type: c}]"),
            "type does not match valid options",
        ),
        (with("telegram", "bot_token: a"), "missing chat_id or chat_id_file on telegram_config"),
        (with("telegram", "bot_token: a, chat_id: 1, parse_mode: b"), "unknown parse_mode"),
        (with("webex", "room_id: a"), "missing webex_configs.http_config.authorization"),
        (
            with("webhook", "url: 'http://x', send_resolved: 'true'"),
            "cannot unmarshal !!str `true` into bool",
        ),
        (with("webhook", "url: 'http://x', send_resolved: 1"), "cannot unmarshal !!int `1` into bool"),
        (
            with("webhook", "url: 'http://x', http_config: 2024-01-01"),
            "!!timestamp `2024-01-01` into config.plain",
        ),
        (
            with("webhook", "url: 'http://x:y'"),
            "invalid URL: parse \"http://x:y\": invalid port \":y\" after host",
        ),
        (with("webhook", "url: 'http://x', http_config: {proxy_url: 'http://[::1'}"), "missing ']' in host"),
        (
            with(
                "webhook",
                "url: 'http://x', http_config: {oauth2: {client_id: i, token_url: u, claims: [a]}}",
            ),
            "cannot unmarshal !!seq into map[string]interface {}",
        ),
        (with("pushover", "token: a, user_key: b, retry: 1"), "time: missing unit in duration \"1\""),
        (with("sns", "topic_arn: a, sigv4: {external_id: e}"), "external_id can only be used with role_arn"),
        (
            "global: {opsgenie_api_url: ~}\n".to_owned() + &with("opsgenie", "api_key: k"),
            "no global OpsGenie URL set",
        ),
        (with("discord", "title: a"), "one of webhook_url or webhook_url_file must be configured"),
        (with("jira", "project: a"), "missing issue_type in jira_config"),
        (with("sns", "topic_arn: a, target_arn: b"), "must provide either a Target ARN"),
        (
            with("webhook", "url: 'http://x', http_config: {basic_auth: {}, bearer_token: a}"),
            "at most one of basic_auth",
        ),
        (with("webhook", "url: 'http://x', http_config: {no_proxy: a}"), "if no_proxy is configured"),
        (
            with("webhook", "url: 'http://x', http_config: {tls_config: {cert_file: a}}"),
            "exactly one of key or key_file",
        ),
        (
            with("webhook", "url: 'http://x', http_config: {tls_config: {min_version: a}}"),
            "unknown TLS version: a",
        ),
        (
            with("webhook", "url: 'http://x', http_config: {http_headers: {host: {values: [a]}}}"),
            "setting header \"Host\"",
        ),
        (
            "route: {receiver: r, group_wait: 1x}\nreceivers: [{name: r}]".into(),
            "unknown unit \"x\" in duration \"1x\"",
        ),
        (
            "route: {receiver: r}\nreceivers: [{name: r}, {name: r}]".into(),
            "notification config name \"r\" is not unique",
        ),
        (
            "route: {receiver: r, routes: [{matchers: ['a']}]}\nreceivers: [{name: r}]".into(),
            "bad matcher format: a",
        ),
        (
            "route: {receiver: r, routes: [{match: {a-b: c}}]}\nreceivers: [{name: r}]".into(),
            "invalid label name \"a-b\"",
        ),
        ("route: {}\nreceivers: [{name: r}]".into(), "root route must specify a default receiver"),
        (
            "route: {receiver: r, group_wait: 1m1h}\nreceivers: [{name: r}]".into(),
            "not a valid duration string: \"1m1h\"",
        ),
        (
            "route: {receiver: r, up: 1, down: 2}\nreceivers: [{name: r}]".into(),
            "line 1: field up not found in type config.plain\n  line 1: field down not found in type config.plain",
        ),
        (
            "route: {receiver: r}\nroute: {receiver: r}".into(),
            "yaml: unmarshal errors:\n  line 2: field route already set in type config.plain",
        ),
        ("".into(), "no route provided in config"),
        ("- a".into(), "cannot unmarshal !!seq into config.plain"),
    ];
    let mut wrong = Vec::new();
    for (text, expected) in cases {
        let message = error(&text).to_string();
        if !message.contains(expected) {
            wrong.push(format!("{text}\n  said: {message}\n  expected: {expected}"));
        }
    }
    none_wrong(&wrong);
}

#[test]
fn an_error_knows_its_place_and_shows_no_secret_url() {
    let error = error(
        "route:\n  receiver: r\nreceivers:\n- name: r\n  slack_configs:\n  - api_url: ftp://mysecret/\n",
    );
    assert_eq!((error.line, error.column), (6, 14));
    assert!(!error.to_string().contains("mysecret"), "{error}");
}

#[test]
fn routes_may_not_nest_without_bounds() {
    let text = format!(
        "receivers: [{{name: r}}]\nroute: {{receiver: r{}{}}}",
        ", routes: [{receiver: r".repeat(101),
        "}]".repeat(101)
    );
    assert!(error(&text).to_string().contains("nested deeper than 100"));
}
