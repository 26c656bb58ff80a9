//! Varints and length-prefixed bytes, as WAL records, snapshots and chunk files use them: LEB128 for unsigned
//! numbers, zigzag in front of it for signed ones, everything else little-endian.

use thiserror::Error;

/// Bytes that do not decode: they are damaged, or another format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("cannot decode {what}")]
pub(crate) struct Malformed {
    /// What was expected.
    pub(crate) what: &'static str,
}

pub(crate) fn put_uvarint(out: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

pub(crate) fn zigzag(n: i64) -> u64 {
    ((n << 1) ^ (n >> 63)) as u64
}

pub(crate) fn unzigzag(n: u64) -> i64 {
    (n >> 1) as i64 ^ -((n & 1) as i64)
}

pub(crate) fn put_ivarint(out: &mut Vec<u8>, n: i64) {
    put_uvarint(out, zigzag(n));
}

pub(crate) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_uvarint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Reads from the front of a slice; never beyond its end.
#[derive(Debug, Clone)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn remaining(&self) -> usize {
        self.rest.len()
    }

    pub(crate) fn u8(&mut self, what: &'static str) -> Result<u8, Malformed> {
        let (first, rest) = self.rest.split_first().ok_or(Malformed { what })?;
        self.rest = rest;
        Ok(*first)
    }

    pub(crate) fn uvarint(&mut self, what: &'static str) -> Result<u64, Malformed> {
        let mut value = 0u64;
        for (i, byte) in self.rest.iter().enumerate().take(10) {
            let bits = u64::from(byte & 0x7f);
            if i == 9 && bits > 1 {
                break;
            }
            value |= bits << (7 * i);
            if byte & 0x80 == 0 {
                self.rest = &self.rest[i + 1..];
                return Ok(value);
            }
        }
        Err(Malformed { what })
    }

    pub(crate) fn u32(&mut self, what: &'static str) -> Result<u32, Malformed> {
        u32::try_from(self.uvarint(what)?).map_err(|_| Malformed { what })
    }

    pub(crate) fn ivarint(&mut self, what: &'static str) -> Result<i64, Malformed> {
        self.uvarint(what).map(unzigzag)
    }

    pub(crate) fn take(&mut self, len: usize, what: &'static str) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(Malformed { what })?;
        self.rest = rest;
        Ok(taken)
    }

    pub(crate) fn bytes(&mut self, what: &'static str) -> Result<&'a [u8], Malformed> {
        let len = self.uvarint(what)?;
        self.take(usize::try_from(len).map_err(|_| Malformed { what })?, what)
    }

    pub(crate) fn text(&mut self, what: &'static str) -> Result<&'a str, Malformed> {
        std::str::from_utf8(self.bytes(what)?).map_err(|_| Malformed { what })
    }

    pub(crate) fn fixed_u64(&mut self, what: &'static str) -> Result<u64, Malformed> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(Malformed { what })?;
        self.rest = rest;
        Ok(u64::from_le_bytes(*taken))
    }

    pub(crate) fn fixed_u32(&mut self, what: &'static str) -> Result<u32, Malformed> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(Malformed { what })?;
        self.rest = rest;
        Ok(u32::from_le_bytes(*taken))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_was_put_is_read(u in any::<u64>(), i in any::<i64>(), b in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut out = Vec::new();
            put_uvarint(&mut out, u);
            put_ivarint(&mut out, i);
            put_bytes(&mut out, &b);
            let mut reader = Reader::new(&out);
            prop_assert_eq!(reader.uvarint("u"), Ok(u));
            prop_assert_eq!(reader.ivarint("i"), Ok(i));
            prop_assert_eq!(reader.bytes("b"), Ok(&b[..]));
            prop_assert!(reader.is_empty());
        }

        #[test]
        fn anything_else_is_an_error_or_a_value_but_no_panic(b in proptest::collection::vec(any::<u8>(), 0..30)) {
            let mut reader = Reader::new(&b);
            while reader.uvarint("u").and_then(|_| reader.bytes("b")).is_ok() {}
        }
    }
}
