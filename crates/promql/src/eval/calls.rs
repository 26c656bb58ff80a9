//! Functions of vectors.

use model::Labels;

use crate::engine::error::QueryError;
use crate::engine::value::SampleValue;
use crate::functions::CallKind;
use crate::functions::absent::absent_labels;
use crate::functions::dates::DateFunction;
use crate::functions::float::{go_max, go_min, round};
use crate::plan::steps::Steps;
use crate::plan::{CallPlan, Node, SelectorPlan};

use super::column::{Column, Points};
use super::presence::Presence;
use super::scalars::Scalars;
use super::selectors::Modifiers;
use super::stored::Order;
use super::{Evaluator, Sink};

impl Evaluator<'_> {
    pub(super) fn call(&self, e: &CallPlan, steps: &Steps, sink: Sink<'_>) -> Result<(), QueryError> {
        match e.kind {
            CallKind::Float(function) => self.floats(e, steps, sink, |_, v| function(v)),
            CallKind::Clamp => {
                let (min, max) = (self.scalar(&e.args[1], steps)?, self.scalar(&e.args[2], steps)?);
                self.clamp(e, steps, sink, &min, &max)
            }
            CallKind::ClampMin => {
                let min = self.scalar(&e.args[1], steps)?;
                self.clamp(e, steps, sink, &min, &Scalars::Constant(f64::INFINITY))
            }
            CallKind::ClampMax => {
                let max = self.scalar(&e.args[1], steps)?;
                self.clamp(e, steps, sink, &Scalars::Constant(f64::NEG_INFINITY), &max)
            }
            CallKind::Round => {
                let nearest = match e.args.get(1) {
                    Some(nearest) => self.scalar(nearest, steps)?,
                    None => Scalars::Constant(1.0),
                };
                self.floats(e, steps, sink, |step, v| round(v, nearest.at(step)))
            }
            CallKind::Histogram(function) => self.renamed(&e.args[0], sink, |sink| {
                self.each(&e.args[0], steps, &mut |mut column| {
                    let mut points = Points::none(steps.count);
                    for (step, histogram) in column.points.histograms.iter().flatten().enumerate() {
                        if let Some(histogram) = histogram {
                            points.set_float(step, function(histogram));
                        }
                    }
                    column.points = points;
                    self.drop_name(&mut column);
                    pass_on(column, sink)
                })
            }),
            CallKind::Date(function) => self.dates(e, function, steps, sink),
            CallKind::Timestamp => self.timestamps(e, steps, sink),
            CallKind::StartTimestamp => self.start_timestamps(e, steps, sink),
            CallKind::LabelReplace => self.label_replace(e, steps, sink),
            CallKind::LabelJoin => self.label_join(e, steps, sink),
            CallKind::Absent => {
                let mut found = Presence::none(steps.count);
                self.each(&e.args[0], steps, &mut |column| {
                    found.union(&column.points.present());
                    Ok(())
                })?;
                let labels = match &e.args[0] {
                    Node::Vector(selector) => absent_labels(&selector.matchers),
                    Node::Constant(inner) => match &**inner {
                        Node::Vector(selector) => absent_labels(&selector.matchers),
                        _ => Labels::empty(),
                    },
                    _ => Labels::empty(),
                };
                self.where_absent(&found, labels, steps, sink)
            }
            CallKind::AbsentOverTime => self.absent_over_time(e, steps, sink),
            CallKind::Vector => {
                let values = self.scalar(&e.args[0], steps)?.into_values(steps.count);
                sink(Column::new(Labels::empty(), Points::dense(values)))
            }
            CallKind::Sort(direction) => self.sort(e, direction, steps, sink),
            CallKind::SortByLabel(direction) => self.sort_by_label(e, direction, steps, sink),
            CallKind::HistogramQuantile | CallKind::HistogramQuantiles | CallKind::HistogramFraction => {
                self.histogram_call(e, steps, sink)
            }
            CallKind::Info => self.info(e, steps, sink),
            CallKind::Range(function) => self.renamed_ranges(e, sink, |sink| {
                self.range_call((e, &[]), function, (steps, Order::Labels), sink)
            }),
            CallKind::Time | CallKind::Scalar | CallKind::MinOf | CallKind::MaxOf => {
                Err(QueryError::internal(format!("function {:?} is a scalar", e.name)))
            }
        }
    }

    /// Where names are dropped at once, two series of a range function must not become equal, whenever they exist.
    pub(super) fn renamed_ranges(
        &self,
        e: &CallPlan,
        sink: Sink<'_>,
        produce: impl FnOnce(Sink<'_>) -> Result<(), QueryError>,
    ) -> Result<(), QueryError> {
        let range = e.args.iter().find(|a| matches!(a, Node::Matrix(_) | Node::Subquery(_)));
        if !self.drops_names_now() || range.is_none_or(Node::has_single_name) {
            return produce(sink);
        }
        let mut seen = std::collections::HashSet::new();
        produce(&mut |column| {
            if !seen.insert(column.labels.clone()) {
                return Err(QueryError::same_labelset());
            }
            sink(column)
        })
    }

    /// A function of each float; histograms go, and so does the metric's name.
    fn floats(
        &self,
        e: &CallPlan,
        steps: &Steps,
        sink: Sink<'_>,
        function: impl Fn(usize, f64) -> f64,
    ) -> Result<(), QueryError> {
        self.renamed(&e.args[0], sink, |sink| {
            self.each(&e.args[0], steps, &mut |mut column| {
                column.points.drop_histograms();
                for (step, value) in column.points.values.iter_mut().enumerate() {
                    *value = function(step, *value);
                }
                self.drop_name(&mut column);
                pass_on(column, sink)
            })
        })
    }

    fn clamp(
        &self,
        e: &CallPlan,
        steps: &Steps,
        sink: Sink<'_>,
        min: &Scalars,
        max: &Scalars,
    ) -> Result<(), QueryError> {
        // Where the bounds leave nothing between them, there is no result.
        let mut possible = Presence::none(steps.count);
        for step in 0..steps.count {
            if max.at(step) >= min.at(step) || max.at(step).is_nan() || min.at(step).is_nan() {
                possible.set(step);
            }
        }
        self.renamed(&e.args[0], sink, |sink| {
            self.each(&e.args[0], steps, &mut |mut column| {
                column.points.drop_histograms();
                // Before names are dropped: what is left out here is not the same as anything.
                column.points.keep_only(&possible);
                for (step, value) in column.points.values.iter_mut().enumerate() {
                    *value = go_max(min.at(step), go_min(max.at(step), *value));
                }
                self.drop_name(&mut column);
                pass_on(column, sink)
            })
        })
    }

    fn dates(
        &self,
        e: &CallPlan,
        function: DateFunction,
        steps: &Steps,
        sink: Sink<'_>,
    ) -> Result<(), QueryError> {
        if e.args.is_empty() {
            let values = (0..steps.count).map(|i| function(steps.time(i).div_euclid(1000) as f64));
            return sink(Column::new(Labels::empty(), Points::dense(values.collect())));
        }
        self.floats(e, steps, sink, |_, v| function(v))
    }

    /// The time of each sample: of a selector's, when it was taken; of anything else's, the time of evaluation.
    fn timestamps(&self, e: &CallPlan, steps: &Steps, sink: Sink<'_>) -> Result<(), QueryError> {
        let argument = &e.args[0];
        self.renamed(argument, sink, |sink| match selector_in(argument) {
            Some(selector) => {
                let hints = selector.hints(steps, self.lookback_ms, None);
                let (modifiers, earliest_ms) = self.time_of_sample(selector);
                let time = |found: super::selectors::Found| {
                    let time = SampleValue::Float(found.timestamp_ms as f64 / 1000.0);
                    (found.timestamp_ms > earliest_ms).then_some(time)
                };
                self.latest_samples(&hints, modifiers, steps, &time, &mut |mut column| {
                    self.drop_name(&mut column);
                    pass_on(column, sink)
                })
            }
            None => self.each(argument, steps, &mut |mut column| {
                let mut points = Points::none(steps.count);
                for step in column.points.present().iter() {
                    points.set_float(step, steps.time(step) as f64 / 1000.0);
                }
                column.points = points;
                self.drop_name(&mut column);
                pass_on(column, sink)
            }),
        })
    }

    /// When functions of the times of samples look for these, and what these have to be later than. With `@`, upstream
    /// looks at that time whatever the offset, but only among samples that the selector would read with it.
    fn time_of_sample(&self, selector: &SelectorPlan) -> (Modifiers, i64) {
        let (at_ms, offset_ms) = (selector.at_ms, selector.offset_ms);
        let Some(at) = at_ms else {
            return (Modifiers { at_ms, offset_ms }, i64::MIN);
        };
        let latest_ms = at.max(at.saturating_sub(offset_ms));
        (Modifiers { at_ms, offset_ms: offset_ms.max(0) }, latest_ms.saturating_sub(self.lookback_ms))
    }

    /// When the counters of a selector's samples started; nothing for anything else.
    fn start_timestamps(&self, e: &CallPlan, steps: &Steps, sink: Sink<'_>) -> Result<(), QueryError> {
        let Some(selector) = selector_in(&e.args[0]) else {
            return self.each(&e.args[0], steps, &mut |_| Ok(()));
        };
        self.renamed(&e.args[0], sink, |sink| {
            let hints = selector.hints(steps, self.lookback_ms, None);
            let (modifiers, earliest_ms) = self.time_of_sample(selector);
            let start = |found: super::selectors::Found| {
                let known = self.options.start_timestamps;
                let fresh = found.timestamp_ms > earliest_ms;
                (known && fresh).then_some(SampleValue::Float(found.start_ms as f64 / 1000.0))
            };
            self.latest_samples(&hints, modifiers, steps, &start, &mut |mut column| {
                self.drop_name(&mut column);
                pass_on(column, sink)
            })
        })
    }

    /// 1 at the steps where nothing was found.
    pub(super) fn where_absent(
        &self,
        found: &Presence,
        labels: Labels,
        steps: &Steps,
        sink: Sink<'_>,
    ) -> Result<(), QueryError> {
        let mut points = Points::constant(steps.count, 1.0);
        points.floats.subtract(found);
        pass_on(Column::new(labels, points), sink)
    }

    /// `-` before a vector.
    pub(super) fn negate(&self, inner: &Node, steps: &Steps, sink: Sink<'_>) -> Result<(), QueryError> {
        self.renamed(inner, sink, |sink| {
            self.each(inner, steps, &mut |mut column| {
                column.points.values.iter_mut().for_each(|v| *v = -*v);
                for histogram in column.points.histograms.iter_mut().flatten().flatten() {
                    std::sync::Arc::make_mut(histogram).scale(-1.0);
                }
                self.drop_name(&mut column);
                sink(column)
            })
        })
    }
}

/// The selector that an argument is, also one that is the same at every step.
fn selector_in(node: &Node) -> Option<&SelectorPlan> {
    match node {
        Node::Vector(selector) => Some(selector),
        Node::Constant(inner) => selector_in(inner),
        _ => None,
    }
}

/// Hands a series on unless it is empty.
pub(super) fn pass_on(column: Column, sink: Sink<'_>) -> Result<(), QueryError> {
    if column.points.is_empty() { Ok(()) } else { sink(column) }
}
