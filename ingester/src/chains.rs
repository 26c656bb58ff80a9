//! Follows the lists of stored chunks of many series at once: all newest chunks, then all those before them, and so on.
//! Chunks of different series that were closed at about the same time lie near each other, so each round reads one part
//! of the files from its beginning to its end.

use model::TimeRange;
use proto::Chunk;

use crate::chunk_reader::{ChunkReader, Unreadable, Wanted};
use crate::chunk_store::{ChunkStore, StoreError, StoredChunk};
use crate::head::series::{Link, Selection};

/// A chunk of a series that cannot be read.
#[derive(Debug)]
pub(crate) struct BrokenChain {
    /// The number of the selection.
    pub(crate) series: usize,
    /// Why.
    pub(crate) error: StoreError,
}

/// The chunks of one series that overlap a range, sorted by their first sample.
pub(crate) fn of_one(
    selection: Selection,
    range: TimeRange,
    store: &ChunkStore,
) -> Result<Vec<Chunk>, StoreError> {
    let read = of_many(vec![selection], range, store, &mut ChunkReader::default(), usize::MAX);
    Ok(read.map_err(|broken| broken.error)?.pop().unwrap_or_default())
}

/// The chunks of series that overlap a range, sorted by their first sample. Where all of them take more than
/// `max_bytes`, those of fewer series, the first ones, but of one at least.
pub(crate) fn of_many(
    selections: Vec<Selection>,
    range: TimeRange,
    store: &ChunkStore,
    reader: &mut ChunkReader,
    max_bytes: usize,
) -> Result<Vec<Vec<Chunk>>, BrokenChain> {
    let mut round = Round { range, next: Vec::with_capacity(selections.len()), chunks: Vec::new(), bytes: 0 };
    for (number, mut selection) in selections.into_iter().enumerate() {
        selection.links().for_each(|link| round.next.push(wanted(number, &link)));
        let in_memory = selection.take_in_memory();
        round.bytes += bytes_of(&in_memory);
        round.chunks.push(in_memory);
    }
    let mut current = Vec::new();
    loop {
        while round.bytes > max_bytes && round.chunks.len() > 1 {
            round.give_up_half();
        }
        std::mem::swap(&mut current, &mut round.next);
        if current.is_empty() {
            break;
        }
        round.next.clear();
        current.sort_unstable();
        reader.read(store, &current, |of, stored| round.take(of, stored)).map_err(broken)?;
    }
    round.chunks.iter_mut().for_each(|chunks| {
        chunks.sort_by_key(|c| (c.range.start_ms(), c.range.end_ms()));
    });
    Ok(round.chunks)
}

/// What has been read, and what is to be read next.
struct Round {
    range: TimeRange,
    /// The chunks of each series.
    chunks: Vec<Vec<Chunk>>,
    bytes: usize,
    next: Vec<Wanted>,
}

impl Round {
    fn take(&mut self, of: u32, stored: StoredChunk) {
        let (series, late) = parts(of);
        let own = stored.chunk.range;
        // In-order chunks only get older from here.
        let ends = !late && own.start_ms() <= self.range.start_ms();
        if let Some(pointer) = stored.previous.filter(|_| !ends) {
            self.next.push(wanted(series, &Link { pointer, late }));
        }
        if let Some(chunks) = self.chunks.get_mut(series).filter(|_| own.overlaps(self.range)) {
            self.bytes += stored.chunk.data.len();
            if chunks.len() == chunks.capacity() {
                chunks.reserve_exact(chunks_left(own, self.range));
            }
            chunks.push(stored.chunk);
        }
    }

    /// Leaves the first half of the series.
    fn give_up_half(&mut self) {
        self.chunks.truncate(self.chunks.len().div_ceil(2));
        self.bytes = self.chunks.iter().map(|chunks| bytes_of(chunks)).sum();
        let series = self.chunks.len();
        self.next.retain(|wanted| parts(wanted.of).0 < series);
    }
}

/// How many chunks a series may have in a range from this one back, if they are as long as this one: 1 at least.
fn chunks_left(from: TimeRange, range: TimeRange) -> usize {
    const AT_MOST: i64 = 64;
    let left = from.start_ms().saturating_sub(range.start_ms()).max(0);
    let length = from.end_ms().saturating_sub(from.start_ms()).max(1);
    1 + (left / length).saturating_add(1).min(AT_MOST) as usize
}

fn bytes_of(chunks: &[Chunk]) -> usize {
    chunks.iter().map(|chunk| chunk.data.len()).sum()
}

/// What is wanted for a series says in its lowest bit whether it is a late chunk.
fn wanted(series: usize, link: &Link) -> Wanted {
    Wanted { pointer: link.pointer, of: (series as u32) << 1 | u32::from(link.late) }
}

fn parts(of: u32) -> (usize, bool) {
    ((of >> 1) as usize, of & 1 == 1)
}

fn broken(unreadable: Unreadable) -> BrokenChain {
    BrokenChain { series: parts(unreadable.wanted.of).0, error: unreadable.error }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::sync::Arc;

    use env::SimFs;
    use model::{SeriesHash, Value};

    use super::*;
    use crate::head::cuts::{CutGroup, Cuts};
    use crate::head::open::Incoming;
    use crate::head::series::{Context, State};

    const SERIES: usize = 40;
    const STEP_MS: i64 = 15_000;

    /// Series with in-order and late samples, some still in memory.
    fn states(store: &ChunkStore) -> Vec<State> {
        let mut states: Vec<State> = (0..SERIES).map(|_| State::default()).collect();
        let context = Context { store, out_of_order_window_ms: u64::MAX / 2, epoch: 1 };
        for i in 0..700i64 {
            for (number, state) in states.iter_mut().enumerate() {
                let late = i % 3 == 0 && number % 5 == 0 && i > 0;
                let timestamp_ms = i * STEP_MS - if late { 40 * STEP_MS + 1 } else { 0 };
                let value = Value::Float((i * number as i64) as f64);
                let cuts = Cuts::of(CutGroup::of(
                    "m",
                    SeriesHash((number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)),
                ));
                state.apply(Incoming { timestamp_ms, start_ms: None, value: &value }, cuts, context);
            }
            if i % 100 == 99 {
                store.flush().unwrap();
            }
        }
        states
    }

    #[test]
    fn many_are_what_each_is_and_some_where_not_all_fit() {
        let store = ChunkStore::open(Arc::new(SimFs::new(1)), PathBuf::from("/chunks"), &[]).unwrap();
        let states = states(&store);
        for (from, to) in [(0, 700), (650, 700), (100, 260), (-90, -50), (699, 699)] {
            let range = TimeRange::new(from * STEP_MS, to * STEP_MS).unwrap();
            let select = || states.iter().map(|state| state.select(range));
            let each: Vec<_> = select().map(|one| of_one(one, range, &store).unwrap()).collect();
            assert!(each.iter().flatten().all(|chunk| chunk.range.overlaps(range)));
            let mut reader = ChunkReader::default();
            let all = of_many(select().collect(), range, &store, &mut reader, usize::MAX).unwrap();
            assert!(all == each, "{from} to {to}");
            let total: usize = each.iter().map(|chunks| bytes_of(chunks)).sum();
            for max_bytes in [0, total / 3, total - total.min(1)] {
                let some = of_many(select().collect(), range, &store, &mut reader, max_bytes).unwrap();
                assert!(some == each[..some.len()], "{from} to {to}, {max_bytes} bytes");
                let fits = some.iter().map(|chunks| bytes_of(chunks)).sum::<usize>() <= max_bytes;
                assert!(fits || some.len() == 1, "{} series, {max_bytes} bytes", some.len());
                assert_eq!(some.len() < SERIES, total > max_bytes);
            }
        }
    }
}
