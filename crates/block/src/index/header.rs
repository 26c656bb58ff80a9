//! The header of an index: what every look-up needs, as a small file of its own, so that an index in a bucket is opened
//! again without fetching its tables.

use std::sync::Arc;

use bytes::Bytes;

use crate::bytes::{Cut, Put};
use crate::error::BlockError;
use crate::range_read::RangeRead;

use super::reader::Index;
use super::section::Section;
use super::symbols::Symbols;
use super::table::PostingsTable;
use super::toc::{TOC_BYTES, Toc, Version};

/// The first bytes: `BGIH`.
const MAGIC: u32 = 0x4247_4948;

/// The only version that there has been.
const VERSION: u8 = 1;

/// The checksum at the end.
const CHECKSUM_BYTES: usize = 4;

/// What errors call it.
const NAME: &str = "index header";

impl Index {
    /// The header, for [`Self::open_with_header`].
    pub fn header(&self) -> Vec<u8> {
        let (symbols, table) = (self.symbols_table(), self.table());
        let mut bytes = Vec::with_capacity(self.heap_bytes());
        bytes.put_u32(MAGIC);
        bytes.push(VERSION);
        bytes.push(match self.version() {
            Version::V1 => 1,
            Version::V2 => 2,
        });
        bytes.put_u64(self.file().len());
        bytes.extend_from_slice(&self.toc().encode());
        for (offset, content) in [(symbols.offset(), symbols.content()), (table.offset(), &table.content())] {
            bytes.put_u64(offset);
            bytes.put_u64(content.len() as u64);
            bytes.extend_from_slice(content);
        }
        let checksum = crc32c::crc32c(&bytes);
        bytes.put_u32(checksum);
        bytes
    }

    /// Opens an index whose header is at hand: nothing is read of the file.
    ///
    /// # Errors
    /// Where the header is damaged, or that of a file of another length.
    pub fn open_with_header(file: Arc<dyn RangeRead>, header: &Bytes) -> Result<Self, BlockError> {
        let Some((content, checksum)) = header.split_last_chunk::<CHECKSUM_BYTES>() else {
            return Err(BlockError::malformed(NAME, 0, "it is cut off"));
        };
        let (stored, computed) = (u32::from_be_bytes(*checksum), crc32c::crc32c(content));
        if stored != computed {
            return Err(BlockError::Checksum {
                file: NAME.to_owned(),
                offset: 0,
                part: NAME,
                stored,
                computed,
            });
        }
        let mut cut = Cut::new(NAME, content, 0);
        let (magic, version) = (cut.u32("the magic number")?, cut.u8("the version")?);
        if (magic, version) != (MAGIC, VERSION) {
            return Err(BlockError::malformed(
                NAME,
                0,
                format!("it is no index header of version {VERSION}"),
            ));
        }
        let version = match cut.u8("the version of the index")? {
            1 => Version::V1,
            _ => Version::V2,
        };
        let length = cut.u64("the length of the index")?;
        if length != file.len() {
            let what =
                format!("it is that of an index of {length} bytes, but {} has {}", file.name(), file.len());
            return Err(BlockError::malformed(NAME, 0, what));
        }
        let toc = Toc::read(
            NAME,
            cut.bytes(TOC_BYTES, "the table of contents")?,
            length.saturating_sub(TOC_BYTES),
        )?;
        let mut section = || {
            let (offset, length) = (cut.u64("an offset")?, cut.u64("a length")?);
            let content = cut.bytes(length, "a section")?;
            Ok::<_, BlockError>(Section { content: header.slice_ref(content), offset })
        };
        let symbols = Symbols::read(file.name(), version, &section()?)?;
        let table = PostingsTable::read(file.name(), &section()?)?;
        Ok(Self::of_parts(file, version, toc, symbols, table))
    }
}
