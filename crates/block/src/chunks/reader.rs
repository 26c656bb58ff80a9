//! Reading chunks.

use std::sync::Arc;

use bytes::Bytes;
use chunk::Encoding;
use futures::stream::{self, StreamExt, TryStreamExt};

use crate::bytes::Cut;
use crate::error::BlockError;
use crate::index::{ChunkMeta, ChunkRef};
use crate::range_read::{RangeRead, read};

use super::{CHECKSUM_BYTES, ENCODING_BYTES, HEADER_BYTES, MAGIC, VERSION};

/// How much is read for a chunk whose length is not known: more than nearly all of them have.
pub(super) const CHUNK_GUESS_BYTES: u64 = 4 << 10;

/// Chunks that are at most this far apart are fetched together.
const MAX_GAP_BYTES: u64 = 64 << 10;

/// The most that is fetched at a time.
const MAX_FETCH_BYTES: u64 = 4 << 20;

/// How many pieces are fetched at a time.
pub(super) const FETCHES: usize = 8;

/// Chunks are copied out of what was fetched where that has so many times as many bytes.
const SPARSE: usize = 2;

/// A chunk as it is in its segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodedChunk {
    /// How `data` is encoded.
    pub encoding: Encoding,
    /// The chunk.
    pub data: Bytes,
}

/// The segments of a block.
#[derive(Clone)]
pub struct ChunkReader {
    segments: Vec<Arc<dyn RangeRead>>,
}

impl std::fmt::Debug for ChunkReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.segments.iter().map(|segment| segment.name())).finish()
    }
}

impl ChunkReader {
    /// The segments of a block, in order, with their beginnings checked.
    ///
    /// # Errors
    /// Where one cannot be read, or is none.
    pub async fn open(segments: Vec<Arc<dyn RangeRead>>) -> Result<Self, BlockError> {
        for segment in &segments {
            let header = read(&**segment, 0..HEADER_BYTES).await?;
            let mut cut = Cut::new(segment.name(), &header, 0);
            let magic = cut.u32("the magic number")?;
            if magic != MAGIC {
                let what = format!("{magic:08x} is not the magic number of a segment, {MAGIC:08x}");
                return Err(BlockError::malformed(segment.name(), 0, what));
            }
            let at = cut.clone();
            let version = cut.u8("the version")?;
            if version != VERSION {
                return Err(at.wrong(format!("version {version} of segments is unknown; {VERSION} is known")));
            }
        }
        Ok(Self { segments })
    }

    /// The segments of a block, in order, of which nothing is read yet: what chunks are is told by their own checksums.
    pub fn of_segments(segments: Vec<Arc<dyn RangeRead>>) -> Self {
        Self { segments }
    }

    /// A chunk, with its checksum checked.
    ///
    /// # Errors
    /// Where it cannot be read, or is damaged.
    pub async fn read(&self, reference: ChunkRef) -> Result<EncodedChunk, BlockError> {
        let segment = self.segment(reference)?;
        let at = u64::from(reference.offset());
        let bytes = read(segment, at..segment.len().min(at + CHUNK_GUESS_BYTES).max(at)).await?;
        self.decode_or_read(segment, &bytes, at).await
    }

    /// Several chunks, in the order that is asked for. Those that follow each other and are near each other are fetched
    /// together.
    ///
    /// # Errors
    /// Where one cannot be read, or is damaged.
    pub async fn read_all(&self, chunks: &[ChunkMeta]) -> Result<Vec<EncodedChunk>, BlockError> {
        let mut all = Vec::with_capacity(chunks.len());
        let mut rest = chunks;
        while let Some(first) = rest.first() {
            let (begin, segment) = (first.reference, self.segment(first.reference)?);
            let near = 1 + rest
                .windows(2)
                .take_while(|pair| follows(begin, pair[0].reference, pair[1].reference))
                .count();
            let (together, others) = rest.split_at(near);
            rest = others;
            let last = together.last().map_or(begin, |last| last.reference);
            let start = u64::from(begin.offset());
            let end = segment.len().min(u64::from(last.offset()) + CHUNK_GUESS_BYTES).max(start);
            let bytes = read(segment, start..end).await?;
            for meta in together {
                let at = u64::from(meta.reference.offset());
                let own = bytes.slice(((at - start) as usize).min(bytes.len())..);
                all.push(self.decode_or_read(segment, &own, at).await?);
            }
        }
        Ok(all)
    }

    /// Chunks of many series, in the order that is asked for, fetched in the order in which they lie, several pieces at a
    /// time. What is given keeps about as much memory as the chunks have.
    ///
    /// # Errors
    /// Where one cannot be read, or is damaged.
    pub async fn read_many(&self, references: &[ChunkRef]) -> Result<Vec<EncodedChunk>, BlockError> {
        let mut order: Vec<u32> = (0..references.len() as u32).collect();
        order.sort_unstable_by_key(|number| references[*number as usize]);
        let pieces: Vec<&[u32]> = pieces(references, &order).collect();
        let reads: Vec<_> = pieces.iter().map(|piece| self.read_piece(references, piece)).collect();
        let mut reads = stream::iter(reads).buffered(FETCHES);
        let mut all: Vec<Option<EncodedChunk>> = vec![None; references.len()];
        for piece in &pieces {
            let Some(chunks) = reads.try_next().await? else { break };
            for (number, chunk) in piece.iter().zip(chunks) {
                all[*number as usize] = Some(chunk);
            }
        }
        Ok(all.into_iter().flatten().collect())
    }

    /// Reads chunks that are near each other; `piece` has their numbers.
    async fn read_piece(
        &self,
        references: &[ChunkRef],
        piece: &[u32],
    ) -> Result<Vec<EncodedChunk>, BlockError> {
        let of = |number: &u32| references[*number as usize];
        let Some((begin, last)) = piece.first().map(of).zip(piece.last().map(of)) else {
            return Ok(Vec::new());
        };
        let segment = self.segment(begin)?;
        let start = u64::from(begin.offset());
        let end = segment.len().min(u64::from(last.offset()) + CHUNK_GUESS_BYTES).max(start);
        let bytes = read(segment, start..end).await?;
        let mut chunks = Vec::with_capacity(piece.len());
        for number in piece {
            let at = u64::from(of(number).offset());
            let own = bytes.slice(((at - start) as usize).min(bytes.len())..);
            chunks.push(self.decode_or_read(segment, &own, at).await?);
        }
        let wanted: usize = chunks.iter().map(|chunk| chunk.data.len()).sum();
        if bytes.len() > SPARSE * wanted {
            for chunk in &mut chunks {
                chunk.data = Bytes::copy_from_slice(&chunk.data);
            }
        }
        Ok(chunks)
    }

    pub(super) fn segment(&self, reference: ChunkRef) -> Result<&dyn RangeRead, BlockError> {
        let segment = self.segments.get(reference.segment() as usize);
        segment.map(|segment| &**segment).ok_or_else(|| {
            let file = super::segment_name(reference.segment());
            let what = format!("there is no such segment; the block has {}", self.segments.len());
            BlockError::malformed(&file, u64::from(reference.offset()), what)
        })
    }

    /// Reads the chunk at the front of `bytes`, and what is missing of it.
    async fn decode_or_read(
        &self,
        segment: &dyn RangeRead,
        bytes: &Bytes,
        at: u64,
    ) -> Result<EncodedChunk, BlockError> {
        let mut cut = Cut::new(segment.name(), bytes, at);
        let length = cut.uvarint("the length of a chunk")?;
        let before = cut.offset() - at;
        let whole = before.saturating_add(length).saturating_add(ENCODING_BYTES + CHECKSUM_BYTES);
        if whole > segment.len() - at {
            let what = format!("a chunk has {length} bytes, more than the rest of the segment");
            return Err(BlockError::malformed(segment.name(), at, what));
        }
        let bytes = match whole > bytes.len() as u64 {
            true => read(segment, at..at + whole).await?,
            false => bytes.slice(..whole as usize),
        };
        decode(segment.name(), &bytes, at, before)
    }
}

/// Divides the chunks, whose numbers are in the order of where they lie, into those that are fetched together.
pub(super) fn pieces<'a>(references: &[ChunkRef], order: &'a [u32]) -> impl Iterator<Item = &'a [u32]> {
    let mut rest = order;
    std::iter::from_fn(move || {
        let of = |number: u32| references[number as usize];
        let begin = of(*rest.first()?);
        let near = rest.windows(2).take_while(|pair| follows(begin, of(pair[0]), of(pair[1]))).count();
        let (piece, others) = rest.split_at(1 + near);
        rest = others;
        Some(piece)
    })
}

/// Whether `next` is to be fetched with `this`, where fetching begins at `begin`.
fn follows(begin: ChunkRef, this: ChunkRef, next: ChunkRef) -> bool {
    let gap = next.offset().checked_sub(this.offset());
    next.segment() == begin.segment()
        && gap.is_some_and(|gap| u64::from(gap) <= MAX_GAP_BYTES)
        && next.offset().checked_sub(begin.offset()).is_some_and(|span| u64::from(span) <= MAX_FETCH_BYTES)
}

/// Checks a chunk that is all there; its length takes the first `before` bytes.
fn decode(file: &str, bytes: &Bytes, at: u64, before: u64) -> Result<EncodedChunk, BlockError> {
    let data_at = (before + ENCODING_BYTES) as usize;
    let end = bytes.len() - CHECKSUM_BYTES as usize;
    let covered = &bytes[before as usize..end];
    let mut checksum = Cut::new(file, &bytes[end..], at + end as u64);
    let (stored, computed) = (checksum.u32("a checksum")?, crc32c::crc32c(covered));
    if stored != computed {
        return Err(BlockError::Checksum {
            file: file.to_owned(),
            offset: at,
            part: "chunk",
            stored,
            computed,
        });
    }
    let code = covered.first().copied().unwrap_or_default();
    let encoding = Encoding::try_from(code).map_err(|_| {
        BlockError::malformed(file, at + before, format!("encoding {code} of a chunk is unknown"))
    })?;
    Ok(EncodedChunk { encoding, data: bytes.slice(data_at..end) })
}
