//! `…_over_time`: aggregation over the samples of one series.

use std::sync::Arc;

use model::histogram::IncompatibleSchemas;
use model::{CompensatedSum, FloatHistogram};

use crate::engine::annotations::Annotations;
use crate::engine::value::SampleValue;
use crate::eval::Points;
use crate::eval::accumulate::{HistogramAccumulator, Mean};
use crate::text::number::general;
use crate::text::quote::quote;

use super::slide::FloatSeries;
use super::window::{RangeOutcome, Window};

fn float(value: f64) -> RangeOutcome {
    Ok(Some(SampleValue::Float(value)))
}

/// The window's floats, if there are any; histograms beside them are ignored, which is worth an info.
fn floats_only<'w>(window: &Window<'w>, annotations: &mut Annotations) -> Option<&'w [f64]> {
    if window.floats.is_empty() {
        return None;
    }
    note_ignored_histograms(window, annotations);
    Some(window.floats.values)
}

/// Notes that the histograms of a window are ignored, if there are any.
pub(super) fn note_ignored_histograms(window: &Window<'_>, annotations: &mut Annotations) {
    if !window.histograms.is_empty() {
        annotations.info(
            window.first_span,
            format!(
                "ignored histograms in a range containing both floats and histograms for metric name {}",
                quote(window.metric_name())
            ),
        );
    }
}

/// Notes that a window has both floats and histograms where that cannot be handled.
pub(super) fn note_mixed(window: &Window<'_>, annotations: &mut Annotations) {
    annotations.warn(
        window.first_span,
        format!("encountered a mix of histograms and floats for metric name {}", quote(window.metric_name())),
    );
}

/// Notes that a window has histograms with exponential and with custom buckets.
pub(super) fn note_mixed_schemas(window: &Window<'_>, annotations: &mut Annotations) {
    annotations.warn(
        window.first_span,
        format!(
            "vector contains a mix of histograms with exponential and custom buckets schemas for metric name {}",
            quote(window.metric_name())
        ),
    );
}

pub(crate) fn count(window: &Window<'_>, _: &mut Annotations) -> RangeOutcome {
    float((window.floats.len() + window.histograms.len()) as f64)
}

pub(crate) fn present(_: &Window<'_>, _: &mut Annotations) -> RangeOutcome {
    float(1.0)
}

pub(crate) fn sum(window: &Window<'_>, annotations: &mut Annotations) -> RangeOutcome {
    if window.is_mixed() {
        note_mixed(window, annotations);
        return Ok(None);
    }
    if window.floats.is_empty() {
        let total = accumulate_histograms(window, annotations, false);
        return Ok(total.map(|h| SampleValue::Histogram(Arc::new(h))));
    }
    float(CompensatedSum::of(window.floats.values).total())
}

pub(crate) fn avg(window: &Window<'_>, annotations: &mut Annotations) -> RangeOutcome {
    if window.is_mixed() {
        note_mixed(window, annotations);
        return Ok(None);
    }
    if window.floats.is_empty() {
        let mean = accumulate_histograms(window, annotations, true);
        return Ok(mean.map(|h| SampleValue::Histogram(Arc::new(h))));
    }
    float(Mean::of(window.floats.values))
}

pub(crate) fn sum_floats(series: &FloatSeries<'_>, points: &mut Points) {
    series.slide(points, |range, _, _| Some(CompensatedSum::of(&series.values[range]).total()));
}

pub(crate) fn avg_floats(series: &FloatSeries<'_>, points: &mut Points) {
    series.slide(points, |range, _, _| Some(Mean::of(&series.values[range])));
}

pub(crate) fn count_floats(series: &FloatSeries<'_>, points: &mut Points) {
    series.slide(points, |range, _, _| Some(range.len() as f64));
}

pub(crate) fn present_floats(series: &FloatSeries<'_>, points: &mut Points) {
    series.slide(points, |_, _, _| Some(1.0));
}

pub(crate) fn last_floats(series: &FloatSeries<'_>, points: &mut Points) {
    series.slide(points, |range, _, _| series.values[range].last().copied());
}

pub(crate) fn min_floats(series: &FloatSeries<'_>, points: &mut Points) {
    series.best(points, |a, b| a < b);
}

pub(crate) fn max_floats(series: &FloatSeries<'_>, points: &mut Points) {
    series.best(points, |a, b| a > b);
}

fn accumulate_histograms(
    window: &Window<'_>,
    annotations: &mut Annotations,
    mean: bool,
) -> Option<FloatHistogram> {
    let mut accumulator = HistogramAccumulator::default();
    for histogram in window.histograms.values {
        let added = if mean { accumulator.add_to_mean(histogram) } else { accumulator.add(histogram) };
        if added == Err(IncompatibleSchemas) {
            note_mixed_schemas(window, annotations);
            return None;
        }
    }
    accumulator.annotate(window.first_span, annotations);
    if mean { accumulator.mean() } else { accumulator.sum() }
}

/// The first sample that no later one beats, and when it was.
fn extreme(
    window: &Window<'_>,
    annotations: &mut Annotations,
    beats: fn(f64, f64) -> bool,
) -> Option<(i64, f64)> {
    let values = floats_only(window, annotations)?;
    let mut best = 0;
    for (i, value) in values.iter().enumerate() {
        if beats(*value, values[best]) || values[best].is_nan() {
            best = i;
        }
    }
    Some((window.floats.timestamps[best], values[best]))
}

/// The best value, of equal ones the first; NaN only if there is nothing else.
fn best(values: &[f64], better: impl Fn(f64, f64) -> bool) -> f64 {
    values
        .iter()
        .fold(f64::NAN, |best, value| if better(*value, best) || best.is_nan() { *value } else { best })
}

pub(crate) fn min(window: &Window<'_>, annotations: &mut Annotations) -> RangeOutcome {
    let values = floats_only(window, annotations);
    Ok(values.map(|values| SampleValue::Float(best(values, |a, b| a < b))))
}

pub(crate) fn max(window: &Window<'_>, annotations: &mut Annotations) -> RangeOutcome {
    let values = floats_only(window, annotations);
    Ok(values.map(|values| SampleValue::Float(best(values, |a, b| a > b))))
}

fn seconds(timestamp_ms: i64) -> SampleValue {
    SampleValue::Float(timestamp_ms as f64 / 1000.0)
}

pub(crate) fn time_of_min(window: &Window<'_>, annotations: &mut Annotations) -> RangeOutcome {
    Ok(extreme(window, annotations, |a, b| a <= b).map(|(t, _)| seconds(t)))
}

pub(crate) fn time_of_max(window: &Window<'_>, annotations: &mut Annotations) -> RangeOutcome {
    Ok(extreme(window, annotations, |a, b| a >= b).map(|(t, _)| seconds(t)))
}

pub(crate) fn time_of_first(window: &Window<'_>, _: &mut Annotations) -> RangeOutcome {
    let firsts = [window.floats.timestamps.first(), window.histograms.timestamps.first()];
    Ok(firsts.into_iter().flatten().min().map(|t| seconds(*t)))
}

pub(crate) fn time_of_last(window: &Window<'_>, _: &mut Annotations) -> RangeOutcome {
    let lasts = [window.floats.timestamps.last(), window.histograms.timestamps.last()];
    Ok(lasts.into_iter().flatten().max().map(|t| seconds(*t)))
}

pub(crate) fn first(window: &Window<'_>, _: &mut Annotations) -> RangeOutcome {
    let (floats, histograms) = (&window.floats, &window.histograms);
    Ok(match (floats.timestamps.first(), histograms.timestamps.first()) {
        (Some(f), h) if h.is_none_or(|h| f < h) => floats.values.first().map(|v| SampleValue::Float(*v)),
        _ => histograms.values.first().map(|h| SampleValue::Histogram(Arc::clone(h))),
    })
}

pub(crate) fn last(window: &Window<'_>, _: &mut Annotations) -> RangeOutcome {
    let (floats, histograms) = (&window.floats, &window.histograms);
    Ok(match (floats.timestamps.last(), histograms.timestamps.last()) {
        (Some(f), h) if h.is_none_or(|h| h < f) => floats.values.last().map(|v| SampleValue::Float(*v)),
        _ => histograms.values.last().map(|h| SampleValue::Histogram(Arc::clone(h))),
    })
}

fn variance(window: &Window<'_>, annotations: &mut Annotations) -> Option<f64> {
    let values = floats_only(window, annotations)?;
    let (mut mean, mut squares) = (CompensatedSum::default(), CompensatedSum::default());
    for (i, value) in values.iter().enumerate() {
        let delta = value - (mean.sum + mean.compensation);
        mean.add(delta / (i + 1) as f64);
        squares.add(delta * (value - (mean.sum + mean.compensation)));
    }
    Some((squares.sum + squares.compensation) / values.len() as f64)
}

pub(crate) fn stdvar(window: &Window<'_>, annotations: &mut Annotations) -> RangeOutcome {
    Ok(variance(window, annotations).map(SampleValue::Float))
}

pub(crate) fn stddev(window: &Window<'_>, annotations: &mut Annotations) -> RangeOutcome {
    Ok(variance(window, annotations).map(|v| SampleValue::Float(v.sqrt())))
}

pub(crate) fn quantile(window: &Window<'_>, annotations: &mut Annotations) -> RangeOutcome {
    if window.floats.is_empty() {
        return Ok(None);
    }
    let q = window.scalar(0);
    if !(0.0..=1.0).contains(&q) {
        annotations
            .warn(window.first_span, format!("quantile value should be between 0 and 1, got {}", general(q)));
    }
    note_ignored_histograms(window, annotations);
    float(quantile_of(q, &mut window.floats.values.to_vec()))
}

pub(crate) fn mad(window: &Window<'_>, annotations: &mut Annotations) -> RangeOutcome {
    let Some(values) = floats_only(window, annotations) else {
        return Ok(None);
    };
    if values.iter().any(|v| v.is_nan()) {
        return float(f64::NAN);
    }
    let mut values = values.to_vec();
    let median = quantile_of(0.5, &mut values);
    values.iter_mut().for_each(|v| *v = (*v - median).abs());
    float(quantile_of(0.5, &mut values))
}

/// The quantile `q` of values, which get sorted; between two of them it is interpolated. NaN is less than everything.
pub(crate) fn quantile_of(q: f64, values: &mut [f64]) -> f64 {
    if values.is_empty() || q.is_nan() {
        return f64::NAN;
    }
    if q < 0.0 {
        return f64::NEG_INFINITY;
    }
    if q > 1.0 {
        return f64::INFINITY;
    }
    // NaN is less than everything.
    let order = |a: &f64, b: &f64| match (a.is_nan(), b.is_nan()) {
        (true, true) => std::cmp::Ordering::Equal,
        (true, false) => std::cmp::Ordering::Less,
        (false, true) => std::cmp::Ordering::Greater,
        (false, false) => a.total_cmp(b),
    };
    let last = values.len() - 1;
    let rank = q * last as f64;
    let lower = (rank.floor().max(0.0) as usize).min(last);
    let weight = rank - rank.floor();
    let (_, below, above) = values.select_nth_unstable_by(lower, order);
    let above = above.iter().copied().min_by(order).unwrap_or(*below);
    *below * (1.0 - weight) + above * weight
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_interpolate() {
        assert_eq!(quantile_of(0.5, &mut [3.0, 1.0]), 2.0);
        assert_eq!(quantile_of(1.0, &mut [3.0, f64::NAN, 1.0]), 3.0);
        assert!(quantile_of(0.0, &mut [3.0, f64::NAN]).is_nan());
        assert_eq!(quantile_of(-0.1, &mut [1.0]), f64::NEG_INFINITY);
    }
}
