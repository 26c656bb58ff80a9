//! What a plan selects, told before it runs.

use model::{METRIC_NAME, MatchOp, Matcher};

use crate::ast::RangeMode;
use crate::engine::source::SelectHints;
use crate::functions::CallKind;

use super::steps::Steps;
use super::{CallPlan, Node, SelectorPlan};

/// The metric that `info` takes labels from if it is told no other.
const TARGET_INFO: &str = "target_info";

impl Node {
    /// Adds the selections of this expression evaluated at `steps`, in the order of their ordinals.
    pub(crate) fn selections(&self, steps: &Steps, lookback_ms: i64, out: &mut Vec<SelectHints>) {
        match self {
            Self::Number(..) | Self::Text(..) => {}
            Self::Vector(e) => out.push(e.hints(steps, lookback_ms, None)),
            Self::Matrix(e) => out.push(e.selector.hints(steps, lookback_ms, Some(e.range_ms))),
            Self::Subquery(e) => {
                if let Some(inner) = e.inner_steps(steps) {
                    e.expr.selections(&inner, lookback_ms, out);
                }
            }
            Self::Aggregate(e) => {
                e.expr.selections(steps, lookback_ms, out);
                if let Some(param) = &e.param {
                    param.selections(steps, lookback_ms, out);
                }
            }
            Self::Binary(e) => {
                e.lhs.selections(steps, lookback_ms, out);
                e.rhs.selections(steps, lookback_ms, out);
            }
            Self::Call(e) if matches!(e.kind, CallKind::Info) => {
                if let Some(base) = e.args.first() {
                    base.selections(steps, lookback_ms, out);
                }
                out.push(info_hints(e, steps, lookback_ms));
            }
            Self::Call(e) => {
                for arg in &e.args {
                    arg.selections(steps, lookback_ms, out);
                }
            }
            Self::Negate(e, _) => e.selections(steps, lookback_ms, out),
            Self::Constant(e) => e.selections(&steps.first(), lookback_ms, out),
        }
    }
}

impl SelectorPlan {
    /// What to select for evaluations at `steps`, of a range if there is one.
    pub(crate) fn hints(&self, steps: &Steps, lookback_ms: i64, range_ms: Option<i64>) -> SelectHints {
        let (first, last) = (self.reference(steps.start_ms), self.reference(steps.last()));
        let (before, after) = match (self.mode, range_ms) {
            (RangeMode::Plain, Some(range)) => (range, 0),
            (RangeMode::Plain | RangeMode::Anchored, None) => (lookback_ms, 0),
            (RangeMode::Anchored, Some(range)) => (range.saturating_add(lookback_ms), 0),
            (RangeMode::Smoothed, range) => (range.unwrap_or(0).saturating_add(lookback_ms), lookback_ms),
        };
        SelectHints {
            ordinal: self.ordinal,
            matchers: self.matchers.clone(),
            start_ms: first.saturating_sub(before).saturating_add(1),
            end_ms: last.saturating_add(after),
            step_ms: steps.interval_ms,
            range_ms: range_ms.unwrap_or(0),
            func: self.func,
            grouping: self.grouping.clone(),
            by: self.by,
            newest_only: first == last
                && range_ms.is_none()
                && self.mode != RangeMode::Smoothed
                && !self.reads_later_than_at(),
            histogram_stats_only: self.stats_only,
        }
    }

    /// Whether samples are read that lie behind the time of `@`, which is the time that `timestamp` looks at.
    fn reads_later_than_at(&self) -> bool {
        self.at_ms.is_some() && self.offset_ms < 0
    }
}

/// What `info` selects: all info series that its label matchers allow. Which of them go with its first argument is
/// found out later.
pub(crate) fn info_hints(call: &CallPlan, steps: &Steps, lookback_ms: i64) -> SelectHints {
    let selector = match call.args.get(1) {
        Some(Node::Vector(selector)) => Some(&**selector),
        _ => None,
    };
    let given: &[Matcher] = selector.map_or(&[], |s| &s.matchers);
    let mut matchers: Vec<Matcher> = info_name_matchers(given);
    matchers.extend(given.iter().filter(|m| m.name() != METRIC_NAME).cloned());
    let (at_ms, offset_ms) = call.args.first().and_then(innermost_modifiers).unwrap_or((None, 0));
    let reference = |time| super::steps::reference_time(time, at_ms, offset_ms);
    SelectHints {
        ordinal: selector.map_or(0, |s| s.ordinal),
        matchers,
        start_ms: reference(steps.start_ms).saturating_sub(lookback_ms).saturating_add(1),
        end_ms: reference(steps.last()),
        step_ms: steps.interval_ms,
        range_ms: 0,
        func: "info",
        grouping: Vec::new(),
        by: false,
        newest_only: false,
        histogram_stats_only: false,
    }
}

/// The matchers that the names of info series have to pass, given all matchers of the selector.
pub(crate) fn info_name_matchers(given: &[Matcher]) -> Vec<Matcher> {
    let of_name: Vec<Matcher> = given.iter().filter(|m| m.name() == METRIC_NAME).cloned().collect();
    let says_which = of_name.iter().any(|m| matches!(m.op(), MatchOp::Equal | MatchOp::Regex));
    if says_which {
        return of_name;
    }
    let default = if of_name.is_empty() {
        Ok(Matcher::equal(METRIC_NAME, TARGET_INFO))
    } else {
        Matcher::new(METRIC_NAME, MatchOp::Regex, ".+_info")
    };
    default.into_iter().chain(of_name).collect()
}

/// `@` and offset of the first selector inside, with those of subqueries around it up to the first that has `@`.
pub(crate) fn innermost_modifiers(node: &Node) -> Option<(Option<i64>, i64)> {
    match node {
        Node::Number(..) | Node::Text(..) => None,
        Node::Vector(e) => Some((e.at_ms, e.offset_ms)),
        Node::Matrix(e) => Some((e.selector.at_ms, e.selector.offset_ms)),
        Node::Subquery(e) => innermost_modifiers(&e.expr).map(|(at, offset)| match at {
            Some(at) => (Some(at), offset),
            None => (e.at_ms, offset + e.offset_ms),
        }),
        Node::Aggregate(e) => {
            innermost_modifiers(&e.expr).or_else(|| e.param.as_ref().and_then(innermost_modifiers))
        }
        Node::Binary(e) => innermost_modifiers(&e.lhs).or_else(|| innermost_modifiers(&e.rhs)),
        Node::Call(e) => e.args.iter().find_map(innermost_modifiers),
        Node::Negate(e, _) | Node::Constant(e) => innermost_modifiers(e),
    }
}
