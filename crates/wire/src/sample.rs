//! Float samples, which remote write 1.0 and 2.0 encode alike.

use crate::WireError;
use crate::protobuf::Fields;

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
