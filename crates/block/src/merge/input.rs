//! A block on its way into a merge.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use model::{Labels, TimeRange};

use crate::chunks::ChunkReader;
use crate::error::BlockError;
use crate::index::{ChunkMeta, ChunkRef, SeriesList, SeriesRef, SeriesScan};
use crate::tombstones::Tombstone;

use super::MergeError;
use super::combine::Part;

/// A block that is merged.
pub struct Input {
    series: SeriesList,
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
        Self { series, chunks, deleted }
    }
}

/// A series that has been read.
struct Ready {
    labels: Labels,
    parts: Vec<Part>,
}

/// A chunk that is to be read.
struct Wanted {
    meta: ChunkMeta,
    deleted: Option<Arc<[TimeRange]>>,
}

/// Walks over the series of an input.
pub(super) struct Cursor<'a> {
    number: usize,
    input: &'a Input,
    scan: SeriesScan<'a>,
    ready: VecDeque<Ready>,
    last: Option<Labels>,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(number: usize, input: &'a Input) -> Self {
        Self { number, input, scan: input.series.scan(), ready: VecDeque::new(), last: None }
    }

    /// The labels of the next series that has been read.
    pub(super) fn head(&self) -> Option<&Labels> {
        self.ready.front().map(|ready| &ready.labels)
    }

    /// The chunks of the next series.
    pub(super) fn take(&mut self) -> Vec<Part> {
        self.ready.pop_front().map(|ready| ready.parts).unwrap_or_default()
    }

    /// Reads on, about `chunks` chunks. Nothing has been read then only at the end.
    pub(super) async fn fill(&mut self, chunks: usize) -> Result<(), MergeError> {
        let input = self.number;
        self.read(chunks).await.map_err(|source| MergeError { input, source })
    }

    async fn read(&mut self, chunks: usize) -> Result<(), BlockError> {
        let (mut series, mut count) = (Vec::new(), 0);
        while count < chunks {
            let Some((reference, found)) = self.scan.next().await? else { break };
            if let Some(before) = self.last.as_ref().filter(|before| **before >= found.labels) {
                let what = format!("series {} is not behind {before} in order", found.labels);
                return Err(self.input.series.wrong(reference, what));
            }
            self.last = Some(found.labels.clone());
            let wanted = self.wanted(reference, found.chunks);
            count += wanted.len().max(1);
            series.push((found.labels, wanted));
        }
        let references: Vec<ChunkRef> =
            series.iter().flat_map(|(_, wanted)| wanted).map(|wanted| wanted.meta.reference).collect();
        let mut read = self.input.chunks.read_many(&references).await?.into_iter();
        for (labels, wanted) in series {
            let parts = wanted.into_iter().zip(&mut read).map(|(wanted, chunk)| Part {
                input: self.number,
                meta: wanted.meta,
                encoding: chunk.encoding,
                data: chunk.data,
                deleted: wanted.deleted,
            });
            self.ready.push_back(Ready { labels, parts: parts.collect() });
        }
        Ok(())
    }

    /// The chunks of a series of which something is left.
    fn wanted(&self, reference: SeriesRef, chunks: Vec<ChunkMeta>) -> Vec<Wanted> {
        let deleted = self.input.deleted.get(&u64::from(reference.as_u32()));
        let touches = |gone: &TimeRange, meta: &ChunkMeta| gone.overlaps(meta.range);
        let covers = |gone: &TimeRange, meta: &ChunkMeta| {
            gone.contains(meta.range.start_ms()) && gone.contains(meta.range.end_ms())
        };
        let wanted = chunks.into_iter().filter_map(|meta| {
            let Some(ranges) = deleted else { return Some(Wanted { meta, deleted: None }) };
            if ranges.iter().any(|gone| covers(gone, &meta)) {
                return None;
            }
            let touched = ranges.iter().any(|gone| touches(gone, &meta));
            Some(Wanted { meta, deleted: touched.then(|| Arc::clone(ranges)) })
        });
        wanted.collect()
    }
}
