//! The record of what was taken over from another ingester: whole chunks (`docs/formats/wal-records.md`).

use model::TimeRange;
use proto::{Chunk, ChunkEncoding};

use crate::codec::{Malformed, Reader, put_bytes, put_ivarint, put_uvarint};
use crate::record::{NewSeries, put_series, read_series};

/// The version of records that hold chunks. A program that knows only those before it refuses them.
const VERSION: u8 = 2;

/// Whether a record holds chunks.
#[inline]
pub(crate) fn is_taken(record: &[u8]) -> bool {
    record.first() == Some(&VERSION)
}

/// A chunk in a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TakenChunk<'a> {
    /// From its first to its last sample.
    pub(crate) range: TimeRange,
    /// How it is encoded.
    pub(crate) encoding: ChunkEncoding,
    /// The chunk.
    pub(crate) data: &'a [u8],
}

impl<'a> From<&'a Chunk> for TakenChunk<'a> {
    fn from(chunk: &'a Chunk) -> Self {
        Self { range: chunk.range, encoding: chunk.encoding, data: &chunk.data }
    }
}

/// Writes a record.
pub(crate) struct TakenWriter {
    out: Vec<u8>,
    entry: Vec<u8>,
    hull: Option<TimeRange>,
}

impl TakenWriter {
    pub(crate) fn new(tenant: &str, series: &[NewSeries<'_>], capacity: usize) -> Self {
        let mut out = Vec::with_capacity(capacity);
        out.push(VERSION);
        put_bytes(&mut out, tenant.as_bytes());
        put_series(&mut out, series);
        Self { out, entry: Vec::new(), hull: None }
    }

    /// Adds chunks of a series.
    pub(crate) fn chunks(&mut self, id: u32, chunks: &[Chunk]) {
        let entry = &mut self.entry;
        entry.clear();
        put_uvarint(entry, u64::from(id));
        put_uvarint(entry, chunks.len() as u64);
        for chunk in chunks.iter().map(TakenChunk::from) {
            entry.push(chunk.encoding.into());
            put_ivarint(entry, chunk.range.start_ms());
            put_ivarint(entry, chunk.range.end_ms());
            put_bytes(entry, chunk.data);
            self.hull = Some(self.hull.map_or(chunk.range, |hull| hull.hull(chunk.range)));
        }
        put_bytes(&mut self.out, entry);
    }

    /// The record, and the hull of its samples if it has any.
    pub(crate) fn finish(self) -> (Vec<u8>, Option<TimeRange>) {
        (self.out, self.hull)
    }
}

/// Chunks of a series.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TakenEntry<'a> {
    /// The series' number.
    pub(crate) id: u32,
    /// The chunks.
    pub(crate) chunks: Vec<TakenChunk<'a>>,
}

/// Reads a record, front to back.
pub(crate) struct TakenReader<'a> {
    tenant: &'a str,
    reader: Reader<'a>,
}

impl<'a> TakenReader<'a> {
    pub(crate) fn new(record: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(record);
        if reader.u8("record version")? != VERSION {
            return Err(Malformed { what: "record of chunks" });
        }
        Ok(Self { tenant: reader.text("tenant")?, reader })
    }

    pub(crate) fn tenant(&self) -> &'a str {
        self.tenant
    }

    /// Calls `each` with every series that the record introduces. To be called first, once.
    pub(crate) fn series(&mut self, each: impl FnMut(NewSeries<'a>)) -> Result<(), Malformed> {
        read_series(&mut self.reader, each)
    }

    /// The next chunks; `None` at the record's end. What a later version has behind them is left out.
    pub(crate) fn entry(&mut self) -> Result<Option<TakenEntry<'a>>, Malformed> {
        if self.reader.is_empty() {
            return Ok(None);
        }
        let mut entry = Reader::new(self.reader.bytes("chunks of a series")?);
        let id = entry.u32("series number")?;
        let mut chunks = Vec::new();
        for _ in 0..entry.uvarint("number of chunks")? {
            let encoding = entry.u8("encoding")?;
            let (start_ms, end_ms) = (entry.ivarint("first time")?, entry.ivarint("last time")?);
            chunks.push(TakenChunk {
                range: TimeRange::new(start_ms, end_ms).ok_or(Malformed { what: "time range" })?,
                encoding: ChunkEncoding::try_from(encoding).map_err(|_| Malformed { what: "encoding" })?,
                data: entry.bytes("chunk")?,
            });
        }
        Ok(Some(TakenEntry { id, chunks }))
    }
}

#[cfg(test)]
mod tests {
    use model::SeriesHash;

    use super::*;

    #[test]
    fn what_was_written_is_read_and_what_a_later_version_added_is_left_out() {
        let chunk = |start, end, data: &'static [u8]| Chunk {
            range: TimeRange::new(start, end).unwrap(),
            encoding: ChunkEncoding::Xor2,
            data: data.into(),
        };
        let new = [NewSeries { id: 7, hash: SeriesHash(1 << 60), canonical: b"abc" }];
        let mut writer = TakenWriter::new("team-a", &new, 100);
        let chunks = [chunk(-5, 10, b"one"), chunk(i64::MIN, i64::MAX, b"")];
        writer.chunks(7, &chunks);
        // A field that this version does not know.
        writer.out.push(4);
        writer.out.extend_from_slice(&[9, 0, 0xff, 0xff]);
        let (record, hull) = writer.finish();
        assert!(is_taken(&record));
        assert_eq!(hull, Some(TimeRange::ALL));
        let mut reader = TakenReader::new(&record).unwrap();
        assert_eq!(reader.tenant(), "team-a");
        let mut read = Vec::new();
        reader.series(|new| read.push(new)).unwrap();
        assert_eq!(read, new);
        let first = reader.entry().unwrap().unwrap();
        assert_eq!(first, TakenEntry { id: 7, chunks: chunks.iter().map(TakenChunk::from).collect() });
        assert_eq!(reader.entry().unwrap(), Some(TakenEntry { id: 9, chunks: Vec::new() }));
        assert_eq!(reader.entry().unwrap(), None);
    }
}
