//! When groups are evaluated, and what one that is slow, or a query that fails, means for others.

use model::is_stale_nan;
use proto::Error;
use rules::evaluation::Schedule;

use crate::world::{START_MS, Site, World, pass, rules, seconds};

const TWO_GROUPS: &str = "
groups:
- name: slow
  interval: 10s
  rules: [{record: slow:r, expr: slow_metric or vector(1)}]
- name: quick
  interval: 10s
  rules:
  - {record: quick:r, expr: vector(2)}
  - {record: quick:next, expr: 'quick:r * 2'}
  - {record: quick:last, expr: 'quick:next + quick:r'}
";

fn times(world: &World, name: &str) -> Vec<i64> {
    world.floats(name).iter().flat_map(|(_, samples)| samples.iter().map(|(at, _)| *at)).collect()
}

#[tokio::test(start_paused = true)]
async fn groups_are_evaluated_at_their_own_times_and_rules_in_order() {
    let (_folder, file) = rules(TWO_GROUPS);
    let world = World::new();
    let site = Site::start(&world, std::slice::from_ref(&file), vec![], &[]).await;
    pass(seconds(60)).await;
    for (group, record) in [("slow", "slow:r"), ("quick", "quick:r")] {
        let first = Schedule::new(&file.display().to_string(), group, 10_000).before(START_MS) + 10_000;
        let expected: Vec<i64> = (0..6).map(|number| first + number * 10_000).collect();
        assert_eq!(times(&world, record), expected, "{group}");
    }
    // Each sees what the rule before it has written at the same time.
    for (_, samples) in world.floats("quick:last") {
        assert!(samples.len() == 6 && samples.iter().all(|(_, value)| *value == 6.0), "{samples:?}");
    }
    assert_eq!(site.metric("prometheus_rule_group_iterations_total", "quick"), 6.0);
    assert_eq!(site.metric("prometheus_rule_evaluations_total", "quick"), 18.0);
    assert_eq!(site.metric("prometheus_rule_group_iterations_missed_total", "quick"), 0.0);
}

#[tokio::test(start_paused = true)]
async fn a_slow_group_delays_no_other_and_what_it_misses_is_counted() {
    let (_folder, file) = rules(TWO_GROUPS);
    let world = World::new();
    *world.slow.lock() = Some(("slow_metric".to_owned(), seconds(34)));
    let site = Site::start(&world, &[file], vec![], &[]).await;
    pass(seconds(200)).await;
    assert_eq!(times(&world, "quick:r").len(), 20);
    let slow = times(&world, "slow:r");
    // Every evaluation takes 34 seconds: it begins late, at the last of the times that it is too late for.
    let gaps: Vec<i64> = slow.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(gaps.iter().all(|gap| [30_000, 40_000].contains(gap)), "{gaps:?}");
    let missed = site.metric("prometheus_rule_group_iterations_missed_total", "slow");
    let all = site.metric("prometheus_rule_group_iterations_total", "slow");
    let begun = site.metric("prometheus_rule_evaluations_total", "slow");
    assert!(missed >= 2.0 * (begun - 2.0), "{missed} of {all} missed");
    assert_eq!(all, begun + missed);
}

#[tokio::test(start_paused = true)]
async fn independent_rules_are_evaluated_at_the_same_time() {
    let many = (0..8).map(|n| format!("  - {{record: r{n}, expr: slow_metric or vector({n})}}\n"));
    let text = format!("groups:\n- name: g\n  interval: 10s\n  rules:\n{}", many.collect::<String>());
    let (_folder, file) = rules(&text);
    let world = World::new();
    *world.slow.lock() = Some(("slow_metric".to_owned(), seconds(4)));
    let site = Site::start(&world, &[file], vec![], &[("max_independent_rules", "4")]).await;
    pass(seconds(60)).await;
    // Eight rules of four seconds, four at a time.
    assert_eq!(site.metric("prometheus_rule_group_last_duration_seconds", "g"), 8.0);
    assert_eq!(site.metric("prometheus_rule_group_last_rule_duration_sum_seconds", "g"), 32.0);
    assert_eq!(site.metric("prometheus_rule_group_iterations_missed_total", "g"), 0.0);
    assert!((4..=6).contains(&times(&world, "r7").len()));
}

#[tokio::test(start_paused = true)]
async fn series_end_when_they_vanish_and_not_when_a_query_fails() {
    let (_folder, file) =
        rules("groups: [{name: g, interval: 10s, rules: [{record: copy, expr: 'up > 0'}]}]");
    let world = World::new();
    let site = Site::start(&world, &[file], vec![], &[]).await;
    let mut expected = 0;
    for round in 0..12 {
        let value = if round < 9 { 1.0 } else { 0.0 };
        world.put("up{job=\"a\"}", value);
        world.put("up{job=\"b\"}", 1.0);
        let failing = (3..6).contains(&round);
        *world.failing.lock() = failing.then(|| Error::invalid("no, thank you"));
        expected += usize::from(!failing);
        pass(seconds(10)).await;
    }
    let series = world.floats("copy");
    let of = |job: &str| {
        let found = series.iter().find(|(labels, _)| labels.get("job") == Some(job));
        found.expect("it is recorded").1.iter().map(|(_, value)| *value).collect::<Vec<_>>()
    };
    let (a, b) = (of("a"), of("b"));
    assert_eq!(b, vec![1.0; expected], "nothing is written where a query fails, no marker either");
    let markers = a.iter().filter(|value| is_stale_nan(**value)).count();
    assert!(markers == 1 && is_stale_nan(a[a.len() - 1]), "one marker, at the end: {a:?}");
    let rules = site.data("/prometheus/api/v1/rules").await;
    assert_eq!(rules["groups"][0]["rules"][0]["health"], "ok");
    assert_eq!(site.metric("prometheus_rule_evaluation_failures_total", ""), 3.0);
    assert_eq!(site.metric("prometheus_rule_group_last_evaluation_samples", ""), 1.0);
}

#[tokio::test(start_paused = true)]
async fn a_failure_that_passes_costs_no_evaluation() {
    let (_folder, file) = rules("groups: [{name: g, interval: 10s, rules: [{record: r, expr: vector(1)}]}]");
    let world = World::new();
    let site = Site::start(&world, &[file], vec![], &[]).await;
    pass(seconds(20)).await;
    for _ in 0..4 {
        *world.failing.lock() = Some(Error::unavailable("come back later", seconds(1)));
        // Until the next evaluation has found out.
        let before = world.queries.load(std::sync::atomic::Ordering::Relaxed);
        while world.queries.load(std::sync::atomic::Ordering::Relaxed) == before {
            pass(std::time::Duration::from_millis(50)).await;
        }
        *world.failing.lock() = None;
        pass(seconds(5)).await;
    }
    let times = times(&world, "r");
    assert!(times.len() >= 5 && times.windows(2).all(|pair| pair[1] - pair[0] == 10_000), "{times:?}");
    assert_eq!(site.metric("prometheus_rule_evaluation_failures_total", ""), 0.0);
}

#[tokio::test(start_paused = true)]
async fn a_group_looks_back_by_its_offset() {
    let text = "groups: [{name: g, interval: 10s, query_offset: 25s, rules: [{record: r, expr: m}]}]";
    let (_folder, file) = rules(text);
    let world = World::new();
    let _site = Site::start(&world, &[file], vec![], &[]).await;
    for second in 0..100 {
        world.put("m", f64::from(second));
        pass(seconds(1)).await;
    }
    let (_, samples) = world.floats("r").swap_remove(0);
    assert!(samples.len() >= 7);
    for (at, value) in samples {
        assert_eq!(value as i64, (at - START_MS) / 1_000, "the sample is as old as what it says");
    }
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_back_stops_nobody() {
    let (_folder, file) = rules("groups: [{name: g, interval: 10s, rules: [{record: r, expr: vector(1)}]}]");
    let world = World::new();
    let site = Site::start(&world, &[file], vec![], &[]).await;
    pass(seconds(60)).await;
    world.clock.set_skew_ms(-3_600_000);
    pass(seconds(120)).await;
    let evaluations = site.metric("prometheus_rule_evaluations_total", "");
    assert!(evaluations >= 14.0, "{evaluations}");
}
