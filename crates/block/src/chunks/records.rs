//! Many chunks that are read together, each as it stands in its segment with its checksum checked, so that it can be copied
//! with it.

use bytes::Bytes;
use chunk::Encoding;
use futures::stream::{self, StreamExt, TryStreamExt};

use crate::bytes::Cut;
use crate::error::BlockError;
use crate::index::ChunkRef;
use crate::range_read::read;

use super::reader::{CHUNK_GUESS_BYTES, ChunkReader, FETCHES, pieces};
use super::{CHECKSUM_BYTES, ENCODING_BYTES};

/// A chunk as it stands in its segment, without the length before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Record<'a> {
    pub(crate) encoding: Encoding,
    /// Encoding, data and checksum.
    pub(crate) bytes: &'a [u8],
}

impl<'a> Record<'a> {
    /// Reads the record whose bytes these are; they begin at `at` of the file.
    pub(crate) fn checked(file: &str, bytes: &'a [u8], at: u64) -> Result<Self, BlockError> {
        let split = bytes.len().saturating_sub(CHECKSUM_BYTES as usize);
        let (covered, checksum) = bytes.split_at(split);
        let stored = Cut::new(file, checksum, at + split as u64).u32("a checksum")?;
        let computed = crc32c::crc32c(covered);
        if stored != computed {
            let (file, part) = (file.to_owned(), "chunk");
            return Err(BlockError::Checksum { file, offset: at, part, stored, computed });
        }
        let code = covered.first().copied().unwrap_or_default();
        let encoding = Encoding::try_from(code)
            .map_err(|_| BlockError::malformed(file, at, format!("encoding {code} of a chunk is unknown")))?;
        Ok(Self { encoding, bytes })
    }

    /// The chunk.
    pub(crate) fn data(&self) -> &'a [u8] {
        let end = self.bytes.len().saturating_sub(CHECKSUM_BYTES as usize);
        self.bytes.get(ENCODING_BYTES as usize..end).unwrap_or_default()
    }
}

/// Reads the length of a chunk; how many bytes that took, and how many the record has.
pub(crate) fn record_length(cut: &mut Cut<'_>) -> Result<(usize, u64), BlockError> {
    let begin = cut.offset();
    let length = cut.uvarint("the length of a chunk")?;
    Ok(((cut.offset() - begin) as usize, length.saturating_add(ENCODING_BYTES + CHECKSUM_BYTES)))
}

/// Chunks that were read together, out of the memory that they were read into: that is large, and soon free again.
#[derive(Debug, Default)]
pub(crate) struct Records {
    bytes: Vec<u8>,
    places: Vec<Place>,
}

/// Where a record is.
#[derive(Debug, Clone, Copy)]
struct Place {
    start: usize,
    length: u32,
    encoding: Encoding,
}

impl Place {
    const NOWHERE: Self = Self { start: usize::MAX, length: 0, encoding: Encoding::Xor };
}

impl Records {
    /// Nothing, with room for so many chunks and bytes.
    fn with_room(chunks: usize, bytes: usize) -> Self {
        Self { bytes: Vec::with_capacity(bytes), places: vec![Place::NOWHERE; chunks] }
    }

    /// How many bytes there are.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The chunk that was asked for at this place.
    #[inline]
    pub(crate) fn get(&self, number: usize) -> Option<Record<'_>> {
        let place = self.places.get(number)?;
        let bytes = self.bytes.get(place.start..)?.get(..place.length as usize)?;
        Some(Record { encoding: place.encoding, bytes })
    }

    /// Adds the record that was asked for as `number`; it begins at `at` of the file.
    fn push(&mut self, number: u32, file: &str, bytes: &[u8], at: u64) -> Result<(), BlockError> {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        let encoding = Record::checked(file, &self.bytes[start..], at)?.encoding;
        if let Some(place) = self.places.get_mut(number as usize) {
            *place = Place { start, length: bytes.len() as u32, encoding };
        }
        Ok(())
    }
}

impl ChunkReader {
    /// Chunks of many series, fetched in the order in which they lie, several pieces at a time. About `expected` bytes are to
    /// come.
    ///
    /// # Errors
    /// Where one cannot be read, or is damaged.
    pub(crate) async fn read_records(
        &self,
        references: &[ChunkRef],
        expected: usize,
    ) -> Result<Records, BlockError> {
        let mut order: Vec<u32> = (0..references.len() as u32).collect();
        if !references.is_sorted() {
            order.sort_unstable_by_key(|number| references[*number as usize]);
        }
        let near: Vec<&[u32]> = pieces(references, &order).collect();
        let reads: Vec<_> = near.iter().map(|piece| self.fetch_records(references, piece)).collect();
        let mut reads = stream::iter(reads).buffered(FETCHES);
        let mut records = Records::with_room(references.len(), expected);
        for numbers in &near {
            let Some(fetched) = reads.try_next().await? else { break };
            self.add_records(references, numbers, &fetched, &mut records).await?;
        }
        Ok(records)
    }

    async fn fetch_records(&self, references: &[ChunkRef], piece: &[u32]) -> Result<Bytes, BlockError> {
        let of = |number: &u32| references[*number as usize];
        let Some((begin, last)) = piece.first().map(of).zip(piece.last().map(of)) else {
            return Ok(Bytes::new());
        };
        let segment = self.segment(begin)?;
        let start = u64::from(begin.offset());
        let end = segment.len().min(u64::from(last.offset()) + CHUNK_GUESS_BYTES).max(start);
        read(segment, start..end).await
    }

    /// Adds chunks that are near each other; `bytes` begin with the first of them.
    async fn add_records(
        &self,
        references: &[ChunkRef],
        numbers: &[u32],
        bytes: &[u8],
        records: &mut Records,
    ) -> Result<(), BlockError> {
        let of = |number: &u32| references[*number as usize];
        let Some(first) = numbers.first().map(of) else { return Ok(()) };
        let (segment, start) = (self.segment(first)?, u64::from(first.offset()));
        for number in numbers {
            let at = u64::from(of(number).offset());
            let own = bytes.get((at - start) as usize..).unwrap_or_default();
            let (before, length) = record_length(&mut Cut::new(segment.name(), own, at))?;
            let begin = at + before as u64;
            if length > segment.len().saturating_sub(begin) || length > u64::from(u32::MAX) {
                let what = format!("a chunk has {length} bytes, more than the rest of the segment");
                return Err(BlockError::malformed(segment.name(), at, what));
            }
            match own.get(before..before + length as usize) {
                Some(record) => records.push(*number, segment.name(), record, begin)?,
                None => {
                    let record = read(segment, begin..begin + length).await?;
                    records.push(*number, segment.name(), &record, begin)?;
                }
            }
        }
        Ok(())
    }
}
