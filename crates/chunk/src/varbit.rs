//! The variable-width numbers of the chunk encodings: integers with a unary prefix that gives their width, and floats
//! as the difference (XOR) to the previous one.

use crate::bits::{BitReader, BitWriter};

/// A width class of an integer: the prefix, its length, and how many bits follow.
struct Class {
    prefix: u64,
    prefix_bits: u32,
    bits: u32,
}

const fn class(prefix: u64, prefix_bits: u32, bits: u32) -> Class {
    Class { prefix, prefix_bits, bits }
}

/// The classes of a varbit integer by the number of ones in the prefix; none at all is the value 0.
const VARBIT: [Class; 8] = [
    class(0b10, 2, 3),
    class(0b110, 3, 6),
    class(0b1110, 4, 9),
    class(0b1_1110, 5, 12),
    class(0b11_1110, 6, 18),
    class(0b111_1110, 7, 25),
    class(0b1111_1110, 8, 56),
    class(0b1111_1111, 8, 64),
];

/// The classes of the second difference of an XOR chunk's timestamps.
const TIMESTAMP: [Class; 4] =
    [class(0b10, 2, 14), class(0b110, 3, 17), class(0b1110, 4, 20), class(0b1111, 4, 64)];

/// Whether `value` fits `bits` bits of the chunk encodings' signed form, which is two's complement but for the value
/// `1000…0`: that is positive.
#[inline]
fn fits_signed(value: i64, bits: u32) -> bool {
    bits >= 64 || {
        let half = 1i64 << (bits - 1);
        -half < value && value <= half
    }
}

/// Undoes the signed form of `bits` bits.
#[inline]
pub(crate) fn signed(raw: u64, bits: u32) -> i64 {
    if bits < 64 && raw > 1 << (bits - 1) { raw.wrapping_sub(1 << bits) as i64 } else { raw as i64 }
}

fn push_signed(writer: &mut BitWriter<'_>, classes: &[Class], value: i64) {
    if value == 0 {
        writer.push(0, 1);
        return;
    }
    let class = classes.iter().find(|c| fits_signed(value, c.bits));
    if let Some(c) = class {
        writer.push_two((c.prefix, c.prefix_bits), (value as u64, c.bits));
    }
}

/// Appends a signed varbit integer.
pub(crate) fn push_int(writer: &mut BitWriter<'_>, value: i64) {
    push_signed(writer, &VARBIT, value);
}

/// Appends the second difference of timestamps of an XOR chunk.
#[inline]
pub(crate) fn push_timestamp_dod(writer: &mut BitWriter<'_>, value: i64) {
    push_signed(writer, &TIMESTAMP, value);
}

/// Appends an unsigned varbit integer.
pub(crate) fn push_uint(writer: &mut BitWriter<'_>, value: u64) {
    if value == 0 {
        writer.push(0, 1);
        return;
    }
    let needed = 64 - value.leading_zeros();
    if let Some(c) = VARBIT.iter().find(|c| needed <= c.bits) {
        writer.push_two((c.prefix, c.prefix_bits), (value, c.bits));
    }
}

/// Reads the prefix: `None` is the value 0, else how many bits follow.
fn read_prefix(reader: &mut BitReader<'_>) -> Option<u32> {
    let ones = (reader.peek().leading_ones() as usize).min(VARBIT.len());
    let Some(class) = ones.checked_sub(1).and_then(|i| VARBIT.get(i)) else {
        reader.skip(1);
        return None;
    };
    reader.skip(class.prefix_bits);
    Some(class.bits)
}

/// Reads a signed varbit integer.
pub(crate) fn read_int(reader: &mut BitReader<'_>) -> i64 {
    read_prefix(reader).map_or(0, |bits| signed(reader.read(bits), bits))
}

/// Reads an unsigned varbit integer.
pub(crate) fn read_uint(reader: &mut BitReader<'_>) -> u64 {
    read_prefix(reader).map_or(0, |bits| reader.read(bits))
}

/// Which bits of the last XOR that differed were significant: the next one that differs inside them needs only those.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    /// Leading zeros, 0 to 31, or [`Window::NONE`].
    leading: u8,
    trailing: u8,
}

impl Window {
    /// No value differed from the one before yet.
    pub(crate) const NONE: Self = Self { leading: u8::MAX, trailing: 0 };

    /// How many bits are significant and how many zeros follow; without a window, the whole word as upstream reads it.
    #[inline]
    pub(crate) fn significant(self) -> (u32, u32) {
        if self.leading == u8::MAX {
            return (64, 0);
        }
        (64 - u32::from(self.leading) - u32::from(self.trailing), u32::from(self.trailing))
    }

    /// The window with these many leading zeros and significant bits; `None` where they are more than 64.
    #[inline]
    pub(crate) fn new(leading: u32, significant: u32) -> Option<Self> {
        let trailing = 64u32.checked_sub(leading + significant)?;
        Some(Self { leading: leading as u8, trailing: trailing as u8 })
    }

    /// The window with these many significant bits, and zeros behind them: what [`Self::significant`] says of it.
    #[inline]
    pub(crate) fn of_significant(significant: u32, trailing: u32) -> Self {
        Self { leading: 64u32.wrapping_sub(significant + trailing) as u8, trailing: trailing as u8 }
    }
}

/// Appends a float as the difference to `previous`, both as bits.
#[inline]
pub(crate) fn push_xor(writer: &mut BitWriter<'_>, window: &mut Window, previous: u64, value: u64) {
    let xor = previous ^ value;
    if xor == 0 {
        writer.push(0, 1);
        return;
    }
    push_window(writer, window, xor, (0b10, 2), (0b11, 2));
}

/// Appends the significant bits of a difference that is not 0: behind the prefix `inside` where they fit the window,
/// else behind the prefix `new` and the window that becomes theirs. A prefix is a number and its count of bits.
#[inline]
pub(crate) fn push_window(
    writer: &mut BitWriter<'_>,
    window: &mut Window,
    xor: u64,
    inside: (u64, u32),
    new: (u64, u32),
) {
    // Five bits hold the leading zeros.
    let (leading, trailing) = (xor.leading_zeros().min(31), xor.trailing_zeros());
    if *window != Window::NONE
        && leading >= u32::from(window.leading)
        && trailing >= u32::from(window.trailing)
    {
        let (bits, shift) = window.significant();
        writer.push_two(inside, (xor >> shift, bits));
    } else {
        *window = Window { leading: leading as u8, trailing: trailing as u8 };
        let bits = 64 - leading - trailing;
        // 64 does not fit six bits and is written as 0, which cannot occur otherwise.
        let head = new.0 << 11 | u64::from(leading) << 6 | u64::from(bits % 64);
        writer.push_two((head, new.1 + 11), (xor >> trailing, bits));
    }
}

/// Reads a float given as the difference to `previous`, both as bits; `None` where the window is impossible.
pub(crate) fn read_xor(reader: &mut BitReader<'_>, window: &mut Window, previous: u64) -> Option<u64> {
    let word = reader.peek();
    if word >> 63 == 0 {
        reader.skip(1);
        return Some(previous);
    }
    if word >> 62 == 0b10 {
        reader.skip(2);
    } else {
        reader.skip(13);
        *window = window_of(word << 2)?;
    }
    let (bits, shift) = window.significant();
    Some(previous ^ reader.read(bits) << shift)
}

/// The window that the highest 11 bits of `word` describe.
#[inline]
pub(crate) fn window_of(word: u64) -> Option<Window> {
    let significant = match (word >> 53 & 0x3f) as u32 {
        0 => 64,
        bits => bits,
    };
    Window::new((word >> 59) as u32, significant)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bits_of(value: i64) -> usize {
        let (mut buffer, mut spare) = (Vec::new(), 0);
        push_int(&mut BitWriter::new(&mut buffer, &mut spare), value);
        buffer.len() * 8 - usize::from(spare)
    }

    #[test]
    fn widths_at_the_borders() {
        let cases = [
            (0, 1),
            (1, 5),
            (4, 5),
            (-3, 5),
            (5, 9),
            (-4, 9),
            (32, 9),
            (-31, 9),
            (33, 13),
            (256, 13),
            (257, 17),
            (2048, 17),
            (-2047, 17),
            (2049, 24),
            (1 << 17, 24),
            ((1 << 17) + 1, 32),
            (1 << 24, 32),
            ((1 << 24) + 1, 64),
            (1 << 55, 64),
            ((1 << 55) + 1, 72),
            (i64::MIN, 72),
            (i64::MAX, 72),
        ];
        for (value, bits) in cases {
            assert_eq!(bits_of(value), bits, "{value}");
        }
    }

    fn any_width() -> impl Strategy<Value = u64> {
        (any::<u64>(), 0u32..64).prop_map(|(value, shift)| value >> shift)
    }

    proptest! {
        #[test]
        fn numbers_come_back(values in prop::collection::vec((any_width(), any::<bool>()), 0..100)) {
            let (mut buffer, mut spare) = (Vec::new(), 0);
            let mut writer = BitWriter::new(&mut buffer, &mut spare);
            for &(value, negative) in &values {
                push_uint(&mut writer, value);
                push_int(&mut writer, if negative { (value as i64).wrapping_neg() } else { value as i64 });
            }
            let mut reader = BitReader::new(&buffer);
            for &(value, negative) in &values {
                prop_assert_eq!(read_uint(&mut reader), value);
                let expected = if negative { (value as i64).wrapping_neg() } else { value as i64 };
                prop_assert_eq!(read_int(&mut reader), expected);
            }
            prop_assert!(!reader.overrun());
        }

        #[test]
        fn differences_come_back(values in prop::collection::vec(any_width(), 0..100)) {
            let (mut buffer, mut spare) = (Vec::new(), 0);
            let (mut window, mut previous) = (Window::NONE, 0);
            for &value in &values {
                push_xor(&mut BitWriter::new(&mut buffer, &mut spare), &mut window, previous, value);
                previous = value;
            }
            let mut reader = BitReader::new(&buffer);
            let (mut read_window, mut previous) = (Window::NONE, 0);
            for &value in &values {
                previous = read_xor(&mut reader, &mut read_window, previous).unwrap();
                prop_assert_eq!(previous, value);
            }
            prop_assert_eq!(window, read_window);
        }
    }
}
