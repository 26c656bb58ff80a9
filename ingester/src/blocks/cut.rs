//! Cutting: from the head to a block. What is written follows from what the head has, so that replicas which have the same
//! cut alike.

use std::sync::Arc;

use block::meta::{Compaction, Thanos};
use block::{BlockError, BlockWriter, Description, NewChunk, WriteOptions};
use chunk::ChunkError;
use env::FileSystem;
use model::{Labels, TimeRange};
use proto::Chunk;
use thiserror::Error;
use ulid::Ulid;

use super::fit;
use super::ledger::{Ledger, LocalBlock, Stage};
use crate::chains::{self, BrokenChain};
use crate::chunk_reader::ChunkReader;
use crate::chunk_store::StoreError;
use crate::head::Head;
use crate::head::series::{Half, Series};
use crate::head::tenant::Tenant;
use crate::index::{LabelTexts, sort_by_labels};

/// The chunks of so many series are read together, ...
const BATCH_SERIES: usize = 1024;
/// ... or of fewer, where they have more than so many bytes: what cutting needs beside the head.
const BATCH_BYTES: usize = 1 << 20;
/// The index is locked for the texts of so many series at a time.
const LOCKED_SERIES: usize = 1024;

/// Why a block was not cut. Nothing is lost: the head has it all.
#[derive(Debug, Error)]
pub(crate) enum CutError {
    /// A chunk of the head cannot be read.
    #[error("a chunk of {labels} cannot be read")]
    Unreadable {
        /// Whose.
        labels: Labels,
        /// Why.
        #[source]
        source: StoreError,
    },
    /// A chunk of the head cannot be decoded.
    #[error("a chunk of {labels} is damaged")]
    Damaged {
        /// Whose.
        labels: Labels,
        /// What is wrong with it.
        #[source]
        source: ChunkError,
    },
    /// The block cannot be written.
    #[error("the block cannot be written")]
    Write(#[from] BlockError),
    /// The ledger cannot be written.
    #[error("the ledger of blocks cannot be written")]
    Ledger(#[source] std::io::Error),
    /// The process is stopping.
    #[error("interrupted: {reason}")]
    Interrupted {
        /// By what.
        reason: String,
    },
}

/// What is to be cut.
pub(super) struct Cutting {
    pub(super) fs: Arc<dyn FileSystem>,
    pub(super) head: Arc<Head>,
    pub(super) tenant: Arc<Tenant>,
    pub(super) ledger: Arc<Ledger>,
    /// The times that go into blocks.
    pub(super) range: TimeRange,
    /// Whether more may come at these times, so that the block ends where its samples do.
    pub(super) is_partial: bool,
    /// The names of the block of samples in order, and of that of late ones.
    pub(super) names: [Ulid; 2],
}

impl Cutting {
    /// Writes the blocks, durably; those without samples are left out. Blocks.
    pub(super) fn run(&self) -> Result<Vec<LocalBlock>, CutError> {
        let mut blocks = Vec::new();
        for (half, name) in [Half::InOrder, Half::Late].into_iter().zip(self.names) {
            match self.write(half, name) {
                Ok(block) => blocks.extend(block),
                Err(error) => {
                    // What cannot be removed now is no part of the ledger, and is removed at the next start.
                    for block in &blocks {
                        let _ = self.fs.remove_dir_all(&self.ledger.folder_of(block.ulid));
                    }
                    return Err(error);
                }
            }
        }
        Ok(blocks)
    }

    fn write(&self, half: Half, name: Ulid) -> Result<Option<LocalBlock>, CutError> {
        let series = self.series(half);
        if series.is_empty() {
            return Ok(None);
        }
        let mut writer =
            BlockWriter::create(self.fs.clone(), self.ledger.folder(), name, WriteOptions::default())?;
        let copied =
            Copying { cutting: self, half, reader: ChunkReader::default() }.copy(series, &mut writer);
        if copied.is_err() || writer.range().is_none() {
            writer.discard()?;
            return copied.map(|()| None);
        }
        let (_, meta) = writer.finish(self.description(half, name))?;
        Ok(Some(LocalBlock {
            ulid: meta.ulid,
            min_time: meta.min_time,
            max_time: meta.max_time,
            stage: Stage::Cut,
            not_before_ms: i64::MIN,
        }))
    }

    fn description(&self, half: Half, name: Ulid) -> Description {
        let hints = match half {
            Half::InOrder => Vec::new(),
            Half::Late => vec!["from-out-of-order".to_owned()],
        };
        let whole = !self.is_partial;
        Description {
            min_time: Some(self.range.start_ms()),
            max_time: whole.then(|| self.range.end_ms().saturating_add(1)),
            compaction: Compaction { level: 1, sources: vec![name], hints, ..Compaction::default() },
            thanos: Some(Thanos { source: "receive".to_owned(), ..Thanos::default() }),
        }
    }

    /// The series that have samples of this half in the range, by their labels.
    fn series(&self, half: Half) -> Vec<Arc<Series>> {
        let (mut found, mut page, mut next) = (Vec::new(), Vec::new(), Some(0));
        while let Some(first) = next {
            page.clear();
            next = self.tenant.index.read().page_from(first, &mut page);
            let has_some = |series: &Arc<Series>| {
                series.state.lock().hull_of(half).is_some_and(|hull| hull.overlaps(self.range))
            };
            found.extend(page.drain(..).filter(has_some));
        }
        sort_by_labels(&mut found, self.tenant.index.read().symbols(), |series| &series.labels);
        found
    }
}

/// Series on their way into a block.
struct Copying<'a> {
    cutting: &'a Cutting,
    half: Half,
    reader: ChunkReader,
}

impl Copying<'_> {
    fn copy(&mut self, series: Vec<Arc<Series>>, writer: &mut BlockWriter) -> Result<(), CutError> {
        let mut rest = series.into_iter();
        let mut labelled: Vec<(Labels, Arc<Series>)> = Vec::new();
        loop {
            while labelled.len() <= BATCH_SERIES && !rest.as_slice().is_empty() {
                self.label(&mut rest, &mut labelled);
            }
            if labelled.is_empty() {
                return Ok(());
            }
            let wanted = with_twins(&labelled, BATCH_SERIES.min(labelled.len()));
            let mut chunks = self.read(&labelled, wanted, BATCH_BYTES)?;
            let mut done = chunks.len();
            while done > 0 && with_twins(&labelled, done) != done {
                done -= 1;
            }
            if done == 0 {
                done = with_twins(&labelled, 1);
                chunks = self.read(&labelled, done, usize::MAX)?;
            }
            chunks.truncate(done);
            self.add(labelled.drain(..done).map(|(labels, _)| labels).zip(chunks), writer)?;
        }
    }

    /// Makes the labels of the next series. One that was released meanwhile had expired.
    fn label(&self, rest: &mut std::vec::IntoIter<Arc<Series>>, labelled: &mut Vec<(Labels, Arc<Series>)>) {
        let index = self.cutting.tenant.index.read();
        let mut texts = LabelTexts::new(index.symbols());
        for series in rest.by_ref().take(LOCKED_SERIES) {
            if index.get(series.id).is_some_and(|known| Arc::ptr_eq(known, &series)) {
                labelled.push((texts.next(&series.labels), series));
            }
        }
    }

    /// The chunks of the first series, so many or as many as fit.
    fn read(
        &mut self,
        labelled: &[(Labels, Arc<Series>)],
        series: usize,
        max_bytes: usize,
    ) -> Result<Vec<Vec<Chunk>>, CutError> {
        let Cutting { range, head, .. } = self.cutting;
        let first = labelled.get(..series).unwrap_or_default();
        let selections =
            first.iter().map(|(_, series)| series.state.lock().select_half(self.half, *range)).collect();
        let read = chains::of_many(selections, *range, head.store(), &mut self.reader, max_bytes);
        read.map_err(|BrokenChain { series, error }| CutError::Unreadable {
            labels: first.get(series).map(|(labels, _)| labels.clone()).unwrap_or_default(),
            source: error,
        })
    }

    /// Adds series; those with the same labels, one that was about to be released and one that took its place, as one.
    fn add(
        &self,
        series: impl Iterator<Item = (Labels, Vec<Chunk>)>,
        writer: &mut BlockWriter,
    ) -> Result<(), CutError> {
        let mut series = series.peekable();
        while let Some((labels, mut chunks)) = series.next() {
            while let Some((_, more)) = series.next_if(|(next, _)| *next == labels) {
                chunks.extend(more);
            }
            chunks.sort_by_key(|chunk| (chunk.range.start_ms(), chunk.range.end_ms()));
            let range = self.cutting.range;
            let fitted = match self.half {
                Half::InOrder => fit::fit(chunks, range),
                Half::Late => fit::merge(&chunks, range),
            };
            let fitted = fitted.map_err(|source| CutError::Damaged { labels: labels.clone(), source })?;
            writer.add(
                &labels,
                fitted.iter().map(|chunk| NewChunk {
                    range: chunk.range,
                    encoding: chunk.encoding,
                    data: &chunk.data,
                }),
            )?;
        }
        Ok(())
    }
}

/// So many series, and those behind them that have the labels of the last.
fn with_twins(labelled: &[(Labels, Arc<Series>)], series: usize) -> usize {
    let last = series.checked_sub(1).and_then(|last| labelled.get(last));
    let behind = labelled.get(series..).unwrap_or_default();
    series
        + behind.iter().take_while(|(labels, _)| last.is_some_and(|(of_last, _)| of_last == labels)).count()
}
