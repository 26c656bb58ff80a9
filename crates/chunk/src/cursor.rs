//! Reading a chunk of any encoding.

use std::sync::Arc;

use model::{FloatHistogram, Histogram, Value};

use crate::error::ChunkError;
use crate::histogram::{FloatHistogramCursor, IntegerHistogramCursor};
use crate::xor::XorCursor;

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
}

impl TryFrom<u8> for Encoding {
    type Error = ChunkError;

    fn try_from(encoding: u8) -> Result<Self, ChunkError> {
        match encoding {
            1 => Ok(Self::Xor),
            2 => Ok(Self::Histogram),
            3 => Ok(Self::FloatHistogram),
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

/// Walks a chunk of any encoding.
#[derive(Debug, Clone)]
pub enum Cursor<'a> {
    /// Of floats.
    Xor(XorCursor<'a>),
    /// Of histograms with integer counts.
    Histogram(Box<IntegerHistogramCursor<'a>>),
    /// Of histograms with float counts.
    FloatHistogram(Box<FloatHistogramCursor<'a>>),
}

/// A cursor before the first sample of `chunk` (without encoding byte and checksum).
pub fn cursor(encoding: Encoding, chunk: &[u8]) -> Result<Cursor<'_>, ChunkError> {
    Ok(match encoding {
        Encoding::Xor => Cursor::Xor(XorCursor::new(chunk)?),
        Encoding::Histogram => Cursor::Histogram(Box::new(IntegerHistogramCursor::new(chunk)?)),
        Encoding::FloatHistogram => Cursor::FloatHistogram(Box::new(FloatHistogramCursor::new(chunk)?)),
    })
}

impl Cursor<'_> {
    /// How many samples the header announces.
    pub fn num_samples(&self) -> u16 {
        match self {
            Self::Xor(cursor) => cursor.num_samples(),
            Self::Histogram(cursor) => cursor.num_samples(),
            Self::FloatHistogram(cursor) => cursor.num_samples(),
        }
    }

    /// The next sample, its time in milliseconds, or `None` at the end. After an error the cursor is of no more use.
    #[inline]
    pub fn next_sample(&mut self) -> Result<Option<(i64, ValueRef<'_>)>, ChunkError> {
        Ok(match self {
            Self::Xor(cursor) => cursor.next_sample()?.map(|(t, value)| (t, ValueRef::Float(value))),
            Self::Histogram(cursor) => cursor.next_sample()?.map(|(t, h)| (t, ValueRef::Histogram(h))),
            Self::FloatHistogram(cursor) => {
                cursor.next_sample()?.map(|(t, h)| (t, ValueRef::FloatHistogram(h)))
            }
        })
    }
}
