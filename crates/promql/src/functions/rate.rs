//! `rate`, `increase`, `delta`, `irate`, `idelta`.

use std::sync::Arc;

use model::{CounterResetHint, FloatHistogram};

use crate::ast::RangeMode;
use crate::engine::annotations::Annotations;
use crate::engine::value::SampleValue;
use crate::eval::Points;
use crate::text::quote::quote;

use super::extended;
use super::histogram_rate::{self, Operation};
use super::over_time::{note_mixed, note_mixed_schemas};
use super::slide::FloatSeries;
use super::window::{RangeOutcome, Window, restarted};

/// What is computed of a range: how much a counter or gauge changed, in all or per second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) counter: bool,
    pub(super) per_second: bool,
}

pub(crate) fn rate(window: &Window<'_>, annotations: &mut Annotations) -> RangeOutcome {
    let change = Change { counter: true, per_second: true };
    changed(window, annotations, change)
}

pub(crate) fn increase(window: &Window<'_>, annotations: &mut Annotations) -> RangeOutcome {
    let change = Change { counter: true, per_second: false };
    changed(window, annotations, change)
}

pub(crate) fn delta(window: &Window<'_>, annotations: &mut Annotations) -> RangeOutcome {
    let change = Change { counter: false, per_second: false };
    changed(window, annotations, change)
}

fn changed(window: &Window<'_>, annotations: &mut Annotations, change: Change) -> RangeOutcome {
    if window.is_mixed() {
        note_mixed(window, annotations);
        return Ok(None);
    }
    Ok(match (window.mode, window.histograms.is_empty()) {
        (RangeMode::Plain, true) => float_change(window, annotations, change).map(SampleValue::Float),
        (RangeMode::Plain, false) => histogram_change(window, annotations, change).map(boxed),
        (_, true) => extended::float_change(window, change).map(SampleValue::Float),
        (_, false) => extended::histogram_change(window, annotations, change).map(boxed),
    })
}

fn boxed(histogram: FloatHistogram) -> SampleValue {
    SampleValue::Histogram(Arc::new(histogram))
}

/// The start of the first sample, if it says that the counter began inside the range.
fn start_inside(window: &Window<'_>, starts: &[i64], first_ms: i64, change: Change) -> Option<i64> {
    let start = *starts.first()?;
    (change.counter && start != 0 && start > window.start_ms && start < first_ms).then_some(start)
}

fn float_change(window: &Window<'_>, annotations: &mut Annotations, change: Change) -> Option<f64> {
    let floats = &window.floats;
    let (first, last) = (*floats.values.first()?, *floats.values.last()?);
    let mut result = last - first;
    if change.counter {
        if floats.starts_overlap() {
            annotations.start_time_overlap(window.first_span, window.metric_name());
        }
        for i in 1..floats.len() {
            let before = floats.values[i - 1];
            if floats.values[i] < before || floats.restarted(i) {
                result += before;
            }
        }
    }
    let start = start_inside(window, floats.starts, floats.timestamps[0], change);
    if start.is_some() {
        result += first;
    }
    let extent = Extent::of(window, floats.timestamps, start)?;
    Some(result * extent.factor(window.range_ms, change, first, result))
}

fn histogram_change(
    window: &Window<'_>,
    annotations: &mut Annotations,
    change: Change,
) -> Option<FloatHistogram> {
    let histograms = &window.histograms;
    let first = histograms.values.first()?;
    let mut result = match histograms.len() {
        1 => None,
        _ => Some(histogram_rate::change(window, annotations, change)?),
    };
    let start = start_inside(window, histograms.starts, histograms.timestamps[0], change);
    if start.is_some() {
        match &mut result {
            None => result = Some((**first).clone()),
            Some(sum) => histogram_rate::add(sum, first, Operation::Addition, window, annotations)?,
        }
    }
    let extent = Extent::of(window, histograms.timestamps, start)?;
    let mut result = result?;
    result.scale(extent.factor(window.range_ms, change, first.count, result.count));
    Some(result)
}

/// So much more than one that no rounding of a product makes up for it.
const NEARLY_ONE: f64 = 1.0 + 8.0 * f64::EPSILON;

/// How the samples of a range lie in it, in seconds. Upstream computes with seconds too: by doing the same operations in the
/// same order, rates are the same to the last bit.
pub(super) struct Extent {
    /// From the first sample, or from the start of its counter where that is known, to the last one.
    pub(super) sampled: f64,
    pub(super) to_start: f64,
    pub(super) to_end: f64,
    /// From the first sample to the last.
    pub(super) between: f64,
    /// How many distances between samples that is.
    pub(super) gaps: f64,
    /// The start is known rather than to be extrapolated.
    pub(super) starts_inside: bool,
}

impl Extent {
    /// None if there is a single sample and it is not known when its counter started.
    fn of(window: &Window<'_>, timestamps: &[i64], start_ms: Option<i64>) -> Option<Self> {
        let (first, last) = (*timestamps.first()?, *timestamps.last()?);
        if timestamps.len() == 1 && start_ms.is_none() {
            return None;
        }
        Some(Self {
            sampled: seconds(last - start_ms.unwrap_or(first)),
            to_start: if start_ms.is_some() { 0.0 } else { seconds(first - window.start_ms) },
            to_end: seconds(window.end_ms - last),
            between: seconds(last - first),
            gaps: (timestamps.len() - 1) as f64,
            starts_inside: start_ms.is_some(),
        })
    }

    /// How far to extrapolate towards an end of the range: all the way if a sample was to be expected there, else half
    /// the distance of samples.
    #[inline]
    pub(super) fn extrapolated(&self, to: f64) -> f64 {
        // Most ends are near: a product tells, without the divisions of the exact comparison.
        if to * self.gaps < self.between * 1.09 {
            return to;
        }
        let average = if self.gaps > 0.0 { self.between / self.gaps } else { 0.0 };
        if to >= average * 1.1 { average / 2.0 } else { to }
    }

    /// Whether a counter was zero inside what it is extrapolated back by, or so close to it that it has to be computed.
    #[inline]
    pub(super) fn reaches_zero(&self, to_start: f64, first: f64, changed: f64) -> bool {
        // Without branches, since for many counters it cannot be foreseen whether they changed.
        (changed > 0.0) & (first >= 0.0) & (self.sampled * first < to_start * changed * NEARLY_ONE)
    }

    /// By what the change between samples is to be multiplied, given the first value and that change.
    #[inline]
    pub(super) fn factor(&self, range_ms: i64, change: Change, first: f64, changed: f64) -> f64 {
        let mut to_start = self.to_start;
        if !self.starts_inside {
            to_start = self.extrapolated(to_start);
            // A counter cannot have been below zero: it is not extrapolated further back than to where it was zero.
            if change.counter && self.reaches_zero(to_start, first, changed) {
                to_start = to_start.min(self.sampled * (first / changed));
            }
        }
        let factor = match self.sampled {
            0.0 => 1.0,
            sampled => (sampled + to_start + self.extrapolated(self.to_end)) / sampled,
        };
        if change.per_second { factor / range_seconds(range_ms) } else { factor }
    }
}

/// A distance of timestamps in seconds.
#[inline]
pub(super) fn seconds(ms: i64) -> f64 {
    ms as f64 / 1000.0
}

/// A range in seconds, rounded as upstream rounds it: its whole seconds and the rest are divided by themselves.
fn range_seconds(ms: i64) -> f64 {
    (ms / 1000) as f64 + ((ms % 1000) * 1_000_000) as f64 / 1e9
}

pub(crate) fn irate(window: &Window<'_>, annotations: &mut Annotations) -> RangeOutcome {
    Ok(instant_change(window, annotations, true))
}

pub(crate) fn idelta(window: &Window<'_>, annotations: &mut Annotations) -> RangeOutcome {
    Ok(instant_change(window, annotations, false))
}

pub(crate) fn irate_floats(series: &FloatSeries<'_>, points: &mut Points) {
    instant_change_floats::<true>(series, points);
}

pub(crate) fn idelta_floats(series: &FloatSeries<'_>, points: &mut Points) {
    instant_change_floats::<false>(series, points);
}

/// As [`instant_change`], at all steps.
fn instant_change_floats<const PER_SECOND: bool>(series: &FloatSeries<'_>, points: &mut Points) {
    series.slide(points, |range, _, _| {
        last_change(&series.timestamps[range.clone()], &series.values[range], PER_SECOND)
    });
}

/// How floats without start timestamps changed from the one before the last to the last.
#[inline]
fn last_change(timestamps: &[i64], values: &[f64], per_second: bool) -> Option<f64> {
    let ([.., a, b], [.., t, u]) = (values, timestamps) else {
        return None;
    };
    let change = if per_second && b < a { *b } else { b - a };
    let seconds = (u - t) as f64 / 1000.0;
    Some(if per_second { change / seconds } else { change })
}

/// A sample near the end of a window.
#[derive(Clone)]
struct Latest {
    timestamp_ms: i64,
    start_ms: i64,
    value: SampleValue,
}

/// The last two samples of whatever kind, the older one first.
fn last_two(window: &Window<'_>) -> Option<(Latest, Latest)> {
    let (floats, histograms) = (&window.floats, &window.histograms);
    let mut latest: Vec<Latest> = Vec::with_capacity(4);
    for i in floats.len().saturating_sub(2)..floats.len() {
        latest.push(Latest {
            timestamp_ms: floats.timestamps[i],
            start_ms: floats.starts.get(i).copied().unwrap_or(0),
            value: SampleValue::Float(floats.values[i]),
        });
    }
    for i in histograms.len().saturating_sub(2)..histograms.len() {
        latest.push(Latest {
            timestamp_ms: histograms.timestamps[i],
            start_ms: histograms.starts.get(i).copied().unwrap_or(0),
            value: SampleValue::Histogram(Arc::clone(&histograms.values[i])),
        });
    }
    latest.sort_by_key(|sample| sample.timestamp_ms);
    let last = latest.pop()?;
    Some((latest.pop()?, last))
}

fn instant_change(
    window: &Window<'_>,
    annotations: &mut Annotations,
    per_second: bool,
) -> Option<SampleValue> {
    if window.histograms.is_empty() && window.floats.starts.is_empty() {
        // What nearly every series is: floats, without start timestamps.
        let change = last_change(window.floats.timestamps, window.floats.values, per_second);
        return change.map(SampleValue::Float);
    }
    let (before, last) = last_two(window)?;
    let interval_ms = last.timestamp_ms - before.timestamp_ms;
    if interval_ms == 0 {
        return None;
    }
    let seconds = interval_ms as f64 / 1000.0;
    let restarted = restarted(before.start_ms, before.timestamp_ms, last.start_ms, last.timestamp_ms);
    match (&before.value, &last.value) {
        (SampleValue::Float(a), SampleValue::Float(b)) => {
            let reset = per_second && (b < a || restarted);
            let change = if reset { *b } else { b - a };
            Some(SampleValue::Float(if per_second { change / seconds } else { change }))
        }
        (SampleValue::Histogram(a), SampleValue::Histogram(b)) => {
            let gauge = |h: &FloatHistogram| h.counter_reset_hint == CounterResetHint::Gauge;
            if per_second && (gauge(a) || gauge(b)) {
                note_not_counter(window, annotations);
            }
            let gauges = gauge(a) && gauge(b);
            if !per_second && !gauges {
                note_not_gauge(window, annotations);
            }
            let mut change = (**b).clone();
            if !per_second || !(restarted || b.detect_reset(a)) {
                let Ok(done) = change.sub(a) else {
                    note_mixed_schemas(window, annotations);
                    return None;
                };
                if done.bounds_reconciled {
                    histogram_rate::note_reconciled(Operation::Subtraction, window.span, annotations);
                }
            }
            change.counter_reset_hint = CounterResetHint::Gauge;
            change.compact(0);
            if per_second {
                change.divide(seconds);
            }
            Some(boxed(change))
        }
        _ => {
            note_mixed(window, annotations);
            None
        }
    }
}

/// Notes that a gauge is treated as a counter.
pub(super) fn note_not_counter(window: &Window<'_>, annotations: &mut Annotations) {
    annotations.warn(
        window.first_span,
        format!("this native histogram metric is not a counter: {}", quote(window.metric_name())),
    );
}

/// Notes that a counter is treated as a gauge.
pub(super) fn note_not_gauge(window: &Window<'_>, annotations: &mut Annotations) {
    annotations.warn(
        window.first_span,
        format!("this native histogram metric is not a gauge: {}", quote(window.metric_name())),
    );
}
