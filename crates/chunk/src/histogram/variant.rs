//! What chunks with and without start timestamps do differently: the header, and what follows a sample.
//!
//! Both have three bytes of header. Without start timestamps they are the number of samples and the flags; with them the
//! flags are the two highest bits of the number, and the third byte tells which samples have a start timestamp.

use std::fmt::Debug;

use super::HEADER_BYTES;
use crate::bits::{BitReader, BitWriter};
use crate::error::ChunkError;
use crate::starts::{STARTS_AT, Starts};
use crate::xor::count_of;

/// Whether a histogram chunk has start timestamps.
pub trait Variant: Clone + Default + Debug {
    /// So many samples the header can count.
    const SAMPLES_MAX: u16;

    /// What the header announces.
    fn of_header(header: [u8; HEADER_BYTES]) -> Self;
    /// How many samples the header counts.
    fn num_samples(chunk: &[u8]) -> u16;
    /// The byte whose two highest bits tell about a counter reset.
    fn flags(chunk: &[u8]) -> u8;
    /// The header of a chunk of one sample.
    fn header_of_one(flags: u8) -> [u8; HEADER_BYTES];
    /// Sets the number of samples; the rest of the header stays.
    fn set_num_samples(chunk: &mut [u8], num_samples: u16);
    /// Writes what follows sample number `index`. Returns the header's third byte where it changed.
    fn write(&mut self, writer: &mut BitWriter<'_>, index: u16, times: Times) -> Option<u8>;
    /// Reads what follows sample number `index`; `None` where the bits mean nothing.
    fn read(&mut self, reader: &mut BitReader<'_>, index: u16, times: Times) -> Option<()>;
    /// The last start timestamp; 0 is unknown.
    fn start(&self) -> i64;
    /// Whether a chunk of so many samples can be continued.
    fn check_continued(&self, total: u16) -> Result<(), ChunkError>;
}

/// The times around a sample, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// The sample's.
    pub timestamp: i64,
    /// That of the sample before; of no meaning for the first one.
    pub previous: i64,
    /// When counting began; 0 is unknown, and of no meaning while reading.
    pub start: i64,
}

/// Without start timestamps.
#[derive(Debug, Clone, Copy, Default)]
pub struct Plain;

/// Where the flags are in a header without start timestamps.
const FLAGS_AT: usize = 2;

impl Variant for Plain {
    const SAMPLES_MAX: u16 = u16::MAX;

    fn of_header(_: [u8; HEADER_BYTES]) -> Self {
        Self
    }

    fn num_samples(chunk: &[u8]) -> u16 {
        count_of(chunk)
    }

    fn flags(chunk: &[u8]) -> u8 {
        chunk.get(FLAGS_AT).copied().unwrap_or_default()
    }

    fn header_of_one(flags: u8) -> [u8; HEADER_BYTES] {
        [0, 1, flags]
    }

    fn set_num_samples(chunk: &mut [u8], num_samples: u16) {
        if let Some(header) = chunk.first_chunk_mut() {
            *header = num_samples.to_be_bytes();
        }
    }

    #[inline]
    fn write(&mut self, _: &mut BitWriter<'_>, _: u16, _: Times) -> Option<u8> {
        None
    }

    #[inline]
    fn read(&mut self, _: &mut BitReader<'_>, _: u16, _: Times) -> Option<()> {
        Some(())
    }

    fn start(&self) -> i64 {
        0
    }

    fn check_continued(&self, _: u16) -> Result<(), ChunkError> {
        Ok(())
    }
}

/// With start timestamps.
#[derive(Debug, Clone, Copy, Default)]
pub struct WithStarts(Starts);

/// Of the first two bytes, those that count samples.
const COUNT_MASK: u16 = 0x3fff;

impl Variant for WithStarts {
    const SAMPLES_MAX: u16 = COUNT_MASK;

    fn of_header(header: [u8; HEADER_BYTES]) -> Self {
        Self(Starts::of_header(header[STARTS_AT]))
    }

    fn num_samples(chunk: &[u8]) -> u16 {
        count_of(chunk) & COUNT_MASK
    }

    fn flags(chunk: &[u8]) -> u8 {
        chunk.first().copied().unwrap_or_default()
    }

    fn header_of_one(flags: u8) -> [u8; HEADER_BYTES] {
        [flags, 1, 0]
    }

    fn set_num_samples(chunk: &mut [u8], num_samples: u16) {
        let flags = count_of(chunk) & !COUNT_MASK;
        if let Some(header) = chunk.first_chunk_mut() {
            *header = (flags | num_samples & COUNT_MASK).to_be_bytes();
        }
    }

    fn write(&mut self, writer: &mut BitWriter<'_>, index: u16, times: Times) -> Option<u8> {
        let Times { timestamp, previous, start } = times;
        self.0.write(writer, index, timestamp, previous, start).then(|| self.0.header())
    }

    fn read(&mut self, reader: &mut BitReader<'_>, index: u16, times: Times) -> Option<()> {
        self.0.read(reader, index, times.timestamp, times.previous)
    }

    fn start(&self) -> i64 {
        self.0.last()
    }

    fn check_continued(&self, total: u16) -> Result<(), ChunkError> {
        self.0.check_continued(total)
    }
}
