//! Groups: recordings and their ends, failed writes, reloads, schedules.

use proptest::prelude::*;
use rules::evaluation::Schedule;
use rules::{Health, Written};

use crate::support::{MINUTE, evaluate, group, labels, no_queries, sample, shown};

const RECORDS: &str =
    "groups: [{name: g, labels: {env: e}, rules: [{record: r, expr: up, labels: {job: x, drop: ''}}]}]";

#[test]
fn recordings_have_the_rules_name_and_labels_and_end_with_their_series() {
    let mut group = group(RECORDS);
    let both = [sample("up{i=\"1\",job=\"a\",drop=\"d\"}", 1.0), sample("up{i=\"2\"}", 2.0)];
    let outcome = evaluate(&mut group, MINUTE, &both);
    assert_eq!(
        shown(&outcome.samples),
        [
            r#"{__name__="r", env="e", i="1", job="x"} 1 @60000"#,
            r#"{__name__="r", env="e", i="2", job="x"} 2 @60000"#,
        ]
    );
    let outcome = evaluate(&mut group, 2 * MINUTE, &both[1..]);
    assert_eq!(shown(&outcome.stale), [r#"{__name__="r", env="e", i="1", job="x"} stale @120000"#]);
    assert!(evaluate(&mut group, 3 * MINUTE, &both[1..]).stale.is_empty(), "a series ends once");
}

#[test]
fn equal_series_and_too_many_are_errors() {
    let mut equal = group(RECORDS);
    evaluate(&mut equal, 0, &[sample("up{i=\"1\"}", 1.0)]);
    evaluate(&mut equal, MINUTE, &[sample("up{job=\"1\"}", 1.0), sample("up{job=\"2\"}", 1.0)]);
    assert_eq!(
        equal.rules()[0].last_error(),
        Some("vector contains metrics with the same labelset after applying rule labels")
    );
    assert_eq!(evaluate(&mut equal, 2 * MINUTE, &[]).stale.len(), 1, "what failed in between ended nothing");

    let mut limited = group(&RECORDS.replace("name: g", "name: g, limit: 1"));
    evaluate(&mut limited, 0, &[sample("up{i=\"1\"}", 1.0), sample("up{i=\"2\"}", 1.0)]);
    assert_eq!(limited.rules()[0].last_error(), Some("exceeded limit of 1 with 2 series"));
    assert_eq!(limited.rules()[0].health(), Health::Bad);
}

#[test]
fn what_was_not_written_does_not_end() {
    let mut group = group(RECORDS);
    let both = [sample("up{i=\"1\"}", 1.0), sample("up{i=\"2\"}", 1.0)];
    let outcome = group.evaluate(0, 0, Ok(both.to_vec()), &no_queries());
    group.written(0, &outcome, Written::Nothing { error: "no storage".to_owned() });
    assert_eq!(group.rules()[0].last_error(), Some("no storage"));
    let outcome = group.evaluate(0, MINUTE, Ok(both.to_vec()), &no_queries());
    let refused = vec![labels("r{env=\"e\",i=\"1\",job=\"x\"}")];
    group.written(0, &outcome, Written::But { refused, error: "out of order sample".to_owned() });
    assert_eq!(group.rules()[0].health(), Health::Bad);
    let outcome = evaluate(&mut group, 2 * MINUTE, &[]);
    assert_eq!(shown(&outcome.stale), [r#"{__name__="r", env="e", i="2", job="x"} stale @120000"#]);
    assert_eq!(group.rules()[0].health(), Health::Good);

    let failed = group.evaluate(0, 3 * MINUTE, Err("query timed out".to_owned()), &no_queries());
    assert!(failed.samples.is_empty() && failed.stale.is_empty());
    assert_eq!(group.rules()[0].last_error(), Some("query timed out"));
}

#[test]
fn a_group_takes_over_the_state_of_the_one_it_replaces() {
    let mut old = group(
        "groups: [{name: g, rules: [{record: r, expr: a}, {record: gone, expr: b}, {alert: A, expr: c, for: 5m}]}]",
    );
    for (index, name) in ["a", "b", "c"].into_iter().enumerate() {
        let outcome = old.evaluate(index, 0, Ok(vec![sample(name, 1.0)]), &no_queries());
        old.written(index, &outcome, Written::All);
    }
    let mut new = group("groups: [{name: g, rules: [{alert: A, expr: d, for: 5m}, {record: r, expr: a2}]}]");
    new.adopt(&old);
    assert_eq!(new.alerts().next().map(|alert| alert.active_at_ms), Some(0));
    let outcome = new.evaluate(1, MINUTE, Ok(Vec::new()), &no_queries());
    assert_eq!(shown(&outcome.stale), [r#"{__name__="r"} stale @60000"#]);
    assert_eq!(shown(&new.finish(MINUTE)), [r#"{__name__="gone"} stale @60000"#]);
    assert!(new.finish(2 * MINUTE).is_empty());
}

proptest! {
    #[test]
    fn evaluations_are_at_multiples_of_the_interval_with_a_fixed_offset(
        name in "[a-z]{1,8}", interval in 1i64..10_000_000, now in 0i64..4_000_000_000_000, late in 0i64..100_000_000
    ) {
        let schedule = Schedule::new("f", &name, interval);
        let first = schedule.before(now);
        prop_assert!(first <= now && now - first < interval);
        prop_assert_eq!(schedule.before(first), first);
        prop_assert_eq!(schedule.before(first - 1), first - interval);
        let due = schedule.after(first, first + late);
        prop_assert!(due.at_ms <= (first + late).max(first + interval));
        prop_assert!(first + late - due.at_ms < interval, "the next one is not due already");
        prop_assert_eq!(due.at_ms, first + (due.missed as i64 + 1) * interval);
    }
}
