//! What an ingester says of chunks without sending them: enough for a querier to see whether another ingester has sent
//! the same.

use futures::stream::BoxStream;
use model::{Labels, SeriesHash, TenantId, TimeRange};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use crate::{Chunk, Error, SelectBatch};

impl Chunk {
    /// Tells the chunk from others: XXH3-64 of the data, seeded with that of the first and last time in milliseconds,
    /// eight bytes each, and the encoding's number, one byte, all little-endian. Two chunks that differ have the same
    /// one once in 10^19 cases.
    pub fn checksum(&self) -> u64 {
        let mut key = [0; 17];
        key[..8].copy_from_slice(&self.range.start_ms().to_le_bytes());
        key[8..16].copy_from_slice(&self.range.end_ms().to_le_bytes());
        key[16] = self.encoding.into();
        xxh3_64_with_seed(&self.data, xxh3_64(&key))
    }
}

/// One series in a [`ChecksumBatch`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChecksummedSeries {
    /// The ring hash of its labels.
    pub hash: SeriesHash,
    /// What the ingester that says this calls the series: for [`ReferencedRequest`], and for nobody else.
    pub reference: u64,
    /// How many chunks it has in the range.
    pub chunks: u32,
}

/// Some series of a selection, without what they are called and what they have.
#[derive(Debug, Clone, PartialEq)]
pub struct ChecksumBatch {
    /// The series, sorted by their labels. A series may be here twice, with some of its chunks each time.
    pub series: Vec<ChecksummedSeries>,
    /// The checksums of their chunks, one series behind the other, as [`Chunk::checksum`] has them; a series' chunks
    /// are sorted by their first sample.
    pub checksums: Vec<u64>,
    /// The labels of the last series.
    pub last: Labels,
}

/// A part of what answers a selection of checksums.
#[derive(Debug, Clone, PartialEq)]
pub enum Checked {
    /// As it was asked for.
    Checksums(ChecksumBatch),
    /// Series with their chunks: from an ingester that knows nothing of checksums.
    Chunks(SelectBatch),
}

/// A selection of checksums, batch by batch, sorted by labels over all batches. Dropping it ends the work.
pub type ChecksumStream = BoxStream<'static, Result<Checked, Error>>;

/// A series of an ingester, by the name that it gave to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReferencedSeries {
    /// As in [`ChecksummedSeries`].
    pub hash: SeriesHash,
    /// As in [`ChecksummedSeries`].
    pub reference: u64,
    /// Chunks that end before this time, in milliseconds since the Unix epoch, are not needed.
    pub since_ms: i64,
}

/// The most series in one [`ReferencedRequest`].
pub const MAX_REFERENCED_SERIES: usize = 1024;

/// Series of which an ingester has sent checksums, this time with their chunks.
#[derive(Debug, Clone)]
pub struct ReferencedRequest {
    /// Whose data.
    pub tenant: TenantId,
    /// The range of the selection.
    pub range: TimeRange,
    /// The series: at most [`MAX_REFERENCED_SERIES`].
    pub series: Vec<ReferencedSeries>,
    /// More bytes of chunks than this are an error ([`crate::Code::Unprocessable`]); at least 1.
    pub max_chunk_bytes: usize,
}

#[cfg(test)]
mod tests {
    use chunk::Encoding;

    use super::*;

    /// Frozen: ingesters and queriers of neighbouring releases compare them.
    #[test]
    fn everything_of_a_chunk_is_in_its_checksum() {
        let range = |start, end| TimeRange::new(start, end).unwrap();
        let chunk = Chunk { range: range(1_000, 2_000), encoding: Encoding::Xor, data: "data".into() };
        assert_eq!(chunk.checksum(), 10_763_813_808_402_809_087);
        let others = [
            Chunk { range: range(1_001, 2_000), ..chunk.clone() },
            Chunk { range: range(1_000, 2_001), ..chunk.clone() },
            Chunk { encoding: Encoding::Histogram, ..chunk.clone() },
            Chunk { data: "date".into(), ..chunk.clone() },
        ];
        assert!(others.iter().all(|other| other.checksum() != chunk.checksum()));
    }
}
