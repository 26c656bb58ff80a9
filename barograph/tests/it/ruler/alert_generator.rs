//! The rules of the compliance suite for alert generators, unchanged, in the built program: they are in use, a receiver at a URL
//! is told of what fires at once, and a test of the program does not wait for the rest, which simulated time has seen.

use serde_json::{Value, json};
use testkit::Receiver;

use super::{data, start_with, write};
use crate::support::{now_ms, wait_for};

#[test]
fn the_rules_of_the_suite_are_evaluated() {
    let Some(suite) = testkit::conformance("alert_generator") else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let receiver = Receiver::start();
    let url = receiver.url("");
    let barograph = start_with(folder.path(), &suite.join("rules.yaml"), &["--alertmanager-url", &url]);
    let names = ["ZeroFor_SmallFor_ZeroFor", "ZeroFor_SmallFor_SmallFor"];
    let of = |name: &str, value: f64| {
        let labels = format!("alertname=\"{name}\",rulegroup=\"ZeroFor_SmallFor\"");
        (format!("alert_generator_test_suite{{{labels}}}"), value)
    };
    let template = |id: &str| {
        let labels = format!("for=\"template\",id=\"{id}\",rulegroup=\"ZeroFor_SmallFor\"");
        (format!("alert_generator_test_suite{{{labels}}}"), 28.0)
    };
    let samples = [of(names[0], 11.0), of(names[1], 14.0), template("1"), template("2")];
    let written_ms = now_ms();
    write(barograph.addr, "/api/v1/push", written_ms, &samples);
    let first = wait_for("the alert that fires at once", || receiver.requests().into_iter().next());
    assert_eq!((first.method.as_str(), first.path.as_str()), ("POST", "/api/v2/alerts"));
    let alerts: Value = serde_json::from_str(&first.body).expect("JSON");
    let alert = &alerts[0];
    assert_eq!(alerts.as_array().map(Vec::len), Some(1), "the other one waits: {alerts}");
    assert_eq!(
        alert["labels"],
        json!({"alertname": names[0], "foo": "bar", "rulegroup": "ZeroFor_SmallFor"})
    );
    assert_eq!(
        alert["annotations"],
        json!({
            "description": "This should immediately fire",
            "template_query_test": "Args are: foo bar 99. first_id:1,1:28,2:28,",
            "template_test": "1.049M 1Mi 2m 15s 95.9% 2022-01-25 12:36:43 +0000 UTC",
        })
    );
    let shown = wait_for("the one that waits", || {
        let shown = data(barograph.addr, "/prometheus/api/v1/alerts");
        (shown["alerts"].as_array().map(Vec::len) == Some(2)).then_some(shown)
    });
    let state = |number: usize| {
        let alert = &shown["alerts"][number];
        (alert["labels"]["alertname"].clone(), alert["state"].clone())
    };
    assert_eq!(state(0), (json!(names[0]), json!("firing")));
    assert_eq!(state(1), (json!(names[1]), json!("pending")));
    // One is written with three digits of a second, the other with as many as it needs.
    let plain = |time: &Value| time.as_str().expect("a time").trim_end_matches(['Z', '0', '.']).to_owned();
    let since = &shown["alerts"][0]["activeAt"];
    assert_eq!(plain(since), plain(&alert["startsAt"]), "it has been firing since it is there");
    let rules = data(barograph.addr, "/prometheus/api/v1/rules");
    let groups = rules["groups"].as_array().expect("groups");
    let count: usize = groups.iter().map(|group| group["rules"].as_array().map_or(0, Vec::len)).sum();
    assert_eq!((groups.len(), count), (4, 7));
}
