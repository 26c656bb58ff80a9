//! Where alerts go.

use std::collections::BTreeSet;
use std::time::Duration;

use alertmanager::route::{Grouping, Route};
use model::Labels;
use serde_json::Value as Json;

use crate::support::{cases, config, conformance, labels, list, none_wrong, plain, text};

/// How a route says a duration.
fn duration(value: Duration) -> String {
    settings::duration::print(value)
}

fn difference(route: &Route, expected: &Json) -> Option<String> {
    let grouping = match &route.options.grouping {
        Grouping::All => "all".into(),
        Grouping::By(names) => Json::from(names.iter().cloned().collect::<Vec<_>>()),
    };
    let got = serde_json::json!({
        "receiver": route.options.receiver,
        "key": route.key,
        "group_by": grouping,
        "group_wait": duration(route.options.group_wait),
        "group_interval": duration(route.options.group_interval),
        "repeat_interval": duration(route.options.repeat_interval),
    });
    let mut expected = expected.clone();
    if let Some(names) = expected["group_by"].as_array() {
        let sorted: BTreeSet<String> = names.iter().map(plain).collect();
        expected["group_by"] = Json::from(sorted.into_iter().collect::<Vec<_>>());
    }
    (got != expected).then(|| format!("got {got}\n  expected {expected}"))
}

#[test]
fn alerts_take_the_routes_that_upstream_gives_them() {
    let mut wrong = Vec::new();
    for case in cases("routing.yml") {
        let file = text(&case, "config_file");
        let text = match file {
            "" => text(&case, "config").to_owned(),
            file => conformance(file).expect("the file"),
        };
        let tree = Route::tree(&config(&text).route);
        for case in list(&case["cases"]) {
            let routes = tree.matching(&labels(&case["labels"]));
            let receivers: Vec<String> = routes.iter().map(|route| route.options.receiver.clone()).collect();
            let expected = list(&case["receivers"]);
            if !expected.is_empty() && receivers != expected.iter().map(plain).collect::<Vec<_>>() {
                wrong.push(format!("{case}: {receivers:?}"));
            }
            let expected = list(&case["routes"]);
            if !expected.is_empty() && expected.len() != routes.len() {
                wrong.push(format!("{case}: {receivers:?}"));
            }
            for (route, expected) in routes.iter().zip(&expected) {
                wrong.extend(difference(route, expected));
            }
        }
    }
    none_wrong(&wrong);
}

const TREE: &str = r#"
route:
  receiver: root
  group_by: [a]
  labels: {x: "1", y: "2"}
  routes:
  - match: {a: x}
    receiver: first
    continue: true
    group_wait: 1s
    labels: {y: "3"}
    routes:
    - matchers: [b=y]
      group_by: ['...']
      mute_time_intervals: [always]
  - match_re: {a: 'x|z'}
    receiver: second
    group_by: []
time_intervals: [{name: always, time_intervals: [{}]}]
receivers: [{name: root}, {name: first}, {name: second}]
"#;

#[test]
fn the_first_match_wins_unless_it_continues() {
    let tree = Route::tree(&config(TREE).route);
    let keys = |pairs: &[(&str, &str)]| -> Vec<String> {
        tree.matching(&Labels::from_pairs(pairs.to_vec())).iter().map(|route| route.key.clone()).collect()
    };
    assert_eq!(keys(&[("a", "q")]), ["{}"]);
    assert_eq!(keys(&[("a", "x")]), [r#"{}/{a="x"}"#, r#"{}/{a=~"^(?:x|z)$"}"#]);
    assert_eq!(keys(&[("a", "x"), ("b", "y")]), [r#"{}/{a="x"}/{b="y"}"#, r#"{}/{a=~"^(?:x|z)$"}"#]);
    assert_eq!(keys(&[("a", "z")]), [r#"{}/{a=~"^(?:x|z)$"}"#]);
}

#[test]
fn routes_inherit_all_but_their_intervals() {
    let tree = Route::tree(&config(TREE).route);
    let deep = &tree.routes[0].routes[0].options;
    assert_eq!((deep.receiver.as_str(), deep.group_wait), ("first", Duration::from_secs(1)));
    assert_eq!((&deep.grouping, deep.group_interval), (&Grouping::All, Duration::from_secs(300)));
    assert_eq!(deep.mute_time_intervals, ["always"]);
    assert!(tree.routes[0].options.mute_time_intervals.is_empty());
    assert_eq!(deep.labels.get("x").map(String::as_str), Some("1"));
    assert_eq!(deep.labels.get("y").map(String::as_str), Some("3"));
    assert_eq!(tree.routes[1].options.grouping, Grouping::By(BTreeSet::new()));
    assert_eq!(tree.routes[0].routes[0].id, r#"{}/{a="x"}/0/{b="y"}/0"#);
    let mut indexes = Vec::new();
    tree.walk(&mut |route| indexes.push(route.index));
    assert_eq!(indexes, [0, 1, 2, 3]);
}

#[test]
fn a_group_has_the_labels_it_is_grouped_by() {
    let tree = Route::tree(&config(TREE).route);
    let labels = Labels::from_pairs([("a", "x"), ("b", "y")]);
    assert_eq!(tree.group_labels(&labels), Labels::from_pairs([("a", "x")]));
    assert_eq!(tree.routes[0].routes[0].group_labels(&labels), labels);
    assert_eq!(tree.routes[1].group_labels(&labels), Labels::empty());
}
