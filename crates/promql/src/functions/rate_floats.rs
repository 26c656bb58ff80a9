//! `rate`, `increase` and `delta` of floats at all steps of a series: as [`super::rate`] has it, but what windows have in
//! common is computed once.

use std::ops::Range;

use crate::eval::Points;

use super::even::{EvenSteps, Shape};
use super::rate::{Change, Extent, seconds};
use super::slide::FloatSeries;

pub(crate) fn rate_floats(series: &FloatSeries<'_>, points: &mut Points) {
    change_floats::<true, true>(series, points);
}

pub(crate) fn increase_floats(series: &FloatSeries<'_>, points: &mut Points) {
    change_floats::<true, false>(series, points);
}

pub(crate) fn delta_floats(series: &FloatSeries<'_>, points: &mut Points) {
    change_floats::<false, false>(series, points);
}

/// At all steps; a function for each kind of change.
fn change_floats<const COUNTER: bool, const PER_SECOND: bool>(series: &FloatSeries<'_>, points: &mut Points) {
    let falls = if COUNTER { find_falls(series.values) } else { Vec::new() };
    let changes = Changes::<COUNTER, PER_SECOND> { series, falls: &falls };
    match EvenSteps::of(series) {
        None => {
            let mut falls = Falls::of(&falls);
            series.slide(points, |range, start_ms, end_ms| changes.of(range, start_ms, end_ms, &mut falls));
        }
        Some(even) => {
            for steps in [0..even.steps.start, even.steps.end..series.steps.count] {
                let mut falls = Falls::of(&falls);
                series.slide_steps(steps, points, |range, start_ms, end_ms| {
                    changes.of(range, start_ms, end_ms, &mut falls)
                });
            }
            changes.even(&even, points);
        }
    }
}

/// The falls of a series, and those of them that ever later windows have reached and left behind.
struct Falls<'f> {
    falls: &'f [usize],
    from: usize,
    to: usize,
}

impl<'f> Falls<'f> {
    fn of(falls: &'f [usize]) -> Self {
        Self { falls, from: 0, to: 0 }
    }

    /// Those between two samples, the second one included.
    #[inline]
    fn between(&mut self, first: usize, last: usize) -> &'f [usize] {
        while self.falls.get(self.to).is_some_and(|fall| *fall <= last) {
            self.to += 1;
        }
        while self.from < self.to && self.falls[self.from] <= first {
            self.from += 1;
        }
        &self.falls[self.from..self.to]
    }
}

/// The changes of a series without start timestamps.
struct Changes<'s, const COUNTER: bool, const PER_SECOND: bool> {
    series: &'s FloatSeries<'s>,
    falls: &'s [usize],
}

impl<const COUNTER: bool, const PER_SECOND: bool> Changes<'_, COUNTER, PER_SECOND> {
    const CHANGE: Change = Change { counter: COUNTER, per_second: PER_SECOND };

    /// The change over some samples.
    #[inline(always)]
    fn of(&self, range: Range<usize>, start_ms: i64, end_ms: i64, falls: &mut Falls<'_>) -> Option<f64> {
        let FloatSeries { timestamps, values, range_ms, .. } = self.series;
        let (first, last) = (range.start, range.end - 1);
        let mut result = values[last] - values[first];
        if COUNTER && !falls.falls.is_empty() {
            falls.between(first, last).iter().for_each(|fall| result += values[fall - 1]);
        }
        if first == last {
            return None;
        }
        let between = seconds(timestamps[last] - timestamps[first]);
        let extent = Extent {
            sampled: between,
            to_start: seconds(timestamps[first] - start_ms),
            to_end: seconds(end_ms - timestamps[last]),
            between,
            gaps: (last - first) as f64,
            starts_inside: false,
        };
        Some(result * extent.factor(*range_ms, Self::CHANGE, values[first], result))
    }

    /// The changes over windows of few shapes.
    fn even(&self, even: &EvenSteps, points: &mut Points) {
        let end = even.steps.end;
        let at_all = even.shapes().all(|(_, shape)| shape.length > 1);
        if at_all {
            points.floats.set_range(even.steps.clone());
        }
        for (step, shape) in even.shapes().filter(|(_, shape)| shape.length > 1) {
            let between = seconds((shape.length as i64 - 1) * shape.interval_ms);
            let extent = Extent {
                sampled: between,
                to_start: seconds(shape.to_start_ms),
                to_end: seconds(shape.to_end_ms),
                between,
                gaps: (shape.length - 1) as f64,
                starts_inside: false,
            };
            let out = points.values.get_mut(step..end).unwrap_or_default();
            self.of_shape(shape, &extent, even.period, out);
            if !at_all {
                (step..end).step_by(even.period).for_each(|step| points.floats.set(step));
            }
        }
    }

    /// The changes over windows of one shape, which go to every `period`-th place of `out`.
    fn of_shape(&self, shape: Shape, extent: &Extent, period: usize, out: &mut [f64]) {
        let values = self.series.values;
        // What a change is multiplied by where a counter is extrapolated as a gauge is: nearly always.
        let as_gauge = Change { counter: false, ..Self::CHANGE };
        let factor = extent.factor(self.series.range_ms, as_gauge, 0.0, 0.0);
        let to_start = extent.extrapolated(extent.to_start);
        let firsts = values.get(shape.first..).unwrap_or_default();
        let lasts = firsts.get(shape.length - 1..).unwrap_or_default();
        let windows = || firsts.chunks(shape.stride).zip(lasts.chunks(shape.stride));
        // Whether any counter was zero not long before a window is looked for without a branch for each.
        let of_window = |first: f64, last: f64| {
            let change = last - first;
            (change * factor, COUNTER & extent.reaches_zero(to_start, first, change))
        };
        let any_near_zero = match (period, shape.stride) {
            (1, 1) => each_window::<1>(firsts, lasts, out, of_window),
            (1, 2) => each_window::<2>(firsts, lasts, out, of_window),
            (1, 4) => each_window::<4>(firsts, lasts, out, of_window),
            _ => {
                let mut any = false;
                for (slots, (first, last)) in out.chunks_mut(period).zip(windows()) {
                    let (value, near_zero) = of_window(first[0], last[0]);
                    slots[0] = value;
                    any |= near_zero;
                }
                any
            }
        };
        if any_near_zero {
            for (slots, (first, last)) in out.chunks_mut(period).zip(windows()) {
                let change = last[0] - first[0];
                if extent.reaches_zero(to_start, first[0], change) {
                    slots[0] = change * extent.factor(self.series.range_ms, Self::CHANGE, first[0], change);
                }
            }
        }
        if COUNTER && !self.falls.is_empty() {
            self.with_falls(shape, extent, period, out);
        }
    }

    /// The changes again over those windows in which the counter fell.
    fn with_falls(&self, shape: Shape, extent: &Extent, period: usize, out: &mut [f64]) {
        let values = self.series.values;
        let windows = out.len().div_ceil(period);
        let mut falls = Falls::of(self.falls);
        let mut next = 0;
        for fall in self.falls {
            // Those that begin before it and end with it or later.
            let until = fall.saturating_sub(shape.first).div_ceil(shape.stride).min(windows);
            let from = (fall + 1).saturating_sub(shape.first + shape.length).div_ceil(shape.stride);
            for window in from.max(next)..until {
                let first = shape.first + window * shape.stride;
                let (Some(before), Some(last)) = (values.get(first), values.get(first + shape.length - 1))
                else {
                    continue;
                };
                let mut change = last - before;
                let inside = falls.between(first, first + shape.length - 1);
                inside.iter().for_each(|fall| change += values[fall - 1]);
                out[window * period] =
                    change * extent.factor(self.series.range_ms, Self::CHANGE, *before, change);
            }
            next = next.max(until);
        }
    }
}

/// Writes what `of_window` says of the first and last values of windows that begin `STRIDE` values apart, and whether it said
/// yes of any. How far apart they are is known to the compiler, so that several are computed at a time.
#[inline(always)]
fn each_window<const STRIDE: usize>(
    firsts: &[f64],
    lasts: &[f64],
    out: &mut [f64],
    of_window: impl Fn(f64, f64) -> (f64, bool),
) -> bool {
    let (first_chunks, last_chunks) = (firsts.as_chunks::<STRIDE>().0, lasts.as_chunks::<STRIDE>().0);
    let mut any = false;
    for (slot, (first, last)) in out.iter_mut().zip(first_chunks.iter().zip(last_chunks)) {
        let (value, yes) = of_window(first[0], last[0]);
        *slot = value;
        any |= yes;
    }
    // The last window may begin where fewer values follow.
    let done = first_chunks.len().min(last_chunks.len()) * STRIDE;
    if let (Some(slot), Some(first), Some(last)) =
        (out.get_mut(done / STRIDE), firsts.get(done), lasts.get(done))
    {
        let (value, yes) = of_window(*first, *last);
        *slot = value;
        any |= yes;
    }
    any
}

/// The numbers of the values that are below the one before them.
fn find_falls(values: &[f64]) -> Vec<usize> {
    // So many are looked at without a branch for each.
    const BLOCK: usize = 64;
    let mut falls = Vec::new();
    for (block, later) in values.get(1..).unwrap_or_default().chunks(BLOCK).enumerate() {
        let begin = block * BLOCK;
        let pairs = || values[begin..].iter().zip(later);
        if pairs().fold(false, |any, (a, b)| any | (b < a)) {
            falls.extend(pairs().enumerate().filter(|(_, (a, b))| b < a).map(|(i, _)| begin + i + 1));
        }
    }
    falls
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::plan::steps::Steps;

    fn bits(points: &Points) -> Vec<Option<u64>> {
        (0..points.steps()).map(|step| points.float(step).map(f64::to_bits)).collect()
    }

    /// At each step by itself.
    fn step_by_step<const COUNTER: bool, const PER_SECOND: bool>(series: &FloatSeries<'_>) -> Points {
        let mut points = Points::none(series.steps.count);
        let falls = if COUNTER { find_falls(series.values) } else { Vec::new() };
        let changes = Changes::<COUNTER, PER_SECOND> { series, falls: &falls };
        series.slide_steps(0..series.steps.count, &mut points, |range, start_ms, end_ms| {
            changes.of(range, start_ms, end_ms, &mut Falls::of(&falls))
        });
        points
    }

    fn check<const COUNTER: bool, const PER_SECOND: bool>(series: &FloatSeries<'_>) {
        let mut points = Points::none(series.steps.count);
        change_floats::<COUNTER, PER_SECOND>(series, &mut points);
        assert_eq!(bits(&points), bits(&step_by_step::<COUNTER, PER_SECOND>(series)));
    }

    proptest! {
        #[test]
        fn windows_of_one_shape_are_what_each_is(
            interval_ms in prop_oneof![Just(15i64), Just(30), Just(1), Just(7)],
            step_ms in prop_oneof![Just(15i64), Just(60), Just(10), Just(7), 1..100i64],
            first_ms in -400..400i64,
            start_ms in -400..400i64,
            (offset_ms, range_ms) in (-50..50i64, prop_oneof![1..400i64, Just(300), Just(60)]),
            (samples, steps) in (0..90usize, 1..120usize),
            uneven in prop_oneof![3 => Just(None), 1 => (1..90usize).prop_map(Some)],
            changes in prop::collection::vec(prop_oneof![8 => 0..50i64, 2 => Just(0), 1 => -4_000..0i64], 90),
        ) {
            let mut timestamps: Vec<i64> = (0..samples as i64).map(|i| first_ms + i * interval_ms).collect();
            if let Some(rest) = uneven.and_then(|i| timestamps.get_mut(i..)) {
                rest.iter_mut().for_each(|at| *at += 3);
            }
            let mut value = 0i64;
            let values: Vec<f64> = changes[..samples].iter().map(|change| {
                value = (value + change).max(0);
                value as f64
            }).collect();
            let series = FloatSeries {
                timestamps: &timestamps,
                values: &values,
                steps: Steps { start_ms, interval_ms: step_ms, count: steps },
                at_ms: None,
                offset_ms,
                range_ms,
            };
            check::<true, true>(&series);
            check::<true, false>(&series);
            check::<false, false>(&series);
        }
    }
}
