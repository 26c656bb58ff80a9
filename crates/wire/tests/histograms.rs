//! Which histograms contradict themselves.

use std::sync::Arc;

use model::{BucketSpan, FloatHistogram, Histogram, Value};
use wire::WireError;
use wire::encode::put_histogram;
use wire::histogram::{self, HistogramSample, MAX_BUCKETS, validate};
use wire::protobuf::{put_bytes_field, put_varint_field};

fn spans(spans: &[(i32, u32)]) -> Vec<BucketSpan> {
    spans.iter().map(|&(offset, length)| BucketSpan { offset, length }).collect()
}

/// 3 positive, 3 negative, 2 in the zero bucket.
fn good() -> Histogram {
    Histogram {
        schema: 3,
        count: 8,
        sum: 1.5,
        zero_count: 2,
        positive_spans: spans(&[(-5, 1), (2, 1)]),
        positive_buckets: vec![1, 1],
        negative_spans: spans(&[(0, 2)]),
        negative_buckets: vec![2, -1],
        ..Histogram::default()
    }
}

fn custom() -> Histogram {
    Histogram {
        schema: -53,
        count: 3,
        sum: 1.5,
        positive_spans: spans(&[(0, 1), (1, 1)]),
        positive_buckets: vec![1, 1],
        custom_values: vec![1.0, 2.0],
        ..Histogram::default()
    }
}

fn check(histogram: impl Into<Arc<Histogram>>, part: &str) {
    let histogram = histogram.into();
    let result = validate(&Value::Histogram(Arc::clone(&histogram)));
    match result {
        Ok(()) => assert_eq!(part, "", "{histogram:?} is accepted"),
        Err(error) => assert!(!part.is_empty() && error.to_string().contains(part), "{error}: {histogram:?}"),
    }
}

#[test]
fn integer_histograms() {
    check(good(), "");
    check(Histogram::default(), "");
    check(Histogram { count: 9, ..good() }, "count is 9, but its buckets add up to 8");
    check(Histogram { count: 7, ..good() }, "count is 7, but its buckets add up to 8");
    check(Histogram { count: 9, sum: f64::NAN, ..good() }, "");
    check(Histogram { count: 7, sum: f64::NAN, ..good() }, "count is 7");
    check(Histogram { sum: model::stale_nan(), ..Histogram::default() }, "");
    check(Histogram { schema: 9, ..good() }, "schema 9");
    check(Histogram { schema: -5, ..good() }, "schema -5");
    check(Histogram { negative_buckets: vec![2, -3], ..good() }, "negative bucket is -1");
    check(
        Histogram { positive_spans: spans(&[(-5, 1), (-1, 1)]), ..good() },
        "positive span 1 of the histogram has the negative offset -1",
    );
    check(
        Histogram { positive_spans: spans(&[(-5, 1)]), ..good() },
        "positive spans describe 1 buckets, but there are 2",
    );
    check(
        Histogram { negative_spans: spans(&[(0, u32::MAX), (0, u32::MAX)]), ..good() },
        "negative spans describe 8589934590 buckets",
    );
    check(Histogram { positive_buckets: vec![i64::MAX, 1], ..good() }, "more than 2^64");
    check(
        Histogram { positive_buckets: vec![i64::MAX, 0], zero_count: u64::MAX, ..good() },
        "more than 2^64",
    );
    check(Histogram { custom_values: vec![1.0], ..good() }, "exponential schema 3");
}

#[test]
fn custom_bounds() {
    check(custom(), "");
    check(
        Histogram {
            custom_values: vec![],
            count: 0,
            positive_spans: vec![],
            positive_buckets: vec![],
            ..custom()
        },
        "",
    );
    check(Histogram { custom_values: vec![1.0], ..custom() }, "at most 2 buckets, but its spans reach 3");
    check(Histogram { custom_values: vec![2.0, 1.0], ..custom() }, "bound 1 of the histogram follows 2");
    check(Histogram { custom_values: vec![1.0, 1.0], ..custom() }, "bounds ascend");
    check(
        Histogram { custom_values: vec![1.0, f64::INFINITY], ..custom() },
        "bound inf of the histogram is not finite",
    );
    check(Histogram { custom_values: vec![f64::NAN, 1.0], ..custom() }, "not finite");
    check(Histogram { zero_count: 1, count: 4, ..custom() }, "no zero count");
    check(Histogram { zero_threshold: 0.1, ..custom() }, "no zero threshold");
    check(Histogram { negative_spans: spans(&[(0, 0)]), ..custom() }, "no negative buckets");
    check(
        Histogram { positive_spans: spans(&[(-1, 1), (1, 1)]), ..custom() },
        "span 0 of the histogram has the negative offset -1",
    );
}

#[test]
fn float_histograms() {
    let check = |histogram: FloatHistogram, part: &str| {
        let text = validate(&Value::FloatHistogram(Arc::new(histogram))).map_err(|e| e.to_string());
        match text {
            Ok(()) => assert_eq!(part, ""),
            Err(text) => assert!(!part.is_empty() && text.contains(part), "{text}"),
        }
    };
    let good = good().to_float();
    check(good.clone(), "");
    // Rounding: the sum over buckets is not looked at.
    check(FloatHistogram { count: 8.000_001, ..good.clone() }, "");
    check(FloatHistogram { count: -1.0, ..good.clone() }, "count is -1");
    check(FloatHistogram { zero_count: -0.5, ..good.clone() }, "zero count is -0.5");
    check(FloatHistogram { positive_buckets: vec![1.0, -2.0], ..good.clone() }, "positive bucket is -2");
    check(
        FloatHistogram { negative_buckets: vec![], ..good },
        "negative spans describe 2 buckets, but there are 0",
    );
}

#[test]
fn buckets_are_bounded_before_they_are_stored() {
    let mut body = Vec::new();
    put_bytes_field(&mut body, 12, &vec![2; MAX_BUCKETS]);
    assert!(histogram::decode(&body).is_ok());
    put_bytes_field(&mut body, 12, &[2]);
    assert!(matches!(histogram::decode(&body), Err(WireError::TooMany { what: "buckets", .. })));
    let mut body = Vec::new();
    put_bytes_field(&mut body, 16, &vec![0; 8 * (MAX_BUCKETS + 1)]);
    assert!(matches!(histogram::decode(&body), Err(WireError::TooMany { .. })));
    put_bytes_field(&mut body, 13, &[0; 7]);
    assert!(histogram::decode(&body).is_err());
}

#[test]
fn numbers_that_are_not_packed_are_read_too() {
    let mut body = Vec::new();
    for delta in [2, 4] {
        put_varint_field(&mut body, 12, delta);
    }
    wire::protobuf::put_double_field(&mut body, 16, 0.5);
    match histogram::decode(&body).unwrap().value {
        Value::Histogram(h) => {
            assert_eq!((&h.positive_buckets[..], &h.custom_values[..]), (&[1, 2][..], &[0.5][..]));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_last_count_decides_what_it_is() {
    let mut body = Vec::new();
    let sample = |value| HistogramSample { timestamp_ms: 1, start_timestamp_ms: 0, value };
    put_histogram(&mut body, &sample(Value::Histogram(Arc::new(good()))));
    put_histogram(
        &mut body,
        &sample(Value::FloatHistogram(Arc::new(FloatHistogram { count: 2.5, ..FloatHistogram::default() }))),
    );
    match histogram::decode(&body).unwrap().value {
        Value::FloatHistogram(h) => assert_eq!(h.count, 2.5),
        other => panic!("{other:?}"),
    }
}
