//! A copy of a block that was written here, as the bucket gives it back: whether every byte of it is the one that was to be
//! written, and whether it is a block.

use std::sync::Arc;

use bytes::Bytes;
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use thiserror::Error;

use crate::bytes::Cut;
use crate::chunks::records::{Record, record_length};
use crate::chunks::{HEADER_BYTES, MAGIC, VERSION};
use crate::error::BlockError;
use crate::index::check::Sequence;
use crate::index::{ChunkRef, Index};
use crate::meta::Stats;
use crate::range_read::{InMemory, RangeRead, read};
use crate::writer::WrittenFile;

/// How much is read at a time, ...
const PIECE_BYTES: u64 = 1 << 20;

/// ... and how many of these at the same time.
const PIECES: usize = 2;

/// An index of at most so many bytes is read once and looked at in memory.
const SMALL_INDEX_BYTES: u64 = 4 << 20;

/// A length has so many bytes at most.
const MAX_VARINT_BYTES: usize = 10;

/// Why a copy is not the block that was written.
#[derive(Debug, Error)]
pub enum CopyError {
    /// The copy cannot be read now.
    #[error("{0}")]
    Unreadable(#[source] BlockError),
    /// A file has other bytes than were written.
    #[error("{file} is not what was written")]
    Differs {
        /// Which.
        file: String,
    },
    /// What was written is no block, or has not what it should have.
    #[error("{0}")]
    Wrong(#[source] BlockError),
}

impl From<BlockError> for CopyError {
    fn from(error: BlockError) -> Self {
        match error {
            BlockError::Read { .. } => Self::Unreadable(error),
            error => Self::Wrong(error),
        }
    }
}

/// Reads all of a copy of a block, whose segments and whose index are `copies`, in the order of `written`. It proves that
///
/// * each file has the length and the checksum of what was to be written, taken in memory before it was;
/// * each chunk has a right checksum: one that was copied from another block has had it since it was made;
/// * series are in order, and their chunks, in order, are those of the segments, each once;
/// * the lists of postings have the label pairs of all series and no others, and symbols and tables can be read;
/// * there are as many series and chunks as `stats` says.
///
/// Samples are not decoded: whoever wrote the block has done that.
///
/// # Errors
/// With the first thing that is wrong.
pub async fn verify_copy(
    written: &[WrittenFile],
    copies: &[Arc<dyn RangeRead>],
    stats: Stats,
) -> Result<(), CopyError> {
    let mut chunks = Sequence::default();
    let mut position = 0;
    for (written, copy) in written.iter().zip(copies) {
        if copy.len() != written.bytes {
            return Err(CopyError::Differs { file: written.name.clone() });
        }
        if written.name == "index" {
            let index = whole_index(written, copy).await?;
            let found = Index::open(index).await?.check().await?;
            let counted = (found.series, found.chunks);
            if counted != (stats.num_series, chunks) || chunks.count != stats.num_chunks {
                let what = format!(
                    "{} series and {} chunks were written; the index has {} and {}, the segments have {}",
                    stats.num_series, stats.num_chunks, found.series, found.chunks.count, chunks.count
                );
                return Err(CopyError::Wrong(BlockError::unwritable(what)));
            }
        } else {
            segment(written, copy, position, &mut chunks).await?;
            position += 1;
        }
    }
    match written.len() == copies.len() && written.last().is_some_and(|last| last.name == "index") {
        true => Ok(()),
        false => Err(CopyError::Wrong(BlockError::unwritable("a block has segments, and then its index"))),
    }
}

/// All pieces of a file, in order; its checksum.
async fn pieces(file: &dyn RangeRead, mut visit: impl FnMut(&Bytes)) -> Result<u32, BlockError> {
    let begins = (0..file.len().div_ceil(PIECE_BYTES)).map(|piece| piece * PIECE_BYTES);
    let reads: Vec<_> = begins.map(|begin| read(file, begin..file.len().min(begin + PIECE_BYTES))).collect();
    let mut reads = stream::iter(reads).buffered(PIECES);
    let mut crc32c = 0;
    while let Some(piece) = reads.try_next().await? {
        crc32c = crc32c::crc32c_append(crc32c, &piece);
        visit(&piece);
    }
    Ok(crc32c)
}

/// An index whose bytes are what was written.
async fn whole_index(
    written: &WrittenFile,
    copy: &Arc<dyn RangeRead>,
) -> Result<Arc<dyn RangeRead>, CopyError> {
    let differs = || CopyError::Differs { file: written.name.clone() };
    if copy.len() > SMALL_INDEX_BYTES {
        let crc32c = pieces(&**copy, |_| ()).await?;
        return if crc32c == written.crc32c { Ok(Arc::clone(copy)) } else { Err(differs()) };
    }
    let bytes = read(&**copy, 0..copy.len()).await?;
    match crc32c::crc32c(&bytes) == written.crc32c {
        true => Ok(Arc::new(InMemory::new(copy.name(), bytes))),
        false => Err(differs()),
    }
}

/// Reads a segment, whose chunks are added to `chunks`.
async fn segment(
    written: &WrittenFile,
    copy: &Arc<dyn RangeRead>,
    position: u32,
    chunks: &mut Sequence,
) -> Result<(), CopyError> {
    let mut records =
        Records { file: copy.name(), bytes: copy.len(), position, at: 0, begun: Vec::new(), chunks };
    let mut outcome = Ok(());
    let crc32c = pieces(&**copy, |piece| {
        if outcome.is_ok() {
            outcome = records.read(piece);
        }
    });
    if crc32c.await? != written.crc32c {
        return Err(CopyError::Differs { file: written.name.clone() });
    }
    outcome?;
    match records.begun.is_empty() {
        true => Ok(()),
        false => {
            let what = "a chunk is cut off at the end of the segment";
            Err(CopyError::Wrong(BlockError::malformed(records.file, records.at, what)))
        }
    }
}

/// Walks over a segment, piece by piece.
struct Records<'a> {
    file: &'a str,
    /// How long it is.
    bytes: u64,
    position: u32,
    /// Where the next record begins.
    at: u64,
    /// A record whose end is in the next piece.
    begun: Vec<u8>,
    chunks: &'a mut Sequence,
}

impl Records<'_> {
    /// Reads the next bytes of the file.
    fn read(&mut self, piece: &[u8]) -> Result<(), BlockError> {
        let mut rest = piece;
        while !self.begun.is_empty() {
            let missing = match self.whole(&self.begun)? {
                Some(whole) if whole == self.begun.len() => {
                    let record = std::mem::take(&mut self.begun);
                    self.check(&record)?;
                    break;
                }
                Some(whole) => whole - self.begun.len(),
                None => 1,
            };
            let Some((more, others)) = rest.split_at_checked(missing.min(rest.len())) else { break };
            if more.is_empty() {
                return Ok(());
            }
            self.begun.extend_from_slice(more);
            rest = others;
        }
        while !rest.is_empty() {
            match self.whole(rest)?.and_then(|whole| rest.split_at_checked(whole)) {
                Some((record, others)) => {
                    self.check(record)?;
                    rest = others;
                }
                None => {
                    self.begun.extend_from_slice(rest);
                    break;
                }
            }
        }
        Ok(())
    }

    /// How long the record is that `bytes` begin with, its length included; `None` where more bytes are needed to know that.
    fn whole(&self, bytes: &[u8]) -> Result<Option<usize>, BlockError> {
        if self.at == 0 {
            return Ok(Some(HEADER_BYTES as usize));
        }
        if bytes.len() < MAX_VARINT_BYTES && bytes.iter().all(|byte| byte & 0x80 != 0) {
            return Ok(None);
        }
        let (before, length) = record_length(&mut Cut::new(self.file, bytes, self.at))?;
        let whole = length.saturating_add(before as u64);
        if whole > self.bytes - self.at {
            let what = format!("a chunk has {length} bytes, more than the rest of the segment");
            return Err(BlockError::malformed(self.file, self.at, what));
        }
        Ok(Some(whole as usize))
    }

    /// Looks at a record, or at the beginning of the segment.
    fn check(&mut self, bytes: &[u8]) -> Result<(), BlockError> {
        let mut cut = Cut::new(self.file, bytes, self.at);
        if self.at == 0 {
            let (magic, version) = (cut.u32("the magic number")?, cut.u8("the version")?);
            if (magic, version) != (MAGIC, VERSION) {
                return Err(BlockError::malformed(self.file, 0, "it is no segment"));
            }
        } else {
            record_length(&mut cut)?;
            Record::checked(self.file, cut.rest(), cut.offset())?;
            let offset = u32::try_from(self.at).map_err(|_| cut.wrong("no reference reaches the chunk"))?;
            self.chunks.push(ChunkRef::new(self.position, offset));
        }
        self.at += bytes.len() as u64;
        Ok(())
    }
}
