//! `barograph rules load|get|diff|sync|delete` against a process: tenants of their own, what is kept through a kill, and what is
//! said of what is wrong.

use std::path::Path;
use std::process::Output;

use crate::http::Connection;
use crate::support::{Barograph, wait_for};
use rustix::process::Signal;
use serde_json::{Value, json};

const ARGUMENTS: [&str; 2] = ["--self-monitoring.enabled=false", "--multitenancy-enabled"];

/// What a command came to: exit code, standard output, standard error.
type Said = (Option<i32>, String, String);

/// Runs `barograph rules` in a folder.
fn rules(folder: &Path, arguments: &[&str]) -> Said {
    let all = [&["rules"], arguments].concat();
    let output = Barograph::command(&all).current_dir(folder).output();
    let Output { status, stdout, stderr } = output.expect("the program runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    (status.code(), text(stdout), text(stderr))
}

/// Runs it for a tenant against a process.
fn rules_of(tenant: &str, folder: &Path, barograph: &Barograph, arguments: &[&str]) -> Said {
    let url = format!("http://{}", barograph.addr);
    let (command, rest) = arguments.split_first().expect("a command");
    rules(folder, &[&[*command, "--url", &url, "--tenant", tenant], rest].concat())
}

/// The data of a path for a tenant.
fn data(barograph: &Barograph, tenant: &str, path: &str) -> Value {
    let mut connection = Connection::open(barograph.addr).expect("it listens");
    let answer = connection.request("GET", path, &[("X-Scope-OrgID", tenant)], b"").expect("an answer");
    assert_eq!(answer.status, 200, "{path}: {}", answer.body);
    serde_json::from_str::<Value>(&answer.body).expect("JSON")["data"].take()
}

/// What a tenant's series of this name is worth now.
fn value(barograph: &Barograph, tenant: &str, name: &str) -> Option<String> {
    let found = data(barograph, tenant, &format!("/prometheus/api/v1/query?query={name}"));
    found["result"][0]["value"][1].as_str().map(str::to_owned)
}

fn files_of(barograph: &Barograph, tenant: &str) -> Vec<Value> {
    let groups = data(barograph, tenant, "/prometheus/api/v1/rules")["groups"].take();
    groups.as_array().into_iter().flatten().map(|group| group["file"].clone()).collect()
}

fn group(value: u32) -> String {
    format!(
        "groups:\n- name: g\n  interval: 1s\n  rules:\n  # It says so.\n  - {{record: r, expr: 'vector({value})'}}\n  \
         - {{alert: Always, expr: 'vector({value}) > 1'}}\n"
    )
}

#[test]
fn rules_read_the_tenants_that_they_name_where_that_is_allowed() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path();
    let arguments = [&ARGUMENTS[..], &["--ruler.tenant-federation=true"]].concat();
    let barograph = Barograph::start(&path.join("data"), &arguments);
    let all = "groups:\n- name: g\n  interval: 1s\n  source_tenants: [a, b]\n  rules:\n  - {record: all, expr: sum(r)}\n  \
               - {record: copy, expr: 'r{__tenant_id__=\"b\"}'}\n";
    for (tenant, text) in [("a", group(1)), ("b", group(2)), ("d", group(4)), ("c", all.to_owned())] {
        std::fs::write(path.join("team.yml"), text).expect("written");
        let loaded = rules_of(tenant, path, &barograph, &["load", "team.yml"]);
        assert_eq!(loaded, (Some(0), "team/g: loaded\n".to_owned(), String::new()));
    }
    wait_for("a sum over tenants", || value(&barograph, "c", "all").filter(|value| value == "3"));
    wait_for("a copy", || value(&barograph, "c", "copy"));
    let copy = data(&barograph, "c", "/prometheus/api/v1/query?query=copy");
    assert_eq!(copy["result"][0]["metric"], json!({"__name__": "copy", "__tenant_id__": "b"}));
    assert_eq!(copy["result"].as_array().map(Vec::len), Some(1));
    // What a tenant asks itself is answered from its own.
    assert_eq!((value(&barograph, "c", "r"), value(&barograph, "a", "all")), (None, None));
}

#[test]
fn tenants_have_rules_of_their_own_through_a_kill() {
    let folder = tempfile::tempdir().expect("a folder");
    let (path, data_dir) = (folder.path(), folder.path().join("data"));
    for (tenant, value) in [("a", 1), ("b", 2)] {
        let folder = path.join(tenant);
        std::fs::create_dir(&folder).expect("a folder");
        std::fs::write(folder.join("team.yml"), group(value)).expect("written");
    }
    let mut barograph = Barograph::start(&data_dir, &ARGUMENTS);
    // The same names, of namespace, group and rule.
    for tenant in ["a", "b"] {
        let loaded = rules_of(tenant, &path.join(tenant), &barograph, &["load", "team.yml"]);
        assert_eq!(loaded, (Some(0), "team/g: loaded\n".to_owned(), String::new()));
    }
    let check = |barograph: &Barograph| {
        for (tenant, own) in [("a", "1"), ("b", "2")] {
            wait_for("recordings", || value(barograph, tenant, "r").filter(|value| value == own));
            assert_eq!(files_of(barograph, tenant), [json!("team")]);
        }
        wait_for("an alert", || value(barograph, "b", "ALERTS"));
        // The Alertmanager of the process has heard of it, from its tenant.
        let alerts = |tenant: &str| {
            let mut connection = Connection::open(barograph.addr).expect("it listens");
            let headers = [("X-Scope-OrgID", tenant)];
            let answer = connection.request("GET", "/alertmanager/api/v2/alerts", &headers, b"");
            let alerts: Value = serde_json::from_str(&answer.expect("an answer").body).expect("JSON");
            alerts.as_array().map_or(0, Vec::len)
        };
        wait_for("an alert at the Alertmanager", || (alerts("b") == 1).then_some(()));
        assert_eq!((value(barograph, "a", "ALERTS"), alerts("a")), (None, 0));
        assert_eq!((value(barograph, "c", "r"), files_of(barograph, "c")), (None, vec![]));
    };
    check(&barograph);
    barograph.program.signal(Signal::KILL);
    barograph.program.wait();
    let barograph = Barograph::start(&data_dir, &ARGUMENTS);
    check(&barograph);
    for tenant in ["a", "b"] {
        let same = rules_of(tenant, &path.join(tenant), &barograph, &["diff", "--all", "team.yml"]);
        assert_eq!(same, (Some(0), String::new(), "no differences in 1 groups\n".to_owned()));
    }
    // A change is evaluated without a restart, and for its tenant alone.
    std::fs::write(path.join("a/team.yml"), group(10)).expect("written");
    let synced = rules_of("a", &path.join("a"), &barograph, &["sync", "team.yml"]);
    assert_eq!(synced, (Some(0), "~ team/g\n".to_owned(), String::new()));
    wait_for("the change", || value(&barograph, "a", "r").filter(|value| value == "10"));
    assert_eq!(value(&barograph, "b", "r").as_deref(), Some("2"));
    let (code, _, error) = rules(path, &["get", "--url", &format!("http://{}", barograph.addr)]);
    assert!(code == Some(2) && error.contains("401") && error.contains("--tenant says whose"), "{error}");
}

#[test]
fn rules_are_compared_changed_and_removed() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path();
    let write = |name: &str, text: &str| std::fs::write(path.join(name), text).expect("written");
    write("team.yml", &group(1));
    write("other.yml", "namespace: x/y\ngroups: [{name: b, rules: [{alert: Up, expr: up == 1, for: 5m}]}]\n");
    let barograph = Barograph::start(&path.join("data"), &ARGUMENTS);
    let run = |arguments: &[&str]| rules_of("t", path, &barograph, arguments);
    let json = |arguments: &[&str]| {
        let (code, text, error) = run(&[arguments, &["--json"]].concat());
        let value: Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}{error}"));
        (code, value)
    };
    let (code, text, error) = run(&["get"]);
    assert!(code == Some(0) && text.is_empty() && error.contains("barograph rules load"), "{error}");
    assert_eq!(json(&["get"]), (Some(0), json!({})));
    let (code, text, error) = run(&["diff", "team.yml", "other.yml"]);
    assert_eq!((code, text.as_str()), (Some(1), "+ team/g\n+ x/y/b\n"), "{error}");
    assert!(error.contains("barograph rules sync"), "{error}");
    let loaded = json!([{"namespace": "team", "group": "g"}, {"namespace": "x/y", "group": "b"}]);
    assert_eq!(json(&["load", "team.yml", "other.yml"]), (Some(0), json!({ "loaded": loaded })));
    let b = "name: b\nrules:\n  - alert: Up\n    expr: \"up == 1\"\n    for: 5m\n";
    assert_eq!(run(&["get", "x/y", "b"]).1, b);
    assert_eq!(json(&["get", "x/y"]).1["x/y"][0]["rules"][0]["for"], "5m");
    // Another way of writing it is none to be changed; what is, is shown.
    write("team.yml", &group(1).replace("interval: 1s", "interval: 1000ms"));
    assert_eq!(run(&["diff", "team.yml", "other.yml"]).0, Some(0));
    write("team.yml", &group(1).replace("interval: 1s", "interval: 2s"));
    let shown = "~ team/g\n      name: g\n    - interval: 1s\n    + interval: 2s\n      rules:\n        - record: r\n";
    let (code, text, _) = run(&["diff", "team.yml"]);
    assert_eq!((code, text.as_str()), (Some(1), shown));
    write("team.yml", "groups: [{name: c, rules: [{record: r, expr: '1'}]}]\n");
    let (code, changes) = json(&["sync", "team.yml"]);
    let names: Vec<String> = changes["changes"]
        .as_array()
        .expect("changes")
        .iter()
        .map(|change| format!("{} {}", change["change"], change["group"]))
        .collect();
    assert_eq!((code, names.join(", ")), (Some(0), "\"add\" \"c\", \"remove\" \"g\"".to_owned()));
    assert!(run(&["sync", "team.yml"]).2.contains("nothing to do: 1 groups"));
    assert_eq!(run(&["diff", "--all", "team.yml"]).1, "- x/y/b\n");
    assert_eq!(run(&["delete", "x/y"]), (Some(0), "x/y: deleted\n".to_owned(), String::new()));
    write("team.yml", "groups: []\n");
    assert_eq!(run(&["sync", "team.yml"]).1, "- team/c\n");
    assert_eq!(files_of(&barograph, "t"), Vec::<Value>::new());
}

#[test]
fn what_is_wrong_is_said_with_what_to_do() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path();
    let write = |name: &str, text: &str| std::fs::write(path.join(name), text).expect("written");
    write("good.yml", "groups: [{name: g, rules: [{record: r, expr: '1'}]}]\n");
    write("bad.yml", "groups:\n- name: g\n  rules:\n  - {record: r, expr: sum(}\n");
    write("runtime.yml", "overrides: {t: {ruler_max_rule_groups_per_tenant: 1}}\n");
    let limits = path.join("runtime.yml");
    let limits = ["--runtime-config.file", limits.to_str().expect("a path in UTF-8")];
    let barograph = Barograph::start(&path.join("data"), &[&ARGUMENTS[..], &limits].concat());
    let wrong = |arguments: &[&str], parts: &[&str]| {
        let (code, text, error) = rules_of("t", path, &barograph, arguments);
        assert_eq!((code, text.as_str()), (Some(2), ""), "{arguments:?}: {error}");
        for part in parts {
            assert!(error.contains(part), "{arguments:?}: {part}: {error}");
        }
    };
    wrong(
        &["load", "good.yml", "bad.yml"],
        &["bad.yml: 4:23: group \"g\", rule 1, \"r\": could not parse expression", "nothing was sent"],
    );
    wrong(&["load", "none.yml"], &["none.yml: "]);
    wrong(&["load", "good.yml", "--namespace", "n", "good.yml"], &["group n/g stands twice"]);
    wrong(&["get", "n"], &["n: there is no such thing", "barograph rules get"]);
    wrong(&["get", "n", "g"], &["n/g: there is no such thing"]);
    wrong(&["delete", "n"], &["n: group namespace does not exist"]);
    assert_eq!(rules_of("t", path, &barograph, &["load", "good.yml"]).0, Some(0));
    wrong(&["delete", "good", "h"], &["good/h: group does not exist"]);
    write("more.yml", "groups: [{name: h, rules: [{record: r, expr: '1'}]}]\n");
    wrong(
        &["load", "good.yml", "more.yml"],
        &["more/h: ", "limit: 1 actual: 2", "ruler_max_rule_groups_per_tenant", "1 of 2 groups were done"],
    );
    // Within the limit, one group takes the place of another.
    write("good.yml", "groups: [{name: a, rules: [{record: r, expr: '1'}]}]\n");
    let synced = rules_of("t", path, &barograph, &["sync", "good.yml"]);
    assert_eq!((synced.0, synced.1.as_str()), (Some(0), "+ good/a\n- good/g\n"), "{}", synced.2);
    let (code, _, error) = rules(path, &["get", "--url", "http://127.0.0.1:1"]);
    assert!(
        code == Some(2) && error.contains("127.0.0.1:1") && error.contains("--url says where"),
        "{error}"
    );
    let prefixed = format!("http://{}/prometheus", barograph.addr);
    let (code, _, error) = rules(path, &["get", "--tenant", "t", "--url", &prefixed]);
    assert!(code == Some(2) && error.contains("404") && error.contains("without /prometheus"), "{error}");
    // By hand, the API says the same.
    let mut connection = Connection::open(barograph.addr).expect("it listens");
    let headers = [("X-Scope-OrgID", "t"), ("Content-Type", "application/yaml")];
    let bad = b"name: g\nrules:\n- record: r\n  expr: sum(\n";
    let answer =
        connection.request("POST", "/prometheus/config/v1/rules/n", &headers, bad).expect("an answer");
    assert!(answer.status == 400 && answer.body.starts_with("4:9: group \"g\", rule 1"), "{}", answer.body);
}
