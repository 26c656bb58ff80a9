//! Start timestamps beside samples: when a counter began to count. A byte of the chunk's header says which samples have
//! one written behind them; the others have that of the sample before. The format is drawn in `docs/formats/chunks.md`.

use crate::bits::{BitReader, BitWriter};
use crate::error::ChunkError;
use crate::varbit::{push_int, read_int};

/// Where the header has the byte for start timestamps; the number of samples is before it.
pub(crate) const STARTS_AT: usize = 2;
/// The first sample has a start timestamp.
const KNOWN: u8 = 0x80;
/// Seven bits hold the number of the first sample whose start timestamp differs from the one before; so that the number
/// always fits, it is written from this sample on whether it differs or not.
const CHANGED_ON_MAX: u8 = 0x7f;

/// The start timestamps of a chunk as far as it was written or read. Times are in milliseconds, 0 is unknown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Starts {
    /// Of the last sample.
    start: i64,
    /// The last one written, as how long before the timestamp of the previous sample it is.
    ahead: i64,
    /// From which sample on they are written; 0: from none.
    changed_on: u8,
    /// Whether that of the first sample is written.
    known: bool,
}

impl Starts {
    /// What a header announces, before the first sample.
    pub(crate) fn of_header(header: u8) -> Self {
        Self { known: header & KNOWN != 0, changed_on: header & !KNOWN, ..Self::default() }
    }

    /// The header's byte.
    #[inline]
    pub(crate) fn header(&self) -> u8 {
        self.changed_on | if self.known { KNOWN } else { 0 }
    }

    /// Whether any sample has a start timestamp of its own.
    #[inline]
    pub(crate) fn any(&self) -> bool {
        self.header() != 0
    }

    /// The last sample's.
    #[inline]
    pub(crate) fn last(&self) -> i64 {
        self.start
    }

    /// Writes that of sample number `index`, whose own data is written. Returns whether the header changed.
    #[inline]
    pub(crate) fn write(
        &mut self,
        writer: &mut BitWriter<'_>,
        index: u16,
        timestamp: i64,
        previous_timestamp: i64,
        start: i64,
    ) -> bool {
        if self.changed_on > 0 {
            let ahead = previous_timestamp.wrapping_sub(start);
            push_int(writer, ahead.wrapping_sub(self.ahead));
            self.ahead = ahead;
            self.start = start;
            return false;
        }
        if start == self.start && index != u16::from(CHANGED_ON_MAX) {
            return false;
        }
        self.start = start;
        if index == 0 {
            let ahead = timestamp.wrapping_sub(start);
            // Zigzag, as Go's varint.
            writer.push_uvarint((ahead << 1 ^ ahead >> 63) as u64);
            self.known = true;
        } else {
            self.ahead = previous_timestamp.wrapping_sub(start);
            self.changed_on = u8::try_from(index).unwrap_or(CHANGED_ON_MAX);
            push_int(writer, self.ahead);
        }
        true
    }

    /// Reads that of sample number `index`, whose own data is read; `None` where the bits mean nothing.
    #[inline]
    pub(crate) fn read(
        &mut self,
        reader: &mut BitReader<'_>,
        index: u16,
        timestamp: i64,
        previous_timestamp: i64,
    ) -> Option<()> {
        let changed_on = u16::from(self.changed_on);
        if index == 0 {
            if self.known {
                let number = reader.read_uvarint()?;
                let ahead = (number >> 1) as i64 ^ -((number & 1) as i64);
                self.start = timestamp.wrapping_sub(ahead);
            }
        } else if changed_on > 0 && index >= changed_on {
            let number = read_int(reader);
            self.ahead = if index == changed_on { number } else { self.ahead.wrapping_add(number) };
            self.start = previous_timestamp.wrapping_sub(self.ahead);
        }
        Some(())
    }

    /// Fails where a chunk of `total` samples cannot be continued, because its header could not say from which sample
    /// on start timestamps are written.
    pub(crate) fn check_continued(&self, total: u16) -> Result<(), ChunkError> {
        if total > u16::from(CHANGED_ON_MAX) && self.changed_on == 0 {
            let what = "start timestamps have to be written from sample 127 on";
            return Err(ChunkError::Malformed { sample: u16::from(CHANGED_ON_MAX), total, what });
        }
        Ok(())
    }
}
