//! Samples as chunks, as the head of a TSDB makes them.

use bytes::Bytes;
use chunk::{
    Appended, ChunkError, Encoding, FloatHistogramAppender, FloatHistogramStAppender, Xor2Appender,
    XorAppender,
};
use model::{FloatHistogram, TimeRange};
use proto::Chunk;

use testseries::{Loaded, LoadedValue};

/// How many histograms a chunk has at most, as in upstream's head.
const HISTOGRAM_SAMPLES: u16 = 120;

/// A chunk that is being written.
enum Open {
    Floats(XorAppender),
    FloatsWithStarts(Xor2Appender),
    Histograms(FloatHistogramAppender),
    HistogramsWithStarts(FloatHistogramStAppender),
}

/// Chunks of a series.
struct Chunks {
    done: Vec<Chunk>,
    open: Option<(TimeRange, Open)>,
    /// A chunk has so many samples at most.
    most: u16,
    /// Whether samples have start timestamps.
    starts: bool,
}

/// The samples as chunks, those of floats of at most `most` samples each. One of these begins wherever `part` gives another number
/// than for the sample before. Histograms are cut as upstream's head cuts them and nowhere else: the first one of a chunk does
/// not know whether its counter was reset, which scripts see.
pub(crate) fn encode(
    samples: &[Loaded],
    most: u16,
    part: impl Fn(i64) -> i64,
) -> Result<Vec<Chunk>, ChunkError> {
    let starts = samples.iter().any(|sample| sample.start_ms != 0);
    let mut chunks = Chunks { done: Vec::new(), open: None, most, starts };
    let mut last: Option<i64> = None;
    for sample in samples {
        let at = sample.timestamp_ms;
        let cut = last.replace(part(at)).is_some_and(|before| before != part(at));
        match &sample.value {
            LoadedValue::Float(value) => chunks.float(at, sample.start_ms, *value, cut)?,
            LoadedValue::Histogram(histogram) => chunks.histogram(at, sample.start_ms, histogram)?,
        }
    }
    chunks.close();
    Ok(chunks.done)
}

impl Chunks {
    fn float(&mut self, at: i64, start: i64, value: f64, cut: bool) -> Result<(), ChunkError> {
        let most = if cut { 0 } else { self.most };
        match &mut self.open {
            Some((range, Open::Floats(open))) if open.num_samples() < most => {
                open.append(at, value)?;
                *range = grown(*range, at);
                return Ok(());
            }
            Some((range, Open::FloatsWithStarts(open))) if open.num_samples() < most => {
                open.append(at, start, value)?;
                *range = grown(*range, at);
                return Ok(());
            }
            _ => self.close(),
        }
        let open = if self.starts {
            let mut open = Xor2Appender::new();
            open.append(at, start, value)?;
            Open::FloatsWithStarts(open)
        } else {
            let mut open = XorAppender::new();
            open.append(at, value)?;
            Open::Floats(open)
        };
        self.begin(at, open);
        Ok(())
    }

    fn histogram(&mut self, at: i64, start: i64, value: &FloatHistogram) -> Result<(), ChunkError> {
        let most = HISTOGRAM_SAMPLES;
        let next = match &mut self.open {
            Some((range, Open::Histograms(open))) => {
                if open.num_samples() < most && !needs_new(open.append(at, value)?) {
                    *range = grown(*range, at);
                    return Ok(());
                }
                Open::Histograms(open.next_chunk(at, value)?)
            }
            Some((range, Open::HistogramsWithStarts(open))) => {
                if open.num_samples() < most && !needs_new(open.append(at, start, value)?) {
                    *range = grown(*range, at);
                    return Ok(());
                }
                Open::HistogramsWithStarts(open.next_chunk_with_starts(at, start, value)?)
            }
            _ if self.starts => {
                Open::HistogramsWithStarts(FloatHistogramStAppender::start(at, start, value)?)
            }
            _ => Open::Histograms(FloatHistogramAppender::start(at, value)?),
        };
        self.close();
        self.begin(at, next);
        Ok(())
    }

    fn begin(&mut self, at: i64, open: Open) {
        self.open = TimeRange::new(at, at).map(|range| (range, open));
    }

    fn close(&mut self) {
        let Some((range, open)) = self.open.take() else { return };
        let (encoding, data) = match open {
            Open::Floats(open) => (Encoding::Xor, open.into_bytes()),
            Open::FloatsWithStarts(open) => (Encoding::Xor2, open.into_bytes()),
            Open::Histograms(open) => (Encoding::FloatHistogram, open.into_bytes()),
            Open::HistogramsWithStarts(open) => (Encoding::FloatHistogramSt, open.into_bytes()),
        };
        self.done.push(Chunk { range, encoding, data: Bytes::from(data) });
    }
}

fn needs_new(appended: Appended) -> bool {
    matches!(appended, Appended::NeedsNewChunk(_))
}

fn grown(range: TimeRange, at: i64) -> TimeRange {
    TimeRange::new(at, at).map_or(range, |one| range.hull(one))
}
