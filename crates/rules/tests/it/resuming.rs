//! A group goes on where another process has left it.

use model::stale_nan;
use rules::evaluation::{Resumed, StoredState};
use rules::{AlertState, Group};

use crate::support::{MINUTE, evaluate, group_with, labels, sample, settings};

const ALERTING: &str =
    "groups: [{name: g, rules: [{alert: A, expr: up, for: 3m, labels: {x: '{{ $labels.none }}'}}]}]";
const RECORDING: &str = "groups: [{name: g, rules: [{record: r, expr: up, labels: {t: a}}]}]";

/// The group's first time after a thousand minutes.
fn at(group: &Group) -> i64 {
    group.schedule().before(1_000 * MINUTE) + group.interval_ms()
}

fn state(series: &str, timestamp_ms: i64, value: f64) -> StoredState {
    StoredState { labels: labels(series), timestamp_ms, value }
}

/// What a group has written at an evaluation, as the newest samples that whoever takes over finds.
fn written(group: &mut Group, at_ms: i64, result: &[promql::InstantSample]) -> Vec<StoredState> {
    let evaluated = evaluate(group, at_ms, result);
    let samples = evaluated.samples.into_iter().chain(evaluated.stale);
    let float = |value: &promql::SampleValue| match value {
        promql::SampleValue::Float(value) => *value,
        other => panic!("{other:?}"),
    };
    samples
        .map(|sample| StoredState {
            value: float(&sample.value),
            labels: sample.labels,
            timestamp_ms: sample.timestamp_ms,
        })
        .collect()
}

#[test]
fn alerts_go_on_as_if_nobody_had_died() {
    for evaluations in 1..7 {
        let mut first = group_with(ALERTING, settings(), true);
        let (mut at_ms, interval_ms) = (at(&first), first.interval_ms());
        let up = [sample("up{i=\"1\"}", 1.0), sample("up{i=\"2\"}", 1.0)];
        let mut found = Vec::new();
        for _ in 0..evaluations {
            found = written(&mut first, at_ms, &up);
            at_ms += interval_ms;
        }
        let mut second = group_with(ALERTING, settings(), false);
        let last_ms = at_ms - interval_ms;
        assert_eq!(second.selectors(0).len(), 2);
        assert_eq!(second.resume(0, last_ms, &found), Resumed::At(last_ms));
        let seen = |group: &Group| -> Vec<_> {
            let alerts = group.alerts();
            alerts.map(|a| (a.labels.clone(), a.state, a.active_at_ms, a.fired_at_ms)).collect()
        };
        assert_eq!(seen(&second), seen(&first), "after {evaluations}");
        // One goes on, one is over: both write the same, and who took over tells of it.
        let (one, two) = (evaluate(&mut first, at_ms, &up[..1]), evaluate(&mut second, at_ms, &up[..1]));
        assert_eq!(two.samples, one.samples, "after {evaluations}");
        assert_eq!(seen(&second), seen(&first));
        let fired = evaluations > 3;
        let over = two.alerts.iter().filter(|alert| alert.ends_at_ms == at_ms).count();
        assert_eq!(over, usize::from(fired), "{:?}", two.alerts);
        let ended = second.finish(at_ms);
        assert_eq!(ended.len(), one.stale.len(), "{ended:?}");
    }
}

#[test]
fn series_end_that_nothing_writes_any_more() {
    let mut group = group_with(RECORDING, settings(), false);
    let at_ms = at(&group);
    let (before_ms, next_ms) = (at_ms - group.interval_ms(), at_ms + group.interval_ms());
    let found = [
        state("r{i=\"1\",t=\"a\"}", at_ms, 1.0),
        state("r{i=\"2\",t=\"a\"}", at_ms, 1.0),
        // It had ended already, or earlier.
        state("r{i=\"3\",t=\"a\"}", at_ms, stale_nan()),
        state("r{i=\"4\",t=\"a\"}", before_ms, 1.0),
        // Another group's.
        state("r{i=\"5\",t=\"a\"}", at_ms + 1, 1.0),
    ];
    assert_eq!(group.selectors(0).concat().len(), 2);
    assert_eq!(group.resume(0, before_ms, &found), Resumed::At(at_ms));
    assert!(group.finish(at_ms).is_empty(), "what was written at that time is not ended by it");
    let evaluated = evaluate(&mut group, next_ms, &[sample("up{i=\"1\"}", 1.0)]);
    assert_eq!((evaluated.samples.len(), evaluated.stale.len()), (1, 0));
    let ended = group.finish(next_ms);
    assert_eq!(ended.len(), 1, "{ended:?}");
    assert_eq!((&ended[0].labels, ended[0].timestamp_ms), (&labels("r{i=\"2\",t=\"a\"}"), next_ms));
    assert!(group.finish(next_ms + 1).is_empty(), "once");
}

#[test]
fn series_of_a_rule_that_fails_are_left_until_it_is_known() {
    let mut group = group_with(RECORDING, settings(), false);
    let at_ms = at(&group);
    group.resume(0, at_ms, &[state("r{i=\"1\",t=\"a\"}", at_ms, 1.0)]);
    let next_ms = at_ms + group.interval_ms();
    let nothing = std::sync::Arc::new(rules::NoQueries) as std::sync::Arc<dyn rules::TemplateQueries>;
    let failed = group.evaluate(0, next_ms, Err("it cannot be asked".to_owned()), &nothing);
    assert!(failed.samples.is_empty() && group.finish(next_ms).is_empty());
    let last_ms = next_ms + group.interval_ms();
    evaluate(&mut group, last_ms, &[]);
    assert_eq!(group.finish(last_ms).len(), 1);
}

#[test]
fn what_is_too_old_or_another_s_is_not_gone_on_with() {
    let mut group = group_with(ALERTING, settings(), false);
    let at_ms = at(&group);
    let since = |timestamp_ms| [state("ALERTS_FOR_STATE{alertname=\"A\",i=\"1\"}", timestamp_ms, 1.0)];
    assert_eq!(group.resume(0, at_ms, &since(at_ms - group.interval_ms())), Resumed::Before);
    assert_eq!(group.resume(0, 0, &since(at_ms + 1)), Resumed::Before);
    let restored = |group: &mut Group| group.alerting_mut(0).expect("an alert").is_restored();
    assert!(!restored(&mut group), "it may be restored after an outage");
    assert_eq!(group.resume(0, 0, &[]), Resumed::Nothing);
    assert!(restored(&mut group), "there is nothing to be restored");
    assert_eq!(group.alerts().count(), 0);
}

#[test]
fn rules_that_are_alike_do_not_take_each_other_s_alerts() {
    let text = "groups: [{name: g, rules: [{alert: A, expr: up}, {alert: A, expr: down}]}]";
    let mut group = group_with(text, settings(), false);
    let at_ms = at(&group);
    let found = [
        state("ALERTS_FOR_STATE{alertname=\"A\",i=\"1\"}", at_ms, (at_ms / 1_000) as f64),
        state("ALERTS{alertname=\"A\",alertstate=\"pending\",i=\"1\"}", at_ms, 1.0),
    ];
    assert_eq!(group.resume(0, at_ms, &found), Resumed::At(at_ms));
    assert_eq!(group.alerts().count(), 0);
    assert!(!group.alerting_mut(0).expect("an alert").is_restored());
    assert_eq!(AlertState::Inactive, group.rules()[0].alerting().expect("an alert").state());
}

#[test]
fn alerts_of_an_evaluation_that_is_half_seen_are_those_of_the_one_before() {
    let mut group = group_with(ALERTING, settings(), false);
    let (at_ms, next_ms) = (at(&group), at(&group) + group.interval_ms());
    let found = [
        state("ALERTS_FOR_STATE{alertname=\"A\",i=\"1\"}", at_ms, (at_ms / 1_000) as f64),
        state("ALERTS{alertname=\"A\",alertstate=\"pending\",i=\"1\"}", next_ms, 1.0),
    ];
    assert_eq!(group.resume(0, at_ms, &found), Resumed::At(at_ms));
    assert_eq!(group.alerts().map(|alert| alert.active_at_ms).collect::<Vec<_>>(), [at_ms]);
    let mut half = group_with(ALERTING, settings(), false);
    assert_eq!(half.resume(0, at_ms, &found[1..]), Resumed::Before, "it is not known since when");
}
