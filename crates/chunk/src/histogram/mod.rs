//! Native histograms, with integer (encoding 2) and with float counts (encoding 3). A chunk has one layout; a sample with
//! another one is fitted into it, or the chunk is written again with more buckets, or a new chunk has to begin.
//! The format is drawn in `docs/formats/chunks.md`.

mod appender;
mod cursor;
mod fit;
mod float;
mod integer;
mod kind;
mod layout;
mod spans;

pub use appender::Appended;
use appender::Appender;
use cursor::HistogramCursor;
pub use fit::CutReason;

/// Writes chunks of integer histograms.
pub type HistogramAppender = Appender<integer::IntegerFields>;
/// Writes chunks of float histograms.
pub type FloatHistogramAppender = Appender<float::FloatFields>;
/// Walks a chunk of integer histograms.
pub type IntegerHistogramCursor<'a> = HistogramCursor<'a, integer::IntegerFields>;
/// Walks a chunk of float histograms.
pub type FloatHistogramCursor<'a> = HistogramCursor<'a, float::FloatFields>;

/// Number of samples and flags.
const HEADER_BYTES: usize = 3;
/// Where the flags are.
const FLAGS_AT: usize = 2;

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
