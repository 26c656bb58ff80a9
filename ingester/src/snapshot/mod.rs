//! Snapshots of the head, so that a restart replays minutes of the log and not hours (`docs/formats/snapshots.md`).
//!
//! A snapshot is taken while samples go on arriving: the log is rolled, and then every series is written as it is found,
//! with the number of samples that it took since the roll, which a replay from the roll skips. Two snapshots are kept,
//! and the log from the older one on, so that damage of the newer one loses nothing.
//!
//! A file is a sequence of blocks, each with length and checksum and complete in itself, so that damage costs the
//! series of one block at most.

pub(crate) mod block;
pub(crate) mod read;
pub(crate) mod write;

use std::io;
use std::path::{Path, PathBuf};

use env::FileSystem;
use thiserror::Error;

use crate::chunk_store::SegmentState;
use crate::codec::{Malformed, Reader, put_ivarint, put_uvarint};

/// In front of every file.
const MAGIC: &[u8; 8] = b"BGSNAP\x00\x01";
/// Length and checksum, in front of every block.
const BLOCK_HEADER_BYTES: usize = 8;
/// Blocks are cut when they reach this.
const BLOCK_BYTES: usize = 1 << 20;
/// No block is longer; a length beyond it is damage.
const MAX_BLOCK_BYTES: u32 = 1 << 30;
/// At the end of every file: where the footer is, and a checksum of that.
const TRAILER_BYTES: usize = 12;

/// What a block holds; its first byte.
const KIND_SERIES: u8 = 1;
const KIND_TENANT: u8 = 2;
const KIND_FOOTER: u8 = 3;

/// Why a snapshot cannot be read.
#[derive(Debug, Error)]
pub(crate) enum SnapshotError {
    /// The disk failed.
    #[error("cannot read the snapshot")]
    Io(#[from] io::Error),
    /// The bytes are not what was written.
    #[error("the snapshot is damaged at offset {offset}")]
    Damaged { offset: u64 },
    /// The checksums are right, but the content is not one of ours.
    #[error("the snapshot at offset {offset} is of another version")]
    Foreign {
        offset: u64,
        #[source]
        source: Malformed,
    },
}

/// What a snapshot says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Footer {
    /// The segment of the log that a replay begins with.
    pub(crate) log_segment: u32,
    /// The chunk files that its series refer to.
    pub(crate) chunk_files: Vec<SegmentState>,
    /// How many series it has.
    pub(crate) series: u64,
}

impl Footer {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(KIND_FOOTER);
        put_uvarint(out, u64::from(self.log_segment));
        put_uvarint(out, self.series);
        put_uvarint(out, self.chunk_files.len() as u64);
        for file in &self.chunk_files {
            put_uvarint(out, u64::from(file.number));
            put_ivarint(out, file.max_ms);
        }
    }

    fn decode(mut reader: Reader<'_>) -> Result<Self, Malformed> {
        let log_segment = reader.u32("log segment")?;
        let series = reader.uvarint("number of series")?;
        let count = reader.uvarint("number of chunk files")?;
        let mut chunk_files = Vec::new();
        for _ in 0..count {
            chunk_files.push(SegmentState {
                number: reader.u32("chunk file")?,
                max_ms: reader.ivarint("latest time of a chunk file")?,
            });
        }
        Ok(Self { log_segment, chunk_files, series })
    }
}

/// The file of the snapshot whose replay begins with this segment of the log.
pub(crate) fn path(dir: &Path, log_segment: u32) -> PathBuf {
    dir.join(format!("{log_segment:08}.snapshot"))
}

/// The snapshots in a directory, by the segment of the log that their replay begins with; newest first.
pub(crate) fn list(fs: &dyn FileSystem, dir: &Path) -> io::Result<Vec<u32>> {
    let entries = fs.read_dir(dir)?;
    let number = |name: &str| name.strip_suffix(".snapshot").and_then(|n| n.parse().ok());
    let mut segments: Vec<u32> = entries.iter().filter_map(|e| number(&e.name)).collect();
    segments.sort_unstable_by(|a, b| b.cmp(a));
    Ok(segments)
}
