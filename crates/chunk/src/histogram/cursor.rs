//! Reading histogram chunks.

use model::{CounterResetHint, is_stale_nan};

use super::kind::{Fields, Sample};
use super::layout::OwnedLayout;
use super::{CounterResetHeader, FLAGS_AT, HEADER_BYTES};
use crate::bits::BitReader;
use crate::error::ChunkError;
use crate::varbit::read_int;
use crate::xor::count_of;

/// Walks a histogram chunk. Samples are lent: nothing is allocated after the first one.
#[derive(Debug, Clone)]
pub struct HistogramCursor<'a, F: Fields> {
    reader: BitReader<'a>,
    header: CounterResetHeader,
    total: u16,
    read: u16,
    timestamp: i64,
    delta: i64,
    histogram: F::Sample,
    fields: F,
    /// What is lent for a stale marker.
    stale: F::Sample,
}

impl<'a, F: Fields> HistogramCursor<'a, F> {
    /// A cursor before the first sample of `chunk` (without encoding byte and checksum).
    pub fn new(chunk: &'a [u8]) -> Result<Self, ChunkError> {
        let (header, samples) = chunk
            .split_first_chunk::<HEADER_BYTES>()
            .ok_or(ChunkError::ShortHeader { length: chunk.len(), header: HEADER_BYTES })?;
        Ok(Self {
            reader: BitReader::new(samples),
            header: CounterResetHeader::from_flags(header[FLAGS_AT]),
            total: count_of(chunk),
            read: 0,
            timestamp: 0,
            delta: 0,
            histogram: F::Sample::default(),
            fields: F::default(),
            stale: F::Sample::default(),
        })
    }

    /// How many samples the header announces.
    pub fn num_samples(&self) -> u16 {
        self.total
    }

    /// What the chunk says about a counter reset before its first sample.
    pub fn header(&self) -> CounterResetHeader {
        self.header
    }

    /// The next sample, or `None` at the end. A stale marker has nothing but its sum. After an error the cursor is of
    /// no more use.
    pub fn next_sample(&mut self) -> Result<Option<(i64, &F::Sample)>, ChunkError> {
        if !self.advance()? {
            return Ok(None);
        }
        let sum = self.histogram.sum();
        if is_stale_nan(sum) {
            self.stale = F::Sample::of_sum(sum);
            return Ok(Some((self.timestamp, &self.stale)));
        }
        self.histogram.set_hint(self.hint());
        Ok(Some((self.timestamp, &self.histogram)))
    }

    pub(super) fn advance(&mut self) -> Result<bool, ChunkError> {
        if self.read >= self.total {
            return Ok(false);
        }
        if self.read == 0 {
            self.read_first()?;
        } else {
            self.delta = self.delta.wrapping_add(read_int(&mut self.reader));
            self.timestamp = self.timestamp.wrapping_add(self.delta);
            self.fields
                .read_next(&mut self.reader, &mut self.histogram)
                .ok_or_else(|| self.malformed("leading zeros and significant bits exceed 64"))?;
        }
        if self.reader.overrun() {
            return Err(ChunkError::Truncated { sample: self.read, total: self.total });
        }
        self.read += 1;
        Ok(true)
    }

    pub(super) fn reader(&self) -> &BitReader<'a> {
        &self.reader
    }

    pub(super) fn into_state(self) -> (i64, i64, F::Sample, F) {
        (self.timestamp, self.delta, self.histogram, self.fields)
    }

    fn read_first(&mut self) -> Result<(), ChunkError> {
        let layout = OwnedLayout::read(&mut self.reader);
        if self.reader.overrun() {
            return Err(ChunkError::Truncated { sample: 0, total: self.total });
        }
        self.histogram.set_layout(layout.map_err(|what| self.malformed(what))?);
        self.timestamp = read_int(&mut self.reader);
        self.fields.read_first(&mut self.reader, &mut self.histogram);
        Ok(())
    }

    /// Inside a chunk of counters there is no reset. That there was none before it is of no use to a reader, who cannot
    /// know that he has the chunk before.
    fn hint(&self) -> CounterResetHint {
        match self.header {
            CounterResetHeader::Gauge => CounterResetHint::Gauge,
            _ if self.read > 1 => CounterResetHint::NotReset,
            CounterResetHeader::Reset => CounterResetHint::Reset,
            CounterResetHeader::Unknown | CounterResetHeader::NotReset => CounterResetHint::Unknown,
        }
    }

    fn malformed(&self, what: &'static str) -> ChunkError {
        ChunkError::Malformed { sample: self.read, total: self.total, what }
    }
}
