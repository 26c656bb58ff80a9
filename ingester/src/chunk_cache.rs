//! Stored chunks that queries read lately, one here and one there: a dashboard asks for the same few of many series again
//! and again, and each of their chunks would be a read of its own. Chunks that lie together are not kept, since reading
//! many at once costs little.

use bytes::Bytes;
use hashbrown::HashMap;
use parking_lot::Mutex;
use proto::Chunk;
use telemetry::metrics::Counter;

use crate::chunk_reader::Wanted;
use crate::chunk_store::{ChunkPtr, StoredChunk};
use crate::read_buffers::ReadBuffers;

/// What a chunk is counted for beside its data: its place in a table, and what the allocator needs.
const ENTRY_BYTES: usize = 160;

/// Chunks by where they are stored, as many as fit. Those that nobody asked for lately make room.
pub(crate) struct ChunkCache {
    /// Each of two generations may be as large as this.
    max_bytes: usize,
    generations: Mutex<Generations>,
    /// Where files are read to.
    buffers: ReadBuffers,
    hits: Counter,
    misses: Counter,
}

/// What was asked for since the last change of generations, and what only before that.
#[derive(Default)]
struct Generations {
    young: HashMap<ChunkPtr, StoredChunk>,
    young_bytes: usize,
    old: HashMap<ChunkPtr, StoredChunk>,
}

impl ChunkCache {
    /// A cache of `max_bytes`; with 0 it keeps nothing.
    pub(crate) fn new(max_bytes: usize, hits: Counter, misses: Counter) -> Self {
        Self {
            max_bytes: max_bytes / 2,
            generations: Mutex::default(),
            buffers: ReadBuffers::default(),
            hits,
            misses,
        }
    }

    /// How much one reader may add, in bytes of data: who reads more than fits would only push out what is there.
    pub(crate) fn share(&self) -> usize {
        self.max_bytes
    }

    /// Where readers read to that share this cache.
    pub(crate) fn buffers(&self) -> ReadBuffers {
        self.buffers.clone()
    }

    /// Gives those of the chunks that are known to `take`, and returns the others. All are looked for before the first one is
    /// copied: they lie in many places, and the processor waits for all of them together.
    pub(crate) fn take_known(
        &self,
        wanted: &[Wanted],
        take: &mut impl FnMut(u32, StoredChunk),
    ) -> Vec<Wanted> {
        let generations = &mut *self.generations.lock();
        let young: Vec<_> = wanted.iter().map(|w| generations.young.get(&w.pointer)).collect();
        let mut missing = Vec::new();
        for (wanted, found) in wanted.iter().zip(young) {
            match found {
                Some(chunk) => take(wanted.of, chunk.clone()),
                None => missing.push(*wanted),
            }
        }
        missing.retain(|wanted| match generations.old.remove(&wanted.pointer) {
            Some(chunk) => {
                generations.add(wanted.pointer, chunk.clone(), self.max_bytes);
                take(wanted.of, chunk);
                false
            }
            None => true,
        });
        self.hits.inc_by((wanted.len() - missing.len()) as u64);
        self.misses.inc_by(missing.len() as u64);
        missing
    }

    /// How often a chunk was known.
    #[cfg(test)]
    pub(crate) fn hits(&self) -> u64 {
        self.hits.get()
    }

    /// Keeps a chunk, whose data should be an allocation of their own.
    pub(crate) fn insert(&self, pointer: ChunkPtr, chunk: StoredChunk) {
        self.generations.lock().add(pointer, chunk, self.max_bytes);
    }
}

impl Generations {
    fn add(&mut self, pointer: ChunkPtr, chunk: StoredChunk, max_bytes: usize) {
        let bytes = bytes_of(&chunk.chunk);
        if bytes > max_bytes {
            return;
        }
        if self.young_bytes + bytes > max_bytes {
            self.old = std::mem::take(&mut self.young);
            self.young_bytes = 0;
        }
        if self.young.insert(pointer, chunk).is_none() {
            self.young_bytes += bytes;
        }
    }
}

/// What a chunk takes in the cache.
pub(crate) fn bytes_of(chunk: &Chunk) -> usize {
    chunk.data.len() + ENTRY_BYTES
}

/// Data for a chunk that is to be kept: a copy that nothing else shares.
pub(crate) fn own(data: &[u8]) -> Bytes {
    Bytes::copy_from_slice(data)
}

#[cfg(test)]
mod tests {
    use model::TimeRange;
    use proto::ChunkEncoding;
    use telemetry::Registry;

    use super::*;

    fn chunk(number: u64) -> (ChunkPtr, StoredChunk) {
        let pointer = ChunkPtr::from_number(1 << 32 | number).unwrap();
        let range = TimeRange::new(number as i64, number as i64 + 1).unwrap();
        let data = own(&[number as u8; 240]);
        (pointer, StoredChunk { previous: None, chunk: Chunk { range, encoding: ChunkEncoding::Xor, data } })
    }

    /// The chunk stored there, if it is known.
    fn get(cache: &ChunkCache, pointer: ChunkPtr) -> Option<StoredChunk> {
        let mut found = None;
        let missing =
            cache.take_known(&[Wanted { pointer, of: 7 }], &mut |of, chunk| found = Some((of, chunk)));
        assert_eq!(missing.is_empty(), found.is_some());
        found.map(|(of, chunk)| {
            assert_eq!(of, 7);
            chunk
        })
    }

    fn cache(max_bytes: usize) -> ChunkCache {
        let registry = Registry::new();
        ChunkCache::new(max_bytes, registry.counter("hits", "Hits"), registry.counter("misses", "Misses"))
    }

    #[test]
    fn what_is_asked_for_stays_and_the_rest_goes() {
        // Ten chunks in each generation.
        let cache = cache(20 * (240 + ENTRY_BYTES));
        for number in 0..500 {
            let (pointer, stored) = chunk(number);
            cache.insert(pointer, stored);
            let (first, expected) = chunk(0);
            assert_eq!(get(&cache, first), Some(expected), "asked for after each of {number}");
        }
        let known = (0..500).filter(|number| get(&cache, chunk(*number).0).is_some()).count();
        assert!((10..=20).contains(&known), "{known}");
        assert_eq!((cache.hits.get(), cache.misses.get()), (500 + known as u64, 500 - known as u64));
    }

    #[test]
    fn nothing_is_kept_where_nothing_fits() {
        for max_bytes in [0, 700] {
            let cache = cache(max_bytes);
            let (pointer, stored) = chunk(1);
            cache.insert(pointer, stored);
            assert_eq!(get(&cache, pointer), None);
        }
    }
}
