//! The chunks of one series, of all blocks, made into chunks one behind the other.

use std::cmp::Ordering;
use std::sync::Arc;

use bytes::Bytes;
use chunk::{ChunkData, ChunkError, Encoding, Incoming, Merged, OpenChunk, Push, run_length};
use model::{Labels, TimeRange, Value};

use crate::error::BlockError;
use crate::index::ChunkMeta;
use crate::tombstones::left_of;
use crate::writer::NewChunk;

use super::MergeError;

/// How many samples a chunk that is made anew has at most, as Prometheus has it.
pub const MAX_SAMPLES: u16 = 120;

/// A chunk of one of the blocks.
pub(super) struct Part {
    pub(super) input: usize,
    pub(super) meta: ChunkMeta,
    pub(super) encoding: Encoding,
    pub(super) data: Bytes,
    /// What of the series has been deleted, where that touches the chunk.
    pub(super) deleted: Option<Arc<[TimeRange]>>,
}

/// A series, with the chunks that it has in all blocks.
pub struct MergedSeries {
    labels: Labels,
    parts: Vec<Part>,
}

/// A chunk of a merged series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MergedChunk {
    range: TimeRange,
    encoding: Encoding,
    data: Bytes,
    /// The input that it is of, and where it is there; of a new one, of the first of its run.
    input: usize,
    at: ChunkMeta,
}

impl ChunkData for MergedChunk {
    fn range(&self) -> TimeRange {
        self.range
    }

    fn encoding(&self) -> Encoding {
        self.encoding
    }

    fn data(&self) -> &[u8] {
        &self.data
    }
}

impl MergedChunk {
    /// The chunk as a writer takes it.
    pub fn as_new(&self) -> NewChunk<'_> {
        NewChunk { range: self.range, encoding: self.encoding, data: &self.data }
    }

    fn wrong(&self, error: &ChunkError) -> MergeError {
        let (file, offset) = (self.at.reference.segment(), self.at.reference.offset());
        let file = crate::chunks::segment_name(file);
        MergeError {
            input: self.input,
            source: BlockError::malformed(&file, u64::from(offset), error.to_string()),
        }
    }
}

impl MergedSeries {
    pub(super) fn new(labels: Labels) -> Self {
        Self { labels, parts: Vec::new() }
    }

    pub(super) fn extend(&mut self, parts: Vec<Part>) {
        match self.parts.is_empty() {
            true => self.parts = parts,
            false => self.parts.extend(parts),
        }
    }

    /// Its labels.
    pub fn labels(&self) -> &Labels {
        &self.labels
    }

    /// How many chunks it has, those that repeat each other included.
    pub fn chunk_count(&self) -> usize {
        self.parts.len()
    }

    /// Its chunks, one behind the other; none where all of it has been deleted.
    ///
    /// # Errors
    /// Where a chunk that has to be decoded cannot be.
    pub fn into_chunks(self) -> Result<Vec<MergedChunk>, MergeError> {
        let mut all = Vec::with_capacity(self.parts.len());
        for part in self.parts {
            part.leave(&mut all)?;
        }
        let is_sorted =
            all.array_windows().all(|[a, b]: &[MergedChunk; 2]| a.range.end_ms() < b.range.start_ms());
        if is_sorted {
            return Ok(all);
        }
        all.sort_by(order);
        all.dedup_by(|a, b| order(a, b).is_eq());
        let mut combined = Vec::with_capacity(all.len());
        let mut rest = all.as_slice();
        while !rest.is_empty() {
            let (run, others) = rest.split_at(run_length(rest));
            rest = others;
            match run {
                [chunk] => combined.push(chunk.clone()),
                run => encode(run, &mut combined)?,
            }
        }
        Ok(combined)
    }
}

impl Part {
    /// Adds the chunk, or what is left of it.
    fn leave(self, all: &mut Vec<MergedChunk>) -> Result<(), MergeError> {
        let Self { input, meta, encoding, data, deleted } = self;
        let whole = MergedChunk { range: meta.range, encoding, data, input, at: meta };
        let Some(deleted) = deleted else {
            all.push(whole);
            return Ok(());
        };
        for left in left_of(meta.range, &deleted) {
            let slices = chunk::slice(encoding, &whole.data, left).map_err(|error| whole.wrong(&error))?;
            all.extend(slices.into_iter().map(|slice| MergedChunk {
                range: slice.range,
                data: slice.data.into(),
                ..whole.clone()
            }));
        }
        Ok(())
    }
}

fn order(a: &MergedChunk, b: &MergedChunk) -> Ordering {
    let key = |c: &MergedChunk| (c.range.start_ms(), c.range.end_ms(), c.encoding as u8);
    key(a).cmp(&key(b)).then_with(|| a.data.cmp(&b.data))
}

/// Makes new chunks of those that overlap.
fn encode(run: &[MergedChunk], out: &mut Vec<MergedChunk>) -> Result<(), MergeError> {
    let samples = decode(run).map_err(|error| blame(run, &error))?;
    // Most encodings with start timestamps are read by few programs: they are written where there are such.
    let has_starts = samples.iter().any(|(_, start_ms, _)| *start_ms != 0);
    let Some(first) = run.first() else { return Ok(()) };
    let mut open: Option<(OpenChunk, i64)> = None;
    let mut finish = |open: Option<(OpenChunk, i64)>| {
        let finished = open.and_then(|(open, last_ms)| {
            let range = TimeRange::new(open.first_ms(), last_ms)?;
            let data = Bytes::copy_from_slice(open.bytes());
            Some(MergedChunk { range, encoding: open.encoding(), data, ..first.clone() })
        });
        out.extend(finished);
    };
    for (timestamp_ms, start_ms, value) in &samples {
        let start_ms = has_starts.then_some(*start_ms);
        let sample = Incoming { timestamp_ms: *timestamp_ms, start_ms, value };
        if let Some((chunk, last_ms)) = &mut open
            && chunk.num_samples() < MAX_SAMPLES
            && chunk.append(sample) == Push::Done
        {
            *last_ms = *timestamp_ms;
            continue;
        }
        let next = match &open {
            Some((before, _)) => before.next(sample),
            None => OpenChunk::start(sample),
        };
        let Some(next) = next else {
            return Err(blame(run, &ChunkError::Full));
        };
        finish(open.replace((next, *timestamp_ms)));
    }
    finish(open);
    Ok(())
}

/// The samples of chunks, with their start timestamps, 0 where that is unknown.
fn decode(run: &[MergedChunk]) -> Result<Vec<(i64, i64, Value)>, ChunkError> {
    let mut merged = Merged::new(run, TimeRange::ALL);
    let mut samples = Vec::new();
    while let Some(sample) = merged.next_started()? {
        samples.push(sample);
    }
    Ok(samples)
}

/// Which of the chunks is to blame for an error: the first that cannot be read by itself.
fn blame(run: &[MergedChunk], error: &ChunkError) -> MergeError {
    let broken = run.iter().find(|chunk| decode(std::slice::from_ref(*chunk)).is_err());
    match broken.or(run.first()) {
        Some(chunk) => chunk.wrong(error),
        None => MergeError { input: 0, source: BlockError::unwritable(error.to_string()) },
    }
}
