//! Arithmetic on histograms.

use super::*;

fn spans(spans: &[(i32, u32)]) -> Vec<BucketSpan> {
    spans.iter().map(|(offset, length)| BucketSpan { offset: *offset, length: *length }).collect()
}

fn exponential(schema: i32, offset: i32, counts: &[f64]) -> FloatHistogram {
    FloatHistogram {
        schema,
        count: counts.iter().sum(),
        sum: 1.0,
        positive_spans: spans(&[(offset, counts.len() as u32)]),
        positive_buckets: counts.to_vec(),
        ..FloatHistogram::default()
    }
}

fn custom(bounds: &[f64], counts: &[f64]) -> FloatHistogram {
    FloatHistogram { custom_values: bounds.to_vec(), ..exponential(CUSTOM_BUCKETS_SCHEMA, 0, counts) }
}

#[test]
fn bounds() {
    assert_eq!(exponential_bound(0, 0), 1.0);
    assert_eq!(exponential_bound(1, 0), 2.0);
    assert_eq!(exponential_bound(-1, 0), 0.5);
    assert_eq!(exponential_bound(1, -2), 16.0);
    assert!((exponential_bound(1, 1) - 2f64.sqrt()).abs() < 1e-15);
    assert_eq!(exponential_bound(1024, 0), f64::MAX);
    assert_eq!(exponential_bound(8192, 3), f64::MAX);
    assert!(exponential_bound(8191, 3) < f64::MAX);
    assert!(exponential_bound(-1074 * 8 + 1, 3) > 0.0);
    for schema in -4..=8 {
        let bounds: Vec<f64> = (-300..300).map(|i| exponential_bound(i, schema)).collect();
        assert!(bounds.windows(2).all(|w| w[0] <= w[1]), "schema {schema}");
    }
}

#[test]
fn compaction_drops_and_fills() {
    let mut h = exponential(0, -1, &[0.0, 1.0, 0.0, 0.0, 2.0, 0.0]);
    h.compact(0);
    assert_eq!(h.positive_spans, spans(&[(0, 1), (2, 1)]));
    h.compact(2);
    assert_eq!(h.positive_spans, spans(&[(0, 4)]));
    assert_eq!(h.positive_buckets, [1.0, 0.0, 0.0, 2.0]);
    let mut empty = exponential(0, 3, &[0.0]);
    empty.compact(0);
    assert!(empty.positive_spans.is_empty() && empty.positive_buckets.is_empty());
}

#[test]
fn sums_reconcile_schemas() {
    let mut fine = exponential(1, 1, &[1.0, 2.0, 3.0, 4.0]);
    let coarse = exponential(0, 1, &[10.0, 20.0]);
    let done = fine.add(&coarse).unwrap();
    assert_eq!(done, Combination::default());
    assert_eq!((fine.schema, fine.positive_buckets.as_slice()), (0, &[13.0, 27.0][..]));
    assert_eq!(fine.count, 40.0);
    fine.sub(&coarse).unwrap();
    assert_eq!(fine.positive_buckets, [3.0, 7.0]);
    assert_eq!(fine.add(&custom(&[1.0], &[1.0])), Err(IncompatibleSchemas));
}

#[test]
fn sums_widen_the_zero_bucket_to_the_end_of_a_populated_bucket() {
    let mut a = exponential(0, 0, &[1.0, 2.0]);
    a.zero_threshold = 0.1;
    let mut b = exponential(0, 1, &[5.0]);
    b.zero_threshold = 0.75;
    b.zero_count = 4.0;
    a.add(&b).unwrap();
    // 0.75 cuts (0.5, 1], which holds something: the threshold moves to 1.
    assert_eq!((a.zero_threshold, a.zero_count), (1.0, 5.0));
    assert_eq!((a.positive_spans, a.positive_buckets), (spans(&[(1, 1)]), vec![7.0]));
}

#[test]
fn custom_bounds_are_reconciled_to_common_ones() {
    let mut a = custom(&[1.0, 2.0, 3.0], &[1.0, 2.0, 3.0, 4.0]);
    let done = a.add(&custom(&[2.0, 4.0], &[10.0, 20.0, 30.0])).unwrap();
    assert!(done.bounds_reconciled);
    assert_eq!((a.custom_values, a.positive_buckets), (vec![2.0], vec![13.0, 57.0]));
}

#[test]
fn resets() {
    let before = exponential(0, 0, &[1.0, 2.0]);
    let mut after = exponential(0, 0, &[1.0, 3.0]);
    assert!(!after.detect_reset(&before));
    assert!(before.detect_reset(&after));
    assert!(exponential(0, 1, &[9.0]).detect_reset(&before), "a populated bucket vanished");
    assert!(exponential(1, 0, &[9.0, 9.0, 9.0]).detect_reset(&before), "finer schema");
    after.counter_reset_hint = CounterResetHint::Reset;
    assert!(after.detect_reset(&before));
}

#[test]
fn compensated_sums_keep_small_parts() {
    let mut sum = HistogramSum::new(&exponential(0, 0, &[1e100]));
    sum.add(&exponential(0, 0, &[1.0, 7.0])).unwrap();
    let mut negative = exponential(0, 0, &[1e100]);
    negative.scale(-1.0);
    sum.add(&negative).unwrap();
    let mut total = HistogramSum::new(&exponential(0, 0, &[2.0]));
    total.merge(&sum).unwrap();
    let total = total.finish();
    assert_eq!(total.positive_buckets, [3.0, 7.0]);
    assert_eq!(total.counter_reset_hint, CounterResetHint::Gauge);
}

#[test]
fn trimming() {
    let mut h = custom(&[5.0, 10.0], &[2.0, 4.0, 6.0]);
    h.trim(7.5, Keep::Below);
    assert_eq!(h.positive_buckets, [2.0, 2.0]);
    assert_eq!(h.count, 4.0);
    let mut h = exponential(0, 0, &[1.0, 2.0]);
    let whole = h.clone();
    h.trim(100.0, Keep::Below);
    assert_eq!(h, whole);
    h.trim(1.0, Keep::Above);
    assert_eq!((h.positive_spans, h.positive_buckets), (spans(&[(1, 1)]), vec![2.0]));
}

#[test]
fn text() {
    let mut h = exponential(0, 0, &[1.0, 0.0, 2.0]);
    h.zero_threshold = 0.001;
    h.zero_count = 0.5;
    h.negative_spans = spans(&[(0, 1)]);
    h.negative_buckets = vec![3.0];
    assert_eq!(h.to_string(), "{count:3, sum:1, [-1,-0.5):3, [-0.001,0.001]:0.5, (0.5,1]:1, (2,4]:2}");
}
