//! The chunks of a block: segment files, each a sequence of chunks with their checksums.

mod reader;
pub(crate) mod records;
mod writer;

pub use reader::{ChunkReader, EncodedChunk};
pub use writer::{ChunkWriter, MAX_SEGMENT_BYTES, Written};

/// The first bytes of a segment.
pub(crate) const MAGIC: u32 = 0x85BD_40DD;

/// The only version that there has been.
pub(crate) const VERSION: u8 = 1;

/// Magic, version and three bytes of padding.
pub(crate) const HEADER_BYTES: u64 = 8;

/// The encoding before a chunk's data.
const ENCODING_BYTES: u64 = 1;

/// The checksum behind a chunk.
const CHECKSUM_BYTES: u64 = 4;

/// The file of a segment, by its position.
pub fn segment_name(segment: u32) -> String {
    format!("chunks/{:06}", u64::from(segment) + 1)
}
