//! The protobuf encoding itself: a walk over the fields of one message, in place, and the writing of fields.
//!
//! Unknown fields are the caller's to skip. Groups, which protobuf dropped long ago, are refused.

use crate::WireError;

/// The largest field number that protobuf allows.
const MAX_FIELD_NUMBER: u64 = (1 << 29) - 1;

/// What a field holds, by wire type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldValue<'a> {
    /// Wire type 0.
    Varint(u64),
    /// Wire type 1.
    Fixed64(u64),
    /// Wire type 2: a message, text, bytes, or packed numbers.
    Bytes(&'a [u8]),
    /// Wire type 5.
    Fixed32(u32),
}

/// One field of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field<'a> {
    /// Its number.
    pub number: u32,
    /// Where its tag begins.
    pub start: usize,
    /// Where it ends; a field of wire type 2 ends with its bytes.
    pub end: usize,
    /// What it holds.
    pub value: FieldValue<'a>,
}

impl<'a> Field<'a> {
    /// The bytes of a field of wire type 2.
    #[inline]
    pub fn bytes(&self) -> Result<&'a [u8], WireError> {
        match self.value {
            FieldValue::Bytes(bytes) => Ok(bytes),
            _ => Err(self.wrong_type("2 (length-delimited)")),
        }
    }

    /// The number in a field of wire type 0.
    #[inline]
    pub fn varint(&self) -> Result<u64, WireError> {
        match self.value {
            FieldValue::Varint(number) => Ok(number),
            _ => Err(self.wrong_type("0 (varint)")),
        }
    }

    /// The number in a field of wire type 0, as `int64`.
    #[inline]
    pub fn int64(&self) -> Result<i64, WireError> {
        self.varint().map(|number| number as i64)
    }

    /// The float in a field of wire type 1.
    #[inline]
    pub fn double(&self) -> Result<f64, WireError> {
        match self.value {
            FieldValue::Fixed64(bits) => Ok(f64::from_bits(bits)),
            _ => Err(self.wrong_type("1 (64-bit)")),
        }
    }

    #[cold]
    pub(crate) fn wrong_type(&self, expected: &'static str) -> WireError {
        let found = match self.value {
            FieldValue::Varint(_) => 0,
            FieldValue::Fixed64(_) => 1,
            FieldValue::Bytes(_) => 2,
            FieldValue::Fixed32(_) => 5,
        };
        WireError::WireType { offset: self.start, field: self.number, found, expected }
    }
}

/// The fields of a message, in order. Ends after the first error.
#[derive(Debug, Clone)]
pub struct Fields<'a> {
    message: &'a [u8],
    position: usize,
}

impl<'a> Fields<'a> {
    /// The fields of this message.
    #[inline]
    pub fn new(message: &'a [u8]) -> Self {
        Self { message, position: 0 }
    }

    /// The fields from byte `position` on, which has to be the beginning of a field.
    #[inline]
    pub fn starting_at(message: &'a [u8], position: usize) -> Self {
        Self { message, position }
    }

    /// Where the next field begins.
    #[inline]
    pub fn position(&self) -> usize {
        self.position
    }

    /// The message that is walked.
    #[inline]
    pub(crate) fn message(&self) -> &'a [u8] {
        self.message
    }

    /// The next field that `read` makes something of; it returns `None` for fields that it does not know. No further
    /// fields come after an error.
    #[inline]
    pub(crate) fn next_known<T>(
        &mut self,
        read: impl Fn(&Field<'a>) -> Result<Option<T>, WireError>,
    ) -> Option<Result<T, WireError>> {
        loop {
            match self.next()?.and_then(|field| read(&field)) {
                Ok(None) => {}
                Ok(Some(item)) => return Some(Ok(item)),
                Err(error) => {
                    self.stop();
                    return Some(Err(error));
                }
            }
        }
    }

    fn stop(&mut self) {
        self.position = self.message.len();
    }

    #[inline]
    fn read(&mut self) -> Result<Field<'a>, WireError> {
        let start = self.position;
        let tag = varint(self.message, &mut self.position)?;
        let number = tag >> 3;
        if number == 0 || number > MAX_FIELD_NUMBER {
            return Err(WireError::Tag { offset: start, tag });
        }
        let value = match tag & 7 {
            0 => FieldValue::Varint(varint(self.message, &mut self.position)?),
            1 => FieldValue::Fixed64(u64::from_le_bytes(self.fixed("a 64-bit number")?)),
            2 => FieldValue::Bytes(self.delimited()?),
            5 => FieldValue::Fixed32(u32::from_le_bytes(self.fixed("a 32-bit number")?)),
            _ => return Err(WireError::Tag { offset: start, tag }),
        };
        Ok(Field { number: number as u32, start, end: self.position, value })
    }

    #[inline]
    fn delimited(&mut self) -> Result<&'a [u8], WireError> {
        let len = varint(self.message, &mut self.position)?;
        let rest = self.message.get(self.position..).unwrap_or_default();
        let taken = usize::try_from(len).ok().and_then(|len| rest.get(..len));
        let Some(bytes) = taken else {
            return Err(WireError::Length { offset: self.position, len, left: rest.len() });
        };
        self.position += bytes.len();
        Ok(bytes)
    }

    #[inline]
    fn fixed<const N: usize>(&mut self, expected: &'static str) -> Result<[u8; N], WireError> {
        let rest = self.message.get(self.position..).unwrap_or_default();
        let Some(bytes) = rest.first_chunk::<N>() else {
            return Err(WireError::Truncated { offset: self.message.len(), expected });
        };
        self.position += N;
        Ok(*bytes)
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<Field<'a>, WireError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.position >= self.message.len() {
            return None;
        }
        let field = self.read();
        if field.is_err() {
            self.stop();
        }
        Some(field)
    }
}

/// Reads the varint at `position` and moves behind it.
#[inline]
pub fn varint(message: &[u8], position: &mut usize) -> Result<u64, WireError> {
    match *message.get(*position..).unwrap_or_default() {
        [byte, ..] if byte < 0x80 => {
            *position += 1;
            Ok(u64::from(byte))
        }
        [low, high, ..] if high < 0x80 => {
            *position += 2;
            Ok(u64::from(low & 0x7f) | u64::from(high) << 7)
        }
        _ => long_varint(message, position),
    }
}

fn long_varint(message: &[u8], position: &mut usize) -> Result<u64, WireError> {
    let start = *position;
    let rest = message.get(start..).unwrap_or_default();
    let mut number = 0u64;
    for (i, &byte) in rest.iter().take(10).enumerate() {
        if i == 9 && byte > 1 {
            break;
        }
        number |= u64::from(byte & 0x7f) << (7 * i);
        if byte < 0x80 {
            *position = start + i + 1;
            return Ok(number);
        }
    }
    if rest.len() < 10 {
        return Err(WireError::Truncated { offset: message.len(), expected: "the rest of a varint" });
    }
    Err(WireError::Varint { offset: start })
}

/// The signed number of a zigzag varint (`sint32`, `sint64`).
#[inline]
pub fn zigzag(number: u64) -> i64 {
    (number >> 1) as i64 ^ -((number & 1) as i64)
}

/// The zigzag form of a signed number.
#[inline]
pub fn to_zigzag(number: i64) -> u64 {
    (number << 1) as u64 ^ (number >> 63) as u64
}

/// How many bytes the varint of `number` takes.
#[inline]
pub fn varint_len(number: u64) -> usize {
    (64 - (number | 1).leading_zeros() as usize).div_ceil(7)
}

/// Appends a varint.
#[inline]
pub fn put_varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Appends a field of wire type 0, also when it is 0.
#[inline]
pub fn put_varint_field(out: &mut Vec<u8>, field: u32, number: u64) {
    put_varint(out, u64::from(field) << 3);
    put_varint(out, number);
}

/// Appends a field of wire type 1, also when it is 0.
#[inline]
pub fn put_double_field(out: &mut Vec<u8>, field: u32, number: f64) {
    put_varint(out, u64::from(field) << 3 | 1);
    out.extend_from_slice(&number.to_bits().to_le_bytes());
}

/// Appends a field of wire type 2, also when it is empty.
#[inline]
pub fn put_bytes_field(out: &mut Vec<u8>, field: u32, bytes: &[u8]) {
    put_varint(out, u64::from(field) << 3 | 2);
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}
