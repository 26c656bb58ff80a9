//! Start timestamps reach the sink with their samples, whichever way the chunks are read; what histograms say of resets is true.

use chunk::{Encoding, HistogramAppender, HistogramStAppender, Xor2Appender, XorAppender};
use model::{CounterResetHint, Histogram};

use super::*;

/// Everything as it came: time, start, and the float or the histogram's count.
#[derive(Default, PartialEq, Debug)]
struct Taken(Vec<(i64, i64, f64)>);

impl Sink for Taken {
    fn float(&mut self, timestamp_ms: i64, value: f64) {
        self.0.push((timestamp_ms, 0, value));
    }

    fn floats(&mut self, timestamps_ms: &[i64], values: &[f64]) {
        self.0.extend(timestamps_ms.iter().zip(values).map(|(t, v)| (*t, 0, *v)));
    }

    fn histogram(&mut self, timestamp_ms: i64, value: Arc<FloatHistogram>) {
        self.0.push((timestamp_ms, 0, value.count));
    }

    fn started_float(&mut self, timestamp_ms: i64, start_ms: i64, value: f64) {
        self.0.push((timestamp_ms, start_ms, value));
    }

    fn started_histogram(&mut self, timestamp_ms: i64, start_ms: i64, value: Arc<FloatHistogram>) {
        self.0.push((timestamp_ms, start_ms, value.count));
    }
}

fn chunk_of(encoding: Encoding, samples: &[(i64, i64, f64)]) -> Chunk {
    let (mut xor, mut xor2) = (XorAppender::new(), Xor2Appender::new());
    for (at, start, value) in samples {
        xor.append(*at, *value).unwrap();
        xor2.append(*at, *start, *value).unwrap();
    }
    let data = match encoding {
        Encoding::Xor => xor.into_bytes(),
        _ => xor2.into_bytes(),
    };
    let range = TimeRange::new(samples[0].0, samples[samples.len() - 1].0).unwrap();
    Chunk { range, encoding, data: data.into() }
}

fn read(chunks: &[Chunk], range: TimeRange) -> Vec<(i64, i64, f64)> {
    let (mut reader, mut taken) = (SeriesReader::new(chunks, range), Taken::default());
    while reader.read_run(&mut taken).unwrap() {}
    taken.0
}

fn counter(from: i64, start: impl Fn(i64) -> i64) -> Vec<(i64, i64, f64)> {
    (from..from + 10).map(|i| (i * 1000, start(i), i as f64)).collect()
}

#[test]
fn one_chunk_after_the_other() {
    let with_starts = counter(0, |i| if i < 5 { 0 } else { 4_500 });
    let without = counter(10, |_| 0);
    let plain = counter(20, |_| 0);
    let chunks = [
        chunk_of(Encoding::Xor2, &with_starts),
        chunk_of(Encoding::Xor2, &without),
        chunk_of(Encoding::Xor, &plain),
    ];
    let all = [with_starts, without, plain].concat();
    assert_eq!(read(&chunks, TimeRange::ALL), all);
    let range = TimeRange::new(3_000, 25_000).unwrap();
    let inside: Vec<_> = all.into_iter().filter(|(at, ..)| range.contains(*at)).collect();
    assert_eq!(read(&chunks, range), inside);
}

#[test]
fn histograms_too() {
    let h = |count: u64| Histogram { count, sum: 1.0, ..Histogram::default() };
    let mut appender = HistogramStAppender::start(1000, 900, &h(1)).unwrap();
    let _ = appender.append(2000, 900, &h(2)).unwrap();
    let _ = appender.append(3000, 2500, &h(3)).unwrap();
    let range = TimeRange::new(1000, 3000).unwrap();
    let chunk = Chunk { range, encoding: Encoding::HistogramSt, data: appender.into_bytes().into() };
    assert_eq!(read(&[chunk], TimeRange::ALL), [(1000, 900, 1.0), (2000, 900, 2.0), (3000, 2500, 3.0)]);
}

/// Replicas, of which one was told of no start timestamps, in either order.
#[test]
fn of_equal_samples_the_one_with_the_later_start_counts() {
    let known = counter(0, |i| if i < 5 { 100 } else { 4_500 });
    for encoding in [Encoding::Xor, Encoding::Xor2] {
        let unknown = chunk_of(encoding, &counter(0, |_| 0));
        let chunks = [unknown.clone(), chunk_of(Encoding::Xor2, &known)];
        assert_eq!(read(&chunks, TimeRange::ALL), known);
        assert_eq!(read(&[chunks[1].clone(), unknown], TimeRange::ALL), known);
    }
}

/// The counts of histograms, and what they say of resets.
#[derive(Default, PartialEq, Debug)]
struct Hints(Vec<(f64, CounterResetHint)>);

impl Sink for Hints {
    fn float(&mut self, _: i64, _: f64) {}

    fn floats(&mut self, _: &[i64], _: &[f64]) {}

    fn histogram(&mut self, _: i64, value: Arc<FloatHistogram>) {
        self.0.push((value.count, value.counter_reset_hint));
    }
}

fn histograms(samples: &[(i64, u64)]) -> Chunk {
    let h = |count: u64| Histogram { count, sum: 1.0, ..Histogram::default() };
    let mut appender = HistogramAppender::start(samples[0].0, &h(samples[0].1)).unwrap();
    for (at, count) in &samples[1..] {
        assert_eq!(appender.append(*at, &h(*count)), Ok(chunk::Appended::Appended));
    }
    let range = TimeRange::new(samples[0].0, samples[samples.len() - 1].0).unwrap();
    Chunk { range, encoding: Encoding::Histogram, data: appender.into_bytes().into() }
}

/// In the chunk of either replica there is no reset; between what they have together there is one.
#[test]
fn that_there_was_no_reset_is_said_of_neighbours_only() {
    use CounterResetHint::{NotReset, Unknown};
    let check = |chunks: &[Chunk], expected: &[(f64, CounterResetHint)]| {
        let (mut reader, mut hints) = (SeriesReader::new(chunks, TimeRange::ALL), Hints::default());
        while reader.read_run(&mut hints).unwrap() {}
        assert_eq!(hints.0, expected);
    };
    let (a, b) = (histograms(&[(1, 10), (4, 20), (5, 21)]), histograms(&[(2, 15), (3, 30), (6, 31)]));
    check(
        &[a.clone(), b],
        &[
            (10.0, Unknown),
            (15.0, Unknown),
            (30.0, NotReset),
            (20.0, Unknown),
            (21.0, NotReset),
            (31.0, Unknown),
        ],
    );
    // Twice the same, and once more where it lacks one.
    let c = histograms(&[(1, 10), (5, 21)]);
    let all = [(10.0, Unknown), (20.0, NotReset), (21.0, NotReset)];
    check(&[a.clone(), c.clone(), a.clone()], &all);
    check(&[c, a], &all);
}
