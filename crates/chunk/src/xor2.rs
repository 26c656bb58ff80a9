//! Floats with start timestamps (encoding 4): one prefix tells both how a sample's time and whether its value differ,
//! staleness markers take a few bits and leave the values around them alone.
//! The format is drawn in `docs/formats/chunks.md`.

use model::{STALE_NAN_BITS, is_stale_nan};

use crate::bits::{BitReader, BitWriter, INITIAL_CAPACITY, continued};
use crate::error::ChunkError;
use crate::starts::{STARTS_AT, Starts};
use crate::varbit::{Window, push_window, window_of};
use crate::xor::count_of;

/// The number of samples, 16 bits big-endian, and what start timestamps there are.
const HEADER_BYTES: usize = 3;
/// A sample takes at least a bit.
const SAMPLE_BITS_MIN: usize = 1;
/// The bits of the second difference of timestamps, the narrowest that fits is taken: each behind one more 1 bit.
const NARROW_BITS: u32 = 13;
const WIDE_BITS: u32 = 20;

/// How a changed value is announced: the prefix where it fits the window, and where a new one follows.
type Announced = [(u64, u32); 2];
/// Behind a prefix that says that the time goes on as before and the value changes.
const AFTER_STEADY_TIME: Announced = [(0b100, 3), (0b101, 3)];
/// Behind anything else.
const ALONE: Announced = [(0b10, 2), (0b110, 3)];

/// A chunk of floats and start timestamps being written.
#[derive(Debug, Clone)]
pub struct Xor2Appender {
    buffer: Vec<u8>,
    timestamp: i64,
    /// The bits of the last value that is no staleness marker.
    value: u64,
    delta: u64,
    starts: Starts,
    window: Window,
    /// Unused low bits of the buffer's last byte.
    spare: u8,
    /// Whether the last sample is a staleness marker.
    stale: bool,
}

impl Default for Xor2Appender {
    fn default() -> Self {
        Self::new()
    }
}

impl Xor2Appender {
    /// An empty chunk.
    pub fn new() -> Self {
        let mut buffer = Vec::with_capacity(INITIAL_CAPACITY);
        buffer.extend_from_slice(&[0; HEADER_BYTES]);
        Self {
            buffer,
            timestamp: 0,
            value: 0,
            delta: 0,
            starts: Starts::default(),
            window: Window::NONE,
            spare: 0,
            stale: false,
        }
    }

    /// An appender that goes on where `chunk` ends: what it writes is what the appender of that chunk would have
    /// written. Fails where the chunk is malformed or has bytes behind its last sample.
    pub fn resume(chunk: &[u8]) -> Result<Self, ChunkError> {
        let mut cursor = Xor2Cursor::new(chunk)?;
        while cursor.next_sample()?.is_some() {}
        let (buffer, spare) = continued(chunk, &cursor.reader)?;
        let Xor2Cursor { timestamp, value, delta, starts, window, stale, total, .. } = cursor;
        starts.check_continued(total)?;
        Ok(Self { buffer, timestamp, value, delta, starts, window, spare, stale })
    }

    /// Appends a sample. `timestamp` and `start`, when its counting began, are in milliseconds and may be any; a `start`
    /// of 0 is unknown. Fails only at 65,535 samples.
    #[inline]
    pub fn append(&mut self, timestamp: i64, start: i64, value: f64) -> Result<(), ChunkError> {
        let count = self.num_samples();
        let new_count = count.checked_add(1).ok_or(ChunkError::Full)?;
        let delta = timestamp.wrapping_sub(self.timestamp) as u64;
        let stale = is_stale_nan(value);
        let value = value.to_bits();
        let mut writer = BitWriter::new(&mut self.buffer, &mut self.spare);
        if count > 1 {
            let dod = delta.wrapping_sub(self.delta) as i64;
            let xor = self.value ^ value;
            if dod == 0 && xor == 0 {
                writer.push(0, 1);
            } else if dod == 0 && stale {
                writer.push(0b1_1111, 5);
            } else if dod == 0 {
                push_changed(&mut writer, &mut self.window, xor, AFTER_STEADY_TIME);
            } else {
                push_dod(&mut writer, dod);
                push_value(&mut writer, &mut self.window, xor, stale);
            }
            self.delta = delta;
        } else if count == 1 {
            writer.push_uvarint(delta);
            push_value(&mut writer, &mut self.window, self.value ^ value, stale);
            self.delta = delta;
        } else {
            // Zigzag, as Go's varint.
            writer.push_uvarint((timestamp << 1 ^ timestamp >> 63) as u64);
            writer.push(value, 64);
        }
        let header_changed = self.starts.write(&mut writer, count, timestamp, self.timestamp, start);
        self.timestamp = timestamp;
        self.stale = stale;
        if !stale {
            self.value = value;
        }
        if let Some(header) = self.buffer.first_chunk_mut() {
            *header = new_count.to_be_bytes();
        }
        if header_changed && let Some(byte) = self.buffer.get_mut(STARTS_AT) {
            *byte = self.starts.header();
        }
        Ok(())
    }

    /// How many samples the chunk has.
    #[inline]
    pub fn num_samples(&self) -> u16 {
        count_of(&self.buffer)
    }

    /// The last sample's time and value.
    pub fn last(&self) -> Option<(i64, f64)> {
        let value = if self.stale { STALE_NAN_BITS } else { self.value };
        (self.num_samples() > 0).then(|| (self.timestamp, f64::from_bits(value)))
    }

    /// The chunk; valid at any time.
    pub fn bytes(&self) -> &[u8] {
        &self.buffer
    }

    /// The finished chunk, without slack.
    pub fn into_bytes(self) -> Box<[u8]> {
        self.buffer.into_boxed_slice()
    }

    /// Bytes of heap that the chunk occupies.
    pub fn heap_bytes(&self) -> usize {
        self.buffer.capacity()
    }
}

/// Appends a second difference of timestamps that is not 0.
#[inline]
fn push_dod(writer: &mut BitWriter<'_>, dod: i64) {
    let fits = |bits: u32| (-(1i64 << (bits - 1))..1 << (bits - 1)).contains(&dod);
    let low = |bits: u32| dod as u64 & ((1 << bits) - 1);
    if fits(NARROW_BITS) {
        writer.push(0b110 << NARROW_BITS | low(NARROW_BITS), 3 + NARROW_BITS);
    } else if fits(WIDE_BITS) {
        writer.push(0b1110 << WIDE_BITS | low(WIDE_BITS), 4 + WIDE_BITS);
    } else {
        writer.push(0b1_1110, 5);
        writer.push(dod as u64, 64);
    }
}

/// Appends a value of which nothing is known.
#[inline]
fn push_value(writer: &mut BitWriter<'_>, window: &mut Window, xor: u64, stale: bool) {
    if stale {
        writer.push(0b111, 3);
    } else if xor == 0 {
        writer.push(0, 1);
    } else {
        push_changed(writer, window, xor, ALONE);
    }
}

/// Appends a value that differs.
#[inline]
fn push_changed(writer: &mut BitWriter<'_>, window: &mut Window, xor: u64, announced: Announced) {
    let [inside, new] = announced;
    push_window(writer, window, xor, inside, new);
}

/// Walks a chunk of floats and start timestamps.
#[derive(Debug, Clone)]
pub struct Xor2Cursor<'a> {
    reader: BitReader<'a>,
    total: u16,
    read: u16,
    window: Window,
    stale: bool,
    starts: Starts,
    timestamp: i64,
    /// The bits of the last value that is no staleness marker.
    value: u64,
    delta: u64,
}

impl<'a> Xor2Cursor<'a> {
    /// A cursor before the first sample of `chunk` (without encoding byte and checksum).
    pub fn new(chunk: &'a [u8]) -> Result<Self, ChunkError> {
        let (header, samples) = chunk
            .split_first_chunk::<HEADER_BYTES>()
            .ok_or(ChunkError::ShortHeader { length: chunk.len(), header: HEADER_BYTES })?;
        Ok(Self {
            reader: BitReader::new(samples),
            total: count_of(chunk),
            read: 0,
            window: Window::NONE,
            stale: false,
            starts: Starts::of_header(header[STARTS_AT]),
            timestamp: 0,
            value: 0,
            delta: 0,
        })
    }

    /// How many samples the header announces.
    pub fn num_samples(&self) -> u16 {
        self.total
    }

    /// Whether the header announces any start timestamp; without, all are unknown.
    pub fn has_starts(&self) -> bool {
        self.starts.any()
    }

    /// When the counting of the sample read last began, in milliseconds; 0 where that is unknown.
    #[inline]
    pub fn start(&self) -> i64 {
        self.starts.last()
    }

    /// The next sample, or `None` at the end. After an error the cursor is of no more use.
    #[inline]
    pub fn next_sample(&mut self) -> Result<Option<(i64, f64)>, ChunkError> {
        if self.read >= self.total {
            return Ok(None);
        }
        let previous_timestamp = self.timestamp;
        let done = if self.read > 1 { self.step() } else { self.first_two() };
        let done = done
            .and_then(|()| self.starts.read(&mut self.reader, self.read, self.timestamp, previous_timestamp));
        if self.reader.overrun() {
            return Err(ChunkError::Truncated { sample: self.read, total: self.total });
        }
        if done.is_none() {
            let what = "an impossible window or a varint of more than 64 bits";
            return Err(ChunkError::Malformed { sample: self.read, total: self.total, what });
        }
        self.read += 1;
        let value = if self.stale { STALE_NAN_BITS } else { self.value };
        Ok(Some((self.timestamp, f64::from_bits(value))))
    }

    /// Appends all samples that are left to `timestamps` and `values`, and their start timestamps to `starts` if there
    /// are any in the chunk ([`Self::has_starts`]).
    pub fn decode_into(
        &mut self,
        timestamps: &mut Vec<i64>,
        values: &mut Vec<f64>,
        starts: &mut Vec<i64>,
    ) -> Result<(), ChunkError> {
        let left = usize::from(self.total - self.read).min(self.reader.remaining() / SAMPLE_BITS_MIN);
        let with_starts = self.has_starts();
        timestamps.reserve(left);
        values.reserve(left);
        starts.reserve(if with_starts { left } else { 0 });
        while let Some((timestamp, value)) = self.next_sample()? {
            timestamps.push(timestamp);
            values.push(value);
            if with_starts {
                starts.push(self.start());
            }
        }
        Ok(())
    }

    /// A sample after the second.
    #[inline]
    fn step(&mut self) -> Option<()> {
        let word = self.reader.peek();
        self.stale = false;
        let dod = match word.leading_ones() {
            0 => {
                self.reader.skip(1);
                self.advance(0);
                return Some(());
            }
            1 => {
                self.advance(0);
                let new_window = word >> 61 & 1 == 1;
                self.reader.skip(3);
                return self.read_changed(new_window);
            }
            2 => {
                self.reader.skip(3 + NARROW_BITS);
                (word << 3) as i64 >> (64 - NARROW_BITS)
            }
            3 => {
                self.reader.skip(4 + WIDE_BITS);
                (word << 4) as i64 >> (64 - WIDE_BITS)
            }
            4 => {
                self.reader.skip(5);
                self.reader.read(64) as i64
            }
            _ => {
                self.reader.skip(5);
                self.advance(0);
                self.stale = true;
                return Some(());
            }
        };
        self.advance(dod);
        self.read_value()
    }

    #[inline]
    fn advance(&mut self, dod: i64) {
        self.delta = self.delta.wrapping_add(dod as u64);
        self.timestamp = self.timestamp.wrapping_add(self.delta as i64);
    }

    /// A value of which nothing is known.
    #[inline]
    fn read_value(&mut self) -> Option<()> {
        let ones = self.reader.peek().leading_ones().min(3);
        self.reader.skip((ones + 1).min(3));
        match ones {
            0 => Some(()),
            3 => {
                self.stale = true;
                Some(())
            }
            _ => self.read_changed(ones == 2),
        }
    }

    /// A value that differs, behind what announces it.
    #[inline]
    fn read_changed(&mut self, new_window: bool) -> Option<()> {
        if new_window {
            let word = self.reader.peek();
            self.reader.skip(11);
            self.window = window_of(word)?;
        }
        let (bits, shift) = self.window.significant();
        self.value ^= self.reader.read(bits) << shift;
        Some(())
    }

    #[cold]
    fn first_two(&mut self) -> Option<()> {
        let number = self.reader.read_uvarint()?;
        self.stale = false;
        if self.read == 0 {
            self.timestamp = (number >> 1) as i64 ^ -((number & 1) as i64);
            let value = self.reader.read(64);
            self.stale = value == STALE_NAN_BITS;
            self.value = if self.stale { 0 } else { value };
            return Some(());
        }
        self.delta = number;
        self.timestamp = self.timestamp.wrapping_add(number as i64);
        self.read_value()
    }
}
