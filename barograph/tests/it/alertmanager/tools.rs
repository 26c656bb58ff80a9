//! amtool, which people have for Alertmanager.

use std::net::SocketAddr;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use testkit::Receiver;

use super::{json_of, start, webhook_config};
use crate::support::{peer, wait_for};

/// Runs amtool, and gives what it says.
#[track_caller]
fn amtool(addr: SocketAddr, arguments: &[&str]) -> String {
    let url = format!("--alertmanager.url=http://{addr}");
    let mut command = Command::new(peer("amtool"));
    let output = command.arg(url).args(arguments).stdin(Stdio::null()).output().expect("amtool runs");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "amtool {arguments:?}: {error}");
    String::from_utf8(output.stdout).expect("text")
}

/// What amtool says in JSON.
#[track_caller]
fn amtool_json(addr: SocketAddr, arguments: &[&str]) -> Value {
    let text = amtool(addr, &[arguments, &["-o", "json"]].concat());
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {text}"))
}

#[test]
fn amtool_adds_and_queries_alerts() {
    let folder = tempfile::tempdir().expect("a folder");
    let receiver = Receiver::start();
    let addr = start(folder.path(), &webhook_config(&receiver));
    let addr = addr.addr;
    amtool(addr, &["alert", "add", "foo", "node=bar", "--annotation=summary=a summary"]);
    amtool(addr, &["alert", "add", "alertname=other", "node=x"]);
    let found = amtool_json(addr, &["alert", "query", "node=bar"]);
    assert_eq!(found.as_array().map(Vec::len), Some(1), "{found}");
    assert_eq!(found[0]["labels"], json!({"alertname": "foo", "node": "bar"}));
    assert_eq!(found[0]["annotations"], json!({"summary": "a summary"}));
    assert!(amtool(addr, &["alert", "query", "foo"]).contains("a summary"));
    assert_eq!(amtool_json(addr, &["alert", "query"]).as_array().map(Vec::len), Some(2));
}

#[test]
fn amtool_keeps_silences() {
    let folder = tempfile::tempdir().expect("a folder");
    let barograph = start(folder.path(), &webhook_config(&Receiver::start()));
    let addr = barograph.addr;
    let id = amtool(addr, &["silence", "add", "--author=me", "--comment=why", "foo=bar", "x=~y.*"]);
    let id = id.trim();
    let silences = amtool_json(addr, &["silence", "query"]);
    assert_eq!((&silences[0]["id"], &silences[0]["comment"]), (&json!(id), &json!("why")));
    assert_eq!(amtool(addr, &["silence", "query", "-q", "foo=bar"]).trim(), id);
    amtool(addr, &["silence", "update", "--comment=because", id]);
    assert_eq!(json_of(addr, &format!("/api/v2/silence/{id}"))["comment"], "because");
    amtool(addr, &["silence", "expire", id]);
    assert_eq!(json_of(addr, &format!("/api/v2/silence/{id}"))["status"]["state"], "expired");
    assert_eq!(amtool(addr, &["silence", "query", "-q"]).trim(), "");
    // What was exported can be imported again.
    let file = folder.path().join("silences.json");
    let mut exported = json_of(addr, "/api/v2/silences");
    exported[0]["endsAt"] = json!("2100-01-01T00:00:00.000Z");
    std::fs::write(&file, exported.to_string()).expect("written");
    amtool(addr, &["silence", "import", file.to_str().expect("a path")]);
    wait_for("the imported silence", || {
        let holds = amtool_json(addr, &["silence", "query"]);
        (holds.as_array().map(Vec::len) == Some(1)).then_some(())
    });
}

#[test]
fn amtool_reads_the_configuration() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = "route:\n  receiver: all\n  routes:\n  - {matchers: [team=\"x\"], receiver: x}\n\
                  receivers:\n- name: all\n- name: x\n  slack_configs: [{api_url: 'http://secret.example/abc', channel: c}]\n";
    let barograph = start(folder.path(), config);
    let shown = amtool(barograph.addr, &["config", "show"]);
    assert!(shown.contains("receiver: x") && shown.contains("<secret>"), "{shown}");
    assert!(!shown.contains("secret.example"), "{shown}");
    let routes =
        |labels: &[&str]| amtool(barograph.addr, &[["config", "routes", "test"].as_slice(), labels].concat());
    assert_eq!((routes(&["team=x"]).trim(), routes(&["team=y"]).trim()), ("x", "all"));
    let tree = amtool(barograph.addr, &["config", "routes", "show"]);
    assert!(tree.contains("team=\"x\""), "{tree}");
}
