//! Chunks with start timestamps: what goes in comes out, and the bytes are those that Prometheus' own library makes of the
//! same samples (its main branch of August 2026). In the fixture a case is either floats (`f` time, value, start), or a
//! case of `upstream_chunks.txt` by its number with start timestamps added (`starts`), or 150 samples without buckets
//! (`long-…`); `c` lines are chunks. Numbers in hex are the bits of floats.

mod fixture;
mod histograms;

use chunk::{
    Appended, ChunkError, Cursor, Encoding, FloatHistogramAppender, FloatHistogramStAppender,
    HistogramAppender, HistogramStAppender, ValueRef, Xor2Appender, Xor2Cursor, XorAppender, cursor,
};
use fixture::{float, hex, histogram, number};
use histograms::{Step, observed, steps};
use model::{FloatHistogram, Histogram};
use proptest::prelude::*;

const FIXTURE: &str = include_str!("fixtures/upstream_start_chunks.txt");
const SAMPLES: &str = include_str!("fixtures/upstream_chunks.txt");

/// A histogram, its time and its start.
type At = (i64, i64, Histogram);

macro_rules! chunks_of {
    ($appender:ty, $samples:expr, $convert:expr) => {{
        let mut chunks: Vec<$appender> = Vec::new();
        for (timestamp, start, histogram) in $samples {
            let histogram = $convert(histogram);
            let Some(chunk) = chunks.last_mut() else {
                chunks.push(<$appender>::start(*timestamp, *start, &histogram).expect("a valid histogram"));
                continue;
            };
            let appended = chunk.append(*timestamp, *start, &histogram).expect("a valid histogram");
            if let Appended::NeedsNewChunk(_) = appended {
                let next = chunk.next_chunk_with_starts(*timestamp, *start, &histogram);
                chunks.push(next.expect("a valid histogram"));
            }
        }
        chunks
    }};
}

fn upstream_histograms(kind: &str, number_of_case: Option<usize>, starts: &[i64]) -> Vec<At> {
    let samples: Vec<(i64, Histogram)> = match number_of_case {
        Some(number) => {
            let case = SAMPLES.split("case ").nth(number + 1).expect("a case of the other fixture");
            case.lines().filter(|line| line.starts_with("s ")).map(histogram).collect()
        }
        None => {
            assert!(kind.starts_with("long"));
            let long =
                |i: i64| Histogram { count: 3 * i as u64, sum: i as f64 * 1.5, ..Histogram::default() };
            (0..150).map(|i| (1_700_000_000_000 + i * 15_000, long(i))).collect()
        }
    };
    assert_eq!(samples.len(), starts.len(), "{kind}, case {number_of_case:?}");
    samples.into_iter().zip(starts).map(|((t, h), start)| (t, *start, h)).collect()
}

/// Upstream's integer chunk of counters behind gauges claims that no counter was reset (01); ours claims nothing.
fn without_claim(ours: &str, theirs: &str) -> String {
    match (ours.get(..1), theirs.get(..1)) {
        (Some("0"), Some("4")) => format!("0{}", &theirs[1..]),
        _ => theirs.to_owned(),
    }
}

#[test]
fn chunks_are_those_of_prometheus() {
    let (mut cases, mut chunks_seen) = (0, 0);
    for case in FIXTURE.split("case ").skip(1) {
        let (head, lines) = case.split_once('\n').expect("lines of a case");
        let expected: Vec<_> = lines.lines().filter_map(|line| line.strip_prefix("c ")).collect();
        let starts: Vec<i64> = lines
            .lines()
            .filter_map(|line| line.strip_prefix("starts "))
            .flat_map(|line| line.split(' ').map(number))
            .collect();
        let (kind, number_of_case) = match head.split_once(' ') {
            Some((kind, case)) => (kind, Some(number(case))),
            None => (head, None),
        };
        let ours: Vec<String> = if kind == "xor2" {
            let mut appender = Xor2Appender::new();
            for line in lines.lines().filter_map(|line| line.strip_prefix("f ")) {
                let fields: Vec<_> = line.split(' ').collect();
                appender.append(number(fields[0]), number(fields[2]), float(fields[1])).expect("room");
            }
            vec![hex(appender.bytes())]
        } else {
            let samples = upstream_histograms(kind, number_of_case, &starts);
            if kind.ends_with("integer") {
                let chunks = chunks_of!(HistogramStAppender, &samples, Histogram::clone);
                chunks.iter().map(|chunk| hex(chunk.bytes())).collect()
            } else {
                let chunks = chunks_of!(FloatHistogramStAppender, &samples, Histogram::to_float);
                chunks.iter().map(|chunk| hex(chunk.bytes())).collect()
            }
        };
        assert_eq!(ours.len(), expected.len(), "{head}, case {cases}");
        for (ours, theirs) in ours.iter().zip(expected) {
            assert_eq!(*ours, without_claim(ours, theirs), "{head}, case {cases}");
            chunks_seen += 1;
        }
        cases += 1;
    }
    assert!(cases > 60 && chunks_seen > 100, "only {cases} cases, {chunks_seen} chunks");
}

/// A sample in bits: time, start, value.
type Bits = (i64, i64, u64);

fn encode(samples: &[Bits]) -> Xor2Appender {
    let mut appender = Xor2Appender::new();
    for &(timestamp, start, value) in samples {
        appender.append(timestamp, start, f64::from_bits(value)).expect("room for a sample");
    }
    appender
}

fn decode(chunk: &[u8]) -> Result<Vec<Bits>, ChunkError> {
    let mut cursor = Xor2Cursor::new(chunk)?;
    let mut samples = Vec::new();
    while let Some((timestamp, value)) = cursor.next_sample()? {
        samples.push((timestamp, cursor.start(), value.to_bits()));
    }
    Ok(samples)
}

fn timestamps() -> impl Strategy<Value = i64> {
    prop_oneof![8 => 0i64..100_000, 2 => any::<i64>(), 1 => Just(i64::MIN), 1 => Just(i64::MAX), 1 => Just(0)]
}

fn values() -> impl Strategy<Value = u64> {
    prop_oneof![
        8 => (0u32..1000).prop_map(|v| f64::from(v).to_bits()),
        4 => Just(1.0f64.to_bits()),
        4 => any::<u64>(),
        2 => Just(model::STALE_NAN_BITS),
        1 => Just(f64::NAN.to_bits()),
        1 => Just((-0.0f64).to_bits()),
    ]
}

/// How start timestamps come: none, the same for a while, that of the sample before, anything.
fn starts(count: usize) -> impl Strategy<Value = Vec<i64>> {
    let piecewise = prop::collection::vec((prop_oneof![Just(0), timestamps()], 1usize..200), 1..4).prop_map(
        move |pieces| {
            let all = pieces.into_iter().flat_map(|(start, n)| std::iter::repeat_n(start, n));
            all.chain(std::iter::repeat(0)).take(count).collect()
        },
    );
    let any = prop::collection::vec(prop_oneof![1 => Just(0), 3 => timestamps()], count..=count);
    prop_oneof![1 => Just(vec![0; count]), 4 => piecewise, 2 => any]
}

fn series() -> impl Strategy<Value = Vec<Bits>> {
    let steady =
        (any::<i32>(), prop::collection::vec((0i64..40, values()), 0..300)).prop_map(|(at, samples)| {
            let sample = |(i, (jitter, value)): (usize, (i64, u64))| {
                (i64::from(at) + i as i64 * 15_000 + jitter / 30 * jitter, value)
            };
            samples.into_iter().enumerate().map(sample).collect::<Vec<_>>()
        });
    let wild = prop::collection::vec((timestamps(), values()), 0..200);
    prop_oneof![steady, wild].prop_flat_map(|samples| {
        starts(samples.len()).prop_map(move |starts| {
            samples
                .iter()
                .zip(starts)
                .map(|((timestamp, value), start)| (*timestamp, start, *value))
                .collect()
        })
    })
}

proptest! {
    #[test]
    fn floats_come_back(samples in series()) {
        let chunk = encode(&samples);
        prop_assert_eq!(usize::from(chunk.num_samples()), samples.len());
        prop_assert_eq!(decode(chunk.bytes()).unwrap(), samples.clone());
        let last = chunk.last().map(|(t, v)| (t, v.to_bits()));
        prop_assert_eq!(last, samples.last().map(|(t, _, v)| (*t, *v)));

        let (mut t, mut v, mut s) = (vec![7], vec![7.0], vec![7]);
        let mut cursor = Xor2Cursor::new(chunk.bytes()).unwrap();
        cursor.decode_into(&mut t, &mut v, &mut s).unwrap();
        prop_assert!(t[1..].iter().eq(samples.iter().map(|(t, _, _)| t)));
        prop_assert!(v[1..].iter().map(|v| v.to_bits()).eq(samples.iter().map(|(_, _, v)| *v)));
        if Xor2Cursor::new(chunk.bytes()).unwrap().has_starts() {
            prop_assert!(s[1..].iter().eq(samples.iter().map(|(_, s, _)| s)));
        } else {
            prop_assert!(s.len() == 1 && samples.iter().all(|(_, s, _)| *s == 0));
        }
    }

    #[test]
    fn a_resumed_chunk_goes_on_to_the_same_bytes(samples in series(), cut in any::<prop::sample::Index>()) {
        let cut = cut.index(samples.len() + 1);
        let mut chunk = Xor2Appender::resume(encode(&samples[..cut]).bytes()).unwrap();
        for &(timestamp, start, value) in &samples[cut..] {
            chunk.append(timestamp, start, f64::from_bits(value)).unwrap();
        }
        let whole = encode(&samples);
        prop_assert_eq!(chunk.bytes(), whole.bytes());
    }

    #[test]
    fn shortened_chunks_are_errors(samples in series(), cut in any::<prop::sample::Index>()) {
        let chunk = encode(&samples);
        prop_assume!(!samples.is_empty());
        prop_assert!(decode(&chunk.bytes()[..cut.index(chunk.bytes().len())]).is_err());
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..400), byte in 0u8..8) {
        if let Ok(encoding) = Encoding::try_from(byte)
            && let Ok(mut cursor) = cursor(encoding, &bytes)
        {
            let mut read = 0;
            while let Ok(Some(_)) = cursor.next_with_start() {
                read += 1;
            }
            prop_assert!(read <= bytes.len() * 8);
        }
        drop(HistogramStAppender::resume(&bytes));
        drop(FloatHistogramStAppender::resume(&bytes));
        if let Ok(mut resumed) = Xor2Appender::resume(&bytes) {
            let before = resumed.num_samples();
            if resumed.append(5, 3, 1.0).is_ok() {
                let read = decode(resumed.bytes()).unwrap();
                prop_assert_eq!(read.len(), usize::from(before) + 1);
                prop_assert_eq!(read.last(), Some(&(5, 3, 1.0f64.to_bits())));
            }
        }
    }

    #[test]
    fn damaged_chunks_are_read_or_refused(samples in series(), at in any::<prop::sample::Index>(), bit in 0u32..8) {
        let mut bytes = encode(&samples).into_bytes();
        bytes[at.index(bytes.len())] ^= 1 << bit;
        drop(decode(&bytes));
        drop(Xor2Appender::resume(&bytes));
    }

    #[test]
    fn histograms_come_back(
        (steps, starts) in steps().prop_flat_map(|steps| {
            let n = steps.len();
            (Just(steps), starts(n))
        }),
    ) {
        let samples: Vec<At> = steps
            .iter()
            .zip(&starts)
            .map(|(Step { timestamp, histogram }, start)| (*timestamp, *start, histogram.clone()))
            .collect();
        let integers = chunks_of!(HistogramStAppender, &samples, Histogram::clone);
        let floats = chunks_of!(FloatHistogramStAppender, &samples, Histogram::to_float);
        let integers: Vec<_> = integers.iter().map(|c| (Encoding::HistogramSt, c.bytes())).collect();
        let floats: Vec<_> = floats.iter().map(|c| (Encoding::FloatHistogramSt, c.bytes())).collect();
        for chunks in [integers, floats] {
            let mut read = Vec::new();
            for (encoding, bytes) in chunks {
                read.extend(histograms_of(encoding, bytes).unwrap());
                let resumed = match encoding {
                    Encoding::HistogramSt => HistogramStAppender::resume(bytes).unwrap().into_bytes(),
                    _ => FloatHistogramStAppender::resume(bytes).unwrap().into_bytes(),
                };
                prop_assert_eq!(&*resumed, bytes);
                for cut in 0..bytes.len() {
                    prop_assert!(histograms_of(encoding, &bytes[..cut]).is_err());
                }
            }
            prop_assert_eq!(read.len(), samples.len());
            for ((t, start, h), sample) in read.iter().zip(&samples) {
                prop_assert_eq!((t, start), (&sample.0, &sample.1));
                prop_assert_eq!(observed(h), observed(&sample.2.to_float()));
            }
        }
    }

    /// Without start timestamps a chunk says of counter resets what one of the plain encoding says, whichever of the two
    /// the chunk before it was.
    #[test]
    fn counter_resets_are_found_across_encodings(steps in steps()) {
        let mut previous: Option<(HistogramAppender, HistogramStAppender)> = None;
        for Step { timestamp, histogram } in steps {
            let (plain, with_starts) = match &previous {
                None => (
                    HistogramAppender::start(timestamp, &histogram).unwrap(),
                    HistogramStAppender::start(timestamp, 5, &histogram).unwrap(),
                ),
                Some((plain, with_starts)) => (
                    with_starts.next_chunk(timestamp, &histogram).unwrap(),
                    plain.next_chunk_with_starts(timestamp, 5, &histogram).unwrap(),
                ),
            };
            prop_assert_eq!(plain.header(), with_starts.header());
            if let Some((before, _)) = &previous {
                prop_assert_eq!(plain.header(), before.next_chunk(timestamp, &histogram).unwrap().header());
            }
            previous = Some((plain, with_starts));
        }
    }
}

fn histograms_of(encoding: Encoding, chunk: &[u8]) -> Result<Vec<(i64, i64, FloatHistogram)>, ChunkError> {
    let mut cursor: Cursor<'_> = cursor(encoding, chunk)?;
    let mut samples = Vec::new();
    while let Some((timestamp, start, value)) = cursor.next_with_start()? {
        samples.push(match value {
            ValueRef::Histogram(histogram) => (timestamp, start, histogram.to_float()),
            ValueRef::FloatHistogram(histogram) => (timestamp, start, histogram.clone()),
            ValueRef::Float(_) => panic!("a float in a chunk of histograms"),
        });
    }
    Ok(samples)
}

#[test]
fn chunks_without_start_timestamps_have_none() {
    let mut xor = XorAppender::new();
    xor.append(1000, 2.0).unwrap();
    let histogram = Histogram { count: 1, sum: 2.0, ..Histogram::default() };
    let integer = HistogramAppender::start(1000, &histogram).unwrap();
    let float = FloatHistogramAppender::start(1000, &histogram.to_float()).unwrap();
    let chunks = [
        (Encoding::Xor, xor.bytes()),
        (Encoding::Histogram, integer.bytes()),
        (Encoding::FloatHistogram, float.bytes()),
    ];
    for (encoding, bytes) in chunks {
        assert!(!encoding.has_starts());
        let mut cursor = cursor(encoding, bytes).unwrap();
        assert!(matches!(cursor.next_with_start(), Ok(Some((1000, 0, _)))), "{encoding:?}");
        assert_eq!(cursor.next_with_start(), Ok(None));
    }
}

#[test]
fn a_constant_start_costs_its_first_mention() {
    let of = |start: i64| {
        let mut chunk = Xor2Appender::new();
        (0..120).for_each(|i| chunk.append(i * 15_000, start, 1.0).unwrap());
        chunk.into_bytes().len()
    };
    // Header, first time, first value, difference, and 119 bits.
    assert_eq!(of(0), 3 + 1 + 8 + 2 + 15);
    assert!(of(-3_600_000) - of(0) <= 4, "{} {}", of(0), of(-3_600_000));
}

#[test]
fn full_chunks_take_no_more() {
    let histogram = Histogram { count: 1, sum: 2.0, ..Histogram::default() };
    let mut chunk = HistogramStAppender::start(0, 1, &histogram).unwrap();
    for i in 1..0x3fff {
        assert_eq!(chunk.append(i * 1000, 1, &histogram), Ok(Appended::Appended));
    }
    assert!(matches!(chunk.append(1 << 40, 1, &histogram), Ok(Appended::NeedsNewChunk(_))));
    assert_eq!(chunk.num_samples(), 0x3fff);
    let mut chunk = Xor2Appender::new();
    for i in 0..65_535 {
        chunk.append(i, 0, 0.0).unwrap();
    }
    assert_eq!(chunk.append(65_535, 0, 0.0), Err(ChunkError::Full));
    assert_eq!(decode(chunk.bytes()).unwrap().len(), 65_535);
}
