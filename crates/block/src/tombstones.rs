//! `tombstones`: what has been deleted from the series of a block.

use model::TimeRange;

use crate::bytes::{Cut, Put};
use crate::error::BlockError;

/// The first bytes of the file.
const MAGIC: u32 = 0x0130_BA30;

/// The only version that there has been.
const VERSION: u8 = 1;

/// Magic and version.
const HEADER_BYTES: usize = 5;

/// The checksum at the end.
const CHECKSUM_BYTES: usize = 4;

/// The name of the file in a block.
pub const FILE: &str = "tombstones";

/// The largest file that is read.
pub const MAX_TOMBSTONES_BYTES: u64 = 256 << 20;

/// A range of a series that has been deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tombstone {
    /// The series, by its reference in the index, as it stands there.
    pub series: u64,
    /// What of it has been deleted.
    pub range: TimeRange,
}

/// Reads the file. `file` names it in errors.
///
/// # Errors
/// Where it is not such a file, or damaged.
pub fn parse(file: &str, bytes: &[u8]) -> Result<Vec<Tombstone>, BlockError> {
    let mut cut = Cut::new(file, bytes, 0);
    let magic = cut.u32("the magic number")?;
    if magic != MAGIC {
        let what = format!("{magic:08x} is not the magic number of tombstones, {MAGIC:08x}");
        return Err(BlockError::malformed(file, 0, what));
    }
    let at = cut.clone();
    let version = cut.u8("the version")?;
    if version != VERSION {
        return Err(at.wrong(format!("version {version} of tombstones is unknown; {VERSION} is known")));
    }
    let Some((entries, checksum)) = cut.rest().split_last_chunk::<CHECKSUM_BYTES>() else {
        return Err(cut.wrong("the checksum is cut off"));
    };
    let (stored, computed) = (u32::from_be_bytes(*checksum), crc32c::crc32c(entries));
    if stored != computed {
        let (file, offset) = (file.to_owned(), HEADER_BYTES as u64);
        return Err(BlockError::Checksum { file, offset, part: "tombstones", stored, computed });
    }
    let mut cut = Cut::new(file, entries, HEADER_BYTES as u64);
    let mut all = Vec::new();
    while !cut.is_empty() {
        let at = cut.clone();
        let series = cut.uvarint("a series")?;
        let (start, end) = (cut.varint("a first time")?, cut.varint("a last time")?);
        let Some(range) = TimeRange::new(start, end) else {
            return Err(at.wrong(format!("a tombstone ends at {end}, before it begins at {start}")));
        };
        all.push(Tombstone { series, range });
    }
    Ok(all)
}

/// The content of the file.
pub fn encode(tombstones: &[Tombstone]) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.put_u32(MAGIC);
    bytes.push(VERSION);
    for tombstone in tombstones {
        bytes.put_uvarint(tombstone.series);
        bytes.put_varint(tombstone.range.start_ms());
        bytes.put_varint(tombstone.range.end_ms());
    }
    let checksum = crc32c::crc32c(&bytes[HEADER_BYTES..]);
    bytes.put_u32(checksum);
    bytes
}

/// What is left of a range of which others have been deleted, in order.
pub fn left_of(range: TimeRange, deleted: &[TimeRange]) -> Vec<TimeRange> {
    let mut left = vec![range];
    for gone in deleted {
        let around = |part: TimeRange| {
            let before = gone
                .start_ms()
                .checked_sub(1)
                .and_then(|end| TimeRange::new(part.start_ms(), end.min(part.end_ms())));
            let after = gone
                .end_ms()
                .checked_add(1)
                .and_then(|start| TimeRange::new(start.max(part.start_ms()), part.end_ms()));
            before.into_iter().chain(after)
        };
        left = left.into_iter().flat_map(around).collect();
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_every_flipped_bit_is_seen() {
        let stone = |series, start, end| Tombstone { series, range: TimeRange::new(start, end).unwrap() };
        let all = [stone(7, -5, 1_700_000_000_000), stone(u64::MAX, i64::MIN, i64::MAX)];
        let bytes = encode(&all);
        assert_eq!(parse("tombstones", &bytes).unwrap(), all);
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(parse("tombstones", &damaged).is_err(), "bit {bit}");
        }
        for length in 0..bytes.len() {
            assert!(parse("tombstones", &bytes[..length]).is_err(), "{length} bytes");
        }
        assert_eq!(encode(&[]), [0x01, 0x30, 0xba, 0x30, 1, 0, 0, 0, 0]);
    }

    #[test]
    fn what_is_left_is_what_was_not_deleted() {
        let range = |start, end| TimeRange::new(start, end).expect("in order");
        let check = |deleted: &[TimeRange], expected: &[TimeRange]| {
            assert_eq!(left_of(range(10, 20), deleted), expected, "{deleted:?}");
        };
        check(&[], &[range(10, 20)]);
        check(&[range(12, 14)], &[range(10, 11), range(15, 20)]);
        check(&[range(0, 10), range(20, 30)], &[range(11, 19)]);
        check(&[range(10, 15), range(14, 20)], &[]);
        check(&[range(0, 5), range(25, 30)], &[range(10, 20)]);
        check(&[TimeRange::ALL], &[]);
        check(&[range(12, 12), range(18, 18)], &[range(10, 11), range(13, 17), range(19, 20)]);
    }
}
