//! Cost of appending and decoding: `cargo bench -p chunk --bench chunk`.

use std::hint::black_box;

use chunk::{Appended, Encoding, HistogramAppender, XorAppender, XorCursor};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use model::{BucketSpan, Histogram};

const SAMPLES: u64 = 120;

/// Series as scrapes give them: jittered 15-second steps; a constant, a counter of whole numbers, a noisy gauge.
fn series(kind: &str) -> Vec<(i64, f64)> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let mut counter = 1_000_000.0;
    (0..SAMPLES as i64)
        .map(|i| {
            let jitter = if random() % 8 == 0 { (random() % 5) as i64 - 2 } else { 0 };
            let value = match kind {
                "constant" => 1.0,
                "counter" => {
                    counter += (random() % 50) as f64;
                    counter
                }
                _ => (random() % 1_000_000) as f64 / 1000.0,
            };
            (1_700_000_000_000 + i * 15_000 + jitter, value)
        })
        .collect()
}

fn encode(samples: &[(i64, f64)]) -> XorAppender {
    let mut appender = XorAppender::new();
    for &(timestamp, value) in samples {
        appender.append(timestamp, value).expect("120 samples fit a chunk");
    }
    appender
}

fn floats(c: &mut Criterion) {
    let mut group = c.benchmark_group("xor");
    group.throughput(Throughput::Elements(SAMPLES));
    for kind in ["constant", "counter", "gauge"] {
        let samples = series(kind);
        group.bench_function(format!("append/{kind}"), |b| {
            b.iter(|| encode(black_box(&samples)));
        });
        let chunk = encode(&samples).into_bytes();
        let (mut timestamps, mut values) = (Vec::new(), Vec::new());
        group.bench_function(format!("decode/{kind}"), |b| {
            b.iter(|| {
                timestamps.clear();
                values.clear();
                let mut cursor = XorCursor::new(black_box(&chunk)).expect("a chunk just written");
                cursor.decode_into(&mut timestamps, &mut values).expect("a chunk just written");
                black_box(values.len())
            });
        });
    }
    group.finish();
}

/// A latency histogram of 40 buckets, 10 of which grow from one scrape to the next.
fn latencies() -> Vec<(i64, Histogram)> {
    let mut counts = vec![1000i64; 40];
    let at = |i: i64| {
        for bucket in 0..10 {
            counts[((i + bucket * 4) % 40) as usize] += (i * 7 + bucket * 13) % 20;
        }
        let total: i64 = counts.iter().sum();
        let deltas =
            counts.iter().scan(0, |last, count| Some(count - std::mem::replace(last, *count))).collect();
        let histogram = Histogram {
            schema: 3,
            zero_threshold: 2f64.powi(-128),
            count: total as u64,
            sum: total as f64 * 0.25,
            positive_spans: vec![BucketSpan { offset: -20, length: 40 }],
            positive_buckets: deltas,
            ..Histogram::default()
        };
        (1_700_000_000_000 + i * 15_000, histogram)
    };
    (0..SAMPLES as i64).map(at).collect()
}

fn histograms(c: &mut Criterion) {
    let samples = latencies();
    let encode = || {
        let (first, rest) = samples.split_first().expect("120 samples");
        let mut appender = HistogramAppender::start(first.0, &first.1).expect("a valid histogram");
        for (timestamp, histogram) in rest {
            let appended = appender.append(*timestamp, histogram).expect("a valid histogram");
            assert_eq!(appended, Appended::Appended);
        }
        appender
    };
    let mut group = c.benchmark_group("histogram");
    group.throughput(Throughput::Elements(SAMPLES));
    group.bench_function("append", |b| b.iter(encode));
    let chunk = encode().into_bytes();
    group.bench_function("decode", |b| {
        b.iter(|| {
            let mut cursor =
                chunk::cursor(Encoding::Histogram, black_box(&chunk)).expect("a chunk just written");
            while let Some(sample) = cursor.next_sample().expect("a chunk just written") {
                black_box(sample);
            }
        });
    });
    group.finish();
}

criterion_group!(benches, floats, histograms);
criterion_main!(benches);
