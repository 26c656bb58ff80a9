//! The samples that a range selector sees at a step, and the functions over them.

use std::sync::Arc;

use model::{FloatHistogram, Labels};

use crate::ast::{RangeMode, Span};
use crate::engine::annotations::Annotations;
use crate::engine::error::QueryError;
use crate::engine::source::{Run, Samples};
use crate::engine::value::SampleValue;

use super::slide::FloatsFunction;
use super::{changes, over_time, rate, rate_floats, regression};

/// The samples of one kind in a window.
#[derive(Debug)]
pub(crate) struct Part<'w, T> {
    pub(crate) timestamps: &'w [i64],
    pub(crate) values: &'w [T],
    /// As long as the others, or empty.
    pub(crate) starts: &'w [i64],
}

impl<T> Clone for Part<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Part<'_, T> {}

impl<'w, T> Part<'w, T> {
    /// The samples of `run` from `first` to before `end`.
    pub(crate) fn of(run: &'w Run<T>, first: usize, end: usize, with_starts: bool) -> Self {
        Self {
            timestamps: &run.timestamps[first..end],
            values: &run.values[first..end],
            starts: if with_starts && !run.starts.is_empty() { &run.starts[first..end] } else { &[] },
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.values.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The samples from `first` on.
    pub(crate) fn from(&self, first: usize) -> Self {
        Self {
            timestamps: &self.timestamps[first..],
            values: &self.values[first..],
            starts: self.starts.get(first..).unwrap_or(&[]),
        }
    }

    /// Whether the counter was reset between samples `i - 1` and `i`, as far as start timestamps tell.
    pub(crate) fn restarted(&self, i: usize) -> bool {
        match (self.starts.get(i - 1), self.starts.get(i)) {
            (Some(before), Some(now)) => restarted(*before, self.timestamps[i - 1], *now, self.timestamps[i]),
            _ => false,
        }
    }

    /// Whether any sample says that it began before the one before it ended, without having begun together with it.
    pub(crate) fn starts_overlap(&self) -> bool {
        (1..self.starts.len()).any(|i| {
            let (before, now) = (self.starts[i - 1], self.starts[i]);
            now != 0 && now < self.timestamps[i - 1] && now != before
        })
    }
}

/// Whether start timestamps say that a counter was reset between two samples. A start at or after its own sample is
/// no start, and neither is 0.
pub(crate) fn restarted(before_start: i64, before: i64, start: i64, now: i64) -> bool {
    if start == 0 || start >= now || start < before {
        return false;
    }
    if start > before {
        return true;
    }
    // It begins where the last one ended: so do deltas, but also series whose start is not known.
    before_start <= before && before_start != 0 && before_start != before
}

/// What a function over a range gets to see at a step.
pub(crate) struct Window<'w> {
    pub(crate) floats: Part<'w, f64>,
    pub(crate) histograms: Part<'w, Arc<FloatHistogram>>,
    /// The time of evaluation.
    pub(crate) time_ms: i64,
    /// The range is from after this ...
    pub(crate) start_ms: i64,
    /// ... up to this. Samples may lie outside of it with `anchored` and `smoothed`.
    pub(crate) end_ms: i64,
    pub(crate) range_ms: i64,
    pub(crate) mode: RangeMode,
    /// The labels of the series.
    pub(crate) labels: &'w Labels,
    /// Where the range selector stands.
    pub(crate) span: Span,
    /// Where the first argument stands.
    pub(crate) first_span: Span,
    /// The other arguments at this step.
    pub(crate) scalars: &'w [f64],
}

impl Window<'_> {
    pub(crate) fn metric_name(&self) -> &str {
        self.labels.get_or_empty(model::METRIC_NAME)
    }

    pub(crate) fn is_mixed(&self) -> bool {
        !self.floats.is_empty() && !self.histograms.is_empty()
    }

    pub(crate) fn scalar(&self, i: usize) -> f64 {
        self.scalars.get(i).copied().unwrap_or(f64::NAN)
    }
}

/// What comes out of a function over a range at a step.
pub(crate) type RangeOutcome = Result<Option<SampleValue>, QueryError>;

/// A function over a range.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RangeFunction {
    pub(crate) eval: fn(&Window<'_>, &mut Annotations) -> RangeOutcome,
    /// The same for floats without start timestamps, at all steps at once. It notes nothing.
    pub(crate) floats: Option<FloatsFunction>,
    /// Whether the result is still the same metric.
    pub(crate) keeps_name: bool,
    /// Whether start timestamps are of use.
    pub(crate) uses_starts: bool,
    /// Whether it makes sense for counters only.
    pub(crate) wants_counter: bool,
}

impl RangeFunction {
    const fn new(eval: fn(&Window<'_>, &mut Annotations) -> RangeOutcome) -> Self {
        Self { eval, floats: None, keeps_name: false, uses_starts: false, wants_counter: false }
    }

    const fn keeping_name(eval: fn(&Window<'_>, &mut Annotations) -> RangeOutcome) -> Self {
        Self { keeps_name: true, ..Self::new(eval) }
    }

    const fn with_starts(eval: fn(&Window<'_>, &mut Annotations) -> RangeOutcome) -> Self {
        Self { uses_starts: true, ..Self::new(eval) }
    }

    const fn and_floats(self, floats: FloatsFunction) -> Self {
        Self { floats: Some(floats), ..self }
    }

    const fn of_counter(eval: fn(&Window<'_>, &mut Annotations) -> RangeOutcome) -> Self {
        Self { wants_counter: true, ..Self::with_starts(eval) }
    }
}

/// The function over ranges with this name.
pub(crate) fn range_function(name: &str) -> Option<RangeFunction> {
    Some(match name {
        "rate" => RangeFunction::of_counter(rate::rate).and_floats(rate_floats::rate_floats),
        "increase" => RangeFunction::of_counter(rate::increase).and_floats(rate_floats::increase_floats),
        "delta" => RangeFunction::new(rate::delta).and_floats(rate_floats::delta_floats),
        "irate" => RangeFunction::with_starts(rate::irate).and_floats(rate::irate_floats),
        "idelta" => RangeFunction::new(rate::idelta).and_floats(rate::idelta_floats),
        "resets" => RangeFunction::with_starts(changes::resets),
        "changes" => RangeFunction::new(changes::changes),
        "sum_over_time" => RangeFunction::new(over_time::sum).and_floats(over_time::sum_floats),
        "avg_over_time" => RangeFunction::new(over_time::avg).and_floats(over_time::avg_floats),
        "count_over_time" => RangeFunction::new(over_time::count).and_floats(over_time::count_floats),
        "min_over_time" => RangeFunction::new(over_time::min).and_floats(over_time::min_floats),
        "max_over_time" => RangeFunction::new(over_time::max).and_floats(over_time::max_floats),
        "stddev_over_time" => RangeFunction::new(over_time::stddev),
        "stdvar_over_time" => RangeFunction::new(over_time::stdvar),
        "quantile_over_time" => RangeFunction::new(over_time::quantile),
        "mad_over_time" => RangeFunction::new(over_time::mad),
        "present_over_time" => RangeFunction::new(over_time::present).and_floats(over_time::present_floats),
        "first_over_time" => RangeFunction::keeping_name(over_time::first),
        "last_over_time" => RangeFunction::keeping_name(over_time::last).and_floats(over_time::last_floats),
        "ts_of_first_over_time" => RangeFunction::new(over_time::time_of_first),
        "ts_of_last_over_time" => RangeFunction::new(over_time::time_of_last),
        "ts_of_min_over_time" => RangeFunction::new(over_time::time_of_min),
        "ts_of_max_over_time" => RangeFunction::new(over_time::time_of_max),
        "deriv" => RangeFunction::new(regression::deriv),
        "predict_linear" => RangeFunction::new(regression::predict_linear),
        "double_exponential_smoothing" => RangeFunction::new(regression::double_exponential_smoothing),
        _ => return None,
    })
}

/// Walks windows over the samples of a series; their ends never go back.
#[derive(Debug, Default)]
pub(crate) struct Cursor {
    floats: (usize, usize),
    histograms: (usize, usize),
}

impl Cursor {
    /// The samples later than `after_ms` and up to `until_ms`.
    pub(crate) fn window<'w>(
        &mut self,
        samples: &'w Samples,
        after_ms: i64,
        until_ms: i64,
        with_starts: bool,
    ) -> (Part<'w, f64>, Part<'w, Arc<FloatHistogram>>) {
        advance(&mut self.floats, &samples.floats.timestamps, after_ms, until_ms);
        advance(&mut self.histograms, &samples.histograms.timestamps, after_ms, until_ms);
        let floats = Part::of(&samples.floats, self.floats.0, self.floats.1, with_starts);
        (floats, Part::of(&samples.histograms, self.histograms.0, self.histograms.1, with_starts))
    }
}

fn advance((first, end): &mut (usize, usize), timestamps: &[i64], after_ms: i64, until_ms: i64) {
    while timestamps.get(*end).is_some_and(|t| *t <= until_ms) {
        *end += 1;
    }
    while *first < *end && timestamps[*first] <= after_ms {
        *first += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_open_on_the_left() {
        let mut samples = Samples::default();
        for t in 0..10 {
            samples.push_float(t * 10, t as f64);
        }
        let mut cursor = Cursor::default();
        let mut seen = |after, until| cursor.window(&samples, after, until, true).0.values.to_vec();
        assert_eq!(seen(-5, 20), [0.0, 1.0, 2.0]);
        assert_eq!(seen(10, 30), [2.0, 3.0]);
        assert_eq!(seen(85, 89), [0.0; 0]);
        assert_eq!(seen(80, 200), [9.0]);
    }

    #[test]
    fn restarts() {
        assert!(!restarted(0, 10, 0, 20));
        assert!(!restarted(5, 10, 20, 20));
        assert!(!restarted(5, 10, 5, 20));
        assert!(restarted(5, 10, 15, 20));
        assert!(restarted(5, 10, 10, 20), "deltas");
        assert!(!restarted(0, 10, 10, 20));
        assert!(!restarted(10, 10, 10, 20));
    }
}
