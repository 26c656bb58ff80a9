//! Trends: `deriv`, `predict_linear`, `double_exponential_smoothing`.

use model::CompensatedSum;

use crate::engine::annotations::Annotations;
use crate::engine::error::QueryError;
use crate::engine::value::SampleValue;

use super::over_time::note_ignored_histograms;
use super::window::{Part, RangeOutcome, Window};

/// Two floats at least; with a single one beside histograms, the info says what became of them.
fn enough(window: &Window<'_>, annotations: &mut Annotations) -> bool {
    if !window.floats.is_empty() {
        note_ignored_histograms(window, annotations);
    }
    window.floats.len() >= 2
}

pub(crate) fn deriv(window: &Window<'_>, annotations: &mut Annotations) -> RangeOutcome {
    if !enough(window, annotations) {
        return Ok(None);
    }
    // Any time near the samples does; a far one would cost accuracy.
    let (slope, _) = linear_regression(&window.floats, window.floats.timestamps[0]);
    Ok(Some(SampleValue::Float(slope)))
}

pub(crate) fn predict_linear(window: &Window<'_>, annotations: &mut Annotations) -> RangeOutcome {
    if !enough(window, annotations) {
        return Ok(None);
    }
    let (slope, intercept) = linear_regression(&window.floats, window.time_ms);
    Ok(Some(SampleValue::Float(slope * window.scalar(0) + intercept)))
}

/// The least-squares line through samples: its slope per second, and its value at `intercept_ms`.
fn linear_regression(samples: &Part<'_, f64>, intercept_ms: i64) -> (f64, f64) {
    let first = samples.values[0];
    if samples.values.iter().all(|v| *v == first) {
        return if first.is_infinite() { (f64::NAN, f64::NAN) } else { (0.0, first) };
    }
    let [mut x, mut y, mut xy, mut xx] = [CompensatedSum::default(); 4];
    for (timestamp, value) in samples.timestamps.iter().zip(samples.values) {
        let seconds = (timestamp - intercept_ms) as f64 / 1e3;
        x.add(seconds);
        y.add(*value);
        xy.add(seconds * value);
        xx.add(seconds * seconds);
    }
    let n = samples.len() as f64;
    let [x, y, xy, xx] = [x, y, xy, xx].map(|s| s.sum + s.compensation);
    let slope = (xy - x * y / n) / (xx - x * x / n);
    (slope, y / n - slope * x / n)
}

pub(crate) fn double_exponential_smoothing(
    window: &Window<'_>,
    annotations: &mut Annotations,
) -> RangeOutcome {
    let (smoothing, trend) = (window.scalar(0), window.scalar(1));
    for (name, factor) in
        [("smoothing factor. Expected: 0 < sf", smoothing), ("trend factor. Expected: 0 < tf", trend)]
    {
        if factor <= 0.0 || factor >= 1.0 {
            return Err(QueryError::execution(format!("invalid {name} < 1, got: {factor:.6}")));
        }
    }
    if !enough(window, annotations) {
        return Ok(None);
    }
    let values = window.floats.values;
    let (mut before, mut smoothed) = (0.0, values[0]);
    let mut slope = values[1] - values[0];
    for (i, value) in values.iter().enumerate().skip(1) {
        if i > 1 {
            slope = trend * (smoothed - before) + (1.0 - trend) * slope;
        }
        let next = smoothing * value + (1.0 - smoothing) * (smoothed + slope);
        (before, smoothed) = (smoothed, next);
    }
    Ok(Some(SampleValue::Float(smoothed)))
}
