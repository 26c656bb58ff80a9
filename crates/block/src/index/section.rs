//! A section with its length before it and its checksum behind it.

use bytes::Bytes;

use crate::bytes::Cut;
use crate::error::BlockError;
use crate::range_read::{RangeRead, read};

/// The length before a section.
pub(super) const LENGTH_BYTES: u64 = 4;

/// The checksum behind a section.
pub(super) const CHECKSUM_BYTES: u64 = 4;

/// What a section holds, between its length and its checksum.
#[derive(Debug, Clone)]
pub(super) struct Section {
    pub(super) content: Bytes,
    /// Where `content` begins in the file.
    pub(super) offset: u64,
}

impl Section {
    /// Reads the section that begins at `offset`, and checks it. `part` names it in errors.
    pub(super) async fn read(
        file: &dyn RangeRead,
        offset: u64,
        part: &'static str,
    ) -> Result<Self, BlockError> {
        let begin = offset.saturating_add(LENGTH_BYTES);
        let length = read(file, offset..begin).await?;
        let length = u64::from(Cut::new(file.name(), &length, offset).u32("the length of a section")?);
        let end = begin + length + CHECKSUM_BYTES;
        if end > file.len() {
            let what = format!("the {part} has {length} bytes, more than the rest of the file");
            return Err(BlockError::malformed(file.name(), offset, what));
        }
        let bytes = read(file, begin..end).await?;
        Self::checked(file.name(), &bytes, begin, part)
    }

    /// The section whose content and checksum `bytes` are; they begin at `offset` of the file.
    pub(super) fn checked(
        file: &str,
        bytes: &Bytes,
        offset: u64,
        part: &'static str,
    ) -> Result<Self, BlockError> {
        let split = bytes.len().saturating_sub(CHECKSUM_BYTES as usize);
        let content = bytes.slice(..split);
        let mut checksum = Cut::new(file, &bytes[split..], offset + split as u64);
        let (stored, computed) = (checksum.u32("a checksum")?, crc32c::crc32c(&content));
        if stored != computed {
            return Err(BlockError::Checksum { file: file.to_owned(), offset, part, stored, computed });
        }
        Ok(Self { content, offset })
    }

    pub(super) fn cut<'a>(&'a self, file: &'a str) -> Cut<'a> {
        Cut::new(file, &self.content, self.offset)
    }
}
