//! Native histograms of the shapes that cases name.

use std::sync::Arc;

use model::{BucketSpan, Histogram, Value};
use wire::histogram::HistogramSample;

/// The histogram of this shape; `None` where the shape is not known.
pub(super) fn histogram(shape: &str, timestamp_ms: i64) -> Option<HistogramSample> {
    let span = |offset, length| vec![BucketSpan { offset, length }];
    let positive = Histogram {
        count: 8,
        sum: 11.5,
        zero_threshold: 1e-128,
        zero_count: 2,
        positive_spans: span(0, 2),
        positive_buckets: vec![2, 2],
        ..Histogram::default()
    };
    let histogram = match shape {
        "positive" => positive,
        "basic" => {
            Histogram { count: 11, negative_spans: span(1, 2), negative_buckets: vec![1, 1], ..positive }
        }
        "negative" => Histogram {
            count: 3,
            sum: -7.0,
            negative_spans: span(1, 2),
            negative_buckets: vec![1, 1],
            ..Histogram::default()
        },
        "zero-only" => Histogram { count: 5, zero_count: 5, zero_threshold: 1e-128, ..Histogram::default() },
        "empty" => Histogram::default(),
        "bad-count" => Histogram { count: 100, ..positive },
        "custom" | "custom-buckets" => Histogram {
            schema: -53,
            count: 6,
            sum: 9.0,
            positive_spans: span(0, 3),
            positive_buckets: vec![1, 1, 1],
            custom_values: vec![0.5, 1.0, 2.5],
            ..Histogram::default()
        },
        _ => return None,
    };
    Some(HistogramSample {
        timestamp_ms,
        start_timestamp_ms: 0,
        value: Value::Histogram(Arc::new(histogram)),
    })
}
