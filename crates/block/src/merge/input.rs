//! A block on its way into a merge.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::TimeRange;

use crate::chunks::ChunkReader;
use crate::chunks::records::Records;
use crate::error::BlockError;
use crate::index::entries::Entries;
use crate::index::symbols::Symbols;
use crate::index::{ChunkMeta, ChunkRef, SeriesList, SeriesRef, series};
use crate::tombstones::Tombstone;

use super::combine::Part;
use super::symbols::Numbers;
use super::{Ahead, MergeError};

/// What a chunk counts whose length is not known.
const UNKNOWN_BYTES: usize = 256;

/// What a chunk counts at most: behind it may be others that are not wanted.
const MOST_BYTES: usize = 64 << 10;

/// A block that is merged.
pub struct Input {
    symbols: Symbols,
    entries: Entries,
    chunks: ChunkReader,
    deleted: BTreeMap<u64, Arc<[TimeRange]>>,
}

impl Input {
    /// A block of these series and chunks, of which `tombstones` have been deleted.
    pub fn new(series: SeriesList, chunks: ChunkReader, tombstones: &[Tombstone]) -> Self {
        let mut deleted: BTreeMap<u64, Vec<TimeRange>> = BTreeMap::new();
        for tombstone in tombstones {
            deleted.entry(tombstone.series).or_default().push(tombstone.range);
        }
        let deleted = deleted.into_iter().map(|(series, ranges)| (series, ranges.into())).collect();
        let (symbols, entries) = series.into_parts();
        Self { symbols, entries, chunks, deleted }
    }

    /// The symbols, and the rest, which needs them no more.
    pub(super) fn into_parts(self) -> (Symbols, Source) {
        let Self { symbols, entries, chunks, deleted } = self;
        (symbols, Source { entries, chunks, deleted })
    }
}

/// A block without its symbols.
pub(super) struct Source {
    entries: Entries,
    chunks: ChunkReader,
    deleted: BTreeMap<u64, Arc<[TimeRange]>>,
}

/// Series that have been read, with their chunks.
#[derive(Default)]
pub(super) struct Filled {
    input: usize,
    /// Names and values of all series in turn.
    labels: Vec<u32>,
    chunks: Vec<ChunkMeta>,
    series: Vec<Read>,
    records: Records,
}

/// A series that has been read. It begins where the one before it ends.
struct Read {
    labels_end: u32,
    chunks_end: u32,
    deleted: Option<Arc<[TimeRange]>>,
}

impl Filled {
    /// Room for about as much again.
    fn room(&self, input: usize) -> Self {
        Self {
            input,
            labels: Vec::with_capacity(more(self.labels.len())),
            chunks: Vec::with_capacity(more(self.chunks.len())),
            series: Vec::with_capacity(more(self.series.len())),
            records: Records::default(),
        }
    }

    /// How many series there are.
    pub(super) fn len(&self) -> usize {
        self.series.len()
    }

    /// Where the series before one ends.
    fn begin(&self, number: usize) -> (usize, usize) {
        let before = number.checked_sub(1).and_then(|before| self.series.get(before));
        before.map_or((0, 0), |before| (before.labels_end as usize, before.chunks_end as usize))
    }

    /// Names and values of a series in turn.
    #[inline]
    pub(super) fn labels(&self, number: usize) -> Option<&[u32]> {
        let end = self.series.get(number)?.labels_end as usize;
        self.labels.get(self.begin(number).0..end)
    }

    /// How many chunks a series has.
    pub(super) fn chunk_count(&self, number: usize) -> usize {
        self.series.get(number).map_or(0, |series| series.chunks_end as usize - self.begin(number).1)
    }

    /// The chunks of a series.
    pub(super) fn parts(&self, number: usize) -> impl Iterator<Item = Part<'_>> {
        let series = self.series.get(number);
        let chunks = series.map_or(0..0, |series| self.begin(number).1..series.chunks_end as usize);
        let deleted = series.and_then(|series| series.deleted.as_ref());
        chunks.filter_map(move |chunk| {
            let (meta, record) = (*self.chunks.get(chunk)?, self.records.get(chunk)?);
            Some(Part { input: self.input, meta, record, deleted })
        })
    }
}

/// Walks over the series of an input.
pub(super) struct Cursor {
    number: usize,
    source: Source,
    symbols: Numbers,
    filled: Arc<Filled>,
    /// The series that is next among those that have been read.
    next: usize,
}

impl Cursor {
    pub(super) fn new(number: usize, source: Source, symbols: Numbers) -> Self {
        Self { number, source, symbols, filled: Arc::default(), next: 0 }
    }

    /// The labels of the next series that has been read.
    #[inline]
    pub(super) fn head(&self) -> Option<&[u32]> {
        self.filled.labels(self.next)
    }

    /// Goes on behind the next series; its number among those that have been read.
    pub(super) fn take(&mut self) -> usize {
        self.next += 1;
        self.next - 1
    }

    /// What has been read.
    pub(super) fn filled(&self) -> &Arc<Filled> {
        &self.filled
    }

    /// Reads on, about as much as `ahead` says. Nothing has been read then only at the end.
    pub(super) async fn fill(&mut self, ahead: Ahead) -> Result<(), MergeError> {
        let input = self.number;
        self.read(ahead).await.map_err(|source| MergeError { input, source })
    }

    async fn read(&mut self, ahead: Ahead) -> Result<(), BlockError> {
        let last = self.filled.len().checked_sub(1).and_then(|last| self.filled.labels(last));
        let last = last.map(<[u32]>::to_vec);
        let mut filled = self.filled.room(self.number);
        let (mut count, mut bytes) = (0, 0);
        while count < ahead.chunks && bytes < ahead.bytes {
            let Some(found) = self.source.entries.next().await? else { break };
            let mut content = self.source.entries.content(&found);
            series::read_labels(&mut content, |symbol| self.symbols.get(symbol), &mut filled.labels)?;
            let first = filled.chunks.len();
            series::read_chunks(&mut content, &mut filled.chunks)?;
            let deleted = self.deleted(found.reference, &mut filled.chunks, first);
            let (Ok(labels_end), Ok(chunks_end)) =
                (u32::try_from(filled.labels.len()), u32::try_from(filled.chunks.len()))
            else {
                return Err(self.source.entries.wrong(&found, "a series has too many labels or chunks"));
            };
            filled.series.push(Read { labels_end, chunks_end, deleted });
            let number = filled.len() - 1;
            let before = match number.checked_sub(1) {
                Some(before) => filled.labels(before),
                None => last.as_deref(),
            };
            if before.is_some_and(|before| Some(before) >= filled.labels(number)) {
                let what = "a series is not behind the one before in order";
                return Err(self.source.entries.wrong(&found, what));
            }
            count += (filled.chunks.len() - first).max(1);
            let own = filled.chunks.get(first.saturating_sub(1)..).unwrap_or_default();
            bytes += own.array_windows().map(|[a, b]| between(a, b)).sum::<usize>();
        }
        let references: Vec<ChunkRef> = filled.chunks.iter().map(|meta| meta.reference).collect();
        let expected = more(self.filled.records.bytes());
        filled.records = self.source.chunks.read_records(&references, expected).await?;
        (self.filled, self.next) = (Arc::new(filled), 0);
        Ok(())
    }

    /// Leaves out chunks from `first` on of which nothing is left; what of the series has been deleted.
    fn deleted(
        &self,
        reference: SeriesRef,
        chunks: &mut Vec<ChunkMeta>,
        first: usize,
    ) -> Option<Arc<[TimeRange]>> {
        let ranges = self.source.deleted.get(&u64::from(reference.as_u32()))?;
        let covers = |gone: &TimeRange, meta: &ChunkMeta| {
            gone.contains(meta.range.start_ms()) && gone.contains(meta.range.end_ms())
        };
        let mut number = 0;
        chunks.retain(|meta| {
            number += 1;
            number <= first || !ranges.iter().any(|gone| covers(gone, meta))
        });
        Some(Arc::clone(ranges))
    }
}

/// Room for as much as the last time, and some more.
fn more(length: usize) -> usize {
    length + length / 8
}

/// About how many bytes a chunk has that another one follows.
fn between(chunk: &ChunkMeta, next: &ChunkMeta) -> usize {
    let (chunk, next) = (chunk.reference, next.reference);
    let gap = next.offset().checked_sub(chunk.offset()).filter(|_| next.segment() == chunk.segment());
    gap.map_or(UNKNOWN_BYTES, |gap| (gap as usize).min(MOST_BYTES))
}
