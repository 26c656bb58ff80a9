//! Applying what was taken over from another ingester. Applying it again changes nothing, so that a hand-over can be
//! repeated, and so that a replay need not know how much of it a snapshot has.

use std::collections::BTreeMap;

use bytes::Bytes;
use model::{TenantId, TimeRange, Value};
use proto::{Chunk, TakenOver};

use crate::chains;
use crate::chunk_store::ChunkStore;
use crate::codec::Malformed;
use crate::head::Head;
use crate::head::apply::Applied;
use crate::head::cuts::Cuts;
use crate::head::open::{self, Incoming, OpenChunk, is_repetition};
use crate::head::series::{Fate, State};
use crate::head::tenant::Tenant;
use crate::take_over::record::{TakenChunk, TakenReader};

const CHUNK: Malformed = Malformed { what: "chunk that was taken over" };

impl Head {
    /// Applies a record of chunks.
    pub(super) fn apply_taken(&self, record: &[u8]) -> Result<Applied, Malformed> {
        let mut reader = TakenReader::new(record)?;
        let tenant = TenantId::new(reader.tenant()).map_err(|_| Malformed { what: "tenant" })?;
        let tenant = self.tenant_or_new(&tenant);
        let mut new = Vec::new();
        reader.series(|series| new.push(series))?;
        tenant.learn(&new)?;
        let index = tenant.index.read();
        let mut applied = Applied::default();
        while let Some(entry) = reader.entry()? {
            // Its labels may have been in a part of the log that is damaged, which was reported.
            let Some(series) = index.get(entry.id) else { continue };
            let mut state = series.state.lock();
            let taken = state.take_over(&entry.chunks, Cuts::of(series.cut_group), self.store())?;
            drop(state);
            if taken.stored > 0 || self.epoch() == 0 {
                tenant.noted_chunks(&entry.chunks)?;
            }
            applied.taken += taken;
        }
        tenant.count(applied.taken.stored);
        Ok(applied)
    }
}

impl Tenant {
    /// Notes chunks that were stored, where blocks have been cut from their times.
    fn noted_chunks(&self, chunks: &[TakenChunk<'_>]) -> Result<(), Malformed> {
        let cut_before = self.coverage.cut_before();
        for chunk in chunks.iter().filter(|chunk| chunk.range.start_ms() < cut_before) {
            match self.coverage.few_windows(chunk.range) {
                Some(starts) => starts.into_iter().filter(|start| *start < cut_before).for_each(|start| {
                    self.coverage.stored_late(start);
                }),
                None => {
                    let samples = open::decode(chunk.encoding, chunk.data).map_err(|_| CHUNK)?;
                    let times = samples.into_iter().map(|(timestamp_ms, _)| timestamp_ms);
                    times.filter(|at| *at < cut_before).for_each(|at| self.coverage.stored_late(at));
                }
            }
        }
        Ok(())
    }
}

impl State {
    /// Takes over chunks of the series, whatever their age.
    fn take_over(
        &mut self,
        chunks: &[TakenChunk<'_>],
        cuts: Cuts,
        store: &ChunkStore,
    ) -> Result<TakenOver, Malformed> {
        let mut taken = TakenOver::default();
        let Some(hull) = chunks.iter().map(|chunk| chunk.range).reduce(TimeRange::hull) else {
            return Ok(taken);
        };
        // A chunk that cannot be read cannot say what is in it; then everything is new.
        let known = chains::of_one(self.select(hull), hull, store).unwrap_or_default();
        let mut known = Known(known);
        for (position, chunk) in chunks.iter().enumerate() {
            let samples = samples_in(chunk)?;
            if known.has(chunk) {
                taken.repeated += samples;
                continue;
            }
            if known.overlapping(chunk.range).next().is_some() {
                taken += self.take_samples(chunk, &known, cuts, store)?;
            } else {
                self.adopt(chunk, position + 1 == chunks.len(), store);
                taken.stored += samples;
            }
            known.add(chunk);
        }
        Ok(taken)
    }

    /// Takes a whole chunk, none of whose samples is there. The last one may be one that is still being filled.
    fn adopt(&mut self, chunk: &TakenChunk<'_>, is_last: bool, store: &ChunkStore) {
        let TakenChunk { range, encoding, data } = *chunk;
        if self.range.is_some_and(|own| range.start_ms() <= own.end_ms()) {
            self.late.get_or_insert_default().adopt(range, encoding, data, store);
            return;
        }
        self.close(store);
        match is_last.then(|| OpenChunk::resume(range.start_ms(), encoding, data)) {
            Some(Ok(open)) => self.open = Some(open),
            Some(Err(_)) | None => self.stored = Some(store.append(self.stored, range, encoding, data)),
        }
        self.extend_to(range.start_ms());
        self.extend_to(range.end_ms());
    }

    /// Takes those samples of a chunk that are not there. Where there is another value, that one stays.
    fn take_samples(
        &mut self,
        chunk: &TakenChunk<'_>,
        known: &Known,
        cuts: Cuts,
        store: &ChunkStore,
    ) -> Result<TakenOver, Malformed> {
        let there = known.values(chunk.range);
        let mut taken = TakenOver::default();
        let samples = open::decode_with_starts(chunk.encoding, chunk.data).map_err(|_| CHUNK)?;
        for (timestamp_ms, start_ms, value) in samples {
            match there.get(&timestamp_ms) {
                Some(existing) if is_repetition(existing, &value) => taken.repeated += 1,
                Some(_) => taken.conflicting += 1,
                None => {
                    let sample = Incoming { timestamp_ms, start_ms, value: &value };
                    match self.take_sample(sample, cuts, store) {
                        Fate::Stored | Fate::Repeated => taken.stored += 1,
                        Fate::Refused(_) => taken.conflicting += 1,
                    }
                }
            }
        }
        Ok(taken)
    }

    fn take_sample(&mut self, sample: Incoming<'_>, cuts: Cuts, store: &ChunkStore) -> Fate {
        if self.range.is_none_or(|own| sample.timestamp_ms > own.end_ms()) {
            return self.append(sample, cuts, store);
        }
        self.late.get_or_insert_default().insert(sample, store);
        Fate::Stored
    }
}

/// The chunks that a series has where others come.
struct Known(Vec<Chunk>);

impl Known {
    fn overlapping(&self, range: TimeRange) -> impl Iterator<Item = &Chunk> {
        self.0.iter().filter(move |known| known.range.overlaps(range))
    }

    fn has(&self, chunk: &TakenChunk<'_>) -> bool {
        self.overlapping(chunk.range).any(|known| TakenChunk::from(known) == *chunk)
    }

    fn add(&mut self, chunk: &TakenChunk<'_>) {
        let data = Bytes::copy_from_slice(chunk.data);
        self.0.push(Chunk { range: chunk.range, encoding: chunk.encoding, data });
    }

    /// The samples in a range; where two chunks have one at the same time, that of the first.
    fn values(&self, range: TimeRange) -> BTreeMap<i64, Value> {
        let mut values = BTreeMap::new();
        for chunk in self.overlapping(range) {
            let samples = open::decode(chunk.encoding, &chunk.data).unwrap_or_default();
            for (timestamp_ms, value) in samples {
                if range.contains(timestamp_ms) {
                    values.entry(timestamp_ms).or_insert(value);
                }
            }
        }
        values
    }
}

fn samples_in(chunk: &TakenChunk<'_>) -> Result<u64, Malformed> {
    let cursor = chunk::cursor(chunk.encoding, chunk.data).map_err(|_| CHUNK)?;
    Ok(u64::from(cursor.num_samples()))
}
