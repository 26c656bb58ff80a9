//! Changes over a range with `anchored` and `smoothed`, and values between samples.

use std::sync::Arc;

use model::histogram::IncompatibleSchemas;
use model::{CounterResetHint, FloatHistogram};

use crate::ast::{RangeMode, Span};
use crate::engine::annotations::Annotations;

use super::histogram_rate::{self, Operation, note_reconciled};
use super::over_time::note_mixed_schemas;
use super::rate::{Change, note_not_counter, note_not_gauge};
use super::window::Window;

/// The value at `time_ms` on the line between two samples. A counter that went down began again at zero.
pub(crate) fn interpolate(a: (i64, f64), b: (i64, f64), time_ms: i64, counter: bool) -> f64 {
    let from = if counter && b.1 < a.1 { 0.0 } else { a.1 };
    from + (b.1 - from) * (time_ms - a.0) as f64 / (b.0 - a.0) as f64
}

/// The histogram at `time_ms` between two samples.
pub(crate) fn interpolate_histograms(
    a: (i64, &FloatHistogram),
    b: (i64, &FloatHistogram),
    time_ms: i64,
    counter: bool,
    span: Span,
    annotations: &mut Annotations,
) -> Result<FloatHistogram, IncompatibleSchemas> {
    if time_ms == a.0 {
        return Ok(a.1.clone());
    }
    let mut result = b.1.clone();
    if time_ms == b.0 {
        return Ok(result);
    }
    let fraction = (time_ms - a.0) as f64 / (b.0 - a.0) as f64;
    // Between exponential and custom buckets there is nothing, not even a reset.
    let comparable = a.1.uses_custom_buckets() == b.1.uses_custom_buckets();
    if counter && comparable && b.1.detect_reset(a.1) {
        result.scale(fraction);
        return Ok(result);
    }
    if result.sub(a.1)?.bounds_reconciled {
        note_reconciled(Operation::Subtraction, span, annotations);
    }
    result.scale(fraction);
    if result.add(a.1)?.bounds_reconciled {
        note_reconciled(Operation::Addition, span, annotations);
    }
    Ok(result)
}

/// The samples that matter: from the last one at or before the start of the range, or the first inside, to the last
/// one, or with `smoothed` the first at or after its end. None if nothing lies inside.
fn relevant(timestamps: &[i64], window: &Window<'_>) -> Option<(usize, usize)> {
    let smoothed = window.mode == RangeMode::Smoothed;
    let mut last = timestamps.len().checked_sub(1)?;
    let first = timestamps[..last].partition_point(|t| *t <= window.start_ms).saturating_sub(1);
    if smoothed {
        last = timestamps[..last].partition_point(|t| *t < window.end_ms);
    }
    let nothing_inside = timestamps[last] <= window.start_ms || smoothed && timestamps[first] > window.end_ms;
    (!nothing_inside).then_some((first, last))
}

/// The samples of a range with values put in at its edges.
pub(crate) fn extend_floats(window: &Window<'_>) -> Vec<(i64, f64)> {
    let times = window.floats.timestamps;
    // Where nothing but a later sample is known, upstream has its value at both edges.
    let later_only = || {
        times.first().filter(|t| window.mode == RangeMode::Smoothed && **t > window.end_ms).map(|_| (0, 0))
    };
    let Some((first, last)) = relevant(times, window).or_else(later_only) else {
        return Vec::new();
    };
    let (left, right) = edges(window, first, last, false);
    let inside = times.iter().copied().zip(window.floats.values.iter().copied());
    let inside = inside.skip(first).take(last + 1 - first);
    let inside = inside.filter(|(t, _)| *t > window.start_ms && *t < window.end_ms);
    std::iter::once((window.start_ms, left)).chain(inside).chain([(window.end_ms, right)]).collect()
}

/// The values at the edges of the range.
fn edges(window: &Window<'_>, first: usize, last: usize, counter: bool) -> (f64, f64) {
    let smoothed = window.mode == RangeMode::Smoothed;
    let (times, values) = (window.floats.timestamps, window.floats.values);
    let sample = |i: usize| (times[i], values[i]);
    let left = if smoothed && times[first] < window.start_ms {
        interpolate(sample(first), sample(first + 1), window.start_ms, counter)
    } else {
        values[first]
    };
    let right = if smoothed && last > 0 && times[last] > window.end_ms {
        interpolate(sample(last - 1), sample(last), window.end_ms, counter)
    } else {
        values[last]
    };
    (left, right)
}

pub(super) fn float_change(window: &Window<'_>, change: Change) -> Option<f64> {
    let times = window.floats.timestamps;
    let (first, last) = relevant(times, window)?;
    let (left, right) = edges(window, first, last, change.counter);
    let mut result = right - left;
    if change.counter {
        // Resets between an edge and its neighbours are in the values at the edges already.
        let from = first + usize::from(times[first] <= window.start_ms);
        let to = last + 1 - usize::from(times[last] >= window.end_ms);
        let mut before = left;
        for value in window.floats.values.get(from..to).unwrap_or(&[]).iter().chain([&right]) {
            if *value < before {
                result += before;
            }
            before = *value;
        }
    }
    if change.per_second {
        result /= window.range_ms as f64 / 1000.0;
    }
    Some(result)
}

pub(super) fn histogram_change(
    window: &Window<'_>,
    annotations: &mut Annotations,
    change: Change,
) -> Option<FloatHistogram> {
    let (first, last) = relevant(window.histograms.timestamps, window)?;
    let values = window.histograms.values;
    let custom = values[first].uses_custom_buckets();
    if values[first..=last].iter().any(|h| h.uses_custom_buckets() != custom) {
        note_mixed_schemas(window, annotations);
        return None;
    }
    let gauge = |h: &FloatHistogram| h.counter_reset_hint == CounterResetHint::Gauge;
    if change.counter && values[first..=last].iter().any(|h| gauge(h)) {
        note_not_counter(window, annotations);
    }
    let Ok((left, right)) = histogram_edges(window, first, last, change.counter, annotations) else {
        note_mixed_schemas(window, annotations);
        return None;
    };
    let gauges = gauge(&left) && gauge(&right);
    if !change.counter && !gauges {
        note_not_gauge(window, annotations);
    }
    let mut result = right.clone();
    histogram_rate::add(&mut result, &left, Operation::Subtraction, window, annotations)?;
    if change.counter {
        let lost = lost_to_resets(window, (first, &left), (last, &right), annotations)?;
        if let Some(lost) = lost {
            histogram_rate::add(&mut result, &lost, Operation::Addition, window, annotations)?;
        }
    }
    if change.per_second {
        result.divide(window.range_ms as f64 / 1000.0);
    }
    result.counter_reset_hint = CounterResetHint::Gauge;
    Some(result.compacted())
}

/// The histograms at the edges of the range.
fn histogram_edges(
    window: &Window<'_>,
    first: usize,
    last: usize,
    counter: bool,
    annotations: &mut Annotations,
) -> Result<(FloatHistogram, FloatHistogram), IncompatibleSchemas> {
    let smoothed = window.mode == RangeMode::Smoothed;
    let (times, values) = (window.histograms.timestamps, window.histograms.values);
    let sample = |i: usize| (times[i], &*values[i]);
    let mut between = |a: usize, time_ms: i64| {
        interpolate_histograms(sample(a), sample(a + 1), time_ms, counter, window.first_span, annotations)
    };
    let left = if smoothed && times[first] < window.start_ms {
        between(first, window.start_ms)?
    } else {
        (*values[first]).clone()
    };
    let right = if smoothed && last > 0 && times[last] > window.end_ms {
        between(last - 1, window.end_ms)?
    } else {
        (*values[last]).clone()
    };
    Ok((left, right))
}

/// What resets between the edges took away; none inside if there were none, none outside if it cannot be added up.
fn lost_to_resets(
    window: &Window<'_>,
    (first, left): (usize, &FloatHistogram),
    (last, right): (usize, &FloatHistogram),
    annotations: &mut Annotations,
) -> Option<Option<FloatHistogram>> {
    let (times, values) = (window.histograms.timestamps, window.histograms.values);
    let smoothed = window.mode == RangeMode::Smoothed;
    // The first sample is represented by the left edge, the last one by the right edge.
    let mut from = first + 1;
    let mut before = left;
    let second: Option<&Arc<FloatHistogram>> = values.get(first + 1);
    if let Some(second) = second
        && smoothed
        && times[first] < window.start_ms
        && second.detect_reset(&values[first])
    {
        // The left edge lies in the interval of that reset and accounts for it.
        before = second;
        from += 1;
    }
    if from > last {
        return Some(None);
    }
    let mut lost: Option<FloatHistogram> = None;
    for now in values[from..last].iter().map(|h| &**h).chain([right]) {
        if now.detect_reset(before) {
            match &mut lost {
                None => lost = Some(before.clone()),
                Some(lost) => histogram_rate::add(lost, before, Operation::Addition, window, annotations)?,
            }
        }
        before = now;
    }
    Some(lost)
}
