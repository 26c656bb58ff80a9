//! Instant selectors: the latest sample of each series at each step.

use std::sync::Arc;

use model::{CounterResetHint, FloatHistogram, Labels, is_stale_nan};

use crate::ast::RangeMode;
use crate::engine::error::QueryError;
use crate::engine::source::{Samples, SelectHints};
use crate::engine::value::SampleValue;
use crate::functions::extended::{interpolate, interpolate_histograms};
use crate::plan::SelectorPlan;
use crate::plan::steps::{Steps, reference_time};
use crate::text::quote::quote;

use super::column::{Column, Points};
use super::stored::Order;
use super::{Evaluator, Sink};

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
    pub(super) fn selector(
        &self,
        e: &SelectorPlan,
        steps: &Steps,
        order: Order,
        sink: Sink<'_>,
    ) -> Result<(), QueryError> {
        if e.mode == RangeMode::Smoothed {
            return self.smoothed_selector(e, steps, sink);
        }
        let hints = e.hints(steps, self.lookback_ms, None);
        let evaluate = |evaluator: &Evaluator<'_>, labels: Labels, samples: &mut Samples| {
            let mut points = Points::none(steps.count);
            if samples.histograms.len() == 0 {
                evaluator.latest_floats(e, samples, steps, &mut points);
            } else {
                let mut latest = Latest::default();
                for step in 0..steps.count {
                    let time = e.reference(steps.time(step));
                    let found = latest.at(samples, time, time.saturating_sub(evaluator.lookback_ms));
                    if let Some(found) = found {
                        points.set(step, found.value);
                    }
                }
            }
            Ok((!points.is_empty()).then(|| Column::new(labels, points)))
        };
        self.stored_series(&hints, (steps.count, order), &evaluate, sink)
    }

    /// The latest float at each step: what nearly all selectors come to.
    fn latest_floats(&self, e: &SelectorPlan, samples: &Samples, steps: &Steps, points: &mut Points) {
        const WORD: usize = 64;
        let (timestamps, values) = (samples.floats.timestamps.as_slice(), &samples.floats.values);
        let mut next = 0;
        let mut time_ms = steps.start_ms;
        for (word, slots) in points.values.chunks_mut(WORD).enumerate() {
            let mut present = 0u64;
            for (bit, slot) in slots.iter_mut().enumerate() {
                let time = e.reference(time_ms);
                time_ms = time_ms.wrapping_add(steps.interval_ms);
                while next < timestamps.len() && timestamps[next] <= time {
                    next += 1;
                }
                let Some(latest) = next.checked_sub(1) else { continue };
                let value = values[latest];
                if timestamps[latest] > time.saturating_sub(self.lookback_ms) && !is_stale_nan(value) {
                    *slot = value;
                    present |= 1 << bit;
                }
            }
            points.floats.set_word(word, present);
        }
    }

    /// The latest sample of each series at each step, as `value` sees it.
    pub(super) fn latest_samples(
        &self,
        hints: &SelectHints,
        modifiers: Modifiers,
        steps: &Steps,
        value: &(dyn Fn(Found) -> Option<SampleValue> + Sync),
        sink: Sink<'_>,
    ) -> Result<(), QueryError> {
        self.stored_series(
            hints,
            (steps.count, Order::Labels),
            &|evaluator, labels, samples| {
                let mut latest = Latest::default();
                let mut points = Points::none(steps.count);
                for step in 0..steps.count {
                    let time = reference_time(steps.time(step), modifiers.at_ms, modifiers.offset_ms);
                    let found = latest.at(samples, time, time.saturating_sub(evaluator.lookback_ms));
                    if let Some(value) = found.and_then(value) {
                        points.set(step, value);
                    }
                }
                Ok((!points.is_empty()).then(|| Column::new(labels, points)))
            },
            sink,
        )
    }

    /// With `smoothed`, the value at a step lies on the line between the samples around it.
    fn smoothed_selector(&self, e: &SelectorPlan, steps: &Steps, sink: Sink<'_>) -> Result<(), QueryError> {
        let hints = e.hints(steps, self.lookback_ms, None);
        self.stored_series(
            &hints,
            (steps.count, Order::Labels),
            &|evaluator, labels, samples| {
                samples.drop_stale();
                let mut points = Points::none(steps.count);
                for step in 0..steps.count {
                    let time = e.reference(steps.time(step));
                    if let Some(value) = evaluator.smoothed_value(e, &labels, samples, time) {
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
pub(super) fn keep_stats_only(samples: &mut Samples) {
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
