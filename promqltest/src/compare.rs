//! Whether results are as expected.

use std::sync::Arc;

use model::{FloatHistogram, Labels, is_stale_nan};
use promql::{InstantSample, QueryValue, RangeSeries, SampleValue};

use crate::expect::{Expectations, Row};
use testseries::Item;

/// By how much floats may differ, relative to their size.
const EPSILON: f64 = 1e-6;

/// Equal up to rounding.
fn floats_equal(expected: f64, actual: f64) -> bool {
    if is_stale_nan(expected) || is_stale_nan(actual) {
        return is_stale_nan(expected) && is_stale_nan(actual);
    }
    if expected.is_nan() && actual.is_nan() || expected == actual {
        return true;
    }
    let difference = (expected - actual).abs();
    let sum = expected.abs() + actual.abs();
    if expected == 0.0 || actual == 0.0 || sum < f64::MIN_POSITIVE {
        return difference < EPSILON * f64::MIN_POSITIVE;
    }
    difference / sum.min(f64::MAX) < EPSILON
}

fn all_equal(expected: &[f64], actual: &[f64]) -> bool {
    expected.len() == actual.len() && expected.iter().zip(actual).all(|(a, b)| floats_equal(*a, *b))
}

/// Equal up to rounding and to empty buckets; the hint only if the expectation has one.
fn histograms_equal(expected: &FloatHistogram, hinted: bool, actual: &FloatHistogram) -> bool {
    let (a, b) = (expected.clone().compacted(), actual.clone().compacted());
    a.schema == b.schema
        && floats_equal(a.count, b.count)
        && floats_equal(a.sum, b.sum)
        && a.zero_threshold == b.zero_threshold
        && floats_equal(a.zero_count, b.zero_count)
        && a.custom_values == b.custom_values
        && a.positive_spans == b.positive_spans
        && a.negative_spans == b.negative_spans
        && all_equal(&a.positive_buckets, &b.positive_buckets)
        && all_equal(&a.negative_buckets, &b.negative_buckets)
        && (!hinted || a.counter_reset_hint == b.counter_reset_hint)
}

fn matches(expected: &Item, actual: &SampleValue) -> bool {
    match (expected, actual) {
        (Item::Float(a), SampleValue::Float(b)) => floats_equal(*a, *b),
        (Item::Histogram(a, hinted), SampleValue::Histogram(b)) => histograms_equal(a, *hinted, b),
        _ => false,
    }
}

fn shown(value: &SampleValue) -> String {
    match value {
        SampleValue::Float(v) => v.to_string(),
        SampleValue::Histogram(h) => format!("{h} {h:?}"),
    }
}

/// Checks the result of an instant query.
pub(crate) fn instant(expected: &Expectations, actual: &QueryValue) -> Result<(), String> {
    if let Some(text) = &expected.string {
        return match actual {
            QueryValue::String(bytes) if bytes == text => Ok(()),
            other => Err(format!("expected the text {:?}, got {other:?}", String::from_utf8_lossy(text))),
        };
    }
    match actual {
        QueryValue::Scalar(value) => match expected.scalar {
            Some(scalar) if floats_equal(scalar, *value) => Ok(()),
            Some(scalar) => Err(format!("expected scalar {scalar}, got {value}")),
            None => Err(format!("expected a vector, got scalar {value}")),
        },
        QueryValue::Vector(samples) if expected.scalar.is_none() => vector(expected, samples),
        QueryValue::Vector(_) => Err("expected a scalar, got a vector".to_owned()),
        QueryValue::Matrix(series) => match expected.range_vector {
            Some((start_ms, step_ms)) => matrix(&expected.rows, series, start_ms, step_ms, None),
            None => Err("got a range vector that was not expected".to_owned()),
        },
        QueryValue::String(_) => Err("got a text that was not expected".to_owned()),
    }
}

fn vector(expected: &Expectations, samples: &[InstantSample]) -> Result<(), String> {
    let mut seen: Vec<&Labels> = Vec::new();
    for (i, sample) in samples.iter().enumerate() {
        if seen.contains(&&sample.labels) {
            return Err(format!("duplicate series {}", sample.labels));
        }
        seen.push(&sample.labels);
        let position = expected.rows.iter().position(|row| row.labels == sample.labels);
        let Some(position) = position else {
            return Err(format!("unexpected series {} with {}", sample.labels, shown(&sample.value)));
        };
        if expected.ordered && position != i {
            return Err(format!("expected series {} at position {position}, it is at {i}", sample.labels));
        }
        let item = expected.rows[position].items.first();
        if !item.is_some_and(|item| matches(item, &sample.value)) {
            return Err(format!("expected {item:?} for {}, got {}", sample.labels, shown(&sample.value)));
        }
    }
    match expected.rows.iter().find(|row| !seen.contains(&&row.labels)) {
        Some(row) => Err(format!("expected series {} is missing", row.labels)),
        None => Ok(()),
    }
}

/// Checks series over times from `start_ms`, `step_ms` apart; of range queries, as many as `steps`.
pub(crate) fn matrix(
    rows: &[Row],
    series: &[RangeSeries],
    start_ms: i64,
    step_ms: i64,
    steps: Option<usize>,
) -> Result<(), String> {
    sorted(series)?;
    for found in series {
        let Some(row) = rows.iter().find(|row| row.labels == found.labels) else {
            return Err(format!("unexpected series {}: {found:?}", found.labels));
        };
        if steps.is_some_and(|steps| row.items.len() > steps) {
            return Err(format!("more values than steps expected for {}", row.labels));
        }
        same_points(row, found, start_ms, step_ms)?;
    }
    let missing = rows.iter().find(|row| {
        let any = row.items.iter().any(|item| *item != Item::Omitted);
        any && !series.iter().any(|found| found.labels == row.labels)
    });
    match missing {
        Some(row) => Err(format!("expected series {} is missing", row.labels)),
        None => Ok(()),
    }
}

fn same_points(row: &Row, found: &RangeSeries, start_ms: i64, step_ms: i64) -> Result<(), String> {
    let (mut floats, mut histograms) = (Vec::new(), Vec::new());
    for (i, item) in row.items.iter().enumerate() {
        let time = start_ms + i as i64 * step_ms;
        match item {
            Item::Omitted => {}
            Item::Float(v) => floats.push((time, *v)),
            Item::Histogram(h, hinted) => histograms.push((time, Arc::clone(h), *hinted)),
        }
    }
    let labels = &found.labels;
    if floats.len() != found.floats.len() || histograms.len() != found.histograms.len() {
        return Err(format!(
            "expected floats {floats:?} and {} histograms for {labels}, got {:?} and {}",
            histograms.len(),
            found.floats,
            found.histograms.len()
        ));
    }
    for ((time, expected), (actual_time, actual)) in floats.iter().zip(&found.floats) {
        if time != actual_time || !floats_equal(*expected, *actual) {
            return Err(format!("expected {expected} at {time} for {labels}, got {actual} at {actual_time}"));
        }
    }
    for ((time, expected, hinted), (actual_time, actual)) in histograms.iter().zip(&found.histograms) {
        if time != actual_time || !histograms_equal(expected, *hinted, actual) {
            return Err(format!(
                "expected {expected:?} at {time} for {labels}, got {actual:?} at {actual_time}"
            ));
        }
    }
    Ok(())
}

/// Series over time come in order of their labels.
pub(crate) fn sorted(series: &[RangeSeries]) -> Result<(), String> {
    match series.windows(2).find(|pair| pair[0].labels > pair[1].labels) {
        Some(pair) => Err(format!("series are not sorted: {} before {}", pair[0].labels, pair[1].labels)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tolerance() {
        assert!(floats_equal(1.0, 1.000_001));
        assert!(!floats_equal(2.0, 2.000_01));
        assert!(!floats_equal(0.0, 1e-12));
        assert!(floats_equal(0.0, -0.0));
        assert!(floats_equal(f64::INFINITY, f64::INFINITY));
        assert!(floats_equal(f64::NAN, f64::NAN));
        assert!(!floats_equal(f64::NAN, model::stale_nan()));
    }
}
