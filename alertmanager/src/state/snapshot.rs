//! The file of a snapshot. `docs/formats/alertmanager-state.md` draws it.

use std::io;
use std::path::Path;

use env::FileSystem;
use wal::Position;

use super::{Record, StateError};

const MAGIC: &[u8; 8] = b"BGAMSTAT";
const VERSION: u32 = 1;
/// Magic, version, segment, offset, number of records, checksum.
const HEADER_BYTES: usize = 8 + 4 + 4 + 4 + 4 + 4;
/// Length and checksum.
const RECORD_HEADER_BYTES: usize = 8;
/// The largest file that is read, in bytes.
const MAX_BYTES: u64 = 4 << 30;

/// A snapshot that was read.
pub(super) struct Snapshot {
    /// Where in the log what it lacks begins.
    pub(super) position: Position,
    pub(super) records: Vec<Record>,
    /// Whether some of it cannot be read.
    pub(super) damaged: bool,
}

/// The bytes of a snapshot.
pub(super) fn encode(position: Position, records: &[Record]) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    for number in [VERSION, position.segment, position.offset, records.len() as u32] {
        out.extend(number.to_le_bytes());
    }
    out.extend(crc32c::crc32c(&out).to_le_bytes());
    for record in records {
        let bytes = record.encode();
        out.extend((bytes.len() as u32).to_le_bytes());
        out.extend(crc32c::crc32c(&bytes).to_le_bytes());
        out.extend(bytes);
    }
    out
}

/// Reads a snapshot, as far as it can be read; `None` if there is none.
pub(super) fn read(fs: &dyn FileSystem, path: &Path) -> Result<Option<Snapshot>, StateError> {
    let bytes = match env::read_file(fs, path, MAX_BYTES) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(StateError::Read { path: path.to_owned(), source }),
    };
    let Some((header, rest)) = header(&bytes) else {
        // Whatever the log still has is all there is.
        let nothing = Snapshot { position: Position::START, records: Vec::new(), damaged: true };
        return Ok(Some(nothing));
    };
    let [version, segment, offset, count] = header;
    if version != VERSION {
        return Err(StateError::Version { path: path.to_owned(), found: version, known: VERSION });
    }
    let records = records(rest);
    let damaged = records.len() as u64 != u64::from(count);
    Ok(Some(Snapshot { position: Position { segment, offset }, records, damaged }))
}

/// Version, segment, offset and number of records, if the header is what it was.
fn header(bytes: &[u8]) -> Option<([u32; 4], &[u8])> {
    let (header, rest) = bytes.split_at_checked(HEADER_BYTES)?;
    let (fields, checksum) = header.split_at_checked(HEADER_BYTES - 4)?;
    if !fields.starts_with(MAGIC) || number(checksum, 0)? != crc32c::crc32c(fields) {
        return None;
    }
    Some(([number(fields, 8)?, number(fields, 12)?, number(fields, 16)?, number(fields, 20)?], rest))
}

/// The records whose checksums are right; one that is not is left out, and reading goes on behind it.
fn records(mut rest: &[u8]) -> Vec<Record> {
    let mut records = Vec::new();
    while let (Some(len), Some(checksum)) = (number(rest, 0), number(rest, 4)) {
        let Some((bytes, behind)) =
            rest.get(RECORD_HEADER_BYTES..).and_then(|rest| rest.split_at_checked(len as usize))
        else {
            break;
        };
        if crc32c::crc32c(bytes) == checksum {
            records.extend(Record::decode(bytes));
        }
        rest = behind;
    }
    records
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}
