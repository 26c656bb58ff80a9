//! Notification templates.

use std::collections::BTreeMap;

use alertmanager::Moment;
use alertmanager::template::{AlertData, Data, NotificationTemplates};
use gotemplate::Limits;
use gotemplate::time::GoTime;
use model::Labels;
use serde_json::Value as Json;

use crate::support::{conformance, labels, list, none_wrong, plain, seconds, text, yaml};

fn templates() -> NotificationTemplates {
    NotificationTemplates::new([]).expect("the default templates")
}

fn render(data: &Data, template: &str) -> Result<String, String> {
    templates().render(template, data, seconds(1e9), Limits::default()).map_err(|error| error.to_string())
}

fn texts(value: &Json) -> BTreeMap<String, String> {
    value.as_object().map(|map| map.iter().map(|(k, v)| (k.clone(), plain(v))).collect()).unwrap_or_default()
}

fn time(text: &str) -> GoTime {
    GoTime::parse("2006-01-02T15:04:05Z07:00", text).expect("a time")
}

fn data(json: &Json) -> Data {
    let alerts = list(&json["alerts"]);
    let alerts = alerts.iter().map(|alert| AlertData {
        status: text(alert, "status").to_owned(),
        labels: texts(&alert["labels"]),
        annotations: texts(&alert["annotations"]),
        starts_at: time(text(alert, "startsAt")),
        ends_at: time(text(alert, "endsAt")),
        generator_url: text(alert, "generatorURL").to_owned(),
        fingerprint: plain(&alert["fingerprint"]),
    });
    let data = Data::new(
        text(json, "receiver"),
        text(json, "externalURL"),
        &labels(&json["groupLabels"]),
        alerts.collect(),
    );
    assert_eq!(data.status, text(json, "status"));
    assert_eq!(data.common_labels, texts(&json["commonLabels"]));
    assert_eq!(data.common_annotations, texts(&json["commonAnnotations"]));
    // The receiver is shown as it is where the data says so.
    Data { receiver: text(json, "receiver").to_owned(), ..data }
}

#[test]
fn templates_write_what_upstreams_write() {
    let Some(cases) = conformance("templates.yml") else { return };
    let cases = yaml(&cases);
    let data = data(&cases["data"]);
    let mut wrong = Vec::new();
    for case in list(&cases["cases"]) {
        let template = text(&case, "template");
        let got = render(&data, template);
        let right = match &got {
            Ok(output) => case.get("output").map(plain).as_deref() == Some(output.as_str()),
            Err(_) => case["error"] == Json::Bool(true),
        };
        if !right {
            wrong.push(format!("{template}: {got:?}, expected {:?}", case.get("output")));
        }
    }
    none_wrong(&wrong);
}

/// Two alerts, one of them resolved, of one group.
fn sample() -> Data {
    let alert = |status: &str, instance: &str, severity: &str, ends_at: GoTime| AlertData {
        status: status.to_owned(),
        labels: BTreeMap::from(
            [("alertname", "Hot"), ("instance", instance), ("severity", severity), ("az", "b")]
                .map(|(name, value)| (name.to_owned(), value.to_owned())),
        ),
        annotations: BTreeMap::from([("summary".to_owned(), "it's <hot>".to_owned())]),
        starts_at: time("2024-01-02T03:04:05.25Z"),
        ends_at,
        generator_url: "http://p/g?x=1&y".to_owned(),
        fingerprint: "0123456789abcdef".to_owned(),
    };
    let alerts = vec![
        alert("firing", "a:1", "warning", GoTime::zero()),
        alert("resolved", "b:1", "critical", time("2024-01-02T04:00:00Z")),
    ];
    Data::new("team (x)", "http://am", &Labels::from_pairs([("alertname", "Hot")]), alerts)
}

const FIRING: &str = "Labels:\n - alertname = Hot\n - az = b\n - instance = a:1\n - severity = warning\nAnnotations:\n - summary = it's <hot>\nSource: http://p/g?x=1&y\n";
const RESOLVED: &str = "Labels:\n - alertname = Hot\n - az = b\n - instance = b:1\n - severity = critical\nAnnotations:\n - summary = it's <hot>\nSource: http://p/g?x=1&y\n";

#[test]
fn default_templates_write_the_bytes_of_upstreams() {
    let markdown = |list: &str| {
        let list = list.replace(" - ", "  - ").replace("Annotations:", "\nAnnotations:");
        format!("\n{}\n", list.replace("Source:", "\nSource:"))
    };
    let subject = "[FIRING:1] Hot (b)";
    let close = format!("it's <hot>\nAlerts Firing:\n{FIRING}\nAlerts Resolved:\n{RESOLVED}");
    let wide = format!("\nAlerts Firing:\n{FIRING}\n\n\nAlerts Resolved:\n{RESOLVED}\n\n");
    let url = r"http://am/#/alerts?receiver=team+%5C%28x%5C%29";
    let in_markdown = format!(
        "\n\n# Alerts Firing:\n{}\n\n\n# Alerts Resolved:\n{}\n\n",
        markdown(FIRING),
        markdown(RESOLVED)
    );
    let cases = [
        ("slack.default.title", subject.to_owned()),
        ("slack.default.fallback", format!("{subject} | {url}")),
        ("slack.default.color", "danger".to_owned()),
        ("slack.default.text", String::new()),
        ("email.default.subject", subject.to_owned()),
        ("opsgenie.default.description", close.clone()),
        ("victorops.default.state_message", close.clone()),
        ("wechat.default.message", format!("{subject}\n{close}\nAlertmanagerUrl:\n{url}")),
        ("pushover.default.message", format!("it's <hot>\n{wide}")),
        ("sns.default.message", format!("it's <hot>\n{wide}")),
        ("webex.default.message", format!("it's <hot>\n{wide}")),
        ("telegram.default.message", format!("\n{wide}")),
        ("discord.default.message", format!("\n{wide}")),
        ("msteams.default.text", in_markdown.clone()),
        ("msteamsv2.default.text", in_markdown.clone()),
        ("jira.default.description", in_markdown.clone()),
        ("mattermost.default.text", in_markdown),
        ("jira.default.priority", "Medium".to_owned()),
        ("pagerduty.default.clientURL", url.to_owned()),
        ("rocketchat.default.alias", "Alertmanager".to_owned()),
    ];
    let data = sample();
    let mut wrong = Vec::new();
    for (name, expected) in cases {
        let got = render(&data, &format!("{{{{ template \"{name}\" . }}}}"));
        if got.as_ref() != Ok(&expected) {
            wrong.push(format!("{name}\n  got:      {got:?}\n  expected: {expected:?}"));
        }
    }
    none_wrong(&wrong);
}

#[test]
fn functions_are_upstreams() {
    let cases = [
        ("{{ reReplaceAll \"(a)(\\\\d)\" \"$2$1\" \"a1 b2\" }}", "1a b2"),
        ("{{ match \"b+\" \"abc\" }} {{ match \"^b\" \"abc\" }}", "true false"),
        (
            "{{ toJson .Alerts.Resolved }}",
            r#"[{"status":"resolved","labels":{"alertname":"Hot","az":"b","instance":"b:1","severity":"critical"},"annotations":{"summary":"it's \u003chot\u003e"},"startsAt":"2024-01-02T03:04:05.25Z","endsAt":"2024-01-02T04:00:00Z","generatorURL":"http://p/g?x=1\u0026y","fingerprint":"0123456789abcdef"}]"#,
        ),
        (
            "{{ toJson (dict \"f\" 1.5 \"e\" 1e21 \"n\" nil \"l\" (list 1 \"\\n\")) }}",
            r#"{"e":1e+21,"f":1.5,"l":[1,"\n"],"n":null}"#,
        ),
        (
            "{{ toJson .CommonLabels.SortedPairs }}",
            r#"[{"Name":"alertname","Value":"Hot"},{"Name":"az","Value":"b"}]"#,
        ),
        ("{{ base64encode \"a?>\" }} {{ base64decode \"YT8-\" }}", "YT8- a?>"),
        ("{{ (index .Alerts 0).StartsAt | tz \"Europe/Berlin\" | date \"15:04 MST\" }}", "04:04 CET"),
        ("{{ now.Year }} {{ since (toDate \"2006-01-02\" \"2001-09-09\") }}", "2001 1h46m40s"),
        ("{{ (toDate \"2006\" \"x\").IsZero }}", "true"),
        (
            "{{ humanizeDuration 93784 }} {{ humanizeDuration 0.0123 }} {{ humanizeDuration \"61\" }}",
            "1d 2h 3m 4s 12.3ms 1m 1s",
        ),
        ("{{ append (list 1) 2 | len }} {{ stringSlice \"a\" \"b\" | join \"+\" }}", "2 a+b"),
        (
            "{{ \"  x \" | trimSpace }}{{ \"ß\" | toUpper }}{{ title \"can't STOP foo-bar\" }}",
            "xßCan't Stop Foo-Bar",
        ),
        ("{{ .CommonLabels }} {{ .GroupLabels.Values.Join \"/\" }}", "alertname=Hot, az=b Hot"),
        ("{{ .Receiver }}", r"team \(x\)"),
        ("{{ title \"ǆ ß\" }}", "ǅ Ss"),
    ];
    let data = sample();
    let mut wrong = Vec::new();
    for (template, expected) in cases {
        let got = render(&data, template);
        if got.as_deref() != Ok(expected) {
            wrong.push(format!("{template}\n  got:      {got:?}\n  expected: {expected:?}"));
        }
    }
    none_wrong(&wrong);
}

#[test]
fn what_fails_says_where() {
    let message = |template: &str| render(&sample(), template).unwrap_err();
    assert_eq!(
        message("{{ .CommonLabels.SortedPairs.Nope }}"),
        "template: :1:16: executing \"\" at <.CommonLabels.SortedPairs.Nope>: can't evaluate field Nope in type template.Pairs"
    );
    assert!(message("{{ tz \"Nowhere\" now }}").contains("error calling tz: unknown time zone Nowhere"));
    assert!(message("{{ base64decode \"YQ\" }}").contains("illegal base64 data at input byte 0"));
    assert!(message("{{ index . 1 }}").contains("can't index item of type template.Data"));
    assert!(message("{{ .routeLabelsRendered }}").contains("can't evaluate field routeLabelsRendered"));
    assert!(message("{{ dict 1 }}").contains("dict requires an even number of arguments"));
    assert!(message("{{ mustToDate \"2006\" \"x\" }}").contains("parsing time \"x\" as \"2006\""));
    assert!(message("{{ urlUnescape \"%zz\" }}").contains("invalid URL escape \"%zz\""));
}

#[test]
fn labels_of_routes_are_templates_that_name_each_other() {
    let labels = |pairs: &[(&str, &str)]| {
        let route_labels =
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Data { route_labels, ..sample() }
    };
    let data = labels(&[("a", "{{ routeLabels \"b\" }}!"), ("b", "{{ .GroupLabels.alertname }}")]);
    assert_eq!(render(&data, "{{ routeLabels \"a\" }}{{ routeLabels \"none\" }}"), Ok("Hot!".to_owned()));
    let data = labels(&[("a", "{{ routeLabels \"b\" }}"), ("b", "{{ routeLabels \"a\" }}")]);
    let rendered = templates().render_route_labels(&data, seconds(1e9), Limits::default());
    assert!(rendered.values().all(Result::is_err), "{rendered:?}");
    let message = render(&data, "{{ routeLabels \"a\" }}").unwrap_err();
    assert!(message.contains("route label cycle detected: a -> b -> a"), "{message}");
}

#[test]
fn files_replace_the_defaults() {
    let file = "{{ define \"slack.default.title\" }}mine {{ template \"__subject\" . }}{{ end }}";
    let templates = NotificationTemplates::new([("a.tmpl", file)]).expect("the templates");
    let rendered = templates.render(
        "{{ template \"slack.default.title\" . }}",
        &sample(),
        Moment::from_millis(0),
        Limits::default(),
    );
    assert_eq!(rendered.expect("a text"), "mine [FIRING:1] Hot (b)");
    assert!(NotificationTemplates::new([("b.tmpl", "{{ nope }}")]).is_err());
    assert!(templates.names().any(|name| name == "email.default.subject"));
}
