//! Aggregations that read their series together: of `sum(rate(x{code="500"}[5m])) / sum(rate(x[5m]))` the series of the left
//! side are among those of the right one, so they are read once, and what is made of them is added to both sums.

use std::cell::RefCell;

use model::{Labels, Matcher};

use crate::ast::{RangeMode, Span};
use crate::engine::error::QueryError;
use crate::functions::CallKind;
use crate::plan::steps::Steps;
use crate::plan::{AggregatePlan, CallPlan, MatrixPlan, Node, SelectorPlan};

use super::aggregate_each::Gathering;
use super::stored::Order;
use super::{Evaluator, Held};

/// So many aggregations of a query are looked at.
const AGGREGATIONS_MAX: usize = 256;

/// So many read together, at most: what all of them gather is held at the same time.
const TOGETHER_MAX: usize = 8;

/// Aggregations that read their series together.
pub(crate) struct Together<'p> {
    /// The one that aggregates all of the series, ...
    all: &'p AggregatePlan,
    /// ... and those that aggregate all or some of them.
    others: Vec<&'p AggregatePlan>,
    /// What they have come to, `all` at the end, until they are asked for; empty before the first one is.
    results: RefCell<Vec<Option<Held>>>,
}

/// An aggregation that reads some of the series that are read for another one.
pub(super) struct Also<'p> {
    /// What its series have to match besides.
    matchers: Vec<&'p Matcher>,
    /// Where its selector stands in the query.
    pub(super) span: Span,
}

impl Also<'_> {
    /// Whether a series is one of its series.
    pub(super) fn reads(&self, labels: &Labels) -> bool {
        self.matchers.iter().all(|matcher| matcher.matches(labels.get_or_empty(matcher.name())))
    }
}

/// What an aggregation aggregates: a selector, or a function over a range of one.
struct Operand<'p> {
    selector: &'p SelectorPlan,
    of_range: Option<(&'p CallPlan, &'p MatrixPlan)>,
}

impl<'p> Operand<'p> {
    fn of(plan: &'p AggregatePlan) -> Option<Self> {
        if plan.param.is_some() {
            return None;
        }
        match &plan.expr {
            Node::Vector(selector) if selector.mode == RangeMode::Plain => {
                Some(Self { selector, of_range: None })
            }
            Node::Call(call) if matches!(call.kind, CallKind::Range(_)) => match call.args.as_slice() {
                [Node::Matrix(range)] => {
                    Some(Self { selector: &range.selector, of_range: Some((call, range)) })
                }
                _ => None,
            },
            _ => None,
        }
    }

    /// Whether the same is made of each series.
    fn is_like(&self, other: &Self) -> bool {
        let (a, b) = (self.selector, other.selector);
        let same_range = match (&self.of_range, &other.of_range) {
            (None, None) => true,
            (Some((a, range)), Some((b, other_range))) => {
                (a.name, a.name_is_unseen, range.range_ms) == (b.name, b.name_is_unseen, other_range.range_ms)
            }
            _ => false,
        };
        let modifiers = |s: &SelectorPlan| (s.offset_ms, s.at_ms, s.stats_only);
        same_range && modifiers(a) == modifiers(b) && a.mode == b.mode
    }

    /// Whether it has all series of another.
    fn contains(&self, other: &Self) -> bool {
        self.selector.matchers.iter().all(|matcher| other.selector.matchers.contains(matcher))
    }

    fn span(&self) -> Span {
        self.of_range.map_or(self.selector.span, |(_, range)| range.span)
    }

    /// This one among the series of another.
    fn among(&self, all: &Self) -> Also<'p> {
        let more = |matcher: &&Matcher| !all.selector.matchers.contains(*matcher);
        Also { matchers: self.selector.matchers.iter().filter(more).collect(), span: self.span() }
    }
}

impl<'p> Together<'p> {
    /// Those of a query.
    pub(crate) fn of(plan: &'p Node) -> Vec<Self> {
        let mut aggregations = Vec::new();
        find(plan, &mut aggregations);
        let mut found: Vec<Self> = Vec::new();
        for (plan, operand) in
            aggregations.into_iter().filter_map(|plan| Operand::of(plan).map(|operand| (plan, operand)))
        {
            let mut room = found.iter_mut().filter(|set| set.others.len() + 1 < TOGETHER_MAX);
            let joined = room.any(|set| set.take(plan, &operand));
            if !joined {
                found.push(Self { all: plan, others: Vec::new(), results: RefCell::default() });
            }
        }
        found.retain(|set| !set.others.is_empty());
        found
    }

    /// Takes an aggregation in, if it reads the same series or some of them, or these and more.
    fn take(&mut self, plan: &'p AggregatePlan, operand: &Operand<'p>) -> bool {
        let Some(all) = Operand::of(self.all).filter(|all| all.is_like(operand)) else { return false };
        if all.contains(operand) {
            self.others.push(plan);
            return true;
        }
        let contains = operand.contains(&all);
        if contains {
            self.others.push(std::mem::replace(&mut self.all, plan));
        }
        contains
    }

    /// Which of the results is that of an aggregation.
    fn position(&self, plan: &AggregatePlan) -> Option<usize> {
        let mut all = self.others.iter().chain([&self.all]);
        all.position(|known| std::ptr::eq(*known, plan))
    }
}

/// The aggregations in an expression that are evaluated at the steps of the query.
fn find<'p>(node: &'p Node, out: &mut Vec<&'p AggregatePlan>) {
    if out.len() >= AGGREGATIONS_MAX {
        return;
    }
    match node {
        Node::Number(..)
        | Node::Text(..)
        | Node::Vector(_)
        | Node::Matrix(_)
        | Node::Subquery(_)
        | Node::Constant(_) => {}
        Node::Aggregate(e) => {
            out.push(e);
            find(&e.expr, out);
            e.param.iter().for_each(|param| find(param, out));
        }
        Node::Binary(e) => {
            find(&e.lhs, out);
            find(&e.rhs, out);
        }
        Node::Call(e) => e.args.iter().for_each(|arg| find(arg, out)),
        Node::Negate(e, _) => find(e, out),
    }
}

impl Evaluator<'_> {
    /// What an aggregation comes to that reads its series together with others; those are computed at the same time.
    pub(super) fn read_together(
        &self,
        plan: &AggregatePlan,
        steps: &Steps,
    ) -> Result<Option<Held>, QueryError> {
        let mut sets = self.together.iter();
        let Some((set, number)) = sets.find_map(|set| Some((set, set.position(plan)?))) else {
            return Ok(None);
        };
        if set.results.borrow().is_empty() {
            let results = self.aggregate_together(set, steps)?;
            *set.results.borrow_mut() = results;
        }
        // Asked for once; if ever again, it is computed by itself.
        Ok(set.results.borrow_mut().get_mut(number).and_then(Option::take))
    }

    fn aggregate_together(&self, set: &Together<'_>, steps: &Steps) -> Result<Vec<Option<Held>>, QueryError> {
        let Some(all) = Operand::of(set.all) else { return Ok(Vec::new()) };
        let operands = set.others.iter().filter_map(|plan| Operand::of(plan));
        let also: Vec<Also<'_>> = operands.map(|operand| operand.among(&all)).collect();
        let mut others: Vec<Gathering<'_>> = set.others.iter().map(|plan| Gathering::new(plan)).collect();
        let mut gathering = Gathering::new(set.all);
        let mut orders = set.others.iter().chain([&set.all]).map(|plan| Gathering::order(plan));
        let order = if orders.any(|order| order == Order::Shards) { Order::Shards } else { Order::Labels };
        self.columns_of(&set.all.expr, &also, (steps, order), &mut |column| {
            for (other, also) in others.iter_mut().zip(&also) {
                if also.reads(column.origin.as_ref().unwrap_or(&column.labels)) {
                    self.gather(other, column.clone(), steps)?;
                }
            }
            self.gather(&mut gathering, column, steps)
        })?;
        others.push(gathering);
        let held = others.into_iter().map(|gathering| {
            let mut held = Held::new();
            self.gathered(gathering, None, steps, &mut |column| held.push(self, column))?;
            Ok(Some(held))
        });
        held.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::options::EngineOptions;
    use crate::plan::{Times, build};
    use crate::syntax::parse;

    /// How many aggregations read together, for each selection that is read for more than one.
    fn sets(query: &str) -> Vec<usize> {
        let options = EngineOptions::default();
        let times = Times { start_ms: 0, end_ms: 600_000, step_ms: 15_000 };
        let expr = parse(query, &options.parse_options()).unwrap();
        let plan = build(&expr, times, &options, true).unwrap();
        Together::of(&plan).iter().map(|set| set.others.len() + 1).collect()
    }

    #[test]
    fn aggregations_of_the_same_series_read_them_together() {
        assert_eq!(sets(r#"sum(rate(x{code="500"}[5m])) / sum(rate(x[5m]))"#), [2]);
        assert_eq!(sets(r#"sum(rate(x[5m])) - sum(rate(x{code="500"}[5m])) > 3"#), [2]);
        assert_eq!(sets("max(x) / avg by (job) (x) * count(x{a='1'}) + topk(1, min(y)) / sum(y)"), [3, 2]);
        assert_eq!(sets("scalar(sum(x)) * -sum(x)"), [2]);
    }

    #[test]
    fn others_do_not() {
        for query in [
            "sum(x)",
            "sum(x) / sum(y)",
            "sum(x{a='1'}) / sum(x{a='2'})",
            "sum(rate(x[5m])) / sum(rate(x[1m]))",
            "sum(rate(x[5m])) / sum(increase(x[5m]))",
            "sum(rate(x[5m])) / sum(rate(x[5m] offset 1m))",
            "sum(x) / sum(x offset 1m)",
            "sum(x) / sum(x @ 30)",
            "sum(x) / max_over_time(sum(x)[5m:1m])",
            "topk(3, x) / sum(x)",
            "sum(abs(x)) / sum(x)",
        ] {
            assert_eq!(sets(query), [0; 0], "{query}");
        }
    }
}
