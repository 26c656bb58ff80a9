//! Alerts that keep others quiet.

use std::sync::Arc;

use alertmanager::inhibit::Inhibitor;
use alertmanager::{Fingerprint, Moment};
use model::Labels;
use serde_json::Value as Json;

use crate::support::{alert, cases, config, labels, list, none_wrong, seconds, text};

fn inhibitor(rules: &Json) -> Inhibitor {
    // JSON is YAML.
    let text = format!("route: {{receiver: r}}\nreceivers: [{{name: r}}]\ninhibit_rules: {rules}");
    Inhibitor::new(config(&text).inhibit_rules)
}

const NOW: f64 = 100.0;

#[test]
fn alerts_are_inhibited_where_upstream_inhibits_them() {
    let mut wrong = Vec::new();
    for group in cases("inhibition.yml") {
        for case in list(&group["cases"]) {
            let mut inhibitor = inhibitor(&group["rules"]);
            let active = case.get("active").unwrap_or(&group["active"]);
            for source in list(active) {
                inhibitor.update(&Arc::new(alert(labels(&source), seconds(0.0), None)));
            }
            for source in list(&case["resolved"]) {
                inhibitor.update(&Arc::new(alert(labels(&source), seconds(0.0), Some(seconds(50.0)))));
            }
            let got = inhibitor.inhibited_by(&labels(&case["target"]), seconds(NOW)).is_some();
            if Some(got) != case["inhibited"].as_bool() {
                wrong.push(format!("{} {case}: {got}", text(&group, "id")));
            }
        }
    }
    none_wrong(&wrong);
}

fn pair(name: &str, severity: &str) -> Labels {
    Labels::from_pairs([("name", name), ("severity", severity)])
}

fn rule() -> Inhibitor {
    inhibitor(&serde_json::json!([
        {"source_matchers": ["severity=page"], "target_matchers": ["severity=warn"], "equal": ["name", "zone"]}
    ]))
}

#[test]
fn a_source_inhibits_while_it_fires() {
    let mut inhibitor = rule();
    let by = |inhibitor: &Inhibitor, at: f64| inhibitor.inhibited_by(&pair("a", "warn"), seconds(at));
    assert_eq!(by(&inhibitor, 1.0), None);
    let source = alert(pair("a", "page"), seconds(1.0), Some(seconds(10.0)));
    inhibitor.update(&Arc::new(source.clone()));
    assert_eq!(by(&inhibitor, 5.0), Some(Fingerprint::of(&pair("a", "page"))));
    assert_eq!(by(&inhibitor, 10.0), None);
    assert_eq!(inhibitor.inhibited_by(&pair("b", "warn"), seconds(5.0)), None);
    // Of two sources with the labels that count, one is enough, and the end of one does not release.
    let mut longer = source;
    longer.labels = Labels::from_pairs([("name", "a"), ("severity", "page"), ("more", "x")]);
    longer.ends_at = Some(seconds(20.0));
    inhibitor.update(&Arc::new(longer));
    assert!(by(&inhibitor, 15.0).is_some());
    inhibitor.forget_resolved(seconds(15.0));
    assert!(by(&inhibitor, 15.0).is_some());
    inhibitor.forget_resolved(seconds(20.0));
    assert_eq!(by(&inhibitor, 5.0), None);
}

#[test]
fn labels_that_both_lack_are_equal() {
    let mut inhibitor = rule();
    let zoned = |severity| Labels::from_pairs([("name", "a"), ("severity", severity), ("zone", "z")]);
    inhibitor.update(&Arc::new(alert(zoned("page"), Moment::from_millis(0), None)));
    assert!(inhibitor.inhibited_by(&zoned("warn"), seconds(NOW)).is_some());
    assert!(inhibitor.inhibited_by(&pair("a", "warn"), seconds(NOW)).is_none());
}

#[test]
fn an_empty_rule_inhibits_nothing() {
    let mut inhibitor = inhibitor(&serde_json::json!([null]));
    inhibitor.update(&Arc::new(alert(pair("a", "page"), seconds(0.0), None)));
    assert_eq!(inhibitor.inhibited_by(&pair("b", "warn"), seconds(NOW)), None);
}
