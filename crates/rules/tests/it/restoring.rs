//! Alerts after a restart go on waiting where they were.

use model::stale_nan;
use rules::Group;
use rules::evaluation::{Restore, StoredState};

use crate::support::{MINUTE, evaluate, group_with, labels, sample, settings};

const RULE: &str = "groups: [{name: g, labels: {t: a}, rules: [{alert: A, expr: up, for: 30m, labels: {x: '{{ $value }}'}}]}]";
const NOW: i64 = 1_000 * MINUTE;

/// A group that was just started, with an alert, and its state as it was found.
fn restored(stored: &[(i64, f64)]) -> Group {
    let mut group = group_with(RULE, settings(), false);
    let first = evaluate(&mut group, NOW, &[sample("up{i=\"1\"}", 1.0)]);
    assert!(first.samples.is_empty(), "nothing is written before the states are known");
    let found: Vec<StoredState> = stored
        .iter()
        .map(|(timestamp_ms, value)| StoredState {
            labels: labels("ALERTS_FOR_STATE{alertname=\"A\",i=\"1\",t=\"a\",x=\"1\"}"),
            timestamp_ms: *timestamp_ms,
            value: *value,
        })
        .collect();
    let rule = group.alerting_mut(0).expect("an alerting rule");
    assert!(Restore::default().is_needed(rule));
    assert_eq!(rule.state_selector().len(), 3, "{:?}", rule.state_selector());
    Restore::default().restore(rule, NOW, &found);
    assert!(rule.is_restored());
    group
}

fn active_at_ms(group: &Group) -> i64 {
    group.alerts().next().expect("an alert").active_at_ms
}

#[test]
fn the_outage_does_not_count_as_time_waited() {
    let seconds = |ms: i64| (ms / 1_000) as f64;
    // It had waited for five minutes when the outage of ten began.
    let group = restored(&[(NOW - 10 * MINUTE, seconds(NOW - 15 * MINUTE))]);
    assert_eq!(active_at_ms(&group), NOW - 5 * MINUTE);
    // It had waited for 25: what is left is less than the grace period, which it gets.
    let mut group = restored(&[(NOW - MINUTE, seconds(NOW - 26 * MINUTE))]);
    assert_eq!(active_at_ms(&group), NOW - 20 * MINUTE);
    let holds = [sample("up{i=\"1\"}", 1.0)];
    assert!(evaluate(&mut group, NOW + 9 * MINUTE, &holds).alerts.is_empty());
    assert_eq!(evaluate(&mut group, NOW + 10 * MINUTE, &holds).alerts.len(), 1);
    // It was firing.
    let mut group = restored(&[(NOW - MINUTE, seconds(NOW - 40 * MINUTE))]);
    assert_eq!(evaluate(&mut group, NOW + MINUTE, &holds).alerts.len(), 1);
}

#[test]
fn what_was_not_active_starts_anew() {
    assert_eq!(active_at_ms(&restored(&[])), NOW);
    assert_eq!(active_at_ms(&restored(&[(NOW - MINUTE, stale_nan())])), NOW);
}
