//! Finding fragments in a segment that may be damaged: page by page, and within a page past what is unreadable.

use std::io;
use std::sync::Arc;

use env::File;

use crate::format::{
    FRAGMENT_HEADER_BYTES, Fragment, MIN_FRAGMENT_BYTES, PAGE_BYTES, PAGE_HEADER_BYTES, claimed_bytes,
    parse_fragment,
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
    segment: u32,
    at: usize,
}

impl<'a> PageScan<'a> {
    pub(crate) fn new(page: &'a [u8], page_offset: u32, segment: u32) -> Self {
        Self { page, page_offset, segment, at: PAGE_HEADER_BYTES }
    }

    fn parse(&self, at: usize) -> Option<Fragment<'a>> {
        parse_fragment(self.page, at, self.segment, self.page_offset)
    }

    /// Where the page can be read again after something unreadable at `self.at`.
    fn resume(&self) -> usize {
        let len = self.page.len();
        // Most damage spares the length, and then the fragment after is where it should be.
        if let Some(next) = claimed_bytes(self.page, self.at).map(|claimed| self.at + claimed) {
            let ends_page = next == len || (next < len && next + MIN_FRAGMENT_BYTES > PAGE_BYTES);
            if ends_page || self.parse(next).is_some() {
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
        if at >= self.page.len() || at + MIN_FRAGMENT_BYTES > PAGE_BYTES {
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

/// Whether of the fragment at `at`, which cannot be read, every sector has been written. What it is and how long is taken from
/// its header; where that says nothing sensible, it is enough that the header was written.
pub(crate) fn has_every_sector(page: &[u8], at: usize) -> bool {
    let end = at + claimed_bytes(page, at).unwrap_or(FRAGMENT_HEADER_BYTES);
    let mut from = at;
    while from < end {
        let to = ((from / SECTOR_BYTES + 1) * SECTOR_BYTES).min(end);
        if !page.get(from..to).is_some_and(|sector| sector.iter().any(|byte| *byte != 0)) {
            return false;
        }
        from = to;
    }
    true
}

/// The first fragment from page `from` on that begins a group, as an offset in the segment.
pub(crate) fn first_group(pages: &mut Pages, segment: u32, from: u32) -> io::Result<Option<u32>> {
    for page in from..pages.count() {
        let (bytes, offset) = pages.get(page)?;
        if let Some(at) = groups(bytes, offset, segment).next() {
            return Ok(Some(at));
        }
    }
    Ok(None)
}

/// The last fragment from page `from` on that begins a group, as an offset in the segment.
pub(crate) fn last_group(pages: &mut Pages, segment: u32, from: u32) -> io::Result<Option<u32>> {
    for page in (from..pages.count()).rev() {
        let (bytes, offset) = pages.get(page)?;
        if let Some(at) = groups(bytes, offset, segment).last() {
            return Ok(Some(at));
        }
    }
    Ok(None)
}

fn groups(page: &[u8], page_offset: u32, segment: u32) -> impl Iterator<Item = u32> {
    PageScan::new(page, page_offset, segment).filter_map(move |item| match item {
        Item::Fragment(at, fragment) if fragment.kind.group => Some(page_offset + at as u32),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fragment_that_was_cut_short_lacks_a_sector() {
        let mut page = vec![0; PAGE_BYTES];
        let at = 500;
        // A fragment of 1200 bytes that begins and ends a record, with a wrong checksum.
        page[at..at + 1200].fill(7);
        page[at + 4] = 0b1011_0011;
        page[at + 5..at + 7].copy_from_slice(&1193_u16.to_le_bytes());
        assert!(has_every_sector(&page, at));
        for (from, to) in [(512, 1024), (1024, 1536), (1536, 1700)] {
            let mut torn = page.clone();
            torn[from..to].fill(0);
            assert!(!has_every_sector(&torn, at), "{from} to {to}");
            assert!(!has_every_sector(&page[..from], at), "only {from} bytes");
        }
        page[at + 4] = 0;
        assert!(has_every_sector(&page, at), "its header was damaged");
        assert!(!has_every_sector(&page, 2000), "nothing was written there");
        page[1023] = 7;
        page[1024..].fill(0);
        assert!(!has_every_sector(&page, 1023), "its header was cut short");
    }
}
