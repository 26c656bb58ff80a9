//! Native histograms, with integer (encoding 2) and with float counts (encoding 3), and both with start timestamps
//! (encodings 5 and 6). A chunk has one layout; a sample with
//! another one is fitted into it, or the chunk is written again with more buckets, or a new chunk has to begin.
//! The format is drawn in `docs/formats/chunks.md`.

mod appender;
mod cursor;
mod fit;
mod float;
mod integer;
mod kind;
mod layout;
mod slice;
mod spans;
mod variant;

pub use appender::Appended;
use appender::Appender;
use cursor::HistogramCursor;
pub use fit::CutReason;
pub(crate) use slice::slice;
use variant::{Plain, WithStarts};

/// Writes chunks of integer histograms.
pub type HistogramAppender = Appender<integer::IntegerFields, Plain>;
/// Writes chunks of float histograms.
pub type FloatHistogramAppender = Appender<float::FloatFields, Plain>;
/// Walks a chunk of integer histograms.
pub type IntegerHistogramCursor<'a> = HistogramCursor<'a, integer::IntegerFields, Plain>;
/// Walks a chunk of float histograms.
pub type FloatHistogramCursor<'a> = HistogramCursor<'a, float::FloatFields, Plain>;
/// Writes chunks of integer histograms and start timestamps.
pub type HistogramStAppender = Appender<integer::IntegerFields, WithStarts>;
/// Writes chunks of float histograms and start timestamps.
pub type FloatHistogramStAppender = Appender<float::FloatFields, WithStarts>;
/// Walks a chunk of integer histograms and start timestamps.
pub type HistogramStCursor<'a> = HistogramCursor<'a, integer::IntegerFields, WithStarts>;
/// Walks a chunk of float histograms and start timestamps.
pub type FloatHistogramStCursor<'a> = HistogramCursor<'a, float::FloatFields, WithStarts>;

/// Number of samples, flags, and what start timestamps there are.
const HEADER_BYTES: usize = 3;

/// What a histogram chunk says about a counter reset before its first sample: the two highest bits of the flags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CounterResetHeader {
    /// Nothing.
    Unknown,
    /// There was none after the chunk before.
    NotReset,
    /// There was one.
    Reset,
    /// The chunk holds gauges.
    Gauge,
}

impl CounterResetHeader {
    fn from_flags(flags: u8) -> Self {
        match flags >> 6 {
            0b00 => Self::Unknown,
            0b01 => Self::NotReset,
            0b10 => Self::Reset,
            _ => Self::Gauge,
        }
    }

    fn flags(self) -> u8 {
        match self {
            Self::Unknown => 0,
            Self::NotReset => 0b01 << 6,
            Self::Reset => 0b10 << 6,
            Self::Gauge => 0b11 << 6,
        }
    }
}
