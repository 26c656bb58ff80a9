//! A chunk being filled, of whichever encoding its samples need.

use model::Value;

use crate::cursor::Encoding;
use crate::error::ChunkError;
use crate::histogram::{
    Appended, FloatHistogramAppender, FloatHistogramStAppender, HistogramAppender, HistogramStAppender,
};
use crate::xor::XorAppender;
use crate::xor2::Xor2Appender;

/// A chunk being filled; it has one sample at least.
#[derive(Debug)]
pub struct OpenChunk {
    first_ms: i64,
    body: Body,
}

// Floats, by far the most common, need no box.
#[derive(Debug)]
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
#[derive(Debug, Clone, Copy)]
pub struct Incoming<'a> {
    /// When it is, in milliseconds.
    pub timestamp_ms: i64,
    /// When its counting began, in milliseconds, 0 where that is unknown; `None` where start timestamps are not stored.
    pub start_ms: Option<i64>,
    /// What it is.
    pub value: &'a Value,
}

/// What became of a sample that was to be appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Push {
    /// It is in the chunk.
    Done,
    /// A new chunk has to begin with it.
    NeedsNewChunk,
    /// It contradicts itself.
    Invalid,
}

impl OpenChunk {
    /// A chunk that begins with this sample; `None` where the sample contradicts itself.
    #[inline]
    pub fn start(sample: Incoming<'_>) -> Option<Self> {
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

    /// The last sample, where it is a float without start timestamp.
    #[inline]
    pub fn last_float(&self) -> Option<(i64, f64)> {
        match &self.body {
            Body::Xor(appender) => appender.last(),
            _ => None,
        }
    }

    /// The chunk that follows this one; it says whether counters were reset in between.
    #[inline]
    pub fn next(&self, sample: Incoming<'_>) -> Option<Self> {
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

    /// A chunk that goes on where `data` ends; its first sample is at `first_ms`.
    ///
    /// # Errors
    /// Where it is malformed, or has no samples.
    pub fn resume(first_ms: i64, encoding: Encoding, data: &[u8]) -> Result<Self, ChunkError> {
        let body = match encoding {
            Encoding::Xor => Body::Xor(XorAppender::resume(data)?),
            Encoding::Histogram => Body::Histogram(Box::new(HistogramAppender::resume(data)?)),
            Encoding::FloatHistogram => Body::FloatHistogram(Box::new(FloatHistogramAppender::resume(data)?)),
            Encoding::Xor2 => Body::Xor2(Box::new(Xor2Appender::resume(data)?)),
            Encoding::HistogramSt => Body::HistogramSt(Box::new(HistogramStAppender::resume(data)?)),
            Encoding::FloatHistogramSt => {
                Body::FloatHistogramSt(Box::new(FloatHistogramStAppender::resume(data)?))
            }
        };
        Ok(Self { first_ms, body })
    }

    /// Appends a sample, if the chunk can take it: one without start timestamps takes none, one with them no others.
    #[inline]
    pub fn append(&mut self, sample: Incoming<'_>) -> Push {
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
    #[inline]
    pub fn last_equals(&self, value: &Value) -> bool {
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
    #[inline]
    pub fn is_stale(&self) -> bool {
        match &self.body {
            Body::Xor(appender) => appender.last().is_some_and(|(_, last)| model::is_stale_nan(last)),
            Body::Xor2(appender) => appender.last().is_some_and(|(_, last)| model::is_stale_nan(last)),
            Body::Histogram(appender) => appender.is_stale(),
            Body::HistogramSt(appender) => appender.is_stale(),
            Body::FloatHistogram(appender) => appender.is_stale(),
            Body::FloatHistogramSt(appender) => appender.is_stale(),
        }
    }

    /// When its first sample is, in milliseconds.
    #[inline]
    pub fn first_ms(&self) -> i64 {
        self.first_ms
    }

    /// How many samples it has.
    #[inline]
    pub fn num_samples(&self) -> u16 {
        of_body!(&self.body, appender => appender.num_samples())
    }

    /// How it is encoded.
    #[inline]
    pub fn encoding(&self) -> Encoding {
        match &self.body {
            Body::Xor(_) => Encoding::Xor,
            Body::Histogram(_) => Encoding::Histogram,
            Body::FloatHistogram(_) => Encoding::FloatHistogram,
            Body::Xor2(_) => Encoding::Xor2,
            Body::HistogramSt(_) => Encoding::HistogramSt,
            Body::FloatHistogramSt(_) => Encoding::FloatHistogramSt,
        }
    }

    /// The encoded chunk, as far as it has come.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        of_body!(&self.body, appender => appender.bytes())
    }
}
