//! Functions over ranges: a window slides over the samples of each series.

use std::sync::Arc;

use model::{CounterResetHint, Labels};

use crate::ast::{RangeMode, Span};
use crate::engine::error::QueryError;
use crate::engine::source::Samples;
use crate::engine::value::{RangeSeries, SampleValue};
use crate::functions::extended::extend_floats;
use crate::functions::slide::{FloatSeries, FloatsFunction};
use crate::functions::window::{Cursor, RangeFunction, Window};
use crate::plan::steps::{Steps, reference_time};
use crate::plan::{CallPlan, MatrixPlan, Node, SubqueryPlan};
use crate::text::quote::quote;

use super::column::{Column, Points};
use super::labels::without_metadata;
use super::scalars::Scalars;
use super::stored::Order;
use super::together::Also;
use super::{Evaluator, HISTOGRAM_WORK, Held, Sink};

/// The functions that `anchored` makes sense with.
const ANCHORED: [&str; 5] = ["changes", "delta", "increase", "rate", "resets"];
/// The functions that `smoothed` makes sense with.
const SMOOTHED: [&str; 3] = ["delta", "increase", "rate"];

/// A range selector or subquery, as far as windows are concerned.
struct Ranges {
    at_ms: Option<i64>,
    offset_ms: i64,
    range_ms: i64,
    mode: RangeMode,
    span: Span,
}

/// Where a range and the first argument of its function stand in the query.
#[derive(Clone, Copy)]
struct Spans {
    range: Span,
    first: Span,
}

/// A function over ranges being computed.
struct Computation<'c> {
    /// Who else reads the series: what is noted about these is noted for them, too.
    also: &'c [Also<'c>],
    /// Whether metric names are dropped from labels here.
    drops_names: bool,
    function: RangeFunction,
    ranges: Ranges,
    first_span: Span,
    scalars: Vec<Scalars>,
}

impl Evaluator<'_> {
    /// A function over a range selector or subquery; stored series come in this order, if they can. `also` read the selector,
    /// too.
    pub(super) fn range_call(
        &self,
        (call, also): (&CallPlan, &[Also<'_>]),
        function: RangeFunction,
        (steps, order): (&Steps, Order),
        sink: Sink<'_>,
    ) -> Result<(), QueryError> {
        let mut scalars = Vec::new();
        let mut argument = None;
        for arg in &call.args {
            match arg {
                Node::Matrix(_) | Node::Subquery(_) => argument = Some(arg),
                arg => scalars.push(self.scalar(arg, steps)?),
            }
        }
        let first_span = call.args.first().map_or(call.span, Node::span);
        let drops_names = self.drops_names_now() && !call.name_is_unseen;
        let computation = |ranges| Computation { also, drops_names, function, ranges, first_span, scalars };
        match argument {
            Some(Node::Subquery(e)) => {
                let ranges = Ranges {
                    at_ms: e.at_ms,
                    offset_ms: e.offset_ms,
                    range_ms: e.range_ms,
                    mode: RangeMode::Plain,
                    span: e.span,
                };
                self.over_subquery(e, &computation(ranges), steps, sink)
            }
            Some(Node::Matrix(e)) => {
                check_mode(call.name, e.selector.mode)?;
                let ranges = Ranges {
                    at_ms: e.selector.at_ms,
                    offset_ms: e.selector.offset_ms,
                    range_ms: e.range_ms,
                    mode: e.selector.mode,
                    span: e.span,
                };
                let computation = computation(ranges);
                let hints = e.selector.hints(steps, self.lookback_ms, Some(e.range_ms));
                let windows = |evaluator: &Evaluator<'_>, labels: Labels, samples: &mut Samples| {
                    evaluator.windows(&computation, labels, false, samples, steps)
                };
                self.stored_series(&hints, (steps.count, order), &windows, sink)
            }
            _ => Err(QueryError::internal("a function over ranges has no range")),
        }
    }

    /// The samples of a subquery become series like stored ones.
    fn over_subquery(
        &self,
        subquery: &SubqueryPlan,
        computation: &Computation<'_>,
        steps: &Steps,
        sink: Sink<'_>,
    ) -> Result<(), QueryError> {
        let Some(inner) = subquery.inner_steps(steps) else {
            return Ok(());
        };
        let mut samples = Samples::default();
        self.vectors(&subquery.expr, &inner, &mut |column| {
            samples.clear();
            samples_of(&column.points, &inner, &mut samples);
            let origin = column.origin;
            match self.windows(computation, column.labels, column.drop_name, &mut samples, steps)? {
                Some(mut result) => {
                    result.origin = origin.or(result.origin);
                    sink(result)
                }
                None => Ok(()),
            }
        })
    }

    /// Evaluates an expression that is a vector, or a scalar where that stands for a vector.
    fn vectors(&self, node: &Node, steps: &Steps, sink: Sink<'_>) -> Result<(), QueryError> {
        if steps.count > MAX_SUBQUERY_STEPS {
            return Err(QueryError::execution(format!(
                "subquery has {} steps, at most {MAX_SUBQUERY_STEPS} are allowed",
                steps.count
            )));
        }
        self.each(node, steps, sink)
    }

    /// The function at each step, over the samples of one series.
    fn windows(
        &self,
        computation: &Computation<'_>,
        labels: Labels,
        drop_name: bool,
        samples: &mut Samples,
        steps: &Steps,
    ) -> Result<Option<Column>, QueryError> {
        samples.drop_stale();
        if samples.is_empty() {
            return Ok(None);
        }
        let mut points = Points::none(steps.count);
        self.spend(samples.len() + steps.count)?;
        let with_starts = self.options.start_timestamps && computation.function.uses_starts;
        match self.float_series(computation, with_starts, samples, steps) {
            Some((function, series)) => function(&series, &mut points),
            None => {
                let spans = Spans { range: computation.ranges.span, first: computation.first_span };
                let windows = (&*samples, with_starts);
                self.each_window((computation, spans), windows, &labels, steps, &mut points)?;
                for also in computation.also.iter().filter(|also| also.reads(&labels)) {
                    // For what is noted.
                    let spans = Spans { range: also.span, first: also.span };
                    let mut same = Points::none(steps.count);
                    self.each_window((computation, spans), windows, &labels, steps, &mut same)?;
                }
            }
        }
        let function = &computation.function;
        let mut annotations = self.annotations.borrow_mut();
        if points.is_empty() {
            return Ok(None);
        }
        if function.wants_counter && !points.floats.is_empty() {
            self.note_not_counter(&labels, computation.first_span, &mut annotations);
            for also in computation.also.iter().filter(|also| also.reads(&labels)) {
                self.note_not_counter(&labels, also.span, &mut annotations);
            }
        }
        let mut column = Column::new(labels, points);
        if drop_name || !function.keeps_name {
            column.drop_name = true;
            if computation.drops_names {
                let labels = without_metadata(&column.labels);
                column.relabel(labels);
            }
        }
        Ok(Some(column))
    }

    /// What computes a function at all steps at once, and what it computes it of, where that is possible.
    fn float_series<'s>(
        &self,
        computation: &Computation<'_>,
        with_starts: bool,
        samples: &'s Samples,
        steps: &Steps,
    ) -> Option<(FloatsFunction, FloatSeries<'s>)> {
        let function = computation.function.floats?;
        let Ranges { at_ms, offset_ms, range_ms, mode, .. } = computation.ranges;
        let starts = with_starts && !samples.floats.starts.is_empty();
        // Nobody looks meanwhile whether the query is to stop, so this must not take long.
        let work = samples.floats.len().saturating_mul(steps.count);
        if samples.histograms.len() > 0 || mode != RangeMode::Plain || starts || work > MAX_WORK_AT_ONCE {
            return None;
        }
        let (timestamps, values) = (&samples.floats.timestamps, &samples.floats.values);
        Some((function, FloatSeries { timestamps, values, steps: *steps, at_ms, offset_ms, range_ms }))
    }

    /// The function at each step, whatever the samples are; `with_starts`, they have start timestamps.
    fn each_window(
        &self,
        (computation, spans): (&Computation<'_>, Spans),
        (samples, with_starts): (&Samples, bool),
        labels: &Labels,
        steps: &Steps,
        points: &mut Points,
    ) -> Result<(), QueryError> {
        let Computation { function, ranges, .. } = computation;
        let (before, after) = match ranges.mode {
            RangeMode::Plain => (0, 0),
            RangeMode::Anchored => (self.lookback_ms, 0),
            RangeMode::Smoothed => (self.lookback_ms, self.lookback_ms),
        };
        let mut cursor = Cursor::default();
        let mut scalars = vec![0.0; computation.scalars.len()];
        let mut annotations = self.annotations.borrow_mut();
        for step in 0..steps.count {
            let time_ms = steps.time(step);
            let end_ms = reference_time(time_ms, ranges.at_ms, ranges.offset_ms);
            let start_ms = end_ms.saturating_sub(ranges.range_ms);
            let (floats, histograms) = cursor.window(
                samples,
                start_ms.saturating_sub(before),
                end_ms.saturating_add(after),
                with_starts,
            );
            if floats.is_empty() && histograms.is_empty() {
                continue;
            }
            self.spend(floats.len() + histograms.len() * HISTOGRAM_WORK)?;
            for (value, scalar) in scalars.iter_mut().zip(&computation.scalars) {
                *value = scalar.at(step);
            }
            let window = Window {
                floats,
                histograms,
                time_ms,
                start_ms,
                end_ms,
                range_ms: ranges.range_ms,
                mode: ranges.mode,
                labels,
                span: spans.range,
                first_span: spans.first,
                scalars: &scalars,
            };
            if let Some(value) = (function.eval)(&window, &mut annotations)? {
                points.set(step, value);
            }
        }
        Ok(())
    }

    /// Notes that a metric is not named, or typed, as a counter.
    fn note_not_counter(
        &self,
        labels: &Labels,
        span: Span,
        annotations: &mut crate::engine::annotations::Annotations,
    ) {
        let Some(name) = labels.metric_name() else { return };
        if self.options.type_and_unit_labels {
            let kind = labels.get_or_empty("__type__");
            if !matches!(kind, "counter" | "histogram") {
                annotations.info(
                    span,
                    format!(
                        "metric might not be a counter, __type__ label is not set to \"counter\" or \"histogram\", got {}: {}",
                        quote(kind),
                        quote(name)
                    ),
                );
            }
        } else if !["_total", "_sum", "_count", "_bucket"].iter().any(|s| name.ends_with(s)) {
            annotations.info(
                span,
                format!(
                    "metric might not be a counter, name does not end in _total/_sum/_count/_bucket: {}",
                    quote(name)
                ),
            );
        }
    }

    /// Ranges of samples, as an instant query may ask for.
    pub(crate) fn matrix(&self, e: &MatrixPlan, time_ms: i64) -> Result<Vec<RangeSeries>, QueryError> {
        let steps = Steps::single(time_ms);
        let hints = e.selector.hints(&steps, self.lookback_ms, Some(e.range_ms));
        let end_ms = e.selector.reference(time_ms);
        let start_ms = end_ms.saturating_sub(e.range_ms);
        let (mut out, mut charges) = (Vec::new(), Vec::new());
        let (before, after) = match e.selector.mode {
            RangeMode::Plain => (0, 0),
            RangeMode::Anchored => (self.lookback_ms, 0),
            RangeMode::Smoothed => (self.lookback_ms, self.lookback_ms),
        };
        self.each_stored(&hints, &mut |labels, samples| {
            samples.drop_stale();
            let (floats, histograms) = Cursor::default().window(
                samples,
                start_ms.saturating_sub(before),
                end_ms.saturating_add(after),
                false,
            );
            let times = histograms.timestamps.iter().copied();
            let mut series = RangeSeries {
                floats: floats.timestamps.iter().copied().zip(floats.values.iter().copied()).collect(),
                histograms: times.zip(histograms.values.iter().map(Arc::clone)).collect(),
                labels: labels.clone(),
            };
            if e.selector.mode != RangeMode::Plain {
                if !series.histograms.is_empty() {
                    let mode = if e.selector.mode == RangeMode::Anchored { "anchored" } else { "smoothed" };
                    return Err(QueryError::execution(format!(
                        "{mode} modifier is not supported with histograms"
                    )));
                }
                series.floats = extend_floats(&Window {
                    floats,
                    histograms,
                    time_ms,
                    start_ms,
                    end_ms,
                    range_ms: e.range_ms,
                    mode: e.selector.mode,
                    labels: &labels,
                    span: e.span,
                    first_span: e.span,
                    scalars: &[],
                });
            }
            if !series.floats.is_empty() || !series.histograms.is_empty() {
                let samples = series.floats.len() + series.histograms.len();
                charges.push(self.budget.charge(samples, samples * size_of::<(i64, f64)>())?);
                out.push(series);
            }
            Ok(())
        })?;
        Ok(out)
    }

    /// The samples of a subquery, as an instant query may ask for.
    pub(crate) fn subquery(
        &self,
        e: &SubqueryPlan,
        time_ms: i64,
    ) -> Result<Option<(Steps, Held)>, QueryError> {
        let Some(inner) = e.inner_steps(&Steps::single(time_ms)) else {
            return Ok(None);
        };
        let mut held = Held::new();
        self.vectors(&e.expr, &inner, &mut |column| held.push(self, column))?;
        Ok(Some((inner, held)))
    }

    /// At which steps each series of a range has any sample.
    pub(super) fn absent_over_time(
        &self,
        call: &CallPlan,
        steps: &Steps,
        sink: Sink<'_>,
    ) -> Result<(), QueryError> {
        let present = RangeFunction {
            eval: |_, _| Ok(Some(SampleValue::Float(1.0))),
            floats: Some(crate::functions::over_time::present_floats),
            keeps_name: false,
            uses_starts: false,
            wants_counter: false,
        };
        let mut found = super::presence::Presence::none(steps.count);
        self.range_call((call, &[]), present, (steps, Order::Labels), &mut |column| {
            found.union(&column.points.floats);
            Ok(())
        })?;
        let labels = match call.args.first() {
            Some(Node::Matrix(e)) => crate::functions::absent::absent_labels(&e.selector.matchers),
            _ => Labels::empty(),
        };
        self.where_absent(&found, labels, steps, sink)
    }
}

/// How many samples all windows of a series may have, at most, to be computed without a look at the clock between them.
const MAX_WORK_AT_ONCE: usize = 20_000_000;

/// How many steps a subquery may have.
const MAX_SUBQUERY_STEPS: usize = 10_000_000;

fn check_mode(function: &str, mode: RangeMode) -> Result<(), QueryError> {
    let (name, allowed): (&str, &[&str]) = match mode {
        RangeMode::Plain => return Ok(()),
        RangeMode::Anchored => ("anchored", &ANCHORED),
        RangeMode::Smoothed => ("smoothed", &SMOOTHED),
    };
    if allowed.contains(&function) {
        return Ok(());
    }
    Err(QueryError::execution(format!(
        "{name} modifier can only be used with: {} - not with {function}",
        allowed.join(", ")
    )))
}

/// The samples of a column. What it knows about resets may not hold between the samples that a subquery picks.
fn samples_of(points: &Points, steps: &Steps, out: &mut Samples) {
    for step in points.floats.iter() {
        out.push_float(steps.time(step), points.values[step]);
    }
    for (step, histogram) in points.histograms.iter().flatten().enumerate() {
        let Some(histogram) = histogram else { continue };
        let known =
            matches!(histogram.counter_reset_hint, CounterResetHint::Reset | CounterResetHint::NotReset);
        let histogram = if known {
            let mut copy = (**histogram).clone();
            copy.counter_reset_hint = CounterResetHint::Unknown;
            Arc::new(copy)
        } else {
            Arc::clone(histogram)
        };
        out.push_histogram(steps.time(step), histogram);
    }
}
