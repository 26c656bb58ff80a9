//! A slice of a chunk has exactly the samples of its range, whatever the chunk holds.

use chunk::{
    Appended, Encoding, FloatHistogramStAppender, HistogramAppender, ValueRef, Xor2Appender, XorAppender,
    cursor, slice,
};
use model::{BucketSpan, Histogram, TimeRange, Value, stale_nan};
use proptest::prelude::*;

/// Samples with start timestamps, values by their bits.
fn samples(encoding: Encoding, chunk: &[u8]) -> Vec<(i64, i64, Value)> {
    let mut cursor = cursor(encoding, chunk).expect("a chunk");
    let mut all = Vec::new();
    while let Some((at, start, value)) = cursor.next_with_start().expect("a sample") {
        let mut value = value.to_value();
        // What a chunk says about a reset before its first sample is not the sample's.
        if let Value::Histogram(h) = &mut value {
            std::sync::Arc::make_mut(h).counter_reset_hint = model::CounterResetHint::Unknown;
        }
        if let Value::FloatHistogram(h) = &mut value {
            std::sync::Arc::make_mut(h).counter_reset_hint = model::CounterResetHint::Unknown;
        }
        all.push((at, start, value));
    }
    all
}

fn check(encoding: Encoding, chunk: &[u8], range: TimeRange) {
    let expected: Vec<_> =
        samples(encoding, chunk).into_iter().filter(|(at, _, _)| range.contains(*at)).collect();
    let slices = slice(encoding, chunk, range).expect("a chunk");
    let mut found = Vec::new();
    for part in &slices {
        let own = samples(encoding, &part.data);
        let ends = own.first().zip(own.last()).map(|(first, last)| (first.0, last.0));
        assert_eq!(ends, Some((part.range.start_ms(), part.range.end_ms())));
        found.extend(own);
    }
    assert_eq!(found.len(), expected.len());
    for (a, b) in found.iter().zip(&expected) {
        assert!(a.0 == b.0 && a.1 == b.1 && a.2.same_bits(&b.2), "{a:?} is not {b:?}");
    }
    assert!(slices.len() <= 1, "our chunks go into one slice");
}

fn steps() -> impl Strategy<Value = Vec<(i64, f64)>> {
    prop::collection::vec((1..60_000_i64, prop_oneof![prop::num::f64::ANY, Just(stale_nan())]), 1..130)
}

fn histogram(count: u64) -> Histogram {
    Histogram {
        schema: 1,
        count: 3 * count,
        sum: count as f64,
        positive_spans: vec![BucketSpan { offset: 0, length: 2 }],
        positive_buckets: vec![count as i64, count as i64],
        ..Histogram::default()
    }
}

proptest! {
    #[test]
    fn a_slice_has_the_samples_of_its_range(steps in steps(), from in 0..130_usize, count in 0..130_usize) {
        let mut at = -1_000_000;
        let (mut xor, mut xor2) = (XorAppender::new(), Xor2Appender::new());
        let mut times = Vec::new();
        for (step, value) in &steps {
            at += step;
            times.push(at);
            xor.append(at, *value).expect("there is room");
            xor2.append(at, if step % 3 == 0 { 0 } else { at - 5_000 }, *value).expect("there is room");
        }
        let (first, last) = (from.min(times.len() - 1), (from + count).min(times.len() - 1));
        // Edges on samples, and beside them.
        for (start, end) in [(times[first], times[last]), (times[first] + 1, times[last] - 1), (at + 1, at + 2)] {
            if let Some(range) = TimeRange::new(start, end) {
                check(Encoding::Xor, xor.bytes(), range);
                check(Encoding::Xor2, xor2.bytes(), range);
            }
        }
    }
}

#[test]
fn slices_of_histograms() {
    let mut ints = HistogramAppender::start(0, &histogram(1)).unwrap();
    let float = |count: u64| histogram(count).to_float();
    let mut floats = FloatHistogramStAppender::start(0, 0, &float(1)).unwrap();
    for i in 1..100_u64 {
        let mut next = histogram(1 + i);
        if i == 99 {
            next = Histogram { sum: stale_nan(), ..Histogram::default() };
        }
        let at = i as i64 * 15_000;
        assert!(!matches!(ints.append(at, &next).unwrap(), Appended::NeedsNewChunk(_)));
        assert!(!matches!(floats.append(at, at - 7, &float(1 + i)).unwrap(), Appended::NeedsNewChunk(_)));
    }
    for (from, to) in [(0, 99), (0, 0), (40, 60), (50, 99), (99, 99), (51, 52), (200, 300)] {
        let range = TimeRange::new(from * 15_000, to * 15_000).unwrap();
        check(Encoding::Histogram, ints.bytes(), range);
        check(Encoding::FloatHistogramSt, floats.bytes(), range);
    }
    // The whole chunk is the chunk.
    let whole = slice(Encoding::Histogram, ints.bytes(), TimeRange::ALL).unwrap();
    assert_eq!(&*whole[0].data, ints.bytes());
    assert!(matches!(
        cursor(Encoding::Histogram, &whole[0].data).unwrap().next_sample().unwrap(),
        Some((0, ValueRef::Histogram(_)))
    ));
    assert!(slice(Encoding::Xor, &[0], TimeRange::ALL).is_err());
}
