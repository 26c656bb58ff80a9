//! `changes` and `resets`.

use std::sync::Arc;

use model::FloatHistogram;

use crate::ast::RangeMode;
use crate::engine::annotations::Annotations;
use crate::engine::value::SampleValue;

use super::window::{Part, RangeOutcome, Window, restarted};

/// A sample of either kind.
struct Any<'w> {
    timestamp_ms: i64,
    start_ms: i64,
    value: Kind<'w>,
}

enum Kind<'w> {
    Float(f64),
    Histogram(&'w Arc<FloatHistogram>),
}

/// How often the value changed.
pub(crate) fn changes(window: &Window<'_>, _: &mut Annotations) -> RangeOutcome {
    Ok(count_pairs(window, |before, now| match (&before.value, &now.value) {
        (Kind::Float(a), Kind::Float(b)) => a != b && !(a.is_nan() && b.is_nan()),
        (Kind::Histogram(a), Kind::Histogram(b)) => !a.same_data(b),
        _ => true,
    }))
}

/// How often a counter was reset.
pub(crate) fn resets(window: &Window<'_>, _: &mut Annotations) -> RangeOutcome {
    Ok(count_pairs(window, |before, now| {
        let by_start = || restarted(before.start_ms, before.timestamp_ms, now.start_ms, now.timestamp_ms);
        match (&before.value, &now.value) {
            (Kind::Float(a), Kind::Float(b)) => b < a || by_start(),
            (Kind::Histogram(a), Kind::Histogram(b)) => by_start() || b.detect_reset(a),
            _ => true,
        }
    }))
}

fn count_pairs(window: &Window<'_>, counts: impl Fn(&Any<'_>, &Any<'_>) -> bool) -> Option<SampleValue> {
    let (floats, histograms) = anchored(window)?;
    let mut samples = merged(floats, histograms);
    let mut before = samples.next()?;
    let mut count = 0u64;
    for now in samples {
        count += u64::from(counts(&before, &now));
        before = now;
    }
    Some(SampleValue::Float(count as f64))
}

/// With `anchored`, what counts is the last sample at or before the start of the range, of whatever kind, and
/// everything after it; nothing if nothing comes after.
fn anchored<'w>(window: &Window<'w>) -> Option<(Part<'w, f64>, Part<'w, Arc<FloatHistogram>>)> {
    let (floats, histograms) = (window.floats, window.histograms);
    if window.mode != RangeMode::Anchored {
        return Some((floats, histograms));
    }
    let start = window.start_ms;
    let inside_floats = floats.timestamps.partition_point(|t| *t <= start);
    let inside_histograms = histograms.timestamps.partition_point(|t| *t <= start);
    if inside_floats == floats.len() && inside_histograms == histograms.len() {
        return None;
    }
    let before = |timestamps: &[i64], inside: usize| inside.checked_sub(1).map(|i| timestamps[i]);
    let float_anchor = before(floats.timestamps, inside_floats);
    let histogram_anchor = before(histograms.timestamps, inside_histograms);
    Some(match (float_anchor, histogram_anchor) {
        (None, None) => (floats, histograms),
        (float, histogram) if float >= histogram => {
            (floats.from(inside_floats - 1), histograms.from(inside_histograms))
        }
        _ => (floats.from(inside_floats), histograms.from(inside_histograms - 1)),
    })
}

fn merged<'w>(
    floats: Part<'w, f64>,
    histograms: Part<'w, Arc<FloatHistogram>>,
) -> impl Iterator<Item = Any<'w>> {
    let (mut i, mut j) = (0, 0);
    std::iter::from_fn(move || {
        let float_first = match (floats.timestamps.get(i), histograms.timestamps.get(j)) {
            (None, None) => return None,
            (Some(_), None) => true,
            (None, Some(_)) => false,
            (Some(a), Some(b)) => a < b,
        };
        Some(if float_first {
            i += 1;
            Any {
                timestamp_ms: floats.timestamps[i - 1],
                start_ms: floats.starts.get(i - 1).copied().unwrap_or(0),
                value: Kind::Float(floats.values[i - 1]),
            }
        } else {
            j += 1;
            Any {
                timestamp_ms: histograms.timestamps[j - 1],
                start_ms: histograms.starts.get(j - 1).copied().unwrap_or(0),
                value: Kind::Histogram(&histograms.values[j - 1]),
            }
        })
    })
}
