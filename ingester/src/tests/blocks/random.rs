//! Random samples of every kind against a plain map.

use std::sync::Arc;

use env::SimFs;
use model::{BucketSpan, CounterResetHint, FloatHistogram, Histogram, Value};
use proptest::prelude::*;

use super::super::support::*;
use super::support::*;

/// Which series, milliseconds before now, which kind of value.
fn samples() -> impl Strategy<Value = Vec<(u8, i64, u8)>> {
    let at = prop_oneof![3 => 0..8 * HOUR_MS, 1 => (0..4i64).prop_map(|n| n * 2 * HOUR_MS), 1 => 0..1000i64];
    proptest::collection::vec((0..5u8, at, 0..10u8), 1..400)
}

/// A value of a kind, of 0 to 9: floats, a stale marker, NaN with other bits, histograms.
pub(super) fn value(kind: u8, at: i64) -> Value {
    let n = at.unsigned_abs() % 1000;
    let spans = vec![BucketSpan { offset: -2, length: 1 }, BucketSpan { offset: 3, length: 2 }];
    match kind {
        0..=3 => Value::Float((n as f64).mul_add(0.1, f64::from(kind))),
        4 => Value::Float(model::stale_nan()),
        5 => Value::Float(f64::from_bits(0x7ff8_0000_0000_1234 ^ n)),
        6 | 7 => Value::Histogram(Arc::new(Histogram {
            schema: i32::from(kind) - 5,
            count: 6 + 3 * n,
            sum: n as f64 + 0.5,
            zero_threshold: 1e-9,
            zero_count: 3,
            positive_spans: spans,
            positive_buckets: vec![1 + n as i64, 0, 0],
            ..Histogram::default()
        })),
        8 => Value::FloatHistogram(Arc::new(FloatHistogram {
            counter_reset_hint: CounterResetHint::Gauge,
            count: 6.0 + n as f64,
            sum: -0.5,
            positive_spans: spans,
            positive_buckets: vec![1.5, n as f64, 2.0],
            ..FloatHistogram::default()
        })),
        _ => Value::Histogram(Arc::new(Histogram {
            schema: model::histogram::CUSTOM_BUCKETS_SCHEMA,
            count: 3 + n,
            sum: 1.0,
            positive_spans: vec![BucketSpan { offset: 0, length: 2 }],
            positive_buckets: vec![3, n as i64 - 3],
            custom_values: vec![0.5, 2.0],
            ..Histogram::default()
        })),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 120, ..ProptestConfig::default() })]
    #[test]
    fn what_went_in_comes_out_of_the_bucket(
        samples in samples(),
        cut_in_between in any::<bool>(),
        seed in any::<u64>(),
    ) {
        run(async {
            let fs = SimFs::new(seed);
            let mut storage = Storage::new(seed);
            let host = begin(&fs, &mut storage).await.unwrap();
            let mut oracle = Oracle::default();
            let half = samples.len() / 2;
            for (number, (series, before, kind)) in samples.into_iter().enumerate() {
                let at = NOW_MS - before;
                let rows =
                    [Row { labels: labels("m", usize::from(series)), timestamp_ms: at, value: value(kind, at) }];
                let answer = host.push(&tenant("team-a"), &rows).await;
                oracle.note(&rows, &answer);
                if cut_in_between && number == half {
                    maintain(&host).await;
                }
            }
            host.ingester.flush().await.unwrap();
            let index = storage.index("team-a").await;
            oracle.check(&storage.read("team-a", &index).await, "in the bucket");
            storage.seen = index;
            oracle.check(&read_both(&host, &storage, "team-a").await, "in both");
            end(host).await;
        });
    }
}
