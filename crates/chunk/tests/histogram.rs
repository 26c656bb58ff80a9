//! Histogram chunks: what goes in comes out, a changed layout is fitted in or begins a new chunk, as Prometheus does it.

mod histograms;

use chunk::{
    Appended, ChunkError, CounterResetHeader, Cursor, CutReason, Encoding, FloatHistogramAppender,
    HistogramAppender, ValueRef, cursor,
};
use histograms::{Step, observed, steps};
use model::{BucketSpan, CounterResetHint, FloatHistogram, Histogram, stale_nan};
use proptest::prelude::*;

/// A histogram with these positive spans and the same count in each bucket.
fn integer(spans: &[(i32, u32)], each: i64, hint: CounterResetHint) -> Histogram {
    let spans: Vec<_> = spans.iter().map(|&(offset, length)| BucketSpan { offset, length }).collect();
    let buckets = spans.iter().map(|span| span.length as usize).sum::<usize>();
    let mut deltas = vec![0; buckets];
    if let Some(first) = deltas.first_mut() {
        *first = each;
    }
    Histogram {
        counter_reset_hint: hint,
        zero_threshold: 0.001,
        zero_count: 2,
        count: 2 + buckets as u64 * each as u64,
        sum: 18.5,
        positive_spans: spans,
        positive_buckets: deltas,
        ..Histogram::default()
    }
}

/// A histogram with custom bounds.
fn custom(bounds: &[f64]) -> Histogram {
    Histogram {
        schema: model::histogram::CUSTOM_BUCKETS_SCHEMA,
        count: 3,
        sum: 4.0,
        positive_spans: vec![BucketSpan { offset: 0, length: 2 }],
        positive_buckets: vec![1, 1],
        custom_values: bounds.to_vec(),
        ..Histogram::default()
    }
}

/// All samples of a chunk, with what they observed.
fn decode(encoding: Encoding, chunk: &[u8]) -> Result<Vec<(i64, FloatHistogram)>, ChunkError> {
    let mut cursor: Cursor<'_> = cursor(encoding, chunk)?;
    let mut samples = Vec::new();
    while let Some((timestamp, value)) = cursor.next_sample()? {
        samples.push(match value {
            ValueRef::Histogram(histogram) => (timestamp, histogram.to_float()),
            ValueRef::FloatHistogram(histogram) => (timestamp, histogram.clone()),
            ValueRef::Float(_) => panic!("a float in a chunk of histograms"),
        });
    }
    Ok(samples)
}

macro_rules! write_all {
    ($appender:ty, $steps:expr, $convert:expr) => {{
        let mut chunks: Vec<$appender> = Vec::new();
        for Step { timestamp, histogram } in $steps {
            let histogram = $convert(histogram);
            let Some(chunk) = chunks.last_mut() else {
                chunks.push(<$appender>::start(*timestamp, &histogram).expect("a valid histogram"));
                continue;
            };
            if let Appended::NeedsNewChunk(_) =
                chunk.append(*timestamp, &histogram).expect("a valid histogram")
            {
                let next = chunk.next_chunk(*timestamp, &histogram).expect("a valid histogram");
                chunks.push(next);
            }
            let last = chunks.last().expect("one at least");
            assert!(last.last_equals(&histogram));
            assert_eq!(last.last_timestamp(), *timestamp);
        }
        chunks
    }};
}

/// Every sample comes back, the counter reset hints tell no lies, and an appender resumed from the bytes is the same.
macro_rules! check_chunks {
    ($appender:ty, $encoding:expr, $steps:expr, $chunks:expr) => {{
        let mut expected = $steps.iter();
        let mut previous: Option<FloatHistogram> = None;
        for chunk in &$chunks {
            let samples = decode($encoding, chunk.bytes()).unwrap();
            prop_assert_eq!(samples.len(), usize::from(chunk.num_samples()));
            // Whoever reads it does not know what stands before it.
            let first = samples[0].1.counter_reset_hint;
            prop_assert!(matches!(first, CounterResetHint::Unknown | CounterResetHint::Gauge), "{first:?}");
            for (timestamp, histogram) in samples {
                let step = expected.next().expect("no more samples than were written");
                prop_assert_eq!(timestamp, step.timestamp);
                prop_assert_eq!(observed(&histogram), observed(&step.histogram.to_float()));
                if histogram.counter_reset_hint == CounterResetHint::NotReset {
                    let previous = previous.as_ref().expect("a sample before one that follows it");
                    prop_assert!(
                        histogram.count >= previous.count && histogram.zero_count >= previous.zero_count
                    );
                }
                previous = Some(histogram);
            }
            let resumed = <$appender>::resume(chunk.bytes()).unwrap();
            prop_assert_eq!(resumed.bytes(), chunk.bytes());
        }
        prop_assert!(expected.next().is_none());
    }};
}

proptest! {
    #[test]
    fn integer_histograms_come_back(steps in steps()) {
        let chunks = write_all!(HistogramAppender, &steps, Histogram::clone);
        check_chunks!(HistogramAppender, Encoding::Histogram, steps, chunks);
    }

    #[test]
    fn float_histograms_come_back(steps in steps()) {
        let chunks = write_all!(FloatHistogramAppender, &steps, Histogram::to_float);
        check_chunks!(FloatHistogramAppender, Encoding::FloatHistogram, steps, chunks);
    }

    #[test]
    fn a_resumed_chunk_goes_on_to_the_same_bytes(steps in steps(), cut in any::<prop::sample::Index>()) {
        prop_assume!(!steps.is_empty());
        let whole = write_all!(HistogramAppender, &steps, Histogram::clone);
        let cut = 1 + cut.index(steps.len());
        let mut chunk = write_all!(HistogramAppender, &steps[..cut], Histogram::clone).pop().expect("one at least");
        chunk = HistogramAppender::resume(chunk.bytes()).unwrap();
        for step in &steps[cut..] {
            if let Appended::NeedsNewChunk(_) = chunk.append(step.timestamp, &step.histogram).unwrap() {
                chunk = chunk.next_chunk(step.timestamp, &step.histogram).unwrap();
            }
        }
        prop_assert_eq!(chunk.bytes(), whole.last().expect("one at least").bytes());
    }

    #[test]
    fn shortened_chunks_are_errors(steps in steps(), cut in any::<prop::sample::Index>()) {
        for chunk in write_all!(HistogramAppender, &steps, Histogram::clone) {
            let short = &chunk.bytes()[..cut.index(chunk.bytes().len())];
            prop_assert!(decode(Encoding::Histogram, short).is_err());
        }
        for chunk in write_all!(FloatHistogramAppender, &steps, Histogram::to_float) {
            let short = &chunk.bytes()[..cut.index(chunk.bytes().len())];
            prop_assert!(decode(Encoding::FloatHistogram, short).is_err());
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..400), byte in 0u8..4) {
        if let Ok(encoding) = Encoding::try_from(byte) {
            drop(decode_any(encoding, &bytes));
        }
        drop(HistogramAppender::resume(&bytes));
        drop(FloatHistogramAppender::resume(&bytes));
    }

    #[test]
    fn damaged_chunks_are_read_or_refused(steps in steps(), at in any::<prop::sample::Index>(), bit in 0u32..8) {
        for chunk in write_all!(HistogramAppender, &steps, Histogram::clone) {
            let mut bytes = chunk.into_bytes();
            bytes[at.index(bytes.len())] ^= 1 << bit;
            drop(decode_any(Encoding::Histogram, &bytes));
            if let Ok(mut resumed) = HistogramAppender::resume(&bytes) {
                let _ = resumed.append(1, &integer(&[(0, 1)], 1, CounterResetHint::Unknown)).unwrap();
            }
        }
    }
}

fn decode_any(encoding: Encoding, bytes: &[u8]) -> Result<usize, ChunkError> {
    let (mut cursor, mut count) = (cursor(encoding, bytes)?, 0);
    while cursor.next_sample()?.is_some() {
        count += 1;
    }
    Ok(count)
}

fn check_second(first: &Histogram, second: &Histogram, expected: Appended, header: CounterResetHeader) {
    let mut chunk = HistogramAppender::start(1000, first).expect("a valid histogram");
    assert_eq!(chunk.append(2000, second), Ok(expected));
    let next = chunk.next_chunk(2000, second).expect("a valid histogram");
    assert_eq!(next.header(), header, "of a chunk that begins with the second");

    let mut chunk = FloatHistogramAppender::start(1000, &first.to_float()).expect("a valid histogram");
    assert_eq!(chunk.append(2000, &second.to_float()), Ok(expected));
    let next = chunk.next_chunk(2000, &second.to_float()).expect("a valid histogram");
    assert_eq!(next.header(), header, "of a chunk that begins with the second");
}

#[test]
fn what_fits_behind_a_counter() {
    use Appended::{Appended as Plain, NeedsNewChunk, Recoded};
    use CounterResetHeader::{Gauge, NotReset, Reset, Unknown};
    let counter = |spans: &[(i32, u32)], each| integer(spans, each, CounterResetHint::Unknown);
    let first = counter(&[(0, 2), (1, 1)], 5);

    check_second(&first, &counter(&[(0, 2), (1, 1)], 5), Plain, NotReset);
    check_second(&first, &counter(&[(0, 1), (0, 1), (1, 1)], 6), Plain, NotReset);
    check_second(&first, &counter(&[(0, 4)], 6), Recoded, NotReset);
    check_second(&first, &counter(&[(-3, 1), (2, 4)], 6), Recoded, NotReset);
    check_second(&first, &counter(&[(0, 2), (1, 1)], 4), NeedsNewChunk(CutReason::CounterReset), Reset);
    check_second(&first, &counter(&[(0, 2)], 9), NeedsNewChunk(CutReason::CounterReset), Reset);

    let mut coarser = counter(&[(0, 2), (1, 1)], 5);
    coarser.schema -= 1;
    check_second(&first, &coarser, NeedsNewChunk(CutReason::Layout), Unknown);
    let mut wider = counter(&[(0, 2), (1, 1)], 5);
    wider.zero_threshold = 1.0;
    check_second(&first, &wider, NeedsNewChunk(CutReason::Layout), Unknown);
    let mut emptier = counter(&[(0, 2), (1, 1)], 5);
    emptier.zero_count -= 1;
    check_second(&first, &emptier, NeedsNewChunk(CutReason::CounterReset), Reset);
    let hinted = integer(&[(0, 2), (1, 1)], 6, CounterResetHint::Reset);
    check_second(&first, &hinted, NeedsNewChunk(CutReason::CounterReset), Reset);
    let gauge = integer(&[(0, 2), (1, 1)], 6, CounterResetHint::Gauge);
    check_second(&first, &gauge, NeedsNewChunk(CutReason::GaugeOrCounter), Gauge);
    check_second(&gauge, &first, NeedsNewChunk(CutReason::GaugeOrCounter), Unknown);

    let stale = Histogram { sum: stale_nan(), ..Histogram::default() };
    check_second(&first, &stale, Plain, NotReset);
    check_second(&gauge, &stale, Plain, NotReset);
    check_second(&stale, &stale, Plain, NotReset);
    check_second(&stale, &first, NeedsNewChunk(CutReason::AfterStale), Unknown);

    check_second(&custom(&[1.0, 2.5]), &custom(&[1.0, 2.5]), Plain, NotReset);
    check_second(&custom(&[1.0, 2.5]), &custom(&[1.0, 2.0]), NeedsNewChunk(CutReason::CounterReset), Reset);
}

#[test]
fn buckets_that_were_empty_may_vanish() {
    let with_empty = Histogram {
        positive_spans: vec![BucketSpan { offset: 0, length: 3 }],
        positive_buckets: vec![2, -2, 3],
        count: 5,
        ..Histogram::default()
    };
    let without = Histogram {
        positive_spans: vec![BucketSpan { offset: 0, length: 1 }, BucketSpan { offset: 1, length: 1 }],
        positive_buckets: vec![4, 0],
        count: 8,
        ..Histogram::default()
    };
    let mut chunk = HistogramAppender::start(1, &with_empty).unwrap();
    assert_eq!(chunk.append(2, &without), Ok(Appended::Appended));
    let samples = decode(Encoding::Histogram, chunk.bytes()).unwrap();
    assert_eq!(samples[1].1.positive_buckets, [4.0, 0.0, 4.0]);
    assert_eq!(samples[1].1.positive_spans, with_empty.positive_spans);
    assert!(chunk.last_equals(&without) && !chunk.last_equals(&with_empty));
}

#[test]
fn gauges_take_any_buckets() {
    let gauge = |spans: &[(i32, u32)], each| integer(spans, each, CounterResetHint::Gauge);
    let mut chunk = HistogramAppender::start(1, &gauge(&[(0, 2)], 9)).unwrap();
    assert_eq!(chunk.append(2, &gauge(&[(1, 2)], 3)), Ok(Appended::Recoded));
    assert_eq!(chunk.append(3, &gauge(&[(2, 1)], 7)), Ok(Appended::Appended));
    let samples = decode(Encoding::Histogram, chunk.bytes()).unwrap();
    let counts: Vec<_> = samples.iter().map(|(_, h)| h.positive_buckets.clone()).collect();
    assert_eq!(counts, [[9.0, 9.0, 0.0], [0.0, 3.0, 3.0], [0.0, 0.0, 7.0]]);
    assert!(samples.iter().all(|(_, h)| h.counter_reset_hint == CounterResetHint::Gauge));
}

#[test]
fn hints_of_a_chunk_of_counters() {
    for (hint, header) in [
        (CounterResetHint::Unknown, CounterResetHeader::Unknown),
        (CounterResetHint::NotReset, CounterResetHeader::Unknown),
        (CounterResetHint::Reset, CounterResetHeader::Reset),
    ] {
        let mut chunk = HistogramAppender::start(1, &integer(&[(0, 1)], 1, hint)).unwrap();
        assert_eq!(chunk.header(), header);
        assert_eq!(
            chunk.append(2, &integer(&[(0, 1)], 2, CounterResetHint::Unknown)),
            Ok(Appended::Appended)
        );
        let hints: Vec<_> = decode(Encoding::Histogram, chunk.bytes())
            .unwrap()
            .iter()
            .map(|(_, h)| h.counter_reset_hint)
            .collect();
        assert_eq!(hints, [CounterResetHint::Unknown, CounterResetHint::NotReset]);
    }
}

#[test]
fn histograms_that_do_not_fit_together_are_refused() {
    let good = integer(&[(0, 2)], 1, CounterResetHint::Unknown);
    let mut chunk = HistogramAppender::start(1, &good).unwrap();
    let before = chunk.bytes().to_vec();
    let mut missing = good.clone();
    missing.positive_buckets.pop();
    let expected = ChunkError::BucketCount { sign: "positive", buckets: 1, spanned: 2 };
    assert_eq!(chunk.append(2, &missing), Err(expected.clone()));
    assert_eq!(HistogramAppender::start(2, &missing).unwrap_err(), expected);
    let mut unknown = good.clone();
    unknown.schema = 9;
    assert_eq!(chunk.append(2, &unknown), Err(ChunkError::UnknownSchema { schema: 9 }));
    let backwards = integer(&[(5, 1), (-3, 1)], 1, CounterResetHint::Unknown);
    let expected = ChunkError::SpanOffset { sign: "positive", offset: -3 };
    assert_eq!(chunk.append(2, &backwards), Err(expected));
    assert_eq!(chunk.bytes(), before);
}

#[test]
fn claims_that_the_bits_cannot_hold_are_refused_before_anything_is_allocated() {
    // One sample, no flags, zero threshold 0, schema 0; then 2^64 - 1 spans.
    let spans = [0, 1, 0, 0, 0b0111_1111, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
    let outcome = decode_any(Encoding::Histogram, &spans);
    assert_eq!(outcome, Err(ChunkError::Malformed { sample: 0, total: 1, what: "more spans than bits" }));
    // One span of 262,143 buckets at 0, none negative, no bounds, and the chunk ends.
    let buckets = [0, 1, 0, 0, 0b0100_0111, 0b1110_1111, 0xff, 0xff, 0b1100_0000, 0, 0];
    let outcome = decode_any(Encoding::Histogram, &buckets);
    assert_eq!(outcome, Err(ChunkError::Malformed { sample: 0, total: 1, what: "more buckets than bits" }));
}
