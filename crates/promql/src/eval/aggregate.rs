//! Aggregations: which series belong together, and what goes around the folding of them.

use hashbrown::HashMap;
use model::{Labels, METRIC_NAME};

use crate::ast::AggregateOp;
use crate::engine::error::QueryError;
use crate::functions::float::{go_max, go_min};
use crate::plan::steps::Steps;
use crate::plan::{AggregatePlan, Node};
use crate::text::number::general;
use crate::text::quote::quote;

use super::column::Column;
use super::scalars::Scalars;
use super::{Evaluator, Sink};

/// The groups of an aggregation: finds the one that a series belongs to.
pub(super) struct Grouping<'p> {
    labels: &'p [String],
    without: bool,
    key: Vec<u8>,
    by_key: HashMap<Box<[u8]>, usize>,
}

impl<'p> Grouping<'p> {
    /// Groups by (or without) labels, which are sorted.
    pub(super) fn new(labels: &'p [String], without: bool) -> Self {
        Self { labels, without, key: Vec::new(), by_key: HashMap::new() }
    }

    /// The labels that a group has in common with a series of it.
    fn kept<'l>(&self, labels: &'l Labels) -> impl Iterator<Item = (&'l str, &'l str)> {
        let (mut named, without) = (self.labels, self.without);
        let mut pairs = labels.iter();
        std::iter::from_fn(move || {
            // Those behind the last one that is asked for need not be looked at.
            while without || !named.is_empty() {
                let (name, value) = pairs.next()?;
                // Both are sorted by name.
                while let [first, rest @ ..] = named
                    && first.as_str() < name
                {
                    named = rest;
                }
                let is_named = named.first().is_some_and(|first| first == name);
                if is_named {
                    named = &named[1..];
                }
                if if without { !is_named && name != METRIC_NAME } else { is_named } {
                    return Some((name, value));
                }
            }
            None
        })
    }

    /// The number of the group of a series; a new group gets the next number, and its labels are returned.
    pub(super) fn group(&mut self, labels: &Labels) -> (usize, Option<Labels>) {
        let mut key = std::mem::take(&mut self.key);
        key.clear();
        if self.without || !self.labels.is_empty() {
            for (name, value) in self.kept(labels) {
                push_text(&mut key, name);
                push_text(&mut key, value);
            }
        }
        let out = match self.by_key.get(key.as_slice()) {
            Some(group) => (*group, None),
            None => {
                let group = self.by_key.len();
                self.by_key.insert(key.as_slice().into(), group);
                (group, Some(Labels::from_sorted(self.kept(labels))))
            }
        };
        self.key = key;
        out
    }
}

/// Appends a text to a key, so that different texts make different keys.
pub(super) fn push_text(key: &mut Vec<u8>, text: &str) {
    key.extend_from_slice(&(text.len() as u32).to_le_bytes());
    key.extend_from_slice(text.as_bytes());
}

/// The parameter of an aggregation at all steps.
pub(super) struct Parameter {
    pub(super) values: Scalars,
    pub(super) min: f64,
    pub(super) max: f64,
    pub(super) has_nan: bool,
}

impl Parameter {
    fn new(values: Scalars) -> Self {
        let has_nan = values.iter().any(f64::is_nan);
        let (min, max) = match &values {
            Scalars::Constant(value) => (*value, *value),
            Scalars::Steps(steps) => {
                (steps.iter().copied().fold(f64::MAX, go_min), steps.iter().copied().fold(-f64::MAX, go_max))
            }
        };
        Self { values, min, max, has_nan }
    }
}

impl Evaluator<'_> {
    pub(super) fn aggregate(
        &self,
        e: &AggregatePlan,
        steps: &Steps,
        sink: Sink<'_>,
    ) -> Result<(), QueryError> {
        if e.op == AggregateOp::CountValues {
            return self.count_values(e, steps, sink);
        }
        let parameter = match &e.param {
            Some(param) => Some(Parameter::new(self.scalar(param, steps)?)),
            None => None,
        };
        match (e.op, parameter) {
            (AggregateOp::Topk | AggregateOp::Bottomk | AggregateOp::Limitk, Some(parameter)) => {
                if parameter.max < 1.0 {
                    return self.each(&e.expr, steps, &mut |_| Ok(()));
                }
                check_count(&parameter)?;
                self.pick(e, &parameter, steps, sink)
            }
            (AggregateOp::LimitRatio, Some(parameter)) => {
                if parameter.max == 0.0 && parameter.min == 0.0 {
                    return self.each(&e.expr, steps, &mut |_| Ok(()));
                }
                if parameter.has_nan {
                    return Err(QueryError::execution("Ratio value is NaN"));
                }
                self.note_bad_ratio(e, &parameter);
                self.pick(e, &parameter, steps, sink)
            }
            (AggregateOp::Quantile, Some(parameter)) => {
                self.note_bad_quantile_parameter(e, &parameter);
                self.fold(e, Some(&parameter), steps, sink)
            }
            (_, parameter) => self.fold(e, parameter.as_ref(), steps, sink),
        }
    }

    fn note_bad_ratio(&self, e: &AggregatePlan, parameter: &Parameter) {
        let span = e.param.as_ref().map_or(e.span, Node::span);
        let note = |value: f64, bound: &str| {
            let text =
                format!("ratio value should be between -1 and 1, got {}, capping to {bound}", general(value));
            self.annotations.borrow_mut().warn(span, text);
        };
        if parameter.max > 1.0 {
            note(parameter.max, "1");
        }
        if parameter.min < -1.0 {
            note(parameter.min, "-1");
        }
    }

    fn note_bad_quantile_parameter(&self, e: &AggregatePlan, parameter: &Parameter) {
        let span = e.param.as_ref().map_or(e.span, Node::span);
        let note = |value: f64| {
            let text = format!("quantile value should be between 0 and 1, got {}", general(value));
            self.annotations.borrow_mut().warn(span, text);
        };
        if parameter.has_nan {
            note(f64::NAN);
        }
        if parameter.max > 1.0 {
            note(parameter.max);
        }
        if parameter.min < 0.0 {
            note(parameter.min);
        }
    }

    /// Notes that an aggregation has no use for histograms.
    pub(super) fn note_ignored_in(&self, e: &AggregatePlan) {
        let span = match e.op {
            AggregateOp::Topk | AggregateOp::Bottomk => e.span,
            _ => e.expr.span(),
        };
        let text = format!("ignored histogram in {} aggregation", e.op.as_str());
        self.annotations.borrow_mut().info(span, text);
    }

    /// The metric that a note about a series names: none where the name has been dropped by then.
    pub(super) fn noted_metric<'c>(&self, column: &'c Column) -> &'c str {
        let is_dropped = column.drop_name && self.drops_names_now();
        if is_dropped { "" } else { column.labels.get_or_empty(METRIC_NAME) }
    }

    /// Notes that histograms of a metric cannot be added up.
    pub(super) fn note_mixed_schemas(&self, e: &AggregatePlan, metric: &str) {
        let text = format!(
            "vector contains a mix of histograms with exponential and custom buckets schemas for metric name {}",
            quote(metric)
        );
        self.annotations.borrow_mut().warn(e.expr.span(), text);
    }
}

/// A number of series has to be one.
fn check_count(parameter: &Parameter) -> Result<(), QueryError> {
    const LIMIT: f64 = i64::MAX as f64;
    if parameter.has_nan {
        return Err(QueryError::execution("Parameter value is NaN"));
    }
    if parameter.min <= -LIMIT {
        return Err(QueryError::execution(format!(
            "Scalar value {} underflows int64",
            general(parameter.min)
        )));
    }
    if parameter.max >= LIMIT {
        return Err(QueryError::execution(format!(
            "Scalar value {} overflows int64",
            general(parameter.max)
        )));
    }
    Ok(())
}
