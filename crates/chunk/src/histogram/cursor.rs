//! Reading histogram chunks.

use model::{CounterResetHint, is_stale_nan};

use super::kind::{Fields, Sample};
use super::layout::OwnedLayout;
use super::variant::{Times, Variant};
use super::{CounterResetHeader, HEADER_BYTES};
use crate::bits::BitReader;
use crate::cursor::Started;
use crate::error::ChunkError;
use crate::varbit::read_int;

/// Walks a histogram chunk. Samples are lent: nothing is allocated after the first one.
#[derive(Debug, Clone)]
pub struct HistogramCursor<'a, F: Fields, V: Variant> {
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
    variant: V,
}

impl<'a, F: Fields, V: Variant> HistogramCursor<'a, F, V> {
    /// A cursor before the first sample of `chunk` (without encoding byte and checksum).
    pub fn new(chunk: &'a [u8]) -> Result<Self, ChunkError> {
        let (header, samples) = chunk
            .split_first_chunk::<HEADER_BYTES>()
            .ok_or(ChunkError::ShortHeader { length: chunk.len(), header: HEADER_BYTES })?;
        Ok(Self {
            reader: BitReader::new(samples),
            header: CounterResetHeader::from_flags(V::flags(chunk)),
            total: V::num_samples(chunk),
            read: 0,
            timestamp: 0,
            delta: 0,
            histogram: F::Sample::default(),
            fields: F::default(),
            stale: F::Sample::default(),
            variant: V::of_header(*header),
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

    /// When the counting of the sample read last began, in milliseconds; 0 where that is unknown.
    pub fn start(&self) -> i64 {
        self.variant.start()
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

    /// As [`Self::next_sample`], with its start timestamp.
    pub fn next_with_start(&mut self) -> Result<Option<Started<&F::Sample>>, ChunkError> {
        if self.next_sample()?.is_none() {
            return Ok(None);
        }
        let stale = is_stale_nan(self.histogram.sum());
        let histogram = if stale { &self.stale } else { &self.histogram };
        Ok(Some((self.timestamp, self.variant.start(), histogram)))
    }

    pub(super) fn advance(&mut self) -> Result<bool, ChunkError> {
        if self.read >= self.total {
            return Ok(false);
        }
        let previous = self.timestamp;
        if self.read == 0 {
            self.read_first()?;
        } else {
            self.delta = self.delta.wrapping_add(read_int(&mut self.reader));
            self.timestamp = self.timestamp.wrapping_add(self.delta);
            self.fields
                .read_next(&mut self.reader, &mut self.histogram)
                .ok_or_else(|| self.malformed("leading zeros and significant bits exceed 64"))?;
        }
        let times = Times { timestamp: self.timestamp, previous, start: 0 };
        let has_start = self.variant.read(&mut self.reader, self.read, times);
        if self.reader.overrun() {
            return Err(ChunkError::Truncated { sample: self.read, total: self.total });
        }
        has_start.ok_or_else(|| self.malformed("a start timestamp of more than 64 bits"))?;
        self.read += 1;
        Ok(true)
    }

    pub(super) fn reader(&self) -> &BitReader<'a> {
        &self.reader
    }

    pub(super) fn into_state(self) -> (i64, i64, F::Sample, F, V) {
        (self.timestamp, self.delta, self.histogram, self.fields, self.variant)
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

    /// Inside a chunk of counters there is no reset. What the header says of the chunk before is of no use to a reader, who
    /// cannot know that this is the chunk that he read before: samples may have come late, or from another block.
    fn hint(&self) -> CounterResetHint {
        match self.header {
            CounterResetHeader::Gauge => CounterResetHint::Gauge,
            _ if self.read > 1 => CounterResetHint::NotReset,
            _ => CounterResetHint::Unknown,
        }
    }

    fn malformed(&self, what: &'static str) -> ChunkError {
        ChunkError::Malformed { sample: self.read, total: self.total, what }
    }
}
