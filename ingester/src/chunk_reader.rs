//! Reads stored chunks of many series for one selection, in the order in which they lie in the files: chunks that lie
//! near each other are read together.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use env::File;

use crate::chunk_cache::{self, ChunkCache};
use crate::chunk_store::{
    ChunkPtr, ChunkStore, FRAME_BYTES, StoreError, StoredChunk, decode_with, read_up_to,
};
use crate::read_buffers::ReadBuffers;

/// Chunks so near each other are read together: reading what lies between costs no more than another call.
const NEAR_BYTES: u32 = 6 << 10;
/// At most so much is read at once, unless a single chunk is longer: it stays in the processor's cache.
const RUN_BYTES: u32 = 128 << 10;
/// How much is read for a chunk of unknown length: what the longest so far needed, within these bounds.
const GUESS_BYTES: std::ops::RangeInclusive<u32> = 384..=16 << 10;
/// Data of chunks are kept in blocks of this size, ...
const BLOCK_BYTES: usize = 64 << 10;
/// ... or of a size for so few chunks as are wanted, with so much for each.
const CHUNK_BYTES: usize = 256;

/// Chunks that are read together, but take more of the file than so much each, are kept for the next query: of what is read
/// for them most is not wanted.
const SPARSE_BYTES: u32 = 1 << 10;
/// So few together are kept, too.
const FEW: usize = 2;

/// Where most of a buffer is wanted, chunks are kept where they were read to: of so many parts ...
const PARTS: usize = 4;
/// ... at least so many.
const PARTS_WANTED: usize = 3;

/// How data of a chunk are kept that is read together with others.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Keep {
    /// With others: copied together, of which so many are still to come, or where they were read to.
    Together(usize),
    /// By itself.
    Alone,
}

/// A chunk that is to be read, and for whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Wanted {
    /// Where it is.
    pub(crate) pointer: ChunkPtr,
    /// Whose it is: of no meaning here.
    pub(crate) of: u32,
}

/// A chunk that cannot be read.
#[derive(Debug)]
pub(crate) struct Unreadable {
    /// The chunk.
    pub(crate) wanted: Wanted,
    /// Why.
    pub(crate) error: StoreError,
}

/// Reads chunks. What it needs for that is kept for the next ones.
#[derive(Default)]
pub(crate) struct ChunkReader {
    /// Where files are read to.
    buffers: ReadBuffers,
    /// Where data are put that are handed out.
    block: BytesMut,
    /// The longest frame so far.
    longest: u32,
    file: Option<(u32, Arc<dyn File>)>,
    /// Where chunks are kept that lie far apart, and how many bytes may still be added to it.
    cache: Option<(Arc<ChunkCache>, usize)>,
}

impl ChunkReader {
    /// A reader that first looks in `cache` for chunks of which few lie near each other, and leaves them there.
    pub(crate) fn with_cache(cache: Arc<ChunkCache>) -> Self {
        let (share, buffers) = (cache.share(), cache.buffers());
        Self { cache: Some((cache, share)), buffers, ..Self::default() }
    }

    /// Reads chunks, which are sorted, and calls `take` with each and with whose it is. Those that retention has removed are
    /// left out.
    pub(crate) fn read(
        &mut self,
        store: &ChunkStore,
        wanted: &[Wanted],
        mut take: impl FnMut(u32, StoredChunk),
    ) -> Result<(), Unreadable> {
        let flushed = store.flushed();
        let (stored, in_memory) = wanted.split_at(wanted.partition_point(|w| w.pointer < flushed));
        let mut rest = stored;
        while !rest.is_empty() {
            let (run, behind) = rest.split_at(run_length(rest));
            if self.cache.is_some() && is_sparse(run) {
                self.read_sparse(store, flushed, run, &mut take)?;
            } else {
                self.read_run(store, flushed, run, Keep::Together(rest.len()), &mut take)?;
            }
            rest = behind;
        }
        for wanted in in_memory {
            Self::read_one(store, *wanted, &mut take)?;
        }
        Ok(())
    }

    /// Chunks of which few lie near each other: from the cache, or else from the file and to the cache.
    fn read_sparse(
        &mut self,
        store: &ChunkStore,
        flushed: ChunkPtr,
        run: &[Wanted],
        take: &mut impl FnMut(u32, StoredChunk),
    ) -> Result<(), Unreadable> {
        let Some((cache, room)) = self.cache.clone() else { return Ok(()) };
        // What retention has removed may still be known.
        let segment = run.first().map_or(0, |first| first.pointer.segment());
        if self.file(store, segment).is_none() {
            return Ok(());
        }
        let missing = cache.take_known(run, take);
        let (mut rest, mut left) = (missing.as_slice(), room);
        while !rest.is_empty() {
            let (run, behind) = rest.split_at(run_length(rest));
            self.read_run(store, flushed, run, Keep::Alone, &mut |of, chunk| {
                let bytes = chunk_cache::bytes_of(&chunk.chunk);
                if let Some(wanted) = run.iter().find(|wanted| wanted.of == of && bytes <= left) {
                    left -= bytes;
                    cache.insert(wanted.pointer, chunk.clone());
                }
                take(of, chunk);
            })?;
            rest = behind;
        }
        self.cache = Some((cache, left));
        Ok(())
    }

    /// Reads chunks of one file that lie near each other.
    fn read_run(
        &mut self,
        store: &ChunkStore,
        flushed: ChunkPtr,
        run: &[Wanted],
        keep: Keep,
        take: &mut impl FnMut(u32, StoredChunk),
    ) -> Result<(), Unreadable> {
        let ([first, ..], [.., last]) = (run, run) else { return Ok(()) };
        let segment = first.pointer.segment();
        let Some(file) = self.file(store, segment) else { return Ok(()) };
        let guess = self.longest.clamp(*GUESS_BYTES.start(), *GUESS_BYTES.end());
        // What lies behind the flushed part may be written at this moment.
        let limit = if segment == flushed.segment() { flushed.offset() } else { u32::MAX };
        let start = first.pointer.offset();
        let end = last.pointer.offset().saturating_add(guess).min(limit);
        let mut buffer = self.buffers.take(end.saturating_sub(start) as usize);
        let have = read_up_to(&*file, buffer.as_mut(), u64::from(start)).map_err(|source| {
            let error = StoreError::Io { segment, offset: start, source };
            Unreadable { wanted: *first, error }
        })?;
        let of = |wanted: &Wanted| (wanted.pointer.offset() - start) as usize;
        let held = buffer.held_bytes();
        let wanted_bytes: usize = run.iter().map(|wanted| frame_at(buffer.as_ref(), of(wanted)).1).sum();
        let read = Bytes::from_owner(buffer);
        let read = read.slice(..have.min(read.len()));
        let stays = keep != Keep::Alone && wanted_bytes >= held / PARTS * PARTS_WANTED;
        for (done, wanted) in run.iter().enumerate() {
            let (frame, length) = frame_at(&read, of(wanted));
            if length > frame.len() {
                // Longer than was to be expected, or damaged.
                self.longest = self.longest.max((length as u32).min(*GUESS_BYTES.end()));
                Self::read_one(store, *wanted, take)?;
                continue;
            }
            self.longest = self.longest.max(length as u32);
            let block = &mut self.block;
            let own = |data: &[u8]| match keep {
                Keep::Together(_) if stays => read.slice_ref(data),
                Keep::Together(left) => kept(block, data, left - done),
                Keep::Alone => chunk_cache::own(data),
            };
            let chunk = decode_with(wanted.pointer, frame, own).ok_or_else(|| {
                let error = StoreError::Damaged { segment, offset: wanted.pointer.offset() };
                Unreadable { wanted: *wanted, error }
            })?;
            take(wanted.of, chunk);
        }
        Ok(())
    }

    fn read_one(
        store: &ChunkStore,
        wanted: Wanted,
        take: &mut impl FnMut(u32, StoredChunk),
    ) -> Result<(), Unreadable> {
        if let Some(chunk) = store.read(wanted.pointer).map_err(|error| Unreadable { wanted, error })? {
            take(wanted.of, chunk);
        }
        Ok(())
    }

    fn file(&mut self, store: &ChunkStore, segment: u32) -> Option<Arc<dyn File>> {
        if let Some((_, file)) = self.file.as_ref().filter(|(known, _)| *known == segment) {
            return Some(file.clone());
        }
        let file = store.file(segment)?;
        self.file = Some((segment, file.clone()));
        Some(file)
    }
}

/// A copy of data in a block with those of others; `chunks` are still to be kept.
fn kept(block: &mut BytesMut, data: &[u8], chunks: usize) -> Bytes {
    if block.capacity() < data.len() {
        let size = chunks.saturating_mul(CHUNK_BYTES).min(BLOCK_BYTES);
        *block = BytesMut::with_capacity(size.max(data.len()));
    }
    block.extend_from_slice(data);
    block.split().freeze()
}

/// Whether little of what is read for these chunks, which are read together, is wanted.
fn is_sparse(run: &[Wanted]) -> bool {
    let ([first, ..], [.., last]) = (run, run) else { return false };
    let span = (last.pointer.offset() - first.pointer.offset()) as usize;
    run.len() <= FEW || span > run.len() * SPARSE_BYTES as usize
}

/// What there is of a frame from this place on, and how long it says that it is.
fn frame_at(read: &[u8], at: usize) -> (&[u8], usize) {
    let frame = read.get(at..).unwrap_or_default();
    let length = frame.first_chunk().map_or(u32::MAX, |bytes| u32::from_le_bytes(*bytes));
    (frame, length.saturating_add(FRAME_BYTES) as usize)
}

/// How many of the first chunks are read together.
fn run_length(wanted: &[Wanted]) -> usize {
    let Some(first) = wanted.first() else { return 0 };
    let mut before = first.pointer;
    let together = wanted.iter().take_while(|wanted| {
        let next = wanted.pointer;
        let together = next.segment() == before.segment()
            && next.offset() - before.offset() <= NEAR_BYTES
            && next.offset() - first.pointer.offset() <= RUN_BYTES;
        before = next;
        together
    });
    together.count().max(1)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use env::SimFs;
    use model::TimeRange;
    use proto::ChunkEncoding;
    use telemetry::Registry;

    use super::*;

    /// Chunks of all lengths, any of them, read while more are written, are what they were.
    #[test]
    fn reads_what_the_store_reads() {
        let store = ChunkStore::open(Arc::new(SimFs::new(1)), PathBuf::from("/chunks"), &[]).unwrap();
        let mut pointers = Vec::new();
        let registry = Registry::new();
        let counter = |name| registry.counter(name, "Chunks");
        // Little enough for the cache to change generations.
        let cache = Arc::new(ChunkCache::new(40_000, counter("hits"), counter("misses")));
        let mut plain = ChunkReader::default();
        for round in 0..6usize {
            for i in 0..200usize {
                let length = [3, 90, 240, 700, 1_100, 30_000][(i * i + round) % 6].min(200 * (i % 30) + 5);
                let data: Vec<u8> = (0..length).map(|k| (k * 31 + i + round) as u8).collect();
                let range = TimeRange::new(i as i64, (i + 7) as i64).unwrap();
                pointers.push(store.append(pointers.last().copied(), range, ChunkEncoding::Xor, &data));
            }
            if round % 2 == 0 {
                store.flush().unwrap();
            }
            for step in [1, 3, 40, 300, 900] {
                let every = (round % step..pointers.len()).step_by(step);
                let wanted: Vec<_> = every.map(|i| Wanted { pointer: pointers[i], of: i as u32 }).collect();
                let mut caching = ChunkReader::with_cache(cache.clone());
                for reader in [&mut plain, &mut caching] {
                    let mut read = Vec::new();
                    reader.read(&store, &wanted, |of, chunk| read.push((of, chunk))).unwrap();
                    assert_eq!(read.len(), wanted.len());
                    // Those in the cache come first.
                    read.sort_unstable_by_key(|(of, _)| *of);
                    for (wanted, (of, chunk)) in wanted.iter().zip(read) {
                        assert_eq!(of, wanted.of);
                        assert_eq!(store.read(wanted.pointer).unwrap(), Some(chunk), "{round} {step} {of}");
                    }
                }
            }
        }
        assert!(cache.hits() > 0);
    }

    #[test]
    fn what_retention_removed_is_gone_from_the_cache_too() {
        let store = ChunkStore::open(Arc::new(SimFs::new(1)), PathBuf::from("/chunks"), &[]).unwrap();
        let registry = Registry::new();
        let counter = |name| registry.counter(name, "Chunks");
        let cache = Arc::new(ChunkCache::new(1 << 20, counter("hits"), counter("misses")));
        let append = |end_ms| {
            let range = TimeRange::new(0, end_ms).unwrap();
            store.append(None, range, ChunkEncoding::Xor, &vec![7; 40 << 20])
        };
        // A file is not continued beyond 64 MiB.
        let pointer = store.append(None, TimeRange::new(0, 7).unwrap(), ChunkEncoding::Xor, &[7; 100]);
        append(8);
        append(9);
        append(1_000);
        store.sync().unwrap();
        let read = |cache: &Arc<ChunkCache>| {
            let (mut reader, mut read) = (ChunkReader::with_cache(cache.clone()), 0);
            reader.read(&store, &[Wanted { pointer, of: 0 }], |_, _| read += 1).unwrap();
            read
        };
        assert_eq!((read(&cache), read(&cache), cache.hits()), (1, 1, 1));
        assert_eq!(store.drop_before(500).unwrap(), 1);
        assert_eq!(read(&cache), 0);
    }

    #[test]
    fn damage_is_told_by_where_it_is() {
        let fs = Arc::new(SimFs::new(1));
        let store = ChunkStore::open(fs.clone(), PathBuf::from("/chunks"), &[]).unwrap();
        let range = TimeRange::new(0, 7).unwrap();
        let append = || store.append(None, range, ChunkEncoding::Xor, &[7; 100]);
        let pointers = [append(), append(), append()];
        store.flush().unwrap();
        let file = store.file(pointers[1].segment()).unwrap();
        file.write_at(&[8], u64::from(pointers[1].offset()) + 50).unwrap();
        let wanted = pointers.map(|pointer| Wanted { pointer, of: pointer.offset() });
        let mut taken = Vec::new();
        let failed = ChunkReader::default().read(&store, &wanted, |of, _| taken.push(of)).unwrap_err();
        assert_eq!((taken, failed.wanted), (vec![wanted[0].of], wanted[1]));
        assert!(matches!(failed.error, StoreError::Damaged { .. }));
    }
}
