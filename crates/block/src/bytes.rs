//! Numbers and texts in bytes: big-endian, or as varints of the protobuf kind.

use crate::error::BlockError;

/// The most bytes of a varint of 64 bits.
const MAX_VARINT_BYTES: u32 = 10;

/// Reads a part of a file from its front, and knows where it is.
#[derive(Debug, Clone)]
pub(crate) struct Cut<'a> {
    file: &'a str,
    rest: &'a [u8],
    /// Where `rest` begins in the file.
    offset: u64,
}

impl<'a> Cut<'a> {
    /// Bytes that begin at `offset` of `file`.
    pub(crate) fn new(file: &'a str, bytes: &'a [u8], offset: u64) -> Self {
        Self { file, rest: bytes, offset }
    }

    /// Where the next byte is in the file.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// An error about the next byte.
    pub(crate) fn wrong(&self, what: impl Into<String>) -> BlockError {
        BlockError::malformed(self.file, self.offset, what)
    }

    pub(crate) fn bytes(&mut self, count: u64, what: &str) -> Result<&'a [u8], BlockError> {
        let taken = usize::try_from(count).ok().and_then(|count| self.rest.split_at_checked(count));
        let Some((taken, rest)) = taken else {
            let message = format!("{what} needs {count} bytes, but only {} are left", self.rest.len());
            return Err(self.wrong(message));
        };
        self.rest = rest;
        self.offset += count;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self, what: &str) -> Result<[u8; N], BlockError> {
        let bytes = self.bytes(N as u64, what)?;
        Ok(bytes.try_into().expect("as many as were asked for"))
    }

    pub(crate) fn u8(&mut self, what: &str) -> Result<u8, BlockError> {
        self.array::<1>(what).map(|[byte]| byte)
    }

    pub(crate) fn u32(&mut self, what: &str) -> Result<u32, BlockError> {
        self.array(what).map(u32::from_be_bytes)
    }

    pub(crate) fn u64(&mut self, what: &str) -> Result<u64, BlockError> {
        self.array(what).map(u64::from_be_bytes)
    }

    #[inline]
    pub(crate) fn uvarint(&mut self, what: &str) -> Result<u64, BlockError> {
        // Nearly all are short.
        match self.rest {
            [byte, rest @ ..] if *byte < 0x80 => {
                self.rest = rest;
                self.offset += 1;
                Ok(u64::from(*byte))
            }
            [low, high, rest @ ..] if *high < 0x80 => {
                self.rest = rest;
                self.offset += 2;
                Ok(u64::from(low & 0x7f) | u64::from(*high) << 7)
            }
            _ => self.long_uvarint(what),
        }
    }

    fn long_uvarint(&mut self, what: &str) -> Result<u64, BlockError> {
        let mut value = 0_u64;
        for (i, byte) in (0..MAX_VARINT_BYTES).zip(self.rest) {
            let bits = u64::from(byte & 0x7f);
            if i == MAX_VARINT_BYTES - 1 && *byte > 1 {
                break;
            }
            value |= bits << (7 * i);
            if byte & 0x80 == 0 {
                self.rest = &self.rest[i as usize + 1..];
                self.offset += u64::from(i) + 1;
                return Ok(value);
            }
        }
        match self.rest.len() < MAX_VARINT_BYTES as usize {
            true => Err(self.wrong(format!("{what} is cut off"))),
            false => Err(self.wrong(format!("{what} has more than 64 bits"))),
        }
    }

    pub(crate) fn varint(&mut self, what: &str) -> Result<i64, BlockError> {
        let zigzag = self.uvarint(what)?;
        Ok((zigzag >> 1) as i64 ^ -((zigzag & 1) as i64))
    }

    /// A text with its length before it.
    pub(crate) fn text(&mut self, what: &str) -> Result<&'a str, BlockError> {
        let length = self.uvarint(what)?;
        let at = self.clone();
        let bytes = self.bytes(length, what)?;
        std::str::from_utf8(bytes).map_err(|_| at.wrong(format!("{what} is not UTF-8")))
    }
}

/// Appends numbers and texts as [`Cut`] reads them.
pub(crate) trait Put {
    fn put_u32(&mut self, value: u32);
    fn put_u64(&mut self, value: u64);
    fn put_uvarint(&mut self, value: u64);
    fn put_varint(&mut self, value: i64);
    fn put_text(&mut self, text: &str);
}

impl Put for Vec<u8> {
    fn put_u32(&mut self, value: u32) {
        self.extend_from_slice(&value.to_be_bytes());
    }

    fn put_u64(&mut self, value: u64) {
        self.extend_from_slice(&value.to_be_bytes());
    }

    fn put_uvarint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.push(value as u8);
    }

    fn put_varint(&mut self, value: i64) {
        self.put_uvarint((value << 1 ^ value >> 63) as u64);
    }

    fn put_text(&mut self, text: &str) {
        self.put_uvarint(text.len() as u64);
        self.extend_from_slice(text.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_put_is_read(unsigned: u64, signed: i64, short: u32, text in ".{0,200}") {
            let mut bytes = Vec::new();
            bytes.put_uvarint(unsigned);
            bytes.put_varint(signed);
            bytes.put_text(&text);
            bytes.put_u32(short);
            bytes.put_u64(unsigned);
            let mut cut = Cut::new("index", &bytes, 7);
            prop_assert_eq!(cut.uvarint("a").unwrap(), unsigned);
            prop_assert_eq!(cut.varint("b").unwrap(), signed);
            prop_assert_eq!(cut.text("c").unwrap(), text);
            prop_assert_eq!(cut.u32("d").unwrap(), short);
            prop_assert_eq!(cut.u64("e").unwrap(), unsigned);
            prop_assert!(cut.is_empty());
            prop_assert_eq!(cut.offset(), 7 + bytes.len() as u64);
        }
    }

    #[test]
    fn what_is_cut_off_or_too_long_is_named_with_its_place() {
        let mut cut = Cut::new("index", &[0x80, 0x80], 40);
        assert_eq!(cut.uvarint("a count").unwrap_err().to_string(), "index: offset 40: a count is cut off");
        let mut cut = Cut::new("index", &[0xff; 11], 0);
        let error = cut.uvarint("a count").unwrap_err().to_string();
        assert_eq!(error, "index: offset 0: a count has more than 64 bits");
        let mut cut = Cut::new("index", &[200, b'a'], 3);
        assert!(cut.clone().text("a name").is_err());
        assert_eq!(cut.u8("a byte").unwrap(), 200);
        assert_eq!(cut.offset(), 4);
        let error = cut.u32("a checksum").unwrap_err().to_string();
        assert_eq!(error, "index: offset 4: a checksum needs 4 bytes, but only 1 are left");
    }
}
