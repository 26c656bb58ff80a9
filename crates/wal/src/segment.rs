//! Writing one segment: records into fragments into pages, and to the file.

use std::io;
use std::sync::Arc;

use env::{File, write_all_at};

use crate::format::{FragmentType, HULL_BYTES, PAGE_BYTES, PageHeader, SegmentId, Version, encode_fragment};
use crate::{Position, TimeHull};

/// Encoded bytes are handed to the file when there are this many, so that a large group needs no large buffer.
const WRITE_BYTES: usize = 1 << 20;

const FRAGMENT_HEADER_BYTES: usize = Version::WRITTEN.fragment_header_bytes();
const MIN_FRAGMENT_BYTES: usize = Version::WRITTEN.min_fragment_bytes();

/// What a segment says about the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Previous {
    /// How many of its bytes are to be trusted.
    pub(crate) valid_len: u32,
    /// Of the records in its last page.
    pub(crate) page_hull: TimeHull,
    /// Of all its records.
    pub(crate) segment_hull: TimeHull,
}

impl Previous {
    /// There is none.
    pub(crate) const NONE: Self =
        Self { valid_len: 0, page_hull: TimeHull::EMPTY, segment_hull: TimeHull::EMPTY };
}

/// A segment that is being written.
pub(crate) struct SegmentWriter {
    pub(crate) file: Arc<dyn File>,
    number: u32,
    previous: Previous,
    /// Where the next byte goes, and the hulls of what is before it.
    cursor: Previous,
    /// The cursor after the last committed group.
    committed: Previous,
    /// Encoded and not yet written; its last byte is just before the cursor.
    buffer: Vec<u8>,
}

impl SegmentWriter {
    /// Begins segment `number` in an empty file; `buffer` is reused.
    pub(crate) fn new(file: Arc<dyn File>, number: u32, previous: Previous, mut buffer: Vec<u8>) -> Self {
        buffer.clear();
        Self { file, number, previous, cursor: Previous::NONE, committed: Previous::NONE, buffer }
    }

    pub(crate) fn number(&self) -> u32 {
        self.number
    }

    /// What the next segment says about this one: up to the last committed group.
    pub(crate) fn committed(&self) -> Previous {
        self.committed
    }

    /// Makes all that was written count as committed, and gives by how many bytes the segment has grown.
    pub(crate) fn commit(&mut self) -> u32 {
        let grown = self.cursor.valid_len - self.committed.valid_len;
        self.committed = self.cursor;
        grown
    }

    pub(crate) fn into_buffer(self) -> Vec<u8> {
        self.buffer
    }

    /// Encodes a record and gives where it begins. `group` says that it is the first of a group, before which
    /// everything in this segment is durable.
    pub(crate) fn push(&mut self, record: &[u8], hull: TimeHull, group: bool) -> io::Result<Position> {
        if self.buffer.len() >= WRITE_BYTES {
            self.write()?;
        }
        let mut prefix = [0; 2 * HULL_BYTES];
        put_hull(&mut prefix, 0, hull);
        put_hull(&mut prefix, HULL_BYTES, self.cursor.segment_hull);
        // From here on, because a page that begins inside the record must count it.
        self.cursor.segment_hull = self.cursor.segment_hull.union(hull);
        let mut kind = FragmentType { start: true, end: false, group };
        let mut rest = record;
        let mut position = None;
        while !kind.end {
            let room = self.make_room() - FRAGMENT_HEADER_BYTES;
            let at = self.cursor.valid_len;
            position.get_or_insert(at);
            self.cursor.page_hull = self.cursor.page_hull.union(hull);
            let prefix = &prefix[..kind.prefix_bytes()];
            let (payload, left) = rest.split_at(rest.len().min(room - prefix.len()));
            kind.end = left.is_empty();
            encode_fragment(&mut self.buffer, kind, (self.number, at), prefix, payload);
            self.cursor.valid_len += (FRAGMENT_HEADER_BYTES + prefix.len() + payload.len()) as u32;
            rest = left;
            kind.start = false;
            kind.group = false;
        }
        Ok(Position { segment: self.number, offset: position.unwrap_or_default() })
    }

    /// Hands what was encoded to the file.
    pub(crate) fn write(&mut self) -> io::Result<()> {
        let start = u64::from(self.cursor.valid_len) - self.buffer.len() as u64;
        write_all_at(&*self.file, &self.buffer, start)?;
        self.buffer.clear();
        Ok(())
    }

    /// Begins a new page where this one has no room for a fragment, and gives the room in the page.
    fn make_room(&mut self) -> usize {
        let used = self.cursor.valid_len as usize % PAGE_BYTES;
        let room = PAGE_BYTES - used;
        if used != 0 && room >= MIN_FRAGMENT_BYTES {
            return room;
        }
        if used != 0 {
            self.buffer.resize(self.buffer.len() + room, 0);
            self.cursor.valid_len += room as u32;
        }
        let page = self.cursor.valid_len / PAGE_BYTES as u32;
        let before = if page == 0 { &self.previous } else { &self.cursor };
        let start = self.buffer.len();
        PageHeader {
            segment: SegmentId { number: self.number, version: Version::WRITTEN },
            page,
            previous_valid_len: u64::from(self.previous.valid_len),
            page_hull: before.page_hull,
            segment_hull: before.segment_hull,
        }
        .encode(&mut self.buffer);
        let header_bytes = self.buffer.len() - start;
        self.cursor.valid_len += header_bytes as u32;
        self.cursor.page_hull = TimeHull::EMPTY;
        PAGE_BYTES - header_bytes
    }
}

fn put_hull(prefix: &mut [u8; 2 * HULL_BYTES], at: usize, hull: TimeHull) {
    prefix[at..at + 8].copy_from_slice(&hull.min_ts.to_le_bytes());
    prefix[at + 8..at + 16].copy_from_slice(&hull.max_ts.to_le_bytes());
}
