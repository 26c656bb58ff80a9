//! The bytes of a segment: pages, their headers, fragments. Pure; drawn in `docs/formats/wal.md`.

use crate::TimeHull;

/// The format version that is written, and the only one that is read.
pub(crate) const VERSION: u8 = 1;
/// Readers find their way again at multiples of this.
pub(crate) const PAGE_BYTES: usize = 32 << 10;
/// What every page starts with.
pub(crate) const PAGE_HEADER_BYTES: usize = 60;
/// Checksum, type and length.
pub(crate) const FRAGMENT_HEADER_BYTES: usize = 7;
/// A record's hull.
pub(crate) const HULL_BYTES: usize = 16;
/// The least that a page must have room for, so that a fragment is begun in it: with both hulls and a byte of record.
pub(crate) const MIN_FRAGMENT_BYTES: usize = FRAGMENT_HEADER_BYTES + 2 * HULL_BYTES + 1;

const MAGIC: [u8; 4] = *b"BGWL";
const CHECKED_BYTES: usize = 56;

/// The upper bits of a fragment's type, so that a reader that has lost its way can discard most bytes at a glance.
const TYPE_MARK: u8 = 0b1011_0000;
const TYPE_START: u8 = 0b001;
const TYPE_END: u8 = 0b010;
const TYPE_GROUP: u8 = 0b100;

/// What a page says about itself and its surroundings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PageHeader {
    pub(crate) segment: u32,
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
        out.extend_from_slice(&[VERSION, 0, 0, 0]);
        out.extend_from_slice(&self.segment.to_le_bytes());
        out.extend_from_slice(&self.page.to_le_bytes());
        out.extend_from_slice(&self.previous_valid_len.to_le_bytes());
        encode_hull(self.page_hull, out);
        encode_hull(self.segment_hull, out);
        let crc = crc32c::crc32c(&out[start..]);
        out.extend_from_slice(&crc.to_le_bytes());
    }

    /// Reads the header of page `page` of segment `segment`.
    pub(crate) fn read(bytes: &[u8], segment: u32, page: u32) -> HeaderRead {
        let Some((header, version)) = Self::parse(bytes) else {
            return HeaderRead::Invalid;
        };
        if version != VERSION {
            return HeaderRead::UnknownVersion(version);
        }
        if header.segment != segment || header.page != page {
            return HeaderRead::Invalid;
        }
        HeaderRead::Valid(header)
    }

    fn parse(bytes: &[u8]) -> Option<(Self, u8)> {
        let checked = bytes.get(..CHECKED_BYTES)?;
        if crc32c::crc32c(checked) != u32::from_le_bytes(array(bytes, CHECKED_BYTES)?)
            || array(bytes, 0)? != MAGIC
        {
            return None;
        }
        let header = Self {
            segment: u32::from_le_bytes(array(bytes, 8)?),
            page: u32::from_le_bytes(array(bytes, 12)?),
            previous_valid_len: u64::from_le_bytes(array(bytes, 16)?),
            page_hull: parse_hull(bytes, 24)?,
            segment_hull: parse_hull(bytes, 40)?,
        };
        Some((header, *bytes.get(4)?))
    }
}

/// A fragment's place in its record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FragmentType {
    /// It begins a record.
    pub(crate) start: bool,
    /// It ends a record.
    pub(crate) end: bool,
    /// It begins a record that is the first of a group, before which everything in the segment was durable.
    pub(crate) group: bool,
}

impl FragmentType {
    fn to_byte(self) -> u8 {
        let bit = |on: bool, bit: u8| if on { bit } else { 0 };
        TYPE_MARK | bit(self.start, TYPE_START) | bit(self.end, TYPE_END) | bit(self.group, TYPE_GROUP)
    }

    fn from_byte(byte: u8) -> Option<Self> {
        let kind =
            Self { start: byte & TYPE_START != 0, end: byte & TYPE_END != 0, group: byte & TYPE_GROUP != 0 };
        (kind.to_byte() == byte && (kind.start || !kind.group)).then_some(kind)
    }

    /// How many bytes of hulls precede the record's bytes.
    pub(crate) fn prefix_bytes(self) -> usize {
        match (self.start, self.group) {
            (true, true) => 2 * HULL_BYTES,
            (true, false) => HULL_BYTES,
            (false, _) => 0,
        }
    }
}

/// A fragment as it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fragment<'a> {
    pub(crate) kind: FragmentType,
    /// Of the record; empty hull unless `kind.start`.
    pub(crate) hull: TimeHull,
    /// Of everything before in the segment; only where `kind.group`.
    pub(crate) segment_hull: Option<TimeHull>,
    /// Bytes of the record.
    pub(crate) payload: &'a [u8],
    /// With its header.
    pub(crate) total_bytes: usize,
}

/// Appends a fragment that will lie at `offset` of `segment`; `prefix` are its hulls.
pub(crate) fn encode_fragment(
    out: &mut Vec<u8>,
    kind: FragmentType,
    (segment, offset): (u32, u32),
    prefix: &[u8],
    payload: &[u8],
) {
    let start = out.len();
    let len = (prefix.len() + payload.len()) as u16;
    let [low, high] = len.to_le_bytes();
    out.extend_from_slice(&[0, 0, 0, 0, kind.to_byte(), low, high]);
    out.extend_from_slice(prefix);
    out.extend_from_slice(payload);
    let crc = fragment_crc(segment, offset, &out[start + 4..]);
    out[start..start + 4].copy_from_slice(&crc.to_le_bytes());
}

/// Reads the fragment at `at` of `page`, which begins at `page_offset` of `segment`.
pub(crate) fn parse_fragment(page: &[u8], at: usize, segment: u32, page_offset: u32) -> Option<Fragment<'_>> {
    let kind = FragmentType::from_byte(*page.get(at + 4)?)?;
    let len = usize::from(u16::from_le_bytes(array(page, at + 5)?));
    let total_bytes = FRAGMENT_HEADER_BYTES + len;
    let checked = page.get(at + 4..at + total_bytes)?;
    let offset = page_offset.checked_add(u32::try_from(at).ok()?)?;
    if len < kind.prefix_bytes()
        || fragment_crc(segment, offset, checked) != u32::from_le_bytes(array(page, at)?)
    {
        return None;
    }
    let body = checked.get(3..)?;
    Some(Fragment {
        kind,
        hull: if kind.start { parse_hull(body, 0)? } else { TimeHull::EMPTY },
        segment_hull: if kind.group { Some(parse_hull(body, HULL_BYTES)?) } else { None },
        payload: body.get(kind.prefix_bytes()..)?,
        total_bytes,
    })
}

/// How long the fragment at `at` says it is, whether or not its checksum is right.
pub(crate) fn claimed_bytes(page: &[u8], at: usize) -> Option<usize> {
    FragmentType::from_byte(*page.get(at + 4)?)?;
    Some(FRAGMENT_HEADER_BYTES + usize::from(u16::from_le_bytes(array(page, at + 5)?)))
}

/// The place is part of what is checked, so that bytes that strayed from elsewhere are noticed.
fn fragment_crc(segment: u32, offset: u32, bytes: &[u8]) -> u32 {
    let mut place = [0; 8];
    place[..4].copy_from_slice(&segment.to_le_bytes());
    place[4..].copy_from_slice(&offset.to_le_bytes());
    crc32c::crc32c_append(crc32c::crc32c(&place), bytes)
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
