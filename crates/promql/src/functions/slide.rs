//! Functions over ranges of floats, at all steps of a series in one go: what nearly every series and query comes to.

use std::ops::Range;

use crate::eval::Points;
use crate::plan::steps::{Steps, reference_time};

/// Steps whose presence is written at once.
const WORD: usize = 64;

/// Computes a function at all steps of a series.
pub(crate) type FloatsFunction = fn(&FloatSeries<'_>, &mut Points);

/// The floats of a series, none of them stale, and the windows over them.
pub(crate) struct FloatSeries<'s> {
    /// In milliseconds, ascending.
    pub(crate) timestamps: &'s [i64],
    /// As many as times.
    pub(crate) values: &'s [f64],
    pub(crate) steps: Steps,
    /// The time of the windows' ends instead of the steps', ...
    pub(crate) at_ms: Option<i64>,
    /// ... and how much earlier they end.
    pub(crate) offset_ms: i64,
    pub(crate) range_ms: i64,
}

impl FloatSeries<'_> {
    /// Calls `value` with the samples of each window that has some, and with its start, which is not part of it, and its
    /// end.
    #[inline(always)]
    pub(crate) fn slide(
        &self,
        points: &mut Points,
        mut value: impl FnMut(Range<usize>, i64, i64) -> Option<f64>,
    ) {
        let timestamps = self.timestamps;
        let (mut first, mut end) = (0, 0);
        let mut time_ms = self.steps.start_ms;
        for (word, values) in points.values.chunks_mut(WORD).enumerate() {
            let mut present = 0u64;
            for (bit, slot) in values.iter_mut().enumerate() {
                let end_ms = reference_time(time_ms, self.at_ms, self.offset_ms);
                let start_ms = end_ms.saturating_sub(self.range_ms);
                time_ms = time_ms.wrapping_add(self.steps.interval_ms);
                while end < timestamps.len() && timestamps[end] <= end_ms {
                    end += 1;
                }
                while first < end && timestamps[first] <= start_ms {
                    first += 1;
                }
                if first < end
                    && let Some(value) = value(first..end, start_ms, end_ms)
                {
                    *slot = value;
                    present |= 1 << bit;
                }
            }
            points.floats.set_word(word, present);
        }
    }

    /// As [`Self::slide`], at some of the steps only.
    pub(crate) fn slide_steps(
        &self,
        steps: Range<usize>,
        points: &mut Points,
        mut value: impl FnMut(Range<usize>, i64, i64) -> Option<f64>,
    ) {
        for step in steps {
            let end_ms = reference_time(self.steps.time(step), self.at_ms, self.offset_ms);
            let start_ms = end_ms.saturating_sub(self.range_ms);
            let first = self.timestamps.partition_point(|at| *at <= start_ms);
            let end = self.timestamps.partition_point(|at| *at <= end_ms).max(first);
            if first < end
                && let Some(value) = value(first..end, start_ms, end_ms)
            {
                points.set_float(step, value);
            }
        }
    }

    /// The best value of each window; of equal ones the first. NaN only where there is nothing else.
    pub(crate) fn best(&self, points: &mut Points, better: impl Fn(f64, f64) -> bool) {
        if self.steps.count == 1 {
            let pick =
                |best: f64, value: &f64| if better(*value, best) || best.is_nan() { *value } else { best };
            return self.slide(points, |range, _, _| Some(self.values[range].iter().fold(f64::NAN, pick)));
        }
        // Those that no later one beats, so far: the first of them is the best.
        let mut rivals: Vec<usize> = Vec::new();
        let (mut seen, mut head) = (0, 0);
        let values = self.values;
        self.slide(points, |range, _, _| {
            while seen < range.end {
                let value = values[seen];
                if !value.is_nan() {
                    while rivals.len() > head
                        && rivals.last().is_some_and(|last| better(value, values[*last]))
                    {
                        rivals.pop();
                    }
                    rivals.push(seen);
                }
                seen += 1;
            }
            while rivals.get(head).is_some_and(|rival| *rival < range.start) {
                head += 1;
            }
            Some(rivals.get(head).map_or(f64::NAN, |best| values[*best]))
        });
    }
}
