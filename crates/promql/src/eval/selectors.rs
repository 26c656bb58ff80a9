//! Instant selectors: the latest sample of each series at each step.

use std::sync::Arc;

use model::{CounterResetHint, FloatHistogram, Labels, is_stale_nan};

use crate::ast::RangeMode;
use crate::engine::error::{ErrorKind, QueryError};
use crate::engine::source::{Samples, SelectHints, SourceError};
use crate::engine::value::SampleValue;
use crate::functions::extended::{interpolate, interpolate_histograms};
use crate::plan::SelectorPlan;
use crate::plan::steps::{Steps, reference_time};
use crate::text::quote::quote;

use super::column::{Column, Points};
use super::{Evaluator, Held, Sink};

impl From<SourceError> for QueryError {
    fn from(error: SourceError) -> Self {
        Self::new(ErrorKind::Source, format!("expanding series: {}", error.message))
    }
}

/// What is made of a stored series: a column, unless there is nothing in it.
type OfSeries<'e> = &'e mut dyn FnMut(Labels, &mut Samples) -> Result<Option<Column>, QueryError>;

/// A sample as it lies in storage.
pub(super) struct Found {
    pub(super) timestamp_ms: i64,
    pub(super) start_ms: i64,
    pub(super) value: SampleValue,
}

/// Finds the latest sample at or before ever later times.
#[derive(Default)]
struct Latest {
    floats: usize,
    histograms: usize,
}

impl Latest {
    /// The latest sample at or before `time_ms` and later than `after_ms`, unless it marks the series as stale.
    fn at(&mut self, samples: &Samples, time_ms: i64, after_ms: i64) -> Option<Found> {
        let (floats, histograms) = (&samples.floats, &samples.histograms);
        while floats.timestamps.get(self.floats).is_some_and(|t| *t <= time_ms) {
            self.floats += 1;
        }
        while histograms.timestamps.get(self.histograms).is_some_and(|t| *t <= time_ms) {
            self.histograms += 1;
        }
        let float = self.floats.checked_sub(1).map(|i| (floats.timestamps[i], i));
        let histogram = self.histograms.checked_sub(1).map(|i| (histograms.timestamps[i], i));
        let is_float = float.map(|f| f.0) >= histogram.map(|h| h.0);
        let (timestamp_ms, i) = if is_float { float? } else { histogram? };
        if timestamp_ms <= after_ms {
            return None;
        }
        let (start_ms, value) = if is_float {
            let value = floats.values[i];
            if is_stale_nan(value) {
                return None;
            }
            (floats.starts.get(i), SampleValue::Float(value))
        } else {
            let value = &histograms.values[i];
            if is_stale_nan(value.sum) {
                return None;
            }
            (histograms.starts.get(i), SampleValue::Histogram(Arc::clone(value)))
        };
        Some(Found { timestamp_ms, start_ms: start_ms.copied().unwrap_or(0), value })
    }
}

/// Which modifiers say what time a selector looks at.
#[derive(Debug, Clone, Copy)]
pub(super) struct Modifiers {
    pub(super) at_ms: Option<i64>,
    pub(super) offset_ms: i64,
}

impl Evaluator<'_> {
    pub(super) fn selector(&self, e: &SelectorPlan, steps: &Steps, sink: Sink<'_>) -> Result<(), QueryError> {
        if e.mode == RangeMode::Smoothed {
            return self.smoothed_selector(e, steps, sink);
        }
        let hints = e.hints(steps, self.lookback_ms, None);
        let mut evaluate = |labels, samples: &mut Samples| {
            let mut points = Points::none(steps.count);
            if samples.histograms.len() == 0 {
                self.latest_floats(e, samples, steps, &mut points);
            } else {
                let mut latest = Latest::default();
                for step in 0..steps.count {
                    let time = e.reference(steps.time(step));
                    let found = latest.at(samples, time, time.saturating_sub(self.lookback_ms));
                    if let Some(found) = found {
                        points.set(step, found.value);
                    }
                }
            }
            Ok((!points.is_empty()).then(|| Column::new(labels, points)))
        };
        self.stored_series(&hints, &mut evaluate, sink)
    }

    /// The latest float at each step: what nearly all selectors come to.
    fn latest_floats(&self, e: &SelectorPlan, samples: &Samples, steps: &Steps, points: &mut Points) {
        let (timestamps, values) = (&samples.floats.timestamps, &samples.floats.values);
        let mut next = 0;
        for step in 0..steps.count {
            let time = e.reference(steps.time(step));
            while timestamps.get(next).is_some_and(|t| *t <= time) {
                next += 1;
            }
            let Some(latest) = next.checked_sub(1) else { continue };
            let value = values[latest];
            if timestamps[latest] > time.saturating_sub(self.lookback_ms) && !is_stale_nan(value) {
                points.set_float(step, value);
            }
        }
    }

    /// The latest sample of each series at each step, as `value` sees it.
    pub(super) fn latest_samples(
        &self,
        hints: &SelectHints,
        modifiers: Modifiers,
        steps: &Steps,
        value: &mut dyn FnMut(Found) -> Option<SampleValue>,
        sink: Sink<'_>,
    ) -> Result<(), QueryError> {
        self.stored_series(
            hints,
            &mut |labels, samples| {
                let mut latest = Latest::default();
                let mut points = Points::none(steps.count);
                for step in 0..steps.count {
                    let time = reference_time(steps.time(step), modifiers.at_ms, modifiers.offset_ms);
                    let found = latest.at(samples, time, time.saturating_sub(self.lookback_ms));
                    if let Some(value) = found.and_then(&mut *value) {
                        points.set(step, value);
                    }
                }
                Ok((!points.is_empty()).then(|| Column::new(labels, points)))
            },
            sink,
        )
    }

    /// Reads series one by one and hands on, in order of their labels, the columns that `evaluate` makes of them.
    pub(super) fn stored_series(
        &self,
        hints: &SelectHints,
        evaluate: OfSeries<'_>,
        sink: Sink<'_>,
    ) -> Result<(), QueryError> {
        let mut set = self.source.select(hints)?;
        let sorted = set.is_sorted();
        let mut held = Held::new();
        let mut samples = Samples::default();
        while let Some(mut series) = set.next_series()? {
            self.check_interrupted()?;
            samples.clear();
            while series.samples.read(&mut samples)? {
                // Freed with the next series, so it is checked but not kept.
                drop(self.budget.charge(samples.len(), samples.len() * size_of::<(i64, f64)>())?);
            }
            let labels = series.labels;
            self.series_read.set(self.series_read.get() + 1);
            self.samples_read.set(self.samples_read.get() + samples.len() as u64);
            if hints.histogram_stats_only {
                keep_stats_only(&mut samples);
            }
            let Some(column) = evaluate(labels, &mut samples)? else {
                continue;
            };
            if sorted {
                sink(column)?;
            } else {
                held.push(self, column)?;
            }
        }
        for warning in set.warnings() {
            self.annotations.borrow_mut().add_from_source(warning);
        }
        held.columns.sort_by(|a, b| a.labels.cmp(&b.labels));
        held.columns.into_iter().try_for_each(sink)
    }

    /// With `smoothed`, the value at a step lies on the line between the samples around it.
    fn smoothed_selector(&self, e: &SelectorPlan, steps: &Steps, sink: Sink<'_>) -> Result<(), QueryError> {
        let hints = e.hints(steps, self.lookback_ms, None);
        self.stored_series(
            &hints,
            &mut |labels, samples| {
                samples.floats.retain(|v| !is_stale_nan(*v));
                samples.histograms.retain(|h| !is_stale_nan(h.sum));
                let mut points = Points::none(steps.count);
                for step in 0..steps.count {
                    let time = e.reference(steps.time(step));
                    if let Some(value) = self.smoothed_value(e, &labels, samples, time) {
                        points.set(step, value);
                    }
                }
                Ok((!points.is_empty()).then(|| Column::new(labels, points)))
            },
            sink,
        )
    }

    fn smoothed_value(
        &self,
        e: &SelectorPlan,
        labels: &Labels,
        samples: &Samples,
        time: i64,
    ) -> Option<SampleValue> {
        let (after, until) = (time.saturating_sub(self.lookback_ms), time.saturating_add(self.lookback_ms));
        let within = |timestamps: &[i64]| {
            let first = timestamps.partition_point(|t| *t <= after);
            first..timestamps.partition_point(|t| *t <= until).max(first)
        };
        let metric = labels.get_or_empty(model::METRIC_NAME);
        let (floats, histograms) =
            (within(&samples.floats.timestamps), within(&samples.histograms.timestamps));
        if !floats.is_empty() && !histograms.is_empty() {
            let text =
                format!("encountered a mix of histograms and floats for metric name {}", quote(metric));
            self.annotations.borrow_mut().warn(e.span, text);
            return None;
        }
        if histograms.is_empty() {
            let times = &samples.floats.timestamps[floats.clone()];
            let values = &samples.floats.values[floats];
            let next = times.partition_point(|t| *t < time);
            if times.get(next) == Some(&time) {
                return Some(SampleValue::Float(values[next]));
            }
            let before = next.checked_sub(1)?;
            return Some(SampleValue::Float(match times.get(next) {
                Some(t) => interpolate((times[before], values[before]), (*t, values[next]), time, false),
                None => values[before],
            }));
        }
        let times = &samples.histograms.timestamps[histograms.clone()];
        let values = &samples.histograms.values[histograms];
        let next = times.partition_point(|t| *t < time);
        if times.get(next) == Some(&time) {
            return Some(SampleValue::Histogram(Arc::clone(&values[next])));
        }
        let before = next.checked_sub(1)?;
        if next == times.len() {
            let mut last = (*values[before]).clone();
            last.counter_reset_hint = CounterResetHint::Unknown;
            return Some(SampleValue::Histogram(Arc::new(last)));
        }
        let (a, b) = (&values[before], &values[next]);
        let counter = [a, b].iter().any(|h| h.counter_reset_hint != CounterResetHint::Gauge);
        let mut annotations = self.annotations.borrow_mut();
        let between = interpolate_histograms(
            (times[before], a),
            (times[next], b),
            time,
            counter,
            e.span,
            &mut annotations,
        );
        match between {
            Ok(histogram) => Some(SampleValue::Histogram(Arc::new(histogram))),
            Err(_) => {
                let text = format!(
                    "vector contains a mix of histograms with exponential and custom buckets schemas for metric name {}",
                    quote(metric)
                );
                annotations.warn(e.span, text);
                None
            }
        }
    }
}

/// Leaves counts, sums and schemas of histograms, with the resets that only buckets tell put into the hints.
fn keep_stats_only(samples: &mut Samples) {
    let mut before: Option<Arc<FloatHistogram>> = None;
    for histogram in &mut samples.histograms.values {
        let mut stats = FloatHistogram {
            counter_reset_hint: histogram.counter_reset_hint,
            schema: histogram.schema,
            count: histogram.count,
            sum: histogram.sum,
            ..FloatHistogram::default()
        };
        if !is_stale_nan(histogram.sum) {
            if let (CounterResetHint::Unknown, Some(before)) = (stats.counter_reset_hint, &before) {
                stats.counter_reset_hint = if histogram.detect_reset(before) {
                    CounterResetHint::Reset
                } else {
                    CounterResetHint::NotReset
                };
            }
            before = Some(Arc::clone(histogram));
        }
        *histogram = Arc::new(stats);
    }
}
