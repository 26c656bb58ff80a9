//! What a selection finds in one block, batch by batch.

use std::sync::Arc;

use block::index::Selected;
use block::tombstones::left_of;
use block::{BlockError, ChunkMeta, ChunkRef, EncodedChunk, SeriesRef};
use model::{Labels, Matcher, TimeRange};
use proto::{Chunk, SeriesChunks};

use super::opened::OpenBlock;
use super::outside::Outside;

/// Of how many series labels are read at a time, where a block's own order is not that of the labels as they are seen.
const SERIES_AT_ONCE: usize = 4096;

/// A series of the block, with the chunks that are wanted.
pub(super) struct Found {
    pub(super) labels: Labels,
    chunks: Vec<Wanted>,
}

/// A chunk, and what of its series has been deleted.
#[derive(Clone)]
struct Wanted {
    meta: ChunkMeta,
    deleted: Option<Arc<[TimeRange]>>,
}

/// A selection in one block.
pub(super) struct BlockSelection {
    block: Arc<OpenBlock>,
    outside: Outside,
    range: TimeRange,
    selected: Selected,
    /// How many of the selected series have been looked at.
    at: usize,
    /// Where labels are changed: all series, in the order of the labels as they are seen.
    sorted: Option<std::vec::IntoIter<Found>>,
}

impl BlockSelection {
    /// Finds the series that `matchers` match.
    pub(super) async fn open(
        block: Arc<OpenBlock>,
        outside: Outside,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<Self, BlockError> {
        let selected = match outside.own(matchers.iter()) {
            Some(own) => block.index.select(&own).await?,
            None => Selected::default(),
        };
        let mut selection = Self { block, outside, range, selected, at: 0, sorted: None };
        if !selection.outside.is_nothing() {
            let mut all = Vec::new();
            while let Some(found) = selection.next_found(SERIES_AT_ONCE).await? {
                all.extend(found);
            }
            selection.sorted = Some(sorted(all).into_iter());
        }
        Ok(selection)
    }

    /// The next series that have chunks in the range, about `count`; none, where the next ones have none. `None` at the
    /// end.
    pub(super) async fn next_found(&mut self, count: usize) -> Result<Option<Vec<Found>>, BlockError> {
        if let Some(sorted) = &mut self.sorted {
            let next: Vec<Found> = sorted.take(count).collect();
            return Ok((!next.is_empty()).then_some(next));
        }
        let rest = self.selected.series.get(self.at..).unwrap_or_default();
        let references: &[SeriesRef] = rest.get(..count).unwrap_or(rest);
        if references.is_empty() {
            return Ok(None);
        }
        let series = self.block.index.series_of(references).await?;
        self.at += references.len();
        let mut found = Vec::with_capacity(series.len());
        for (reference, series) in references.iter().zip(series) {
            if !self.selected.matches(&series.labels) {
                continue;
            }
            let deleted = self.block.deleted.get(&u64::from(reference.as_u32()));
            let covered =
                |chunk: &ChunkMeta| deleted.into_iter().flatten().any(|gone| contains(*gone, chunk.range));
            let wanted = |chunk: &ChunkMeta| chunk.range.overlaps(self.range) && !covered(chunk);
            let deleted: Option<Arc<[TimeRange]>> = deleted.map(|gone| gone.as_slice().into());
            let chunks = series.chunks.into_iter().filter(wanted);
            let chunks: Vec<Wanted> = chunks.map(|meta| Wanted { meta, deleted: deleted.clone() }).collect();
            if !chunks.is_empty() {
                found.push(Found { labels: self.outside.apply(series.labels), chunks });
            }
        }
        Ok(Some(found))
    }

    /// The next series with their chunks, about `count` of them; none, where the next ones have none. `None` at the end.
    pub(super) async fn next_batch(&mut self, count: usize) -> Result<Option<Vec<SeriesChunks>>, BlockError> {
        let Some(found) = self.next_found(count).await? else { return Ok(None) };
        let references: Vec<ChunkRef> =
            found.iter().flat_map(|series| &series.chunks).map(|chunk| chunk.meta.reference).collect();
        let mut chunks = self.block.chunks.read_many(&references).await?.into_iter();
        let mut batch = Vec::with_capacity(found.len());
        for series in found {
            let mut own = Vec::with_capacity(series.chunks.len());
            for (wanted, chunk) in series.chunks.iter().zip(&mut chunks) {
                keep(&wanted.meta, chunk, wanted.deleted.as_deref().unwrap_or_default(), &mut own)?;
            }
            if !own.is_empty() {
                batch.push(SeriesChunks { labels: series.labels, chunks: own });
            }
        }
        Ok(Some(batch))
    }
}

/// Series in the order of their labels; those that have become the same are one, its chunks in order.
fn sorted(mut all: Vec<Found>) -> Vec<Found> {
    all.sort_by(|a, b| a.labels.cmp(&b.labels));
    let mut merged: Vec<Found> = Vec::with_capacity(all.len());
    for found in all {
        match merged.last_mut().filter(|last| last.labels == found.labels) {
            Some(last) => {
                last.chunks.extend(found.chunks);
                last.chunks.sort_by_key(|chunk| (chunk.meta.range.start_ms(), chunk.meta.range.end_ms()));
            }
            None => merged.push(found),
        }
    }
    merged
}

fn contains(outer: TimeRange, inner: TimeRange) -> bool {
    outer.start_ms() <= inner.start_ms() && inner.end_ms() <= outer.end_ms()
}

/// Adds a chunk, or what is left of it, to `kept`.
fn keep(
    meta: &ChunkMeta,
    chunk: EncodedChunk,
    deleted: &[TimeRange],
    kept: &mut Vec<Chunk>,
) -> Result<(), BlockError> {
    let EncodedChunk { encoding, data } = chunk;
    if !deleted.iter().any(|gone| gone.overlaps(meta.range)) {
        kept.push(Chunk { range: meta.range, encoding, data });
        return Ok(());
    }
    for left in left_of(meta.range, deleted) {
        let slices = chunk::slice(encoding, &data, left).map_err(|error| BlockError::Malformed {
            file: block::chunks::segment_name(meta.reference.segment()),
            offset: u64::from(meta.reference.offset()),
            what: error.to_string(),
        })?;
        kept.extend(slices.into_iter().map(|part| Chunk {
            range: part.range,
            encoding,
            data: part.data.into(),
        }));
    }
    Ok(())
}
