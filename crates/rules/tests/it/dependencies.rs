//! Which rules of a group may be evaluated at the same time.

use crate::support::{conformance, group, read};

fn batches(rules: &str) -> Vec<Vec<usize>> {
    group(&format!("groups: [{{name: g, rules: [{rules}]}}]")).batches()
}

#[test]
fn rules_wait_for_those_before_that_they_read() {
    assert_eq!(
        batches(
            "{record: a, expr: x}, {record: b, expr: y}, {record: c, expr: a + b}, {record: d, expr: c}, {record: e, expr: 'x'}"
        ),
        [vec![0, 1, 4], vec![2], vec![3]]
    );
    // What comes later is not waited for, also where it is read.
    assert_eq!(batches("{record: a, expr: b}, {record: b, expr: y}"), [vec![0, 1]]);
    assert_eq!(batches("{record: a, expr: x}, {record: b, expr: '{__name__=~\"a|z\"}'}"), [vec![0], vec![1]]);
    assert_eq!(batches("{record: a, expr: x}, {record: b, expr: '{job=\"x\"}'}"), [vec![0], vec![1]]);
    assert!(batches("").is_empty());
}

#[test]
fn alerts_are_read_by_their_series() {
    let alerts = "{alert: A, expr: x}, {alert: B, expr: y}";
    assert_eq!(
        batches(&format!("{alerts}, {{record: r, expr: 'ALERTS{{alertname=\"B\"}}'}}")),
        [vec![0, 1], vec![2]]
    );
    assert_eq!(
        batches(&format!("{alerts}, {{record: r, expr: 'ALERTS{{alertname=\"C\"}}'}}")),
        [vec![0, 1, 2]]
    );
    assert_eq!(batches(&format!("{alerts}, {{record: r, expr: ALERTS_FOR_STATE}}")), [vec![0, 1], vec![2]]);
}

#[test]
fn the_group_of_the_alert_generator_that_reads_its_own_alerts_is_in_order() {
    let Some(folder) = conformance("alert_generator") else { return };
    let file = rules::RuleFile::parse(&read(&folder.join("rules.yaml")), &rules::FileOptions::default())
        .expect("good");
    let group = file.groups.iter().find(|group| group.name == "NewAlerts_OrderCheck").expect("the group");
    let group = rules::Group::new("f", group, std::sync::Arc::default(), true).expect("good templates");
    assert_eq!(group.batches(), [vec![0], vec![1]]);
}
