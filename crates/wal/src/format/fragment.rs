//! The bytes of a fragment, in every version that is read.

use super::{HULL_BYTES, PAGE_BYTES, SegmentId, Version, array, parse_hull};
use crate::TimeHull;

/// The upper bits of a fragment's type, so that a reader that has lost its way can discard most bytes at a glance, and
/// zeros are no fragment.
const TYPE_MARK: u8 = 0b1011_0000;
const TYPE_START: u8 = 0b001;
const TYPE_END: u8 = 0b010;
const TYPE_GROUP: u8 = 0b100;

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

/// What a fragment's header says.
struct Header {
    kind: FragmentType,
    /// Of the fragment with its header.
    total_bytes: usize,
}

impl Header {
    /// The header at `at` of `page`; `None` where no fragment was ever given that header. In version 2 a single wrong bit in
    /// type, length or check is noticed here, in version 1 only what makes no sense.
    fn read(page: &[u8], at: usize, version: Version) -> Option<Self> {
        let [kind_byte, low, high] = array(page, at + 4)?;
        let kind = FragmentType::from_byte(kind_byte)?;
        if version == Version::V2 && *page.get(at + 7)? != header_check(kind_byte, [low, high]) {
            return None;
        }
        let len = usize::from(u16::from_le_bytes([low, high]));
        let total_bytes = version.fragment_header_bytes() + len;
        let is_possible = len >= kind.prefix_bytes() && at + total_bytes <= PAGE_BYTES;
        is_possible.then_some(Self { kind, total_bytes })
    }
}

/// Appends a fragment in the version that is written, which will lie at `offset` of segment number `segment`; `prefix` are
/// its hulls.
pub(crate) fn encode_fragment(
    out: &mut Vec<u8>,
    kind: FragmentType,
    (segment, offset): (u32, u32),
    prefix: &[u8],
    payload: &[u8],
) {
    let start = out.len();
    let len = ((prefix.len() + payload.len()) as u16).to_le_bytes();
    let [low, high] = len;
    out.extend_from_slice(&[0, 0, 0, 0, kind.to_byte(), low, high, header_check(kind.to_byte(), len)]);
    out.extend_from_slice(prefix);
    out.extend_from_slice(payload);
    let crc = fragment_crc(segment, offset, &out[start + 4..]);
    out[start..start + 4].copy_from_slice(&crc.to_le_bytes());
}

/// Reads the fragment at `at` of `page`, which begins at `page_offset` of `segment`.
pub(crate) fn parse_fragment(
    page: &[u8],
    at: usize,
    segment: SegmentId,
    page_offset: u32,
) -> Option<Fragment<'_>> {
    let Header { kind, total_bytes } = Header::read(page, at, segment.version)?;
    let checked = page.get(at + 4..at + total_bytes)?;
    let offset = page_offset.checked_add(u32::try_from(at).ok()?)?;
    if fragment_crc(segment.number, offset, checked) != u32::from_le_bytes(array(page, at)?) {
        return None;
    }
    let body = page.get(at + segment.version.fragment_header_bytes()..at + total_bytes)?;
    Some(Fragment {
        kind,
        hull: if kind.start { parse_hull(body, 0)? } else { TimeHull::EMPTY },
        segment_hull: if kind.group { Some(parse_hull(body, HULL_BYTES)?) } else { None },
        payload: body.get(kind.prefix_bytes()..)?,
        total_bytes,
    })
}

/// How long the fragment at `at` says it is, whether or not its checksum is right; `None` where its header is wrong.
pub(crate) fn claimed_bytes(page: &[u8], at: usize, version: Version) -> Option<usize> {
    Header::read(page, at, version).map(|header| header.total_bytes)
}

/// What the header of a fragment says of itself, so that a wrong length is not believed where the rest of the fragment is
/// missing. That every single wrong bit changes this byte is shown below.
fn header_check(kind: u8, [low, high]: [u8; 2]) -> u8 {
    let [check, ..] = crc32c::crc32c(&[kind, low, high]).to_le_bytes();
    check
}

/// The place is part of what is checked, so that bytes that strayed from elsewhere are noticed.
fn fragment_crc(segment: u32, offset: u32, bytes: &[u8]) -> u32 {
    let mut place = [0; 8];
    place[..4].copy_from_slice(&segment.to_le_bytes());
    place[4..].copy_from_slice(&offset.to_le_bytes());
    crc32c::crc32c_append(crc32c::crc32c(&place), bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header_of(kind: FragmentType, len: u16) -> [u8; 8] {
        let [low, high] = len.to_le_bytes();
        [0, 0, 0, 0, kind.to_byte(), low, high, header_check(kind.to_byte(), [low, high])]
    }

    /// All that there are: a group is always a start.
    fn kinds() -> Vec<FragmentType> {
        (0..=u8::MAX).filter_map(FragmentType::from_byte).collect()
    }

    #[test]
    fn every_single_wrong_bit_of_a_header_is_noticed() {
        assert_eq!(kinds().len(), 6);
        for kind in kinds() {
            for len in 0..=0x7fff {
                let mut header = header_of(kind, len);
                let is_possible =
                    usize::from(len) >= kind.prefix_bytes() && usize::from(len) + 8 <= PAGE_BYTES;
                let claimed = is_possible.then_some(8 + usize::from(len));
                assert_eq!(claimed_bytes(&header, 0, Version::V2), claimed, "{kind:?}, {len}");
                for bit in 0..32 {
                    header[4 + bit / 8] ^= 1 << (bit % 8);
                    assert_eq!(claimed_bytes(&header, 0, Version::V2), None, "{kind:?}, {len}, bit {bit}");
                    header[4 + bit / 8] ^= 1 << (bit % 8);
                }
            }
        }
    }

    /// Not only together with what makes a header impossible: the check alone tells, also of types that make sense.
    #[test]
    fn the_check_alone_notices_every_single_wrong_bit() {
        for kind in kinds().into_iter().map(FragmentType::to_byte) {
            for len in 0..=0x7fff_u16 {
                let [low, high] = len.to_le_bytes();
                let check = header_check(kind, [low, high]);
                for bit in 0..24 {
                    let mut bytes = [kind, low, high];
                    bytes[bit / 8] ^= 1 << (bit % 8);
                    let [other, low, high] = bytes;
                    assert_ne!(header_check(other, [low, high]), check, "{kind}, {len}, bit {bit}");
                }
            }
        }
    }

    #[test]
    fn zeros_are_no_header() {
        for version in Version::KNOWN {
            assert_eq!(claimed_bytes(&[0; PAGE_BYTES], 60, version), None, "{version:?}");
        }
    }

    #[test]
    fn a_fragment_is_read_in_the_version_that_it_was_written_in_only() {
        let kind = FragmentType { start: true, end: true, group: false };
        let mut page = vec![0; 60];
        encode_fragment(&mut page, kind, (7, 60), &[1; HULL_BYTES], b"payload");
        let read = |version| parse_fragment(&page, 60, SegmentId { number: 7, version }, 0);
        let fragment = read(Version::V2).unwrap();
        assert_eq!((fragment.kind, fragment.payload), (kind, &b"payload"[..]));
        assert_eq!(60 + fragment.total_bytes, page.len());
        assert_eq!(read(Version::V1), None);
        // As version 1 has it: no check, and the checksum from the type on.
        let mut older = page.clone();
        older.remove(67);
        let crc = fragment_crc(7, 60, &older[64..]);
        older[60..64].copy_from_slice(&crc.to_le_bytes());
        let read = |version| parse_fragment(&older, 60, SegmentId { number: 7, version }, 0);
        assert_eq!(read(Version::V1).unwrap().payload, b"payload");
        assert_eq!(read(Version::V2), None);
    }
}
