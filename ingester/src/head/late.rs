//! Out-of-order samples of one series: kept sorted in memory until there are enough for a chunk.

use bytes::Bytes;
use model::{TimeRange, Value};
use proto::{Chunk, ChunkEncoding};

use crate::chunk_store::{ChunkPtr, ChunkStore};
use crate::head::open::{Incoming, OpenChunk, Push};

/// So many late samples make a chunk, as in Prometheus.
const LATE_CHUNK_SAMPLES: usize = 32;

/// The late samples of a series.
#[derive(Default)]
pub(crate) struct Late {
    /// By timestamp; no timestamp twice.
    samples: Vec<(i64, Value)>,
    /// Their start timestamps, 0 where unknown; as many as samples, or none where none were to be stored.
    starts: Vec<i64>,
    /// The newest stored chunk of late samples. Its predecessors are in no order of time.
    stored: Option<ChunkPtr>,
    range: Option<TimeRange>,
}

impl Late {
    /// What a snapshot has: time, start timestamp and value of each sample.
    pub(crate) fn restore(
        samples: Vec<(i64, Option<i64>, Value)>,
        stored: Option<ChunkPtr>,
        range: Option<TimeRange>,
    ) -> Self {
        let mut late = Self { stored, range, ..Self::default() };
        for (timestamp_ms, start_ms, value) in samples {
            late.place(late.samples.len(), Incoming { timestamp_ms, start_ms, value: &value });
        }
        late
    }

    /// Puts a sample at a position. Once one of them has a start timestamp, all have: the others' are unknown.
    fn place(&mut self, at: usize, sample: Incoming<'_>) {
        if sample.start_ms.is_some() && self.starts.is_empty() {
            self.starts.resize(self.samples.len(), 0);
        }
        if sample.start_ms.is_some() || !self.starts.is_empty() {
            self.starts.insert(at, sample.start_ms.unwrap_or(0));
        }
        self.samples.insert(at, (sample.timestamp_ms, sample.value.clone()));
    }

    /// Adds a sample at a timestamp that has none.
    pub(crate) fn insert(&mut self, sample: Incoming<'_>, store: &ChunkStore) {
        let timestamp_ms = sample.timestamp_ms;
        self.place(self.samples.partition_point(|(t, _)| *t < timestamp_ms), sample);
        let range = TimeRange::new(timestamp_ms, timestamp_ms);
        self.range = match (self.range, range) {
            (Some(a), Some(b)) => Some(a.hull(b)),
            (a, b) => a.or(b),
        };
        if self.samples.len() >= LATE_CHUNK_SAMPLES {
            for chunk in self.chunks_in_memory() {
                self.stored = Some(store.append(self.stored, chunk.range, chunk.encoding, &chunk.data));
            }
            self.samples = Vec::new();
            self.starts = Vec::new();
        }
    }

    /// Takes a whole chunk, none of whose timestamps has a sample.
    pub(crate) fn adopt(
        &mut self,
        range: TimeRange,
        encoding: ChunkEncoding,
        data: &[u8],
        store: &ChunkStore,
    ) {
        self.stored = Some(store.append(self.stored, range, encoding, data));
        self.range = Some(self.range.map_or(range, |own| own.hull(range)));
    }

    /// The newest stored chunk.
    pub(crate) fn stored(&self) -> Option<ChunkPtr> {
        self.stored
    }

    /// From the earliest to the latest late sample, stored ones included.
    pub(crate) fn range(&self) -> Option<TimeRange> {
        self.range
    }

    /// The samples that are not stored yet, as chunks: one, or more where floats and histograms mix.
    pub(crate) fn chunks_in_memory(&self) -> Vec<Chunk> {
        let mut chunks = Vec::new();
        let mut open: Option<OpenChunk> = None;
        let mut last_ms = 0;
        for (i, (timestamp_ms, value)) in self.samples.iter().enumerate() {
            let start_ms = self.starts.get(i).copied();
            let sample = Incoming { timestamp_ms: *timestamp_ms, start_ms, value };
            if open.as_mut().is_none_or(|o| o.append(sample) != Push::Done) {
                chunks.extend(open.take().and_then(|o| finish(&o, last_ms)));
                open = OpenChunk::start(sample);
            }
            last_ms = *timestamp_ms;
        }
        chunks.extend(open.and_then(|o| finish(&o, last_ms)));
        chunks
    }
}

fn finish(open: &OpenChunk, last_ms: i64) -> Option<Chunk> {
    let range = TimeRange::new(open.first_ms(), last_ms)?;
    Some(Chunk { range, encoding: open.encoding(), data: Bytes::copy_from_slice(open.bytes()) })
}
