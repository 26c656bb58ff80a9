//! The entries of the series section, one behind the other, with a window of bounded size: their bytes, checked, and what
//! is in them as numbers of symbols.

use std::ops::Range;
use std::sync::Arc;

use crate::bytes::Cut;
use crate::error::BlockError;
use crate::range_read::{RangeRead, read};

use super::reader::{SERIES_ALIGNMENT, SeriesRef};
use super::section::CHECKSUM_BYTES;
use super::toc::{TOC_BYTES, Toc, Version};

/// How much is read at least.
const WINDOW_BYTES: u64 = 256 << 10;

/// Sections begin at multiples of this, and there are zeros before them.
const SECTION_ALIGNMENT: u64 = 4;

/// How much of an entry is needed to know its length.
const LENGTH_GUESS_BYTES: u64 = 16;

/// Walks over the entries of series.
pub(crate) struct Entries {
    file: Arc<dyn RangeRead>,
    version: Version,
    /// Where the next entry begins, or padding before it.
    at: u64,
    end: u64,
    /// Copied from what was read, whose memory is needed again at once.
    window: Vec<u8>,
    window_offset: u64,
}

/// An entry in the window.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub(crate) reference: SeriesRef,
    /// Where its content begins in the file.
    offset: u64,
    content: Range<usize>,
}

impl Entries {
    pub(super) fn new(file: Arc<dyn RangeRead>, version: Version, toc: &Toc) -> Self {
        let range = toc.series_range(file.len().saturating_sub(TOC_BYTES));
        let at = if toc.series == 0 { range.end } else { range.start };
        Self { file, version, at, end: range.end, window: Vec::new(), window_offset: at }
    }

    /// An error about an entry.
    pub(crate) fn wrong(&self, found: &Found, what: impl Into<String>) -> BlockError {
        BlockError::malformed(self.file.name(), found.offset, what)
    }

    /// What an entry has. It is the one that was found last.
    pub(crate) fn content(&self, found: &Found) -> Cut<'_> {
        Cut::new(self.file.name(), self.window.get(found.content.clone()).unwrap_or_default(), found.offset)
    }

    /// The next entry, whose checksum is right; `None` at the end.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub(crate) async fn next(&mut self) -> Result<Option<Found>, BlockError> {
        let mut wanted = LENGTH_GUESS_BYTES;
        loop {
            if !self.skip_padding().await? {
                return Ok(None);
            }
            self.fill(wanted).await?;
            match self.here()? {
                Here::Whole(found, next) => {
                    self.at = next;
                    return Ok(Some(found));
                }
                Here::Needs(length) if length > wanted => wanted = length,
                Here::Needs(_) => {
                    let what = "a series reaches beyond its section";
                    return Err(BlockError::malformed(self.file.name(), self.at, what));
                }
            }
        }
    }

    /// The entry at the front of what has been read.
    fn here(&self) -> Result<Here, BlockError> {
        let start = (self.at - self.window_offset) as usize;
        let bytes = self.window.get(start..).unwrap_or_default();
        let mut cut = Cut::new(self.file.name(), bytes, self.at);
        let length = cut.uvarint("the length of a series")?;
        let before = cut.offset() - self.at;
        let needed = before.saturating_add(length).saturating_add(CHECKSUM_BYTES);
        if needed > self.file.len() - self.at {
            let what = format!("a series has {length} bytes, more than the rest of the file");
            return Err(BlockError::malformed(self.file.name(), self.at, what));
        }
        if needed > bytes.len() as u64 {
            return Ok(Here::Needs(needed));
        }
        let content = start + before as usize..start + (before + length) as usize;
        let offset = self.at + before;
        let covered = self.window.get(content.clone()).unwrap_or_default();
        let stored = Cut::new(self.file.name(), &bytes[(before + length) as usize..], offset + length)
            .u32("a checksum")?;
        let computed = crc32c::crc32c(covered);
        if stored != computed {
            let (file, part) = (self.file.name().to_owned(), "series");
            return Err(BlockError::Checksum { file, offset, part, stored, computed });
        }
        let unit = if self.version == Version::V1 { 1 } else { SERIES_ALIGNMENT };
        let reference = u32::try_from(self.at / unit).map_err(|_| {
            BlockError::malformed(self.file.name(), self.at, "a series begins where no reference reaches")
        })?;
        Ok(Here::Whole(Found { reference: SeriesRef(reference), offset, content }, self.at + needed))
    }

    /// Goes on to the next entry; whether there is one.
    async fn skip_padding(&mut self) -> Result<bool, BlockError> {
        if self.version == Version::V2 {
            self.at = self.at.next_multiple_of(SERIES_ALIGNMENT);
        }
        if self.at >= self.end {
            return Ok(false);
        }
        self.fill(SECTION_ALIGNMENT).await?;
        let here = self.window.get((self.at - self.window_offset) as usize..).unwrap_or_default();
        if self.end - self.at < SECTION_ALIGNMENT && here.iter().all(|byte| *byte == 0) {
            return Ok(false);
        }
        // Zeros would pass for an entry without content: its checksum is zero, too.
        if here.starts_with(&[0]) {
            return Err(BlockError::malformed(self.file.name(), self.at, "a series is empty"));
        }
        Ok(true)
    }

    /// Makes `wanted` bytes from `at` on be in the window, or as many as there are.
    async fn fill(&mut self, wanted: u64) -> Result<(), BlockError> {
        let window_end = self.window_offset + self.window.len() as u64;
        let needed = self.end.min(self.at.saturating_add(wanted));
        if self.at >= self.window_offset && needed <= window_end {
            return Ok(());
        }
        let end = self.end.min(self.at.saturating_add(wanted.max(WINDOW_BYTES)));
        let bytes = read(&*self.file, self.at..end).await?;
        self.window.clear();
        self.window.extend_from_slice(&bytes);
        self.window_offset = self.at;
        Ok(())
    }
}

/// What the front of the window is.
enum Here {
    /// An entry, and where the next one begins.
    Whole(Found, u64),
    /// An entry of which this many bytes are needed.
    Needs(u64),
}
