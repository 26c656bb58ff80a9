//! The chunks of one series, of all blocks, made into chunks one behind the other.

use std::cmp::Ordering;
use std::sync::Arc;

use bytes::Bytes;
use chunk::{ChunkData, ChunkError, Encoding, Incoming, Merged, OpenChunk, Push, run_length};
use model::{TimeRange, Value};

use crate::chunks::ChunkWriter;
use crate::chunks::records::Record;
use crate::error::BlockError;
use crate::index::{ChunkMeta, ChunkRef};
use crate::meta::Stats;
use crate::output::Output;
use crate::tombstones::left_of;
use crate::verify::Samples;

use super::MergeError;

/// How many samples a chunk that is made anew has at most, as Prometheus has it.
pub const MAX_SAMPLES: u16 = 120;

/// A chunk of one of the blocks.
pub(super) struct Part<'a> {
    pub(super) input: usize,
    pub(super) meta: ChunkMeta,
    pub(super) record: Record<'a>,
    /// What of the series has been deleted.
    pub(super) deleted: Option<&'a Arc<[TimeRange]>>,
}

/// A chunk of a merged series.
#[derive(Debug, Clone)]
pub(crate) struct MergedChunk<'a> {
    range: TimeRange,
    encoding: Encoding,
    body: Body<'a>,
    /// The input that it is of, and where it is there; of a new one, of the first of its run.
    input: usize,
    at: ChunkRef,
}

/// What a chunk has.
#[derive(Debug, Clone)]
enum Body<'a> {
    /// What stands in its segment.
    Copied(Record<'a>),
    /// What was made anew.
    Made(Bytes),
}

impl ChunkData for MergedChunk<'_> {
    fn range(&self) -> TimeRange {
        self.range
    }

    fn encoding(&self) -> Encoding {
        self.encoding
    }

    fn data(&self) -> &[u8] {
        match &self.body {
            Body::Copied(record) => record.data(),
            Body::Made(data) => data,
        }
    }
}

impl MergedChunk<'_> {
    /// From its first to its last sample.
    pub(crate) fn range(&self) -> TimeRange {
        self.range
    }

    /// Writes it; one that was copied with the checksum that it was read with.
    pub(crate) fn write_to<O: Output, F: FnMut(u32) -> Result<O, BlockError>>(
        &self,
        chunks: &mut ChunkWriter<O, F>,
    ) -> Result<ChunkRef, BlockError> {
        match &self.body {
            Body::Copied(record) => chunks.copy(*record),
            Body::Made(data) => chunks.write(self.encoding, data),
        }
    }

    /// Decodes and counts its samples: they have to be in order, and to begin and end when the index of its block says.
    pub(super) fn check(&self, samples: &mut Samples, counted: &mut Stats) -> Result<(), MergeError> {
        let checked = samples.check(self.encoding, self.data(), self.range, counted);
        checked.map_err(|what| self.wrong(what))
    }

    fn wrong(&self, what: String) -> MergeError {
        let file = crate::chunks::segment_name(self.at.segment());
        let source = BlockError::malformed(&file, u64::from(self.at.offset()), what);
        MergeError { input: self.input, source }
    }
}

/// Makes the chunks of a series, of all blocks, into chunks one behind the other, which take the place of what is in `out`; none
/// where all of it has been deleted.
///
/// # Errors
/// Where a chunk that has to be decoded cannot be, or has other samples than its index says.
pub(super) fn combine<'a>(
    parts: impl Iterator<Item = Part<'a>>,
    samples: &mut Samples,
    out: &mut Vec<MergedChunk<'a>>,
) -> Result<(), MergeError> {
    out.clear();
    for part in parts {
        part.leave(samples, out)?;
    }
    if are_apart(out) {
        return Ok(());
    }
    out.sort_by(order);
    out.dedup_by(|a, b| order(a, b).is_eq());
    if are_apart(out) {
        return Ok(());
    }
    let all = std::mem::take(out);
    let mut rest = all.as_slice();
    while !rest.is_empty() {
        let (run, others) = rest.split_at(run_length(rest));
        rest = others;
        match run {
            [chunk] => out.push(chunk.clone()),
            run => {
                for chunk in run {
                    chunk.check(samples, &mut Stats::default())?;
                }
                encode(run, out)?;
            }
        }
    }
    Ok(())
}

/// Whether each chunk ends before the next one begins.
fn are_apart(chunks: &[MergedChunk<'_>]) -> bool {
    chunks.array_windows().all(|[a, b]| a.range.end_ms() < b.range.start_ms())
}

impl<'a> Part<'a> {
    /// Adds the chunk, or what is left of it.
    fn leave(self, samples: &mut Samples, all: &mut Vec<MergedChunk<'a>>) -> Result<(), MergeError> {
        let Self { input, meta, record, deleted } = self;
        let (encoding, at) = (record.encoding, meta.reference);
        let whole = MergedChunk { range: meta.range, encoding, body: Body::Copied(record), input, at };
        let Some(deleted) = deleted.filter(|all| all.iter().any(|gone| gone.overlaps(meta.range))) else {
            all.push(whole);
            return Ok(());
        };
        whole.check(samples, &mut Stats::default())?;
        for left in left_of(meta.range, deleted) {
            let slices = chunk::slice(encoding, record.data(), left);
            let slices = slices.map_err(|error| whole.wrong(error.to_string()))?;
            all.extend(slices.into_iter().map(|slice| MergedChunk {
                range: slice.range,
                body: Body::Made(slice.data.into()),
                ..whole.clone()
            }));
        }
        Ok(())
    }
}

fn order(a: &MergedChunk<'_>, b: &MergedChunk<'_>) -> Ordering {
    let key = |c: &MergedChunk<'_>| (c.range.start_ms(), c.range.end_ms(), c.encoding as u8);
    key(a).cmp(&key(b)).then_with(|| a.data().cmp(b.data()))
}

/// Makes new chunks of those that overlap.
fn encode<'a>(run: &[MergedChunk<'a>], out: &mut Vec<MergedChunk<'a>>) -> Result<(), MergeError> {
    let samples = decode(run).map_err(|error| blame(run, &error))?;
    // Most encodings with start timestamps are read by few programs: they are written where there are such.
    let has_starts = samples.iter().any(|(_, start_ms, _)| *start_ms != 0);
    let Some(first) = run.first() else { return Ok(()) };
    let mut open: Option<(OpenChunk, i64)> = None;
    let mut finish = |open: Option<(OpenChunk, i64)>| {
        let finished = open.and_then(|(open, last_ms)| {
            let range = TimeRange::new(open.first_ms(), last_ms)?;
            let data = Bytes::copy_from_slice(open.bytes());
            Some(MergedChunk { range, encoding: open.encoding(), body: Body::Made(data), ..first.clone() })
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
fn decode(run: &[MergedChunk<'_>]) -> Result<Vec<(i64, i64, Value)>, ChunkError> {
    let mut merged = Merged::new(run, TimeRange::ALL);
    let mut samples = Vec::new();
    while let Some(sample) = merged.next_started()? {
        samples.push(sample);
    }
    Ok(samples)
}

/// Which of the chunks is to blame for an error: the first that cannot be read by itself.
fn blame(run: &[MergedChunk<'_>], error: &ChunkError) -> MergeError {
    let broken = run.iter().find(|chunk| decode(std::slice::from_ref(*chunk)).is_err());
    match broken.or(run.first()) {
        Some(chunk) => chunk.wrong(error.to_string()),
        None => MergeError { input: 0, source: BlockError::unwritable(error.to_string()) },
    }
}
