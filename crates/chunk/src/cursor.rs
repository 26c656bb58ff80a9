//! Reading a chunk of any encoding.

use std::sync::Arc;

use model::{FloatHistogram, Histogram, Value};

use crate::error::ChunkError;
use crate::histogram::{
    FloatHistogramCursor, FloatHistogramStCursor, HistogramStCursor, IntegerHistogramCursor,
};
use crate::xor::XorCursor;
use crate::xor2::Xor2Cursor;

/// How a chunk's samples are encoded; the numbers are those of the TSDB's files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Encoding {
    /// Floats.
    Xor = 1,
    /// Histograms with integer counts.
    Histogram = 2,
    /// Histograms with float counts.
    FloatHistogram = 3,
    /// Floats with start timestamps.
    Xor2 = 4,
    /// Histograms with integer counts and start timestamps.
    HistogramSt = 5,
    /// Histograms with float counts and start timestamps.
    FloatHistogramSt = 6,
}

impl Encoding {
    /// Whether a chunk of this encoding can hold start timestamps.
    pub fn has_starts(self) -> bool {
        matches!(self, Self::Xor2 | Self::HistogramSt | Self::FloatHistogramSt)
    }
}

impl TryFrom<u8> for Encoding {
    type Error = ChunkError;

    fn try_from(encoding: u8) -> Result<Self, ChunkError> {
        match encoding {
            1 => Ok(Self::Xor),
            2 => Ok(Self::Histogram),
            3 => Ok(Self::FloatHistogram),
            4 => Ok(Self::Xor2),
            5 => Ok(Self::HistogramSt),
            6 => Ok(Self::FloatHistogramSt),
            _ => Err(ChunkError::UnknownEncoding { encoding }),
        }
    }
}

impl From<Encoding> for u8 {
    fn from(encoding: Encoding) -> u8 {
        encoding as u8
    }
}

/// A sample's value, lent by a cursor.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ValueRef<'a> {
    /// A float.
    Float(f64),
    /// A histogram with integer counts.
    Histogram(&'a Histogram),
    /// A histogram with float counts.
    FloatHistogram(&'a FloatHistogram),
}

impl ValueRef<'_> {
    /// The value for keeps.
    pub fn to_value(self) -> Value {
        match self {
            Self::Float(value) => Value::Float(value),
            Self::Histogram(histogram) => Value::Histogram(Arc::new(histogram.clone())),
            Self::FloatHistogram(histogram) => Value::FloatHistogram(Arc::new(histogram.clone())),
        }
    }
}

/// A sample with its start timestamp: when it is, when its counting began (0: unknown), both in milliseconds, and its value.
pub type Started<V> = (i64, i64, V);

/// Walks a chunk of any encoding.
#[derive(Debug, Clone)]
pub enum Cursor<'a> {
    /// Of floats.
    Xor(XorCursor<'a>),
    /// Of histograms with integer counts.
    Histogram(Box<IntegerHistogramCursor<'a>>),
    /// Of histograms with float counts.
    FloatHistogram(Box<FloatHistogramCursor<'a>>),
    /// Of floats with start timestamps.
    Xor2(Xor2Cursor<'a>),
    /// Of histograms with integer counts and start timestamps.
    HistogramSt(Box<HistogramStCursor<'a>>),
    /// Of histograms with float counts and start timestamps.
    FloatHistogramSt(Box<FloatHistogramStCursor<'a>>),
}

/// A cursor before the first sample of `chunk` (without encoding byte and checksum).
pub fn cursor(encoding: Encoding, chunk: &[u8]) -> Result<Cursor<'_>, ChunkError> {
    Ok(match encoding {
        Encoding::Xor => Cursor::Xor(XorCursor::new(chunk)?),
        Encoding::Histogram => Cursor::Histogram(Box::new(IntegerHistogramCursor::new(chunk)?)),
        Encoding::FloatHistogram => Cursor::FloatHistogram(Box::new(FloatHistogramCursor::new(chunk)?)),
        Encoding::Xor2 => Cursor::Xor2(Xor2Cursor::new(chunk)?),
        Encoding::HistogramSt => Cursor::HistogramSt(Box::new(HistogramStCursor::new(chunk)?)),
        Encoding::FloatHistogramSt => Cursor::FloatHistogramSt(Box::new(FloatHistogramStCursor::new(chunk)?)),
    })
}

impl Cursor<'_> {
    /// How many samples the header announces.
    pub fn num_samples(&self) -> u16 {
        match self {
            Self::Xor(cursor) => cursor.num_samples(),
            Self::Histogram(cursor) => cursor.num_samples(),
            Self::FloatHistogram(cursor) => cursor.num_samples(),
            Self::Xor2(cursor) => cursor.num_samples(),
            Self::HistogramSt(cursor) => cursor.num_samples(),
            Self::FloatHistogramSt(cursor) => cursor.num_samples(),
        }
    }

    /// The next sample, its time in milliseconds, or `None` at the end. After an error the cursor is of no more use.
    #[inline]
    pub fn next_sample(&mut self) -> Result<Option<(i64, ValueRef<'_>)>, ChunkError> {
        Ok(match self {
            Self::Xor(cursor) => cursor.next_sample()?.map(|(t, value)| (t, ValueRef::Float(value))),
            Self::Xor2(cursor) => cursor.next_sample()?.map(|(t, value)| (t, ValueRef::Float(value))),
            Self::Histogram(cursor) => cursor.next_sample()?.map(|(t, h)| (t, ValueRef::Histogram(h))),
            Self::HistogramSt(cursor) => cursor.next_sample()?.map(|(t, h)| (t, ValueRef::Histogram(h))),
            Self::FloatHistogram(cursor) => {
                cursor.next_sample()?.map(|(t, h)| (t, ValueRef::FloatHistogram(h)))
            }
            Self::FloatHistogramSt(cursor) => {
                cursor.next_sample()?.map(|(t, h)| (t, ValueRef::FloatHistogram(h)))
            }
        })
    }

    /// As [`Self::next_sample`], with its start timestamp; that is 0 where it is unknown or the encoding has none.
    #[inline]
    pub fn next_with_start(&mut self) -> Result<Option<Started<ValueRef<'_>>>, ChunkError> {
        Ok(match self {
            Self::Xor2(cursor) => {
                let sample = cursor.next_sample()?;
                sample.map(|(t, value)| (t, cursor.start(), ValueRef::Float(value)))
            }
            Self::HistogramSt(cursor) => {
                cursor.next_with_start()?.map(|(t, start, h)| (t, start, ValueRef::Histogram(h)))
            }
            Self::FloatHistogramSt(cursor) => {
                cursor.next_with_start()?.map(|(t, start, h)| (t, start, ValueRef::FloatHistogram(h)))
            }
            without => without.next_sample()?.map(|(t, value)| (t, 0, value)),
        })
    }
}
