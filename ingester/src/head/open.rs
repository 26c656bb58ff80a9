//! The chunk that a series is filling, and what is in those that are full.

use chunk::ChunkError;
pub(crate) use chunk::{Incoming, OpenChunk, Push};
use model::Value;
use proto::ChunkEncoding;

/// The value at a timestamp of a chunk, if it has one.
pub(crate) fn value_in(
    encoding: ChunkEncoding,
    data: &[u8],
    timestamp_ms: i64,
) -> Result<Option<Value>, ChunkError> {
    let mut cursor = chunk::cursor(encoding, data)?;
    while let Some((at, value)) = cursor.next_sample()? {
        if at == timestamp_ms {
            return Ok(Some(value.to_value()));
        }
        if at > timestamp_ms {
            break;
        }
    }
    Ok(None)
}

/// All samples of a chunk.
pub(crate) fn decode(encoding: ChunkEncoding, data: &[u8]) -> Result<Vec<(i64, Value)>, ChunkError> {
    let samples = decode_with_starts(encoding, data)?;
    Ok(samples.into_iter().map(|(timestamp_ms, _, value)| (timestamp_ms, value)).collect())
}

/// All samples of a chunk, with their start timestamps as in [`Incoming`].
pub(crate) fn decode_with_starts(
    encoding: ChunkEncoding,
    data: &[u8],
) -> Result<Vec<(i64, Option<i64>, Value)>, ChunkError> {
    let mut cursor = chunk::cursor(encoding, data)?;
    let mut samples = Vec::with_capacity(usize::from(cursor.num_samples()).min(data.len()));
    while let Some((timestamp_ms, start_ms, value)) = cursor.next_with_start()? {
        let start_ms = encoding.has_starts().then_some(start_ms);
        samples.push((timestamp_ms, start_ms, value.to_value()));
    }
    Ok(samples)
}

/// Whether a stored value and a new one at its timestamp are the same sample. A chunk gives a histogram back in the
/// chunk's layout, perhaps with more empty buckets, so histograms are the same if their numbers are.
pub(crate) fn is_repetition(stored: &Value, new: &Value) -> bool {
    match (stored, new) {
        (Value::Histogram(a), Value::Histogram(b)) => {
            (a.schema, a.count, a.zero_count, a.sum.to_bits())
                == (b.schema, b.count, b.zero_count, b.sum.to_bits())
        }
        (Value::FloatHistogram(a), Value::FloatHistogram(b)) => {
            let numbers = |h: &model::FloatHistogram| [h.count, h.zero_count, h.sum].map(f64::to_bits);
            a.schema == b.schema && numbers(a) == numbers(b)
        }
        _ => stored.same_bits(new),
    }
}
