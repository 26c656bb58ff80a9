//! Which rules of a group need others of it evaluated before them, as far as their expressions tell.

use model::{METRIC_NAME, MatchOp, Matcher};

use super::alerting::{ALERT_NAME, ALERTS, ALERTS_FOR_STATE};
use super::rule::Rule;

/// Batches of rules, by their places: those of one batch may be evaluated at the same time, after all before it. Where an
/// expression does not say which metrics it reads, every rule has a batch of its own.
pub fn batches(rules: &[Rule]) -> Vec<Vec<usize>> {
    let mut depths: Vec<usize> = Vec::with_capacity(rules.len());
    for (index, rule) in rules.iter().enumerate() {
        let Some(needed) = needs(rule, &rules[..index]) else {
            return (0..rules.len()).map(|index| vec![index]).collect();
        };
        let depth = needed.into_iter().filter_map(|needed| depths.get(needed)).map(|depth| depth + 1).max();
        depths.push(depth.unwrap_or(0));
    }
    let mut batches = vec![Vec::new(); depths.iter().max().map_or(0, |deepest| deepest + 1)];
    for (index, depth) in depths.into_iter().enumerate() {
        if let Some(batch) = batches.get_mut(depth) {
            batch.push(index);
        }
    }
    batches
}

/// The rules before it whose series it reads; nothing where that cannot be told.
fn needs(rule: &Rule, before: &[Rule]) -> Option<Vec<usize>> {
    let mut needed = Vec::new();
    for selector in rule.expr.selectors() {
        let name = selector.matchers.iter().find(|matcher| matcher.name() == METRIC_NAME)?;
        let of_alerts = name.matches(ALERTS) || name.matches(ALERTS_FOR_STATE);
        let alert = selector.matchers.iter().find(|matcher| matcher.name() == ALERT_NAME);
        for (index, other) in before.iter().enumerate() {
            let reads_alerts = of_alerts
                && other.alerting().is_some()
                && alert.is_none_or(|matcher| matcher.matches(other.name()));
            if reads_alerts || may_be(name, other) {
                needed.push(index);
            }
        }
    }
    Some(needed)
}

/// Whether a selector of that name reads series of that name.
fn may_be(name: &Matcher, other: &Rule) -> bool {
    match name.op() {
        MatchOp::Equal => name.value() == other.name(),
        _ => name.matches(other.name()),
    }
}
