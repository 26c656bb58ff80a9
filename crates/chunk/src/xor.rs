//! Floats: timestamps by their second difference, values by XOR with the previous one (encoding 1).
//! The format is drawn in `docs/formats/chunks.md`.

use std::hint::select_unpredictable;

use crate::bits::{BitReader, BitWriter, INITIAL_CAPACITY, PEEK_BITS, continued};
use crate::error::ChunkError;
use crate::varbit::{Window, push_timestamp_dod, push_xor, read_xor, signed, window_of};

/// The number of samples, 16 bits big-endian, opens every chunk.
const HEADER_BYTES: usize = 2;
/// A sample takes at least a bit for its time and one for its value.
const SAMPLE_BITS_MIN: usize = 2;

/// A float chunk being written. It costs 32 bytes beside the buffer.
#[derive(Debug, Clone)]
pub struct XorAppender {
    buffer: Vec<u8>,
    timestamp: i64,
    value: u64,
    delta: u64,
    window: Window,
    /// Unused low bits of the buffer's last byte.
    spare: u8,
}

impl Default for XorAppender {
    fn default() -> Self {
        Self::new()
    }
}

impl XorAppender {
    /// An empty chunk.
    pub fn new() -> Self {
        let mut buffer = Vec::with_capacity(INITIAL_CAPACITY);
        buffer.extend_from_slice(&[0; HEADER_BYTES]);
        Self { buffer, timestamp: 0, value: 0, delta: 0, window: Window::NONE, spare: 0 }
    }

    /// An appender that goes on where `chunk` ends: what it writes is what the appender of that chunk would have
    /// written. Fails where the chunk is malformed or has bytes behind its last sample.
    pub fn resume(chunk: &[u8]) -> Result<Self, ChunkError> {
        let mut cursor = XorCursor::new(chunk)?;
        while cursor.next_sample()?.is_some() {}
        let (buffer, spare) = continued(chunk, &cursor.reader)?;
        let XorCursor { timestamp, value, delta, window, .. } = cursor;
        Ok(Self { buffer, timestamp, value, delta, window, spare })
    }

    /// Appends a sample; `timestamp` is in milliseconds and may be any. Fails only at 65,535 samples.
    #[inline]
    pub fn append(&mut self, timestamp: i64, value: f64) -> Result<(), ChunkError> {
        let count = self.num_samples();
        let new_count = count.checked_add(1).ok_or(ChunkError::Full)?;
        let value = value.to_bits();
        let delta = timestamp.wrapping_sub(self.timestamp) as u64;
        let mut writer = BitWriter::new(&mut self.buffer, &mut self.spare);
        if count > 1 {
            let dod = delta.wrapping_sub(self.delta) as i64;
            push_timestamp_dod(&mut writer, dod);
            push_xor(&mut writer, &mut self.window, self.value, value);
            self.delta = delta;
        } else if count == 1 {
            writer.push_uvarint(delta);
            push_xor(&mut writer, &mut self.window, self.value, value);
            self.delta = delta;
        } else {
            // Zigzag, as Go's varint.
            writer.push_uvarint((timestamp << 1 ^ timestamp >> 63) as u64);
            writer.push(value, 64);
        }
        self.timestamp = timestamp;
        self.value = value;
        if let Some(header) = self.buffer.first_chunk_mut() {
            *header = new_count.to_be_bytes();
        }
        Ok(())
    }

    /// How many samples the chunk has.
    #[inline]
    pub fn num_samples(&self) -> u16 {
        count_of(&self.buffer)
    }

    /// The last sample.
    pub fn last(&self) -> Option<(i64, f64)> {
        (self.num_samples() > 0).then(|| (self.timestamp, f64::from_bits(self.value)))
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

/// The number of samples that a chunk's header gives; 0 where there is no header.
#[inline]
pub(crate) fn count_of(chunk: &[u8]) -> u16 {
    chunk.first_chunk().map_or(0, |header| u16::from_be_bytes(*header))
}

/// Where decoding has come to.
#[derive(Clone, Copy)]
struct State {
    /// The next bit.
    position: usize,
    timestamp: i64,
    delta: u64,
    value: u64,
    /// The window: how many bits are significant, and how many zeros follow them.
    bits: u64,
    shift: u64,
}

/// Samples that repeat the one before are looked for so many at a time: two bits each, all of them zero.
const REPEATED: usize = 8;

/// Decodes samples from `data`, of which bits up to `end` count, until one has a time of an unusual length or lies too near the end
/// of `data`; how many there were. A function of its own without calls, so that all state is in registers.
fn run<const WHOLE: bool>(
    data: &[u8],
    end: usize,
    mut state: State,
    timestamps: &mut [i64],
    values: &mut [f64],
) -> (State, usize) {
    let count = timestamps.len().min(values.len());
    let (timestamps, values) = (&mut timestamps[..count], &mut values[..count]);
    let mut decoded = 0;
    while decoded < count {
        let Some(words) = data.get(state.position / 8..).and_then(|rest| rest.first_chunk::<16>()) else {
            break;
        };
        let words = u128::from_be_bytes(*words);
        let word = ((words >> 64) as u64) << (state.position % 8);
        if word >> (64 - 2 * REPEATED) == 0 && count - decoded >= REPEATED {
            let next = state.position + 2 * REPEATED;
            if !WHOLE && next > end {
                break;
            }
            state.position = next;
            for timestamp in &mut timestamps[decoded..decoded + REPEATED] {
                state.timestamp = state.timestamp.wrapping_add(state.delta as i64);
                *timestamp = state.timestamp;
            }
            values[decoded..decoded + REPEATED].fill(f64::from_bits(state.value));
            decoded += REPEATED;
            continue;
        }
        let Some(next) = following(words, word, &state) else { break };
        if !WHOLE && next.position > end {
            break;
        }
        state = next;
        timestamps[decoded] = state.timestamp;
        values[decoded] = f64::from_bits(state.value);
        decoded += 1;
    }
    (state, decoded)
}

/// The state after one more sample, which `word` begins with, if that is as nearly all are.
#[inline(always)]
fn following(words: u128, word: u64, state: &State) -> Option<State> {
    if word >> 63 == 0 {
        return with_value::<1>(words, word, state);
    }
    let (prefix, bits) = match (word << 1).leading_ones() {
        0 => (2, 14),
        1 => (3, 17),
        2 => (4, 20),
        _ => return None,
    };
    let change = signed(word << prefix >> (64 - bits), bits) as u64;
    let timed = State { delta: state.delta.wrapping_add(change), ..*state };
    match bits {
        14 => with_value::<16>(words, word, &timed),
        17 => with_value::<20>(words, word, &timed),
        _ => with_value::<24>(words, word, &timed),
    }
}

/// The same for a sample whose time took so many bits. Whether the value differs, and whether it has a window of its own, cannot be
/// foreseen: so both are computed, and there is no branch on either. What counts is how soon it is known where the next sample begins.
#[inline(always)]
fn with_value<const TIME: u32>(words: u128, word: u64, state: &State) -> Option<State> {
    let is_new = (word >> (62 - TIME)) & 0b11 == 0b11;
    let differs = (word >> (63 - TIME)) & 1;
    let differing = differs.wrapping_neg();
    let new_bits = (word >> (51 - TIME)) & 63;
    let new_shift = 64u64.wrapping_sub((word >> (57 - TIME)) & 31).wrapping_sub(new_bits);
    let bits = select_unpredictable(is_new, new_bits, state.bits);
    let shift = select_unpredictable(is_new, new_shift, state.shift);
    // Windows of 64 bits, which are written as 0, and impossible ones.
    if shift >= 64 || (bits == 0 && differs == 1) {
        return None;
    }
    let taken = u64::from(TIME) + select_unpredictable(is_new, 13, 1 + differs);
    let significant = select_unpredictable(is_new, new_bits, state.bits & differing);
    // Behind what was taken there are as many bits as a value can have.
    let value = (words << (state.position as u64 % 8 + taken) >> 64) as u64;
    Some(State {
        position: state.position + taken as usize + significant as usize,
        timestamp: state.timestamp.wrapping_add(state.delta as i64),
        delta: state.delta,
        value: state.value ^ ((value >> ((64 - bits) & 63) << shift) & differing),
        bits,
        shift,
    })
}

/// Walks a float chunk.
#[derive(Debug, Clone)]
pub struct XorCursor<'a> {
    reader: BitReader<'a>,
    total: u16,
    read: u16,
    window: Window,
    timestamp: i64,
    value: u64,
    delta: u64,
}

impl<'a> XorCursor<'a> {
    /// A cursor before the first sample of `chunk` (without encoding byte and checksum).
    pub fn new(chunk: &'a [u8]) -> Result<Self, ChunkError> {
        let (header, samples) = chunk
            .split_first_chunk::<HEADER_BYTES>()
            .ok_or(ChunkError::ShortHeader { length: chunk.len(), header: HEADER_BYTES })?;
        Ok(Self {
            reader: BitReader::new(samples),
            total: u16::from_be_bytes(*header),
            read: 0,
            window: Window::NONE,
            timestamp: 0,
            value: 0,
            delta: 0,
        })
    }

    /// How many samples the header announces.
    pub fn num_samples(&self) -> u16 {
        self.total
    }

    /// The next sample, or `None` at the end. After an error the cursor is of no more use.
    #[inline]
    pub fn next_sample(&mut self) -> Result<Option<(i64, f64)>, ChunkError> {
        if self.read >= self.total {
            return Ok(None);
        }
        if self.read > 1 {
            self.step()?;
        } else {
            self.first_two()?;
        }
        if self.reader.overrun() {
            return Err(self.truncated());
        }
        self.read += 1;
        Ok(Some((self.timestamp, f64::from_bits(self.value))))
    }

    /// Appends all samples that are left to `timestamps` and `values`.
    pub fn decode_into(
        &mut self,
        timestamps: &mut Vec<i64>,
        values: &mut Vec<f64>,
    ) -> Result<(), ChunkError> {
        let left = self.left();
        let (first_timestamp, first_value) = (timestamps.len(), values.len());
        timestamps.resize(first_timestamp + left, 0);
        values.resize(first_value + left, 0.0);
        let (times, floats) = (&mut timestamps[first_timestamp..], &mut values[first_value..]);
        let (decoded, outcome) = self.fill(times, floats);
        timestamps.truncate(first_timestamp + decoded);
        values.truncate(first_value + decoded);
        outcome?;
        // Where the bits could not hold all samples, the next one fails.
        self.next_sample().map(|_| ())
    }

    /// How many samples there can still be.
    fn left(&self) -> usize {
        usize::from(self.total - self.read).min(self.reader.remaining() / SAMPLE_BITS_MIN)
    }

    /// Decodes samples; how many there were, and why not more.
    fn fill(&mut self, timestamps: &mut [i64], values: &mut [f64]) -> (usize, Result<(), ChunkError>) {
        let left = timestamps.len().min(values.len());
        let mut decoded = 0;
        while decoded < left {
            if self.read > 1 {
                decoded += self.decode_run(&mut timestamps[decoded..], &mut values[decoded..]);
            }
            // One that is not as nearly all are.
            match self.next_sample() {
                Ok(Some(sample)) if decoded < left => (timestamps[decoded], values[decoded]) = sample,
                Ok(_) => break,
                Err(error) => return (decoded, Err(error)),
            }
            decoded += 1;
        }
        (decoded, Ok(()))
    }

    /// Decodes samples after the second as long as they are as nearly all are; how many.
    fn decode_run(&mut self, timestamps: &mut [i64], values: &mut [f64]) -> usize {
        const TAIL: usize = 64;
        let (data, position) = self.reader.parts();
        let (bits, shift) = self.window.significant();
        let (bits, shift) = (u64::from(bits), u64::from(shift));
        let known = self.window != Window::NONE;
        let state =
            State { position, timestamp: self.timestamp, delta: self.delta, value: self.value, bits, shift };
        let (mut state, mut decoded) = run::<true>(data, data.len() * 8, state, timestamps, values);
        // Near the end, words are read from a copy with room behind it.
        let tail = state.position / 8;
        if let Some(rest) = data.get(tail..).filter(|rest| rest.len() <= TAIL) {
            let mut copy = [0; TAIL + 16];
            copy[..rest.len()].copy_from_slice(rest);
            let begun = State { position: state.position - tail * 8, ..state };
            let (times, floats) = (&mut timestamps[decoded..], &mut values[decoded..]);
            let (ended, more) = run::<false>(&copy, rest.len() * 8, begun, times, floats);
            state = State { position: ended.position + tail * 8, ..ended };
            decoded += more;
        }
        self.reader.skip((state.position - position) as u32);
        (self.timestamp, self.delta, self.value) = (state.timestamp, state.delta, state.value);
        // A window of all 64 bits is none that `run` begins.
        if known || (state.bits, state.shift) != (bits, shift) {
            self.window = Window::of_significant(state.bits as u32, state.shift as u32);
        }
        self.read += decoded as u16;
        decoded
    }

    /// A sample after the second: the bits of time and value come from one word wherever they fit it.
    #[inline]
    fn step(&mut self) -> Result<(), ChunkError> {
        let mut word = self.reader.peek();
        let mut taken = 1;
        if word >> 63 == 0 {
            word <<= 1;
        } else {
            let (prefix, bits) = match (word << 1).leading_ones() {
                0 => (2, 14),
                1 => (3, 17),
                2 => (4, 20),
                _ => return self.step_wide(),
            };
            let dod = signed(word << prefix >> (64 - bits), bits);
            self.delta = self.delta.wrapping_add(dod as u64);
            taken = prefix + bits;
            word <<= taken;
        }
        self.timestamp = self.timestamp.wrapping_add(self.delta as i64);
        if word >> 63 == 0 {
            self.reader.skip(taken + 1);
            return Ok(());
        }
        if word >> 62 == 0b10 {
            taken += 2;
            word <<= 2;
        } else {
            self.window = window_of(word << 2).ok_or_else(|| self.impossible_window())?;
            taken += 13;
            word <<= 13;
        }
        let (bits, shift) = self.window.significant();
        let xor = if taken + bits <= PEEK_BITS {
            self.reader.skip(taken + bits);
            word >> (64 - bits)
        } else {
            self.reader.skip(taken);
            self.reader.read(bits)
        };
        self.value ^= xor << shift;
        Ok(())
    }

    /// A sample whose time took 64 bits.
    #[cold]
    fn step_wide(&mut self) -> Result<(), ChunkError> {
        self.reader.skip(4);
        self.delta = self.delta.wrapping_add(self.reader.read(64));
        self.timestamp = self.timestamp.wrapping_add(self.delta as i64);
        self.read_value()
    }

    fn read_value(&mut self) -> Result<(), ChunkError> {
        self.value = read_xor(&mut self.reader, &mut self.window, self.value)
            .ok_or_else(|| self.impossible_window())?;
        Ok(())
    }

    #[cold]
    fn first_two(&mut self) -> Result<(), ChunkError> {
        let number =
            self.reader.read_uvarint().ok_or_else(|| self.malformed("a varint of more than 64 bits"))?;
        if self.read == 0 {
            self.timestamp = (number >> 1) as i64 ^ -((number & 1) as i64);
            self.value = self.reader.read(64);
            return Ok(());
        }
        self.delta = number;
        self.timestamp = self.timestamp.wrapping_add(number as i64);
        self.read_value()
    }

    #[cold]
    fn truncated(&self) -> ChunkError {
        ChunkError::Truncated { sample: self.read, total: self.total }
    }

    #[cold]
    fn impossible_window(&self) -> ChunkError {
        self.malformed("leading zeros and significant bits exceed 64")
    }

    #[cold]
    fn malformed(&self, what: &'static str) -> ChunkError {
        ChunkError::Malformed { sample: self.read, total: self.total, what }
    }
}
