//! Finding fragments in a segment that may be damaged: page by page, and within a page past what is unreadable.

use std::io;
use std::sync::Arc;

use env::File;

use crate::format::{
    Fragment, PAGE_BYTES, PAGE_HEADER_BYTES, SegmentId, Version, claimed_bytes, parse_fragment,
};

/// What disks write as a whole, or not at all.
const SECTOR_BYTES: usize = 512;
/// How much is read at a time.
const READ_BYTES: usize = 4 << 20;

/// The pages of a segment, as far as it is to be trusted.
pub(crate) struct Pages {
    file: Arc<dyn File>,
    len: u64,
    chunk: Vec<u8>,
    chunk_start: u64,
}

impl Pages {
    /// The pages of the first `len` bytes, which the file has.
    pub(crate) fn new(file: Arc<dyn File>, len: u32) -> Self {
        Self { file, len: u64::from(len), chunk: Vec::new(), chunk_start: 0 }
    }

    /// How many pages there are, the last one perhaps short.
    pub(crate) fn count(&self) -> u32 {
        self.len.div_ceil(PAGE_BYTES as u64) as u32
    }

    /// A page and where it begins. What the file does not give reads as absent.
    pub(crate) fn get(&mut self, page: u32) -> io::Result<(&[u8], u32)> {
        let start = u64::from(page) * PAGE_BYTES as u64;
        let end = (start + PAGE_BYTES as u64).min(self.len);
        if start < self.chunk_start || end > self.chunk_start + self.chunk.len() as u64 {
            self.fill(start)?;
        }
        let within = |at: u64| (at.saturating_sub(self.chunk_start) as usize).min(self.chunk.len());
        Ok((self.chunk.get(within(start)..within(end)).unwrap_or_default(), start as u32))
    }

    fn fill(&mut self, start: u64) -> io::Result<()> {
        let wanted = self.len.saturating_sub(start).min(READ_BYTES as u64) as usize;
        self.chunk.resize(wanted, 0);
        self.chunk_start = start;
        let mut filled = 0;
        while filled < wanted {
            let rest = self.chunk.get_mut(filled..).unwrap_or_default();
            match self.file.read_at(rest, start + filled as u64) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.chunk.truncate(filled);
        Ok(())
    }
}

/// What is next in a page. Offsets count from the page's start.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Item<'a> {
    /// A fragment whose checksum is right.
    Fragment(usize, Fragment<'a>),
    /// What cannot be read, from and to.
    Bad(usize, usize),
}

/// Walks over the fragments of a page.
pub(crate) struct PageScan<'a> {
    page: &'a [u8],
    page_offset: u32,
    segment: SegmentId,
    at: usize,
}

impl<'a> PageScan<'a> {
    pub(crate) fn new(page: &'a [u8], page_offset: u32, segment: SegmentId) -> Self {
        Self { page, page_offset, segment, at: PAGE_HEADER_BYTES }
    }

    fn parse(&self, at: usize) -> Option<Fragment<'a>> {
        parse_fragment(self.page, at, self.segment, self.page_offset)
    }

    /// Whether a page has no room for a fragment at `at`.
    fn ends_page(&self, at: usize) -> bool {
        at + self.segment.version.min_fragment_bytes() > PAGE_BYTES
    }

    /// Where the page can be read again after something unreadable at `self.at`.
    fn resume(&self) -> usize {
        let len = self.page.len();
        // Most damage spares the length, and then the fragment after is where it should be.
        let claimed = claimed_bytes(self.page, self.at, self.segment.version);
        if let Some(next) = claimed.map(|claimed| self.at + claimed) {
            let is_last = next == len || (next < len && self.ends_page(next));
            if is_last || self.parse(next).is_some() {
                return next;
            }
        }
        (self.at + 1..len).find(|at| self.parse(*at).is_some()).unwrap_or(len)
    }
}

impl<'a> Iterator for PageScan<'a> {
    type Item = Item<'a>;

    fn next(&mut self) -> Option<Item<'a>> {
        let at = self.at;
        if at >= self.page.len() || self.ends_page(at) {
            return None;
        }
        if let Some(fragment) = self.parse(at) {
            self.at += fragment.total_bytes;
            return Some(Item::Fragment(at, fragment));
        }
        self.at = self.resume();
        Some(Item::Bad(at, self.at))
    }
}

/// Whether of the fragment at `at`, which cannot be read, every sector has been written. How long it is, is taken from its
/// header; where that is wrong, it is enough that the header was written. A segment only ever grows, so a sector
/// that has anything behind the fragment's beginning was written with it, or later.
pub(crate) fn has_every_sector(page: &[u8], at: usize, version: Version) -> bool {
    let end = at + claimed_bytes(page, at, version).unwrap_or(version.fragment_header_bytes());
    let mut from = at;
    while from < end {
        let sector_end = (from / SECTOR_BYTES + 1) * SECTOR_BYTES;
        let sector = page.get(from..sector_end.min(page.len())).unwrap_or_default();
        if page.len() < end || sector.iter().all(|byte| *byte == 0) {
            return false;
        }
        from = sector_end;
    }
    true
}

/// Whether anything in a segment can be read.
pub(crate) fn has_fragment(pages: &mut Pages, segment: SegmentId) -> io::Result<bool> {
    for page in 0..pages.count() {
        let (bytes, offset) = pages.get(page)?;
        if PageScan::new(bytes, offset, segment).any(|item| matches!(item, Item::Fragment(..))) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The first fragment from page `from` on that begins a group, as an offset in the segment.
pub(crate) fn first_group(pages: &mut Pages, segment: SegmentId, from: u32) -> io::Result<Option<u32>> {
    for page in from..pages.count() {
        let (bytes, offset) = pages.get(page)?;
        if let Some(at) = groups(bytes, offset, segment).next() {
            return Ok(Some(at));
        }
    }
    Ok(None)
}

/// The last fragment from page `from` on that begins a group, as an offset in the segment.
pub(crate) fn last_group(pages: &mut Pages, segment: SegmentId, from: u32) -> io::Result<Option<u32>> {
    for page in (from..pages.count()).rev() {
        let (bytes, offset) = pages.get(page)?;
        if let Some(at) = groups(bytes, offset, segment).last() {
            return Ok(Some(at));
        }
    }
    Ok(None)
}

fn groups(page: &[u8], page_offset: u32, segment: SegmentId) -> impl Iterator<Item = u32> {
    PageScan::new(page, page_offset, segment).filter_map(move |item| match item {
        Item::Fragment(at, fragment) if fragment.kind.group => Some(page_offset + at as u32),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::{FragmentType, HULL_BYTES, encode_fragment};

    /// At 500 a header of a fragment of 1200 bytes that begins and ends a record, then sevens: its checksum is wrong.
    fn unreadable(version: Version) -> Vec<u8> {
        let mut page = vec![0; PAGE_BYTES];
        let kind = FragmentType { start: true, end: true, group: false };
        let payload = vec![7; 1200 - version.fragment_header_bytes() - HULL_BYTES];
        let mut fragment = Vec::new();
        encode_fragment(&mut fragment, kind, (1, 500), &[7; HULL_BYTES], &payload);
        if version == Version::V1 {
            // The same with a header of version 1; its length must not count the check.
            fragment.remove(7);
        }
        page[500..1700].copy_from_slice(&fragment);
        page[500] ^= 1;
        page
    }

    #[test]
    fn a_fragment_that_was_cut_short_lacks_a_sector() {
        for version in Version::KNOWN {
            let (page, at) = (unreadable(version), 500);
            assert!(has_every_sector(&page, at, version), "{version:?}");
            for (from, to) in [(512, 1024), (1024, 1536), (1536, 1700)] {
                let mut torn = page.clone();
                torn[from..to].fill(0);
                assert!(!has_every_sector(&torn, at, version), "{version:?}: {from} to {to}");
                assert!(!has_every_sector(&page[..from], at, version), "{version:?}: only {from} bytes");
            }
            assert!(!has_every_sector(&page[..1699], at, version), "{version:?}: a byte is missing");
            assert!(has_every_sector(&page[..1700], at, version), "{version:?}: the file ends there");
            assert!(!has_every_sector(&page, 2000, version), "{version:?}: nothing was written there");
        }
    }

    #[test]
    fn where_a_header_is_wrong_it_is_enough_that_it_was_written() {
        for version in Version::KNOWN {
            let mut page = unreadable(version);
            page[504] = 0;
            page[1024..].fill(0);
            assert!(has_every_sector(&page, 500, version), "{version:?}: the type was damaged");
            page[1023] = 7;
            assert!(!has_every_sector(&page, 1023, version), "{version:?}: the header was cut short");
            let header_bytes = version.fragment_header_bytes();
            assert!(has_every_sector(&page[..500 + header_bytes], 500, version), "{version:?}: all of it");
            assert!(!has_every_sector(&page[..499 + header_bytes], 500, version), "{version:?}: in part");
        }
    }

    #[test]
    fn a_wrong_length_is_believed_in_version_1_only() {
        for (version, is_noticed) in [(Version::V1, false), (Version::V2, true)] {
            let mut page = unreadable(version);
            page.truncate(1700);
            // A bit that makes it longer than the file.
            page[506] ^= 1 << 3;
            assert_eq!(has_every_sector(&page, 500, version), is_noticed, "{version:?}");
        }
    }
}
