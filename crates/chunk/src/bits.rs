//! Bits in big-endian order: the first bit of a byte is its highest. Reading takes a word of 64 bits at a time, and
//! reading past the end gives zeros, so that a decoder checks once a sample whether it ran over ([`BitReader::overrun`]).

use crate::error::ChunkError;

/// Reads bits from a byte slice.
#[derive(Debug, Clone, Copy)]
pub struct BitReader<'a> {
    data: &'a [u8],
    /// The next bit to read; may be past the end.
    position: usize,
}

/// How many bits of [`BitReader::peek`] are surely valid: a word less the bits before a position inside a byte.
pub(crate) const PEEK_BITS: u32 = 57;

impl<'a> BitReader<'a> {
    pub(crate) fn new(data: &'a [u8]) -> Self {
        Self { data, position: 0 }
    }

    /// The next bits, the first one highest; at least [`PEEK_BITS`] of them are real.
    #[inline]
    pub(crate) fn peek(&self) -> u64 {
        let byte = self.position / 8;
        let word = match self.data.get(byte..).and_then(<[u8]>::first_chunk::<8>) {
            Some(word) => u64::from_be_bytes(*word),
            None => self.peek_near_end(byte),
        };
        word << (self.position % 8)
    }

    #[cold]
    fn peek_near_end(&self, byte: usize) -> u64 {
        let rest = self.data.get(byte..).unwrap_or_default();
        let mut word = [0; 8];
        for (to, from) in word.iter_mut().zip(rest) {
            *to = *from;
        }
        u64::from_be_bytes(word)
    }

    #[inline]
    pub(crate) fn skip(&mut self, bits: u32) {
        self.position += bits as usize;
    }

    /// The next `bits` bits as a number; 1 to 64.
    #[inline]
    pub(crate) fn read(&mut self, bits: u32) -> u64 {
        debug_assert!((1..=64).contains(&bits));
        if bits <= PEEK_BITS {
            let value = self.peek() >> (64 - bits);
            self.skip(bits);
            return value;
        }
        let high = self.read(32);
        let low_bits = bits - 32;
        (high << low_bits) | self.read(low_bits)
    }

    /// The next unsigned LEB128 number; `None` where it has more than 64 bits.
    pub(crate) fn read_uvarint(&mut self) -> Option<u64> {
        // Up to seven bytes, as many as are in a word for sure: its last byte is the first one with a clear highest bit.
        let word = self.peek();
        let bytes = (!word & 0x8080_8080_8080_8080).leading_zeros() / 8 + 1;
        if bytes <= PEEK_BITS / 8 {
            self.skip(8 * bytes);
            return Some((0..bytes).fold(0, |number, i| number | (word >> (56 - 8 * i) & 0x7f) << (7 * i)));
        }
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.read(8);
            let bits = byte & 0x7f;
            if bits << shift >> shift != bits {
                break;
            }
            number |= bits << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    /// All bytes, and the number of the next bit.
    pub(crate) fn parts(&self) -> (&'a [u8], usize) {
        (self.data, self.position)
    }

    /// Whether more bits were read than there are.
    #[inline]
    pub(crate) fn overrun(&self) -> bool {
        self.position > self.data.len() * 8
    }

    /// How many bits are left.
    pub(crate) fn remaining(&self) -> usize {
        (self.data.len() * 8).saturating_sub(self.position)
    }
}

/// Appends bits to a byte buffer whose last byte has `spare` unused low bits, 0 to 7. Buffer and `spare` are borrowed, so
/// that an appender can lay out its fields without padding.
#[derive(Debug)]
pub struct BitWriter<'a> {
    buffer: &'a mut Vec<u8>,
    spare: &'a mut u8,
}

impl<'a> BitWriter<'a> {
    pub(crate) fn new(buffer: &'a mut Vec<u8>, spare: &'a mut u8) -> Self {
        Self { buffer, spare }
    }

    /// Appends the low `bits` bits of `value`, the highest first; 1 to 64 bits.
    #[inline]
    pub(crate) fn push(&mut self, value: u64, bits: u32) {
        debug_assert!((1..=64).contains(&bits));
        let aligned = value << (64 - bits);
        let mut word = aligned;
        let mut used = 0;
        if *self.spare > 0 {
            used = 8 - u32::from(*self.spare);
            word = aligned >> used | u64::from(self.buffer.pop().unwrap_or_default()) << 56;
        }
        let total = used + bits;
        let mut bytes = [0; 9];
        bytes[..8].copy_from_slice(&word.to_be_bytes());
        if total > 64 {
            bytes[8] = (aligned << (64 - used) >> 56) as u8;
        }
        let length = total.div_ceil(8);
        *self.spare = (length * 8 - total) as u8;
        let end = self.buffer.len() + length as usize;
        if self.buffer.capacity() - self.buffer.len() >= bytes.len() {
            // A copy of known length is a pair of stores.
            self.buffer.extend_from_slice(&bytes);
            self.buffer.truncate(end);
        } else {
            self.extend_tight(&bytes, end);
        }
    }

    /// Appends the low bits of `a` and then those of `b`, each a number and its count of bits: as one write where they fit.
    #[inline]
    pub(crate) fn push_two(&mut self, a: (u64, u32), b: (u64, u32)) {
        let bits = a.1 + b.1;
        if bits <= 64 {
            self.push((a.0 << b.1) | (b.0 & ((1 << b.1) - 1)), bits);
        } else {
            self.push(a.0, a.1);
            self.push(b.0, b.1);
        }
    }

    #[cold]
    fn extend_tight(&mut self, bytes: &[u8; 9], end: usize) {
        let start = self.buffer.len();
        if end > self.buffer.capacity() {
            self.buffer.reserve_exact(grown(self.buffer.capacity(), end) - start);
        }
        self.buffer.extend_from_slice(&bytes[..end - start]);
    }

    /// Appends the unsigned LEB128 form of `value`; only at the beginning of a byte or not, it is bits either way.
    pub(crate) fn push_uvarint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.push(value & 0x7f | 0x80, 8);
            value >>= 7;
        }
        self.push(value, 8);
    }
}

/// The buffer and spare bits with which a chunk is continued of which `reader` has read all samples.
pub(crate) fn continued(chunk: &[u8], reader: &BitReader<'_>) -> Result<(Vec<u8>, u8), ChunkError> {
    let spare = reader.remaining();
    if spare >= 8 {
        return Err(ChunkError::TrailingBytes { bytes: spare / 8 });
    }
    let mut buffer = chunk.to_vec();
    if let Some(last) = buffer.last_mut() {
        // Padding that is not zero would be mixed into the next sample.
        *last = *last >> spare << spare;
    }
    Ok((buffer, spare as u8))
}

/// The first allocation of a chunk's buffer, in bytes.
pub(crate) const INITIAL_CAPACITY: usize = 32;

/// The capacity to grow to from `capacity` bytes where at least `needed` are wanted: by a quarter, rounded up to what
/// common allocators hand out anyway (multiples of 16, then four sizes per doubling), so that slack stays small.
pub(crate) fn grown(capacity: usize, needed: usize) -> usize {
    let wanted = needed.max(capacity + capacity / 4).max(INITIAL_CAPACITY);
    let step = ((wanted - 1).next_power_of_two() / 8).max(16);
    wanted.next_multiple_of(step)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn reference(parts: &[(u64, u32)]) -> Vec<u8> {
        let mut bits = Vec::new();
        for &(value, count) in parts {
            bits.extend((0..count).rev().map(|i| (value >> i & 1) as u8));
        }
        bits.chunks(8).map(|byte| byte.iter().enumerate().map(|(i, bit)| bit << (7 - i)).sum()).collect()
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(parts in prop::collection::vec((any::<u64>(), 1u32..=64), 0..60)) {
            let (mut buffer, mut spare) = (Vec::new(), 0);
            for &(value, bits) in &parts {
                BitWriter::new(&mut buffer, &mut spare).push(value, bits);
            }
            prop_assert_eq!(&buffer, &reference(&parts));
            let mut reader = BitReader::new(&buffer);
            for &(value, bits) in &parts {
                prop_assert_eq!(reader.read(bits), value << (64 - bits) >> (64 - bits));
            }
            prop_assert!(!reader.overrun());
            prop_assert_eq!(reader.remaining(), usize::from(spare));
            reader.skip(8);
            prop_assert!(reader.overrun());
            prop_assert_eq!(reader.peek(), 0);
        }

        #[test]
        fn two_at_once_are_two(a in (any::<u64>(), 1u32..=64), b in (any::<u64>(), 1u32..=64), start in 1u32..=8) {
            let (mut buffer, mut spare) = (Vec::new(), 0);
            let mut writer = BitWriter::new(&mut buffer, &mut spare);
            writer.push(0, start);
            let a = (a.0 << (64 - a.1) >> (64 - a.1), a.1);
            writer.push_two(a, b);
            prop_assert_eq!(buffer, reference(&[(0, start), a, b]));
        }
    }

    #[test]
    fn buffers_grow_by_a_quarter_or_a_little_more() {
        assert_eq!(grown(0, 2), 32);
        let mut capacity = 32;
        while capacity < 1 << 20 {
            let next = grown(capacity, capacity + 1);
            assert!(next > capacity && next <= capacity + capacity / 2 + 16, "{capacity} to {next}");
            capacity = next;
        }
    }
}
