//! Blocks of the Prometheus TSDB: an index of series, segments of chunks, tombstones, `meta.json`. They are read by
//! ranges, from wherever their bytes are, and written from front to end in bounded memory. The formats are drawn in
//! `docs/formats/blocks.md`.
//!
//! Everything that is read is checked before it is believed: checksums, orders, counts, references. What is wrong is an
//! error that names the file and the offset.

mod bytes;
mod error;
mod local;
mod output;
mod range_read;

pub mod chunks;
pub mod index;
pub mod merge;
pub mod meta;
pub mod tombstones;
pub mod verify;
pub mod writer;

pub use chunks::{ChunkReader, ChunkWriter, EncodedChunk};
pub use error::BlockError;
pub use index::{ChunkMeta, ChunkRef, Index, IndexWriter, Series, SeriesList, SeriesRef};
pub use local::{LocalFile, data_files, verify_folder};
pub use meta::Meta;
pub use output::{Buffer, Output};
pub use range_read::{InMemory, RangeRead};
pub use tombstones::Tombstone;
pub use verify::{CopyError, Verified, verify, verify_copy};
pub use writer::{BlockWriter, Description, Finished, NewChunk, WriteOptions, WrittenFile};
