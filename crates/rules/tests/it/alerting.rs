//! Alerts over time: states, series, and what receivers are told when.

use rules::AlertState;
use rules::evaluation::AlertingRule;

use crate::support::{MINUTE, evaluate, group, group_with, labels, sample, settings, shown};

const RULE: &str = "groups: [{name: g, interval: 30s, rules: [{alert: A, expr: up, for: 2m, labels: {s: page}, annotations: {v: 'is {{ $value }}'}}]}]";

#[test]
fn an_alert_is_pending_then_fires_then_is_over() {
    let mut group = group(RULE);
    let holds = [sample("up{i=\"1\"}", 5.0)];
    let first = evaluate(&mut group, 0, &holds);
    assert_eq!(
        shown(&first.samples),
        [
            r#"{__name__="ALERTS", alertname="A", alertstate="pending", i="1", s="page"} 1 @0"#,
            r#"{__name__="ALERTS_FOR_STATE", alertname="A", i="1", s="page"} 0 @0"#,
        ]
    );
    assert!(first.alerts.is_empty() && first.stale.is_empty());
    assert!(evaluate(&mut group, MINUTE, &holds).alerts.is_empty(), "pending alerts are not sent");

    let fires = evaluate(&mut group, 2 * MINUTE, &[sample("up{i=\"1\"}", 7.0)]);
    assert_eq!(
        shown(&fires.stale),
        [r#"{__name__="ALERTS", alertname="A", alertstate="pending", i="1", s="page"} stale @120000"#]
    );
    let [sent] = fires.alerts.as_slice() else { panic!("{fires:?}") };
    assert_eq!(sent.labels, labels("{alertname=\"A\",i=\"1\",s=\"page\"}"));
    assert_eq!(sent.annotations["v"], "is 7");
    assert_eq!((sent.starts_at_ms, sent.ends_at_ms), (2 * MINUTE, 6 * MINUTE));
    assert_eq!(sent.generator_url, "http://rules.example/graph?g0.expr=up&g0.tab=1");

    let over = evaluate(&mut group, 3 * MINUTE, &[]);
    assert!(over.samples.is_empty());
    assert_eq!(over.stale.len(), 2);
    assert_eq!((over.alerts[0].starts_at_ms, over.alerts[0].ends_at_ms), (2 * MINUTE, 3 * MINUTE));
    assert_eq!(group.alerts().count(), 0);
    assert_eq!(group.rules()[0].alerting().map(AlertingRule::state), Some(AlertState::Inactive));
}

#[test]
fn firing_is_sent_again_after_the_delay_and_what_is_over_for_a_quarter_of_an_hour() {
    let mut group = group(&RULE.replace("for: 2m, ", ""));
    let holds = [sample("up", 1.0)];
    let mut sent = Vec::new();
    for step in 0..80 {
        let at_ms = step * MINUTE / 2;
        let result: &[_] = if step < 6 { &holds } else { &[] };
        if !evaluate(&mut group, at_ms, result).alerts.is_empty() {
            sent.push(at_ms);
        }
    }
    // More than a minute after it was sent, which at half minutes is a minute and a half; over after three minutes.
    assert_eq!(&sent[..4], [0, 3 * MINUTE / 2, 3 * MINUTE, 9 * MINUTE / 2]);
    assert_eq!(sent.last(), Some(&(18 * MINUTE)));
}

#[test]
fn an_alert_that_was_only_pending_is_never_sent_and_one_that_comes_back_is_new() {
    let mut group = group(RULE);
    let holds = [sample("up", 1.0)];
    evaluate(&mut group, 0, &holds);
    assert!(evaluate(&mut group, MINUTE, &[]).alerts.is_empty());
    evaluate(&mut group, 2 * MINUTE, &holds);
    assert!(evaluate(&mut group, 3 * MINUTE, &holds).alerts.is_empty());
    assert_eq!(group.alerts().next().map(|alert| alert.active_at_ms), Some(2 * MINUTE));
    assert_eq!(evaluate(&mut group, 4 * MINUTE, &holds).alerts.len(), 1);
    evaluate(&mut group, 5 * MINUTE, &[]);
    evaluate(&mut group, 6 * MINUTE, &holds);
    let alert = group.alerts().next().expect("a new alert");
    assert_eq!((alert.state, alert.active_at_ms, alert.fired_at_ms), (AlertState::Pending, 6 * MINUTE, None));
}

#[test]
fn firing_goes_on_for_as_long_as_it_is_kept() {
    let mut group = group(&RULE.replace("for: 2m", "keep_firing_for: 2m"));
    let holds = [sample("up", 1.0)];
    evaluate(&mut group, 0, &holds);
    assert_eq!(evaluate(&mut group, MINUTE, &[]).samples.len(), 2, "kept");
    evaluate(&mut group, 2 * MINUTE, &[]);
    evaluate(&mut group, 3 * MINUTE - 1, &holds);
    assert_eq!(evaluate(&mut group, 4 * MINUTE, &[]).samples.len(), 2, "kept again, from the start");
    assert_eq!(evaluate(&mut group, 6 * MINUTE - 1, &[]).samples.len(), 2);
    let over = evaluate(&mut group, 6 * MINUTE, &[]);
    assert!(over.samples.is_empty());
    assert_eq!(over.alerts[0].ends_at_ms, 6 * MINUTE);
}

#[test]
fn too_many_or_equal_alerts_are_errors_and_nothing_is_written() {
    let mut limited = group(&RULE.replace("interval: 30s", "limit: 1"));
    let two = [sample("up{i=\"1\"}", 1.0), sample("up{i=\"2\"}", 1.0)];
    let failed = evaluate(&mut limited, 0, &two);
    assert!(failed.samples.is_empty() && failed.alerts.is_empty());
    assert_eq!(limited.rules()[0].last_error(), Some("exceeded limit of 1 with 2 alerts"));
    assert_eq!(limited.alerts().count(), 0);

    let mut equal = group(&RULE.replace("s: page", "i: x"));
    evaluate(&mut equal, 0, &two[..1]);
    evaluate(&mut equal, MINUTE, &two);
    assert_eq!(
        equal.rules()[0].last_error(),
        Some("vector contains metrics with the same labelset after applying alert labels")
    );
    assert_eq!(equal.alerts().count(), 1, "what was there stays");
    evaluate(&mut equal, 2 * MINUTE, &two[..1]);
    assert_eq!((equal.rules()[0].last_error(), equal.rules()[0].health().as_str()), (None, "ok"));
}

#[test]
fn queries_look_back_by_the_offset_and_templates_do_not() {
    let mut group = group_with(
        &RULE
            .replace("interval: 30s", "query_offset: 10s")
            .replace("for: 2m, ", "")
            .replace("is {{ $value }}", "{{ now }}"),
        settings(),
        true,
    );
    assert_eq!(group.query_time_ms(MINUTE), 50_000);
    let outcome = evaluate(&mut group, MINUTE, &[sample("up", 1.0)]);
    assert!(outcome.samples.iter().all(|sample| sample.timestamp_ms == 50_000));
    assert_eq!(outcome.alerts[0].annotations["v"], "60");
    assert_eq!(outcome.alerts[0].starts_at_ms, MINUTE);
}
