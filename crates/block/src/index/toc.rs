//! The table of contents at the end of an index.

use std::ops::Range;

use crate::bytes::{Cut, Put};
use crate::error::BlockError;

/// The first bytes of an index.
pub(super) const MAGIC: u32 = 0xBAAA_D700;

/// Magic and version.
pub(super) const HEADER_BYTES: u64 = 5;

/// Six offsets and a checksum.
pub(super) const TOC_BYTES: u64 = 6 * 8 + 4;

/// How symbols and series are referred to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// Symbols and series by their offsets in the file.
    V1,
    /// Symbols by their numbers, series by their offsets in units of 16 bytes.
    V2,
}

impl Version {
    pub(super) fn read(cut: &mut Cut<'_>) -> Result<Self, BlockError> {
        let at = cut.clone();
        let magic = cut.u32("the magic number")?;
        if magic != MAGIC {
            return Err(at.wrong(format!("{magic:08x} is not the magic number of an index, {MAGIC:08x}")));
        }
        let at = cut.clone();
        match cut.u8("the version")? {
            1 => Ok(Self::V1),
            2 => Ok(Self::V2),
            other => Err(at.wrong(format!("version {other} of the index is unknown; 1 and 2 are known"))),
        }
    }
}

/// Where the sections of an index begin; 0: a section that it does not have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Toc {
    /// The symbol table.
    pub symbols: u64,
    /// The first series.
    pub series: u64,
    /// The first label index, which nobody reads any more.
    pub label_indices: u64,
    /// The label offset table, likewise.
    pub label_table: u64,
    /// The first list of postings.
    pub postings: u64,
    /// The postings offset table.
    pub postings_table: u64,
}

impl Toc {
    /// Reads it from the last bytes of a file, which begin at `offset`.
    pub(super) fn read(file: &str, bytes: &[u8], offset: u64) -> Result<Self, BlockError> {
        let mut cut = Cut::new(file, bytes, offset);
        let covered = cut.rest().len().saturating_sub(4);
        let computed = crc32c::crc32c(cut.rest().get(..covered).unwrap_or_default());
        let mut next = || cut.u64("the table of contents");
        let toc = Self {
            symbols: next()?,
            series: next()?,
            label_indices: next()?,
            label_table: next()?,
            postings: next()?,
            postings_table: next()?,
        };
        let stored = cut.u32("the checksum of the table of contents")?;
        if stored != computed {
            let (file, part) = (file.to_owned(), "the table of contents");
            return Err(BlockError::Checksum { file, offset, part, stored, computed });
        }
        toc.check(file, offset)?;
        Ok(toc)
    }

    /// All sections lie between the header and the table.
    fn check(&self, file: &str, end: u64) -> Result<(), BlockError> {
        let sections = [
            ("symbol table", self.symbols),
            ("series", self.series),
            ("label indices", self.label_indices),
            ("label offset table", self.label_table),
            ("postings", self.postings),
            ("postings offset table", self.postings_table),
        ];
        for (section, at) in sections {
            if at != 0 && !(HEADER_BYTES..=end).contains(&at) {
                let what =
                    format!("the {section} is said to begin at {at}, outside of {HEADER_BYTES} to {end}");
                return Err(BlockError::malformed(file, end, what));
            }
        }
        Ok(())
    }

    /// The series section: up to the next section, or the table. It may be empty.
    pub(super) fn series_range(&self, end: u64) -> Range<u64> {
        let behind = [self.label_indices, self.label_table, self.postings, self.postings_table];
        let next = behind.into_iter().filter(|at| *at >= self.series).min().unwrap_or(end);
        self.series..next
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(TOC_BYTES as usize);
        for at in [
            self.symbols,
            self.series,
            self.label_indices,
            self.label_table,
            self.postings,
            self.postings_table,
        ] {
            bytes.put_u64(at);
        }
        let checksum = crc32c::crc32c(&bytes);
        bytes.put_u32(checksum);
        bytes
    }
}
