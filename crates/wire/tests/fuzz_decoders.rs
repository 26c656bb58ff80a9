//! Bytes from outside never make a decoder panic, loop or allocate without bound: seeded mutations of good requests, and
//! noise. Bounded in iterations, so that it can run with every test run.

use std::sync::Arc;

use model::{BucketSpan, Exemplar, Histogram, Labels, Metadata, Value};
use wire::encode::{Rw1Writer, Rw2Writer};
use wire::histogram::{self, HistogramSample};
use wire::{rw1, rw2, snappy};

/// How many mutations of each request are tried.
const ITERATIONS: u64 = 200_000;

/// A small generator of numbers (splitmix64): the same sequence everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }
}

fn histogram_sample() -> HistogramSample {
    HistogramSample {
        timestamp_ms: 1_000,
        start_timestamp_ms: 500,
        value: Value::Histogram(Arc::new(Histogram {
            count: 6,
            sum: 1.5,
            positive_spans: vec![BucketSpan { offset: 0, length: 3 }],
            positive_buckets: vec![1, 1, 1],
            custom_values: vec![0.5, 1.0],
            schema: -53,
            ..Histogram::default()
        })),
    }
}

fn exemplar() -> Exemplar {
    Exemplar { labels: Labels::from_pairs([("trace_id", "abc")]), value: 1.0, timestamp_ms: 7 }
}

fn good_v1() -> Vec<u8> {
    let mut writer = Rw1Writer::default();
    writer.label("__name__", "up").label("job", "x").sample(1_000, 1.0);
    writer.exemplar(&exemplar()).histogram(&histogram_sample()).end_series();
    writer.metadata("up", &Metadata::default());
    writer.message().to_vec()
}

fn good_v2() -> Vec<u8> {
    let mut writer = Rw2Writer::default();
    writer.label("__name__", "up").label("job", "x").sample(1_000, 1.0, 5);
    writer.exemplar(&exemplar()).histogram(&histogram_sample()).metadata(&Metadata::default());
    writer.end_series();
    writer.message()
}

fn mutate(good: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = good.to_vec();
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len());
        match random.below(6) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, random.next() as u8),
            2 if !bytes.is_empty() => drop(bytes.remove(at)),
            3 if !bytes.is_empty() => bytes[at] ^= 1 << random.below(8),
            4 if !bytes.is_empty() => bytes[at] = [0, 0x7f, 0x80, 0xff][random.below(4)],
            _ => {
                let end = at + random.below(bytes.len() - at);
                let copy = bytes[at..end].to_vec();
                bytes.extend(copy);
            }
        }
    }
    bytes
}

/// Walks everything; how many things were read. Whatever claims to be inside the message has to be.
fn walk_v1(message: &[u8]) -> usize {
    let mut read = 0;
    for field in rw1::request(message) {
        read += 1;
        let body = match field {
            Err(error) => {
                assert!(error.to_string().starts_with("byte "), "{error}");
                continue;
            }
            Ok(rw1::RequestField::Metadata { body, .. }) => {
                read += usize::from(rw1::metadata(body).is_ok());
                continue;
            }
            Ok(rw1::RequestField::TimeSeries { start, body }) => {
                assert_eq!(&message[start..start + body.len()], body);
                body
            }
        };
        let mut leading = rw1::leading_labels(body);
        let labels = leading.by_ref().count();
        assert!(leading.position() <= body.len() && labels <= body.len());
        for field in rw1::series(body).flatten() {
            read += 1;
            match field {
                rw1::SeriesField::Exemplar(body) => {
                    read += rw1::exemplar(body).map_or(0, |exemplar| exemplar.labels().count());
                }
                rw1::SeriesField::Histogram(body) => read += check_histogram(body),
                rw1::SeriesField::Label(_) | rw1::SeriesField::Sample(_) => {}
            }
        }
    }
    read
}

fn walk_v2(message: &[u8]) -> usize {
    let mut read = 0;
    for field in rw2::request(message).flatten() {
        read += 1;
        let rw2::RequestField::TimeSeries { start, body } = field else {
            continue;
        };
        assert_eq!(&message[start..start + body.len()], body);
        for field in rw2::series(body).flatten() {
            read += 1;
            match field {
                rw2::SeriesField::LabelRefs(refs) => read += refs.count(),
                rw2::SeriesField::Exemplar(body) => {
                    read += rw2::exemplar(body).map_or(0, |exemplar| exemplar.label_refs().count());
                }
                rw2::SeriesField::Histogram(body) => read += check_histogram(body),
                _ => {}
            }
        }
    }
    read
}

/// Decodes, checks, and reads the timestamp in the other way too.
fn check_histogram(body: &[u8]) -> usize {
    let decoded = histogram::decode(body);
    if let Ok(sample) = &decoded {
        assert_eq!(histogram::timestamp_ms(body), Ok(sample.timestamp_ms));
        if histogram::validate(&sample.value).is_ok()
            && let Value::Histogram(h) = &sample.value
        {
            // What is valid can be worked with: spans and buckets agree.
            let spans: u64 = h.positive_spans.iter().map(|span| u64::from(span.length)).sum();
            assert_eq!(spans, h.positive_buckets.len() as u64);
        }
    }
    1
}

#[test]
fn mutated_requests_of_1_0() {
    let (good, mut random) = (good_v1(), Random(1));
    let whole = walk_v1(&good);
    let mut read = 0;
    for _ in 0..ITERATIONS {
        let message = mutate(&good, &mut random);
        read += walk_v1(&message);
        walk_v2(&message);
    }
    // The mutations are mild enough to reach the inner decoders, and strong enough to break things.
    let per_message = read as f64 / ITERATIONS as f64;
    assert!(per_message > 0.2 * whole as f64 && per_message < 1.5 * whole as f64, "{per_message} of {whole}");
}

#[test]
fn mutated_requests_of_2_0() {
    let (good, mut random) = (good_v2(), Random(2));
    let whole = walk_v2(&good);
    let mut read = 0;
    for _ in 0..ITERATIONS {
        let message = mutate(&good, &mut random);
        read += walk_v2(&message);
        walk_v1(&message);
    }
    let per_message = read as f64 / ITERATIONS as f64;
    assert!(per_message > 0.2 * whole as f64 && per_message < 1.5 * whole as f64, "{per_message} of {whole}");
}

#[test]
fn noise() {
    let mut random = Random(3);
    for _ in 0..ITERATIONS {
        let len = random.below(64);
        let noise: Vec<u8> = (0..len).map(|_| random.next() as u8).collect();
        walk_v1(&noise);
        walk_v2(&noise);
        check_histogram(&noise);
        let _ = rw1::metadata(&noise);
    }
}

#[test]
fn mutated_snappy_blocks() {
    let (good, mut random) = (good_v2().repeat(20), Random(4));
    let block = snappy::compress(&good);
    let mut out = Vec::new();
    for _ in 0..20_000 {
        let broken = mutate(&block, &mut random);
        let max = 1 << 20;
        if snappy::decompress_into(&broken, max, &mut out).is_ok() {
            assert!(out.len() <= max);
        }
    }
}
