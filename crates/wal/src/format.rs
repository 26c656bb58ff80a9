//! The bytes of a segment: versions, pages, their headers; fragments below. Pure; drawn in `docs/formats/wal.md`.

mod fragment;

pub(crate) use self::fragment::{Fragment, FragmentType, claimed_bytes, encode_fragment, parse_fragment};
use crate::TimeHull;

/// Readers find their way again at multiples of this.
pub(crate) const PAGE_BYTES: usize = 32 << 10;
/// What every page starts with.
pub(crate) const PAGE_HEADER_BYTES: usize = 60;
/// A record's hull.
pub(crate) const HULL_BYTES: usize = 16;

const MAGIC: [u8; 4] = *b"BGWL";
const CHECKED_BYTES: usize = 56;

/// The format of a segment, which every page header of it tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    /// The header of a fragment is 7 bytes: checksum, type, length. A wrong length looks like a write that was cut short.
    V1,
    /// It is 8 bytes, the last of which checks type and length, so that a header tells by itself whether it is whole.
    V2,
}

impl Version {
    /// What new segments are written in.
    pub(crate) const WRITTEN: Self = Self::V2;
    /// All that are known, the newest first.
    pub(crate) const KNOWN: [Self; 2] = [Self::V2, Self::V1];

    fn from_byte(byte: u8) -> Option<Self> {
        Self::KNOWN.into_iter().find(|version| version.to_byte() == byte)
    }

    /// The number in a page header.
    pub(crate) const fn to_byte(self) -> u8 {
        match self {
            Self::V1 => 1,
            Self::V2 => 2,
        }
    }

    /// What a fragment starts with: checksum, type, length, and what checks them.
    pub(crate) const fn fragment_header_bytes(self) -> usize {
        match self {
            Self::V1 => 7,
            Self::V2 => 8,
        }
    }

    /// The least that a page must have room for, so that a fragment is begun in it: with both hulls and a byte of record.
    pub(crate) const fn min_fragment_bytes(self) -> usize {
        self.fragment_header_bytes() + 2 * HULL_BYTES + 1
    }
}

/// A segment, and how its fragments are to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentId {
    pub(crate) number: u32,
    pub(crate) version: Version,
}

/// What a page says about itself and its surroundings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PageHeader {
    pub(crate) segment: SegmentId,
    pub(crate) page: u32,
    /// How many bytes of the previous segment are to be trusted.
    pub(crate) previous_valid_len: u64,
    /// Of the records with bytes in the previous page, which may be the last of the previous segment.
    pub(crate) page_hull: TimeHull,
    /// Of the records with bytes in earlier pages of this segment; in page 0, of the previous segment.
    pub(crate) segment_hull: TimeHull,
}

/// What the first bytes of a page are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HeaderRead {
    Valid(PageHeader),
    UnknownVersion(u8),
    Invalid,
}

impl PageHeader {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&[self.segment.version.to_byte(), 0, 0, 0]);
        out.extend_from_slice(&self.segment.number.to_le_bytes());
        out.extend_from_slice(&self.page.to_le_bytes());
        out.extend_from_slice(&self.previous_valid_len.to_le_bytes());
        encode_hull(self.page_hull, out);
        encode_hull(self.segment_hull, out);
        let crc = crc32c::crc32c(&out[start..]);
        out.extend_from_slice(&crc.to_le_bytes());
    }

    /// Reads the header of page `page` of segment number `segment`.
    pub(crate) fn read(bytes: &[u8], segment: u32, page: u32) -> HeaderRead {
        match Self::parse(bytes) {
            Some(HeaderRead::Valid(header)) if header.segment.number != segment || header.page != page => {
                HeaderRead::Invalid
            }
            Some(read) => read,
            None => HeaderRead::Invalid,
        }
    }

    /// `None` where the checksum or the magic is wrong.
    fn parse(bytes: &[u8]) -> Option<HeaderRead> {
        let checked = bytes.get(..CHECKED_BYTES)?;
        if crc32c::crc32c(checked) != u32::from_le_bytes(array(bytes, CHECKED_BYTES)?)
            || array(bytes, 0)? != MAGIC
        {
            return None;
        }
        let byte = *bytes.get(4)?;
        let Some(version) = Version::from_byte(byte) else {
            return Some(HeaderRead::UnknownVersion(byte));
        };
        Some(HeaderRead::Valid(Self {
            segment: SegmentId { number: u32::from_le_bytes(array(bytes, 8)?), version },
            page: u32::from_le_bytes(array(bytes, 12)?),
            previous_valid_len: u64::from_le_bytes(array(bytes, 16)?),
            page_hull: parse_hull(bytes, 24)?,
            segment_hull: parse_hull(bytes, 40)?,
        }))
    }
}

pub(crate) fn encode_hull(hull: TimeHull, out: &mut Vec<u8>) {
    out.extend_from_slice(&hull.min_ts.to_le_bytes());
    out.extend_from_slice(&hull.max_ts.to_le_bytes());
}

fn parse_hull(bytes: &[u8], at: usize) -> Option<TimeHull> {
    Some(TimeHull {
        min_ts: i64::from_le_bytes(array(bytes, at)?),
        max_ts: i64::from_le_bytes(array(bytes, at + 8)?),
    })
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

/// A segment's file name: eight digits or more.
pub(crate) fn segment_name(number: u32) -> String {
    format!("{number:08}.wal")
}

/// The number of the segment in a file of this name.
pub(crate) fn segment_number(name: &str) -> Option<u32> {
    let number = name.strip_suffix(".wal")?.parse().ok()?;
    (number > 0 && segment_name(number) == name).then_some(number)
}
