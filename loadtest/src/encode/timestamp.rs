//! Timestamps that can be overwritten in place: all of them take the same number of bytes.

/// How many bytes a timestamp takes.
pub(crate) const TIMESTAMP_BYTES: usize = 6;
/// The timestamps that take exactly so many bytes as varints: late 1971 to early 2109.
pub(crate) const TIMESTAMPS_MS: std::ops::Range<i64> = (1 << 35)..(1 << 42);

/// A timestamp inside [`TIMESTAMPS_MS`] as a varint.
pub(crate) fn timestamp_bytes(timestamp_ms: i64) -> [u8; TIMESTAMP_BYTES] {
    let n = timestamp_ms as u64;
    let group = |i: u32| (n >> (7 * i)) as u8 & 0x7f;
    [group(0) | 0x80, group(1) | 0x80, group(2) | 0x80, group(3) | 0x80, group(4) | 0x80, group(5)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::protobuf::put_varint;

    #[test]
    fn timestamps_are_ordinary_varints() {
        for timestamp in [TIMESTAMPS_MS.start, 1_780_000_000_123, TIMESTAMPS_MS.end - 1] {
            let mut varint = Vec::new();
            put_varint(&mut varint, timestamp as u64);
            assert_eq!(varint, timestamp_bytes(timestamp));
        }
    }
}
