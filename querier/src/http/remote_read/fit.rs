//! Chunks that have exactly the samples of a time range, each once: as the TSDB hands them to remote readers.

use ::chunk::{
    Appended, ChunkError, Encoding, FloatHistogramAppender, HistogramAppender, Merged, XorAppender,
    run_length,
};
use model::{TimeRange, Value};
use proto::Chunk;

/// How many samples a chunk that is made anew has at most, as the TSDB has it.
const MAX_SAMPLES: u16 = 120;

/// The samples of `chunks` in `range`. Chunks that lie within it and overlap no other are handed on as they are; the
/// others are made anew.
pub(super) fn fitting(mut chunks: &[Chunk], range: TimeRange) -> Result<Vec<Chunk>, ChunkError> {
    let mut out = Vec::with_capacity(chunks.len());
    while !chunks.is_empty() {
        let (run, rest) = chunks.split_at(run_length(chunks));
        chunks = rest;
        match run {
            [chunk] if lies_within(chunk.range, range) => out.push(chunk.clone()),
            run => encode(run, range, &mut out)?,
        }
    }
    Ok(out)
}

fn lies_within(inner: TimeRange, outer: TimeRange) -> bool {
    outer.contains(inner.start_ms()) && outer.contains(inner.end_ms())
}

fn encode(run: &[Chunk], range: TimeRange, out: &mut Vec<Chunk>) -> Result<(), ChunkError> {
    let mut merged = Merged::new(run, range);
    let mut open: Option<Open> = None;
    while let Some((at, value)) = merged.next_sample()? {
        let taken = match &mut open {
            Some(open) => open.append(at, &value)?,
            None => false,
        };
        if !taken {
            out.extend(open.take().and_then(Open::finish));
            open = Some(Open::start(at, &value)?);
        }
    }
    out.extend(open.and_then(Open::finish));
    Ok(())
}

/// A chunk being made.
struct Open {
    start_ms: i64,
    end_ms: i64,
    appender: Appender,
}

enum Appender {
    Floats(XorAppender),
    Histograms(Box<HistogramAppender>),
    FloatHistograms(Box<FloatHistogramAppender>),
}

impl Open {
    fn start(at: i64, value: &Value) -> Result<Self, ChunkError> {
        let appender = match value {
            Value::Float(float) => {
                let mut appender = XorAppender::new();
                appender.append(at, *float)?;
                Appender::Floats(appender)
            }
            Value::Histogram(h) => Appender::Histograms(Box::new(HistogramAppender::start(at, h)?)),
            Value::FloatHistogram(h) => {
                Appender::FloatHistograms(Box::new(FloatHistogramAppender::start(at, h)?))
            }
        };
        Ok(Self { start_ms: at, end_ms: at, appender })
    }

    /// Whether the chunk could take the sample.
    fn append(&mut self, at: i64, value: &Value) -> Result<bool, ChunkError> {
        let appended = match (&mut self.appender, value) {
            (Appender::Floats(floats), Value::Float(float)) if floats.num_samples() < MAX_SAMPLES => {
                floats.append(at, *float).map(|()| true)?
            }
            (Appender::Histograms(open), Value::Histogram(h)) if open.num_samples() < MAX_SAMPLES => {
                is_taken(&open.append(at, h)?)
            }
            (Appender::FloatHistograms(open), Value::FloatHistogram(h))
                if open.num_samples() < MAX_SAMPLES =>
            {
                is_taken(&open.append(at, h)?)
            }
            _ => false,
        };
        if appended {
            self.end_ms = at;
        }
        Ok(appended)
    }

    fn finish(self) -> Option<Chunk> {
        let (encoding, data) = match self.appender {
            Appender::Floats(appender) => (Encoding::Xor, appender.into_bytes()),
            Appender::Histograms(appender) => (Encoding::Histogram, appender.into_bytes()),
            Appender::FloatHistograms(appender) => (Encoding::FloatHistogram, appender.into_bytes()),
        };
        let range = TimeRange::new(self.start_ms, self.end_ms)?;
        Some(Chunk { range, encoding, data: data.into_vec().into() })
    }
}

fn is_taken(appended: &Appended) -> bool {
    match appended {
        Appended::Appended | Appended::Recoded => true,
        Appended::NeedsNewChunk(_) => false,
    }
}
