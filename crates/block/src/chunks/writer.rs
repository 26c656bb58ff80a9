//! Writing chunks.

use chunk::Encoding;

use crate::bytes::Put;
use crate::error::BlockError;
use crate::index::ChunkRef;
use crate::output::{Gathering, Output};

use super::records::Record;
use super::{CHECKSUM_BYTES, ENCODING_BYTES, HEADER_BYTES, MAGIC, VERSION};

/// How large segments become: as large as those of Prometheus.
pub const MAX_SEGMENT_BYTES: u64 = 512 << 20;

/// The most bytes that the length of a chunk takes.
const MAX_LENGTH_BYTES: u64 = 5;

/// Writes the segments of a block, one behind the other.
pub struct ChunkWriter<O, F> {
    open: F,
    max_segment_bytes: u64,
    current: Option<Segment<O>>,
    finished: Vec<O>,
    bytes: u64,
}

struct Segment<O>(Gathering<O>);

/// What has been written: the segments, in order, and their bytes together.
#[derive(Debug)]
pub struct Written<O> {
    /// The segments, all of them written.
    pub segments: Vec<O>,
    /// How long they are together.
    pub bytes: u64,
}

impl<O: Output, F: FnMut(u32) -> Result<O, BlockError>> ChunkWriter<O, F> {
    /// Writes to what `open` gives for the position of each segment. Segments have at most `max_segment_bytes`, or one
    /// chunk that is larger.
    pub fn new(max_segment_bytes: u64, open: F) -> Self {
        // A reference has room for offsets of 32 bits.
        let max_segment_bytes = max_segment_bytes.min(u64::from(u32::MAX));
        Self { open, max_segment_bytes, current: None, finished: Vec::new(), bytes: 0 }
    }

    /// Adds a chunk.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn write(&mut self, encoding: Encoding, data: &[u8]) -> Result<ChunkRef, BlockError> {
        let (position, segment) = self.room(ENCODING_BYTES + data.len() as u64 + CHECKSUM_BYTES)?;
        let offset = segment.offset()?;
        segment.append(encoding, data)?;
        Ok(ChunkRef::new(position, offset))
    }

    /// Adds a chunk as it stands in another segment, with its checksum.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub(crate) fn copy(&mut self, record: Record<'_>) -> Result<ChunkRef, BlockError> {
        let (position, segment) = self.room(record.bytes.len() as u64)?;
        let offset = segment.offset()?;
        segment.copy(record)?;
        Ok(ChunkRef::new(position, offset))
    }

    /// A segment that has room for so many bytes and the length before them, and its position.
    fn room(&mut self, bytes: u64) -> Result<(u32, &mut Segment<O>), BlockError> {
        let most = MAX_LENGTH_BYTES + bytes;
        let full = |segment: &Segment<O>| {
            segment.length() > HEADER_BYTES && segment.length() + most > self.max_segment_bytes
        };
        if self.current.as_ref().is_some_and(full) {
            self.cut()?;
        }
        let position = self.finished.len() as u32;
        let segment = match &mut self.current {
            Some(segment) => segment,
            none => none.insert(Segment::begin((self.open)(position)?)?),
        };
        Ok((position, segment))
    }

    fn cut(&mut self) -> Result<(), BlockError> {
        if let Some(segment) = self.current.take() {
            self.bytes += segment.length();
            self.finished.push(segment.0.finish()?);
        }
        Ok(())
    }

    /// Writes what has been gathered.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn finish(mut self) -> Result<Written<O>, BlockError> {
        self.cut()?;
        Ok(Written { segments: self.finished, bytes: self.bytes })
    }
}

impl<O: Output> Segment<O> {
    fn begin(output: O) -> Result<Self, BlockError> {
        let mut header = Vec::with_capacity(HEADER_BYTES as usize);
        header.put_u32(MAGIC);
        header.push(VERSION);
        header.resize(HEADER_BYTES as usize, 0);
        let mut file = Gathering::new(output);
        file.append(&header)?;
        Ok(Self(file))
    }

    fn length(&self) -> u64 {
        self.0.position()
    }

    /// Where the next chunk begins.
    fn offset(&self) -> Result<u32, BlockError> {
        u32::try_from(self.length())
            .map_err(|_| BlockError::unwritable("a segment has room for 4 GiB of chunks"))
    }

    fn append(&mut self, encoding: Encoding, data: &[u8]) -> Result<(), BlockError> {
        let most = MAX_LENGTH_BYTES + ENCODING_BYTES + CHECKSUM_BYTES;
        let buffer = self.0.room(most as usize + data.len())?;
        buffer.put_uvarint(data.len() as u64);
        let covered = buffer.len();
        buffer.push(encoding.into());
        buffer.extend_from_slice(data);
        let checksum = crc32c::crc32c(&buffer[covered..]);
        buffer.put_u32(checksum);
        Ok(())
    }

    fn copy(&mut self, record: Record<'_>) -> Result<(), BlockError> {
        let buffer = self.0.room(MAX_LENGTH_BYTES as usize + record.bytes.len())?;
        buffer.put_uvarint(record.data().len() as u64);
        buffer.extend_from_slice(record.bytes);
        Ok(())
    }
}
