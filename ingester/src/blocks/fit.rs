//! Chunks of one series made to fit into a block: inside its time, in order, none over another.

use std::collections::BTreeMap;

use chunk::ChunkError;
use model::{TimeRange, Value};
use proto::Chunk;

use crate::head::cuts::CHUNK_SAMPLES;
use crate::head::open::{Incoming, OpenChunk, Push, decode_with_starts};

/// A sample with its start timestamp, as in [`Incoming`].
type Sample = (i64, Option<i64>, Value);

/// The samples of chunks, which are sorted by their first sample, inside a range. A chunk stays as it is unless it goes
/// beyond the range, or lies over its neighbour: then it is made anew. Of two samples at the same time the one of the
/// earlier chunk stays.
pub(super) fn fit(chunks: Vec<Chunk>, range: TimeRange) -> Result<Vec<Chunk>, ChunkError> {
    let overlap = chunks.array_windows().any(|[a, b]| b.range.start_ms() <= a.range.end_ms());
    if overlap {
        return merge(&chunks, range);
    }
    let mut fitting = Vec::with_capacity(chunks.len());
    for chunk in chunks {
        if range.contains(chunk.range.start_ms()) && range.contains(chunk.range.end_ms()) {
            fitting.push(chunk);
            continue;
        }
        let mut samples = decode_with_starts(chunk.encoding, &chunk.data)?;
        samples.retain(|(timestamp_ms, _, _)| range.contains(*timestamp_ms));
        encode(samples, &mut fitting)?;
    }
    Ok(fitting)
}

/// All samples of chunks inside a range, as new chunks.
pub(super) fn merge(chunks: &[Chunk], range: TimeRange) -> Result<Vec<Chunk>, ChunkError> {
    let mut samples: BTreeMap<i64, (Option<i64>, Value)> = BTreeMap::new();
    for chunk in chunks {
        for (timestamp_ms, start_ms, value) in decode_with_starts(chunk.encoding, &chunk.data)? {
            if range.contains(timestamp_ms) {
                samples.entry(timestamp_ms).or_insert((start_ms, value));
            }
        }
    }
    let samples =
        samples.into_iter().map(|(timestamp_ms, (start_ms, value))| (timestamp_ms, start_ms, value));
    let mut merged = Vec::new();
    encode(samples, &mut merged)?;
    Ok(merged)
}

fn encode(samples: impl IntoIterator<Item = Sample>, into: &mut Vec<Chunk>) -> Result<(), ChunkError> {
    let mut open: Option<(OpenChunk, i64)> = None;
    for (timestamp_ms, start_ms, value) in samples {
        let sample = Incoming { timestamp_ms, start_ms, value: &value };
        if let Some((chunk, last_ms)) = &mut open
            && chunk.num_samples() < CHUNK_SAMPLES
            && chunk.append(sample) == Push::Done
        {
            *last_ms = timestamp_ms;
            continue;
        }
        let next = match &open {
            Some((before, _)) => before.next(sample),
            None => OpenChunk::start(sample),
        };
        into.extend(open.take().and_then(finished));
        // It was taken once, so it is sound.
        open = Some((next.ok_or(ChunkError::Full)?, timestamp_ms));
    }
    into.extend(open.and_then(finished));
    Ok(())
}

fn finished((chunk, last_ms): (OpenChunk, i64)) -> Option<Chunk> {
    let range = TimeRange::new(chunk.first_ms(), last_ms)?;
    Some(Chunk { range, encoding: chunk.encoding(), data: bytes::Bytes::copy_from_slice(chunk.bytes()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(start: i64, end: i64) -> TimeRange {
        TimeRange::new(start, end).unwrap()
    }

    fn chunks(samples: impl IntoIterator<Item = i64>) -> Vec<Chunk> {
        let mut chunks = Vec::new();
        encode(samples.into_iter().map(|at| (at, None, Value::Float(at as f64))), &mut chunks).unwrap();
        chunks
    }

    fn times(chunks: &[Chunk]) -> Vec<i64> {
        let of = |chunk: &Chunk| decode_with_starts(chunk.encoding, &chunk.data).unwrap();
        chunks.iter().flat_map(of).map(|(at, _, _)| at).collect()
    }

    #[test]
    fn chunks_inside_stay_and_those_over_an_edge_are_cut() {
        let all = chunks((0..600).map(|i| i * 10));
        assert_eq!(all.len(), 5);
        let within = fit(all.clone(), range(1200, 3605)).unwrap();
        assert_eq!(within[0], all[1]);
        assert_eq!(within[1], all[2]);
        assert_eq!(within[2].range, range(3600, 3600));
        assert_eq!(times(&within), (120..=360).map(|i| i * 10).collect::<Vec<_>>());
        assert!(fit(all, range(6001, 7000)).unwrap().is_empty());
    }

    #[test]
    fn chunks_that_lie_over_each_other_become_others() {
        let mut all = chunks((0..300).map(|i| i * 10));
        all.extend(chunks((0..300).map(|i| i * 10 + 5)));
        all.extend(chunks([1000, 1001]));
        all.sort_by_key(|chunk| chunk.range.start_ms());
        let fitting = fit(all, range(10, 2000)).unwrap();
        assert!(fitting.array_windows().all(|[a, b]| a.range.end_ms() < b.range.start_ms()));
        let mut expected: Vec<i64> = (2..=400).map(|i| i * 5).chain([1001]).collect();
        expected.sort_unstable();
        assert_eq!(times(&fitting), expected);
    }
}
