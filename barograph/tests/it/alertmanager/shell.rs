//! `barograph alerts`: what people at a shell ask and tell an Alertmanager, and try of its configuration.

use std::io::Write as _;
use std::path::Path;
use std::process::{Output, Stdio};

use serde_json::{Value, json};
use testkit::Receiver;

use super::{json_of, push, start, webhook_config};
use crate::support::Barograph;

/// Runs the command with this standard input.
fn run(arguments: &[&str], input: &str) -> Output {
    let mut command = Barograph::command(&[&["alerts"][..], arguments].concat());
    let mut child = command
        .env("USER", "somebody")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    child.stdin.take().expect("piped").write_all(input.as_bytes()).expect("read");
    child.wait_with_output().expect("it ends")
}

/// What a command that succeeds prints.
#[track_caller]
pub(super) fn good(arguments: &[&str]) -> String {
    let output = run(arguments, "");
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && error.is_empty(), "{arguments:?}: {error}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// What a command that fails says.
#[track_caller]
pub(super) fn bad(arguments: &[&str]) -> String {
    let output = run(arguments, "");
    assert_eq!(output.status.code(), Some(1), "{arguments:?}");
    String::from_utf8(output.stderr).expect("UTF-8")
}

pub(super) fn written(folder: &Path, name: &str, text: &str) -> String {
    let file = folder.join(name);
    std::fs::write(&file, text).expect("written");
    file.to_str().expect("a path in UTF-8").to_owned()
}

#[test]
fn alerts_are_listed_and_silenced() {
    let folder = tempfile::tempdir().expect("a folder");
    let barograph = start(folder.path(), &webhook_config(&Receiver::start()));
    let url = format!("--url=http://{}", barograph.addr);
    assert_eq!(good(&["list", &url]), "no alerts\n");
    push(
        barograph.addr,
        &[json!({"alertname": "Disk", "team": "db"}), json!({"alertname": "Net", "team": "x y"})],
    );
    let table = good(&["list", &url]);
    let lines: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["alert", "since", "state", "told", "labels", "says"]);
    assert!(lines.len() == 3 && lines[1][0] == "Disk" && lines[1][3..] == ["w", "team=db"], "{table}");
    assert!(good(&["list", &url, "team=\"x y\""]).contains("Net"));
    assert_eq!(good(&["list", &url, "team=none"]), "no alerts\n");
    assert!(bad(&["list", &url, "team=~("]).contains("400"));

    let id =
        good(&["silence", "add", &url, "--comment", "why", "-d", "2h", "team=~\"d.\"", "alertname!=Net"]);
    let id = id.trim();
    let silence = json_of(barograph.addr, &format!("/api/v2/silence/{id}"));
    assert_eq!((&silence["createdBy"], &silence["comment"]), (&json!("somebody"), &json!("why")));
    assert_eq!(
        silence["matchers"],
        json!([
            {"isEqual": true, "isRegex": true, "name": "team", "value": "d."},
            {"isEqual": false, "isRegex": false, "name": "alertname", "value": "Net"},
        ])
    );
    assert!(!good(&["list", &url]).contains("Disk"));
    assert!(good(&["list", &url, "--silenced"]).contains("silenced"));
    let shown = good(&["silence", "list", &url]);
    assert!(shown.contains(id) && shown.contains("team=~\"d.\""), "{shown}");

    let taken = good(&["silence", "list", &url, "--format", "json"]);
    good(&["silence", "expire", &url, id]);
    assert_eq!(good(&["silence", "list", &url]), "no silences\n");
    assert!(good(&["silence", "list", &url, "--expired"]).contains("expired"));
    assert!(bad(&["silence", "expire", &url, "00000000-0000-0000-0000-000000000000"]).contains("404"));
    // What was taken held then, and is made anew since the old one is over.
    let file = written(folder.path(), "silences.json", &taken);
    let made = good(&["silence", "import", &url, &file]);
    assert!(made.trim() != id && made.lines().count() == 1, "{made}");
    let taken: Value = serde_json::from_str(&good(&["silence", "list", &url, "-f", "json"])).expect("JSON");
    assert_eq!((&taken[0]["id"], &taken[0]["comment"]), (&json!(made.trim()), &json!("why")));
}

const CONFIG: &str = r#"
route:
  receiver: archive
  group_by: [alertname]
  routes:
  - matchers: [severity=page]
    receiver: pager
    group_by: ['...']
    continue: true
  - matchers: [team=~"db|net"]
    receiver: team
receivers: [{name: archive}, {name: pager}, {name: team}]
templates: ['*.tmpl']
"#;

#[test]
fn configurations_are_checked_and_their_routes_tried() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = written(folder.path(), "am.yml", CONFIG);
    written(folder.path(), "own.tmpl", "{{ define \"own\" }}<{{ .CommonLabels.alertname }}>{{ end }}");
    let said = good(&["config", "check", &config]);
    assert!(said.starts_with(&format!("{config}: good: 3 routes, 3 receivers, 0 inhibit rules, ")), "{said}");
    let wrong = written(folder.path(), "wrong.yml", "route: {receiver: nobody}\nreceivers: []\n");
    assert!(bad(&["config", "check", &wrong]).contains("undefined receiver \"nobody\""));

    let routes = |labels: &[&str]| good(&[&["routes", "test", "--config", &config][..], labels].concat());
    let table = routes(&["severity=page", "team=db"]);
    let rows: Vec<Vec<&str>> = table.lines().skip(1).map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(
        (rows.len(), rows[0][0], rows[0][1], rows[1][0], rows[1][1]),
        (2, "pager", "...", "team", "alertname"),
        "{table}"
    );
    assert!(routes(&[]).contains("archive"));
    good(&["routes", "test", "--config", &config, "--expect", "pager,team", "severity=page", "team=db"]);
    let told = bad(&["routes", "test", "--config", &config, "--expect", "team", "severity=page"]);
    assert!(told.contains("--expect names team, and pager would be told"), "{told}");
    let json: Value = serde_json::from_str(&routes(&["-f", "json", "team=net"])).expect("JSON");
    assert_eq!((&json[0]["receiver"], &json[0]["repeatInterval"]), (&json!("team"), &json!("4h")));
}

#[test]
fn templates_are_rendered() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = written(folder.path(), "am.yml", CONFIG);
    written(folder.path(), "own.tmpl", "{{ define \"own\" }}<{{ .CommonLabels.alertname }}>{{ end }}");
    let render = |more: &[&str]| good(&[&["template", "render"][..], more].concat());
    assert_eq!(
        render(&["{{ .Status }} {{ template \"slack.default.title\" . }}", "--label", "alertname=A"]),
        "firing [FIRING:1] A \n"
    );
    let own = ["--config", &config, "{{ template \"own\" . }}", "--label", "alertname=A&B"];
    assert_eq!(render(&own), "<A&B>\n");
    assert_eq!(render(&[&own[..], &["--html"]].concat()), "&lt;A&amp;B>\n");
    let data = json!({
        "receiver": "r", "status": "resolved", "groupLabels": {"alertname": "A"}, "externalURL": "http://am",
        "alerts": [{"status": "resolved", "labels": {"alertname": "A", "x": "1"}, "annotations": {},
                    "startsAt": "2026-01-02T03:04:05Z", "endsAt": "2026-01-02T04:04:05Z"}],
    });
    let data = written(folder.path(), "data.json", &data.to_string());
    let template =
        "{{ .Status }} {{ range .Alerts.Resolved }}{{ .Labels.x }} {{ .EndsAt.Format \"15:04\" }}{{ end }}";
    let output = run(&["template", "render", "-", "--data", &data], template);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "resolved 1 04:04\n");
    assert!(bad(&["template", "render", "{{ .Nothing"]).contains("unclosed action"));
}

#[test]
fn help_has_examples() {
    let help = good(&["--help"]);
    for part in ["silence add --comment", "routes test --config", "template render", "--url http://host:9093"]
    {
        assert!(help.contains(part), "{part} in {help}");
    }
}
