//! What is wrong with a block.

use std::io;

use thiserror::Error;

/// A block, or a part of one, that cannot be read.
#[derive(Debug, Error)]
pub enum BlockError {
    /// Bytes that the format does not allow.
    #[error("{file}: offset {offset}: {what}")]
    Malformed {
        /// The file of the block.
        file: String,
        /// Where, in bytes from its beginning.
        offset: u64,
        /// What is wrong there.
        what: String,
    },
    /// Bytes that are not those that were written.
    #[error(
        "{file}: offset {offset}: checksum mismatch in {part}: {stored:08x} is stored, {computed:08x} was computed"
    )]
    Checksum {
        /// The file of the block.
        file: String,
        /// Where the part begins, in bytes from the beginning of the file.
        offset: u64,
        /// What the checksum covers.
        part: &'static str,
        /// The checksum in the file.
        stored: u32,
        /// The checksum of what is in the file.
        computed: u32,
    },
    /// A file that cannot be read.
    #[error("{file}: cannot be read")]
    Read {
        /// The file of the block.
        file: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file that cannot be written.
    #[error("{file}: cannot be written")]
    Write {
        /// The file of the block.
        file: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Something that cannot be put into a block.
    #[error("{what}")]
    Unwritable {
        /// What, and what would be right.
        what: String,
    },
}

impl BlockError {
    pub(crate) fn malformed(file: &str, offset: u64, what: impl Into<String>) -> Self {
        Self::Malformed { file: file.to_owned(), offset, what: what.into() }
    }

    pub(crate) fn unwritable(what: impl Into<String>) -> Self {
        Self::Unwritable { what: what.into() }
    }
}
