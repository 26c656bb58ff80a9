//! The chunk that a series is filling.

use chunk::{
    Appended, ChunkError, FloatHistogramAppender, FloatHistogramStAppender, HistogramAppender,
    HistogramStAppender, Xor2Appender, XorAppender,
};
use model::Value;
use proto::ChunkEncoding;

/// A chunk being filled; it has one sample at least. Floats, by far the most common, need no box.
pub(crate) struct OpenChunk {
    first_ms: i64,
    body: Body,
}

enum Body {
    Xor(XorAppender),
    Histogram(Box<HistogramAppender>),
    FloatHistogram(Box<FloatHistogramAppender>),
    Xor2(Box<Xor2Appender>),
    HistogramSt(Box<HistogramStAppender>),
    FloatHistogramSt(Box<FloatHistogramStAppender>),
}

/// Calls the same method of whichever appender a body has.
macro_rules! of_body {
    ($body:expr, $appender:ident => $call:expr) => {
        match $body {
            Body::Xor($appender) => $call,
            Body::Histogram($appender) => $call,
            Body::FloatHistogram($appender) => $call,
            Body::Xor2($appender) => $call,
            Body::HistogramSt($appender) => $call,
            Body::FloatHistogramSt($appender) => $call,
        }
    };
}

/// A sample that is to be stored.
#[derive(Clone, Copy)]
pub(crate) struct Incoming<'a> {
    /// When it is.
    pub(crate) timestamp_ms: i64,
    /// When its counting began, 0 where that is unknown; `None` where the tenant's start timestamps are not stored.
    pub(crate) start_ms: Option<i64>,
    /// What it is.
    pub(crate) value: &'a Value,
}

/// What became of a sample that was to be appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Push {
    /// It is in the chunk.
    Done,
    /// A new chunk has to begin with it.
    NeedsNewChunk,
    /// It contradicts itself.
    Invalid,
}

impl OpenChunk {
    /// A chunk that begins with this sample; `None` where the sample contradicts itself.
    pub(crate) fn start(sample: Incoming<'_>) -> Option<Self> {
        let Incoming { timestamp_ms: at, start_ms, value } = sample;
        let body = match (value, start_ms) {
            (Value::Float(float), None) => {
                let mut appender = XorAppender::new();
                appender.append(at, *float).ok()?;
                Body::Xor(appender)
            }
            (Value::Float(float), Some(start)) => {
                let mut appender = Box::new(Xor2Appender::new());
                appender.append(at, start, *float).ok()?;
                Body::Xor2(appender)
            }
            (Value::Histogram(h), None) => Body::Histogram(Box::new(HistogramAppender::start(at, h).ok()?)),
            (Value::Histogram(h), Some(start)) => {
                Body::HistogramSt(Box::new(HistogramStAppender::start(at, start, h).ok()?))
            }
            (Value::FloatHistogram(h), None) => {
                Body::FloatHistogram(Box::new(FloatHistogramAppender::start(at, h).ok()?))
            }
            (Value::FloatHistogram(h), Some(start)) => {
                Body::FloatHistogramSt(Box::new(FloatHistogramStAppender::start(at, start, h).ok()?))
            }
        };
        Some(Self { first_ms: at, body })
    }

    /// The chunk that follows this one; it says whether counters were reset in between.
    pub(crate) fn next(&self, sample: Incoming<'_>) -> Option<Self> {
        let Incoming { timestamp_ms: at, start_ms, value } = sample;
        let body = match (value, &self.body) {
            (Value::Histogram(h), Body::Histogram(before)) => match start_ms {
                None => Body::Histogram(Box::new(before.next_chunk(at, h).ok()?)),
                Some(start) => Body::HistogramSt(Box::new(before.next_chunk_with_starts(at, start, h).ok()?)),
            },
            (Value::Histogram(h), Body::HistogramSt(before)) => match start_ms {
                None => Body::Histogram(Box::new(before.next_chunk(at, h).ok()?)),
                Some(start) => Body::HistogramSt(Box::new(before.next_chunk_with_starts(at, start, h).ok()?)),
            },
            (Value::FloatHistogram(h), Body::FloatHistogram(before)) => match start_ms {
                None => Body::FloatHistogram(Box::new(before.next_chunk(at, h).ok()?)),
                Some(start) => {
                    Body::FloatHistogramSt(Box::new(before.next_chunk_with_starts(at, start, h).ok()?))
                }
            },
            (Value::FloatHistogram(h), Body::FloatHistogramSt(before)) => match start_ms {
                None => Body::FloatHistogram(Box::new(before.next_chunk(at, h).ok()?)),
                Some(start) => {
                    Body::FloatHistogramSt(Box::new(before.next_chunk_with_starts(at, start, h).ok()?))
                }
            },
            _ => return Self::start(sample),
        };
        Some(Self { first_ms: at, body })
    }

    /// The chunk that a snapshot has.
    pub(crate) fn resume(first_ms: i64, encoding: ChunkEncoding, data: &[u8]) -> Result<Self, ChunkError> {
        let body = match encoding {
            ChunkEncoding::Xor => Body::Xor(XorAppender::resume(data)?),
            ChunkEncoding::Histogram => Body::Histogram(Box::new(HistogramAppender::resume(data)?)),
            ChunkEncoding::FloatHistogram => {
                Body::FloatHistogram(Box::new(FloatHistogramAppender::resume(data)?))
            }
            ChunkEncoding::Xor2 => Body::Xor2(Box::new(Xor2Appender::resume(data)?)),
            ChunkEncoding::HistogramSt => Body::HistogramSt(Box::new(HistogramStAppender::resume(data)?)),
            ChunkEncoding::FloatHistogramSt => {
                Body::FloatHistogramSt(Box::new(FloatHistogramStAppender::resume(data)?))
            }
        };
        Ok(Self { first_ms, body })
    }

    /// Appends a sample, if the chunk can take it: one without start timestamps takes none, one with them no others.
    #[inline]
    pub(crate) fn append(&mut self, sample: Incoming<'_>) -> Push {
        let Incoming { timestamp_ms: at, start_ms, value } = sample;
        let appended = match (&mut self.body, value, start_ms) {
            (Body::Xor(appender), Value::Float(float), None) => {
                appender.append(at, *float).map(|()| Appended::Appended)
            }
            (Body::Xor2(appender), Value::Float(float), Some(start)) => {
                appender.append(at, start, *float).map(|()| Appended::Appended)
            }
            (Body::Histogram(appender), Value::Histogram(h), None) => appender.append(at, h),
            (Body::HistogramSt(appender), Value::Histogram(h), Some(start)) => appender.append(at, start, h),
            (Body::FloatHistogram(appender), Value::FloatHistogram(h), None) => appender.append(at, h),
            (Body::FloatHistogramSt(appender), Value::FloatHistogram(h), Some(start)) => {
                appender.append(at, start, h)
            }
            _ => return Push::NeedsNewChunk,
        };
        match appended {
            Ok(Appended::Appended | Appended::Recoded) => Push::Done,
            Ok(Appended::NeedsNewChunk(_)) | Err(ChunkError::Full) => Push::NeedsNewChunk,
            Err(_) => Push::Invalid,
        }
    }

    /// Whether the newest sample says the same as `value`.
    pub(crate) fn last_equals(&self, value: &Value) -> bool {
        match (&self.body, value) {
            (Body::Xor(appender), Value::Float(float)) => {
                appender.last().is_some_and(|(_, last)| last.to_bits() == float.to_bits())
            }
            (Body::Xor2(appender), Value::Float(float)) => {
                appender.last().is_some_and(|(_, last)| last.to_bits() == float.to_bits())
            }
            (Body::Histogram(appender), Value::Histogram(h)) => appender.last_equals(h),
            (Body::HistogramSt(appender), Value::Histogram(h)) => appender.last_equals(h),
            (Body::FloatHistogram(appender), Value::FloatHistogram(h)) => appender.last_equals(h),
            (Body::FloatHistogramSt(appender), Value::FloatHistogram(h)) => appender.last_equals(h),
            _ => false,
        }
    }

    /// Whether the newest sample is a stale marker.
    pub(crate) fn is_stale(&self) -> bool {
        match &self.body {
            Body::Xor(appender) => appender.last().is_some_and(|(_, last)| model::is_stale_nan(last)),
            Body::Xor2(appender) => appender.last().is_some_and(|(_, last)| model::is_stale_nan(last)),
            Body::Histogram(appender) => appender.is_stale(),
            Body::HistogramSt(appender) => appender.is_stale(),
            Body::FloatHistogram(appender) => appender.is_stale(),
            Body::FloatHistogramSt(appender) => appender.is_stale(),
        }
    }

    /// When its first sample is.
    pub(crate) fn first_ms(&self) -> i64 {
        self.first_ms
    }

    /// How many samples it has.
    pub(crate) fn num_samples(&self) -> u16 {
        of_body!(&self.body, appender => appender.num_samples())
    }

    /// How it is encoded.
    pub(crate) fn encoding(&self) -> ChunkEncoding {
        match &self.body {
            Body::Xor(_) => ChunkEncoding::Xor,
            Body::Histogram(_) => ChunkEncoding::Histogram,
            Body::FloatHistogram(_) => ChunkEncoding::FloatHistogram,
            Body::Xor2(_) => ChunkEncoding::Xor2,
            Body::HistogramSt(_) => ChunkEncoding::HistogramSt,
            Body::FloatHistogramSt(_) => ChunkEncoding::FloatHistogramSt,
        }
    }

    /// The encoded chunk.
    pub(crate) fn bytes(&self) -> &[u8] {
        of_body!(&self.body, appender => appender.bytes())
    }
}

/// The value at a timestamp of a chunk, if it has one.
pub(crate) fn value_in(
    encoding: ChunkEncoding,
    data: &[u8],
    timestamp_ms: i64,
) -> Result<Option<Value>, ChunkError> {
    let mut cursor = chunk::cursor(encoding, data)?;
    while let Some((at, value)) = cursor.next_sample()? {
        if at == timestamp_ms {
            return Ok(Some(value.to_value()));
        }
        if at > timestamp_ms {
            break;
        }
    }
    Ok(None)
}

/// All samples of a chunk.
pub(crate) fn decode(encoding: ChunkEncoding, data: &[u8]) -> Result<Vec<(i64, Value)>, ChunkError> {
    let samples = decode_with_starts(encoding, data)?;
    Ok(samples.into_iter().map(|(timestamp_ms, _, value)| (timestamp_ms, value)).collect())
}

/// All samples of a chunk, with their start timestamps as in [`Incoming`].
pub(crate) fn decode_with_starts(
    encoding: ChunkEncoding,
    data: &[u8],
) -> Result<Vec<(i64, Option<i64>, Value)>, ChunkError> {
    let mut cursor = chunk::cursor(encoding, data)?;
    let mut samples = Vec::with_capacity(usize::from(cursor.num_samples()).min(data.len()));
    while let Some((timestamp_ms, start_ms, value)) = cursor.next_with_start()? {
        let start_ms = encoding.has_starts().then_some(start_ms);
        samples.push((timestamp_ms, start_ms, value.to_value()));
    }
    Ok(samples)
}

/// Whether a stored value and a new one at its timestamp are the same sample. A chunk gives a histogram back in the
/// chunk's layout, perhaps with more empty buckets, so histograms are the same if their numbers are.
pub(crate) fn is_repetition(stored: &Value, new: &Value) -> bool {
    match (stored, new) {
        (Value::Histogram(a), Value::Histogram(b)) => {
            (a.schema, a.count, a.zero_count, a.sum.to_bits())
                == (b.schema, b.count, b.zero_count, b.sum.to_bits())
        }
        (Value::FloatHistogram(a), Value::FloatHistogram(b)) => {
            let numbers = |h: &model::FloatHistogram| [h.count, h.zero_count, h.sum].map(f64::to_bits);
            a.schema == b.schema && numbers(a) == numbers(b)
        }
        _ => stored.same_bits(new),
    }
}
