//! Float samples, which remote write 1.0 and 2.0 encode alike.

use crate::WireError;
use crate::protobuf::{Fields, varint};

/// A float sample.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Sample {
    /// Milliseconds since the Unix epoch.
    pub timestamp_ms: i64,
    /// The value; NaN with the bits of the staleness marker included.
    pub value: f64,
    /// When its counting began, in milliseconds since the Unix epoch; 0 where it is not known. Only in 2.0.
    pub start_timestamp_ms: i64,
}

/// Reads a `Sample` message: 1 value, 2 timestamp, 3 start timestamp.
#[inline]
pub(crate) fn decode(body: &[u8]) -> Result<Sample, WireError> {
    if let Some(sample) = decode_usual(body) {
        return Ok(sample);
    }
    let mut sample = Sample::default();
    for field in Fields::new(body) {
        let field = field?;
        match field.number {
            1 => sample.value = field.double()?,
            2 => sample.timestamp_ms = field.int64()?,
            3 => sample.start_timestamp_ms = field.int64()?,
            _ => {}
        }
    }
    Ok(sample)
}

/// Reads a sample that is written as nearly all are: value, timestamp, perhaps start timestamp, and nothing else.
#[inline]
pub(crate) fn decode_usual(body: &[u8]) -> Option<Sample> {
    let (bits, rest) = body.strip_prefix(&[0x09])?.split_first_chunk()?;
    let mut position = 0;
    let timestamp = rest.strip_prefix(&[0x10])?;
    let timestamp_ms = varint(timestamp, &mut position).ok()? as i64;
    let mut start_timestamp_ms = 0;
    if timestamp.get(position) == Some(&0x18) {
        position += 1;
        start_timestamp_ms = varint(timestamp, &mut position).ok()? as i64;
    }
    let value = f64::from_le_bytes(*bits);
    (position == timestamp.len()).then_some(Sample { timestamp_ms, value, start_timestamp_ms })
}
