//! Where full chunks go: append-only files on the local disk, so that the heap holds only the chunk that each series
//! is filling (`docs/formats/chunk-files.md`).
//!
//! Every stored chunk names the chunk of its series before it, so a series needs to remember only its newest one,
//! however long its history is. Appending never fails and never waits for the disk: bytes stay in memory until
//! [`ChunkStore::sync`] has made them durable, so that a failed write or sync is repeated with the bytes at hand (after
//! a failed fsync the page cache cannot be trusted). The ingester refuses writes while too many of them wait.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use env::{File, FileSystem, OpenOptions};
use model::TimeRange;
use parking_lot::{Mutex, RwLock};
use proto::{Chunk, ChunkEncoding};
use thiserror::Error;

use crate::codec::{Malformed, Reader, put_ivarint, put_uvarint, zigzag};

/// A file is not continued beyond this.
const SEGMENT_BYTES: u32 = 64 << 20;
/// A chunk longer than this cannot be: reading one means that its length is damaged.
const MAX_STORED_BYTES: u32 = 64 << 20;
/// In front of every stored chunk: length and checksum, 4 bytes each.
pub(crate) const FRAME_BYTES: u32 = 8;
/// Chunks wait for the disk in pieces of so much: one buffer for all that waits would be copied whenever it grows, and keep
/// twice what it needs.
const PIECE_BYTES: usize = 64 << 10;
/// How much a chunk takes beside its data at most: frame, encoding, times and the previous chunk.
const HEAD_BYTES_MAX: usize = FRAME_BYTES as usize + 1 + 10 + 10 + 8;
/// How much is read at once; most chunks fit.
const READ_BYTES: usize = 1024;

/// Where a stored chunk is: the number of its file, and its offset there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ChunkPtr(NonZeroU64);

impl ChunkPtr {
    fn new(segment: u32, offset: u32) -> Self {
        let number = u64::from(segment) << 32 | u64::from(offset);
        Self(NonZeroU64::new(number).expect("segments are numbered from 1"))
    }

    /// The pointer with this number; `None` for 0, which means that there is no chunk.
    pub(crate) fn from_number(number: u64) -> Option<Self> {
        NonZeroU64::new(number).map(Self)
    }

    /// The pointer as a number; 0 for none.
    pub(crate) fn number(pointer: Option<Self>) -> u64 {
        pointer.map_or(0, |p| p.0.get())
    }

    pub(crate) fn segment(self) -> u32 {
        (self.0.get() >> 32) as u32
    }

    pub(crate) fn offset(self) -> u32 {
        self.0.get() as u32
    }
}

/// Why a stored chunk cannot be read.
#[derive(Debug, Error)]
pub(crate) enum StoreError {
    /// The disk failed.
    #[error("cannot read chunk file {segment} at offset {offset}")]
    Io {
        segment: u32,
        offset: u32,
        #[source]
        source: io::Error,
    },
    /// The bytes are not what was written.
    #[error("chunk file {segment} is damaged at offset {offset}")]
    Damaged { segment: u32, offset: u32 },
}

/// A chunk as it was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoredChunk {
    /// The chunk of the same series that was stored before.
    pub(crate) previous: Option<ChunkPtr>,
    /// The chunk.
    pub(crate) chunk: Chunk,
}

/// What a snapshot remembers of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentState {
    /// The file's number.
    pub(crate) number: u32,
    /// No sample in it is later than this.
    pub(crate) max_ms: i64,
}

/// The chunk files of one ingester.
pub(crate) struct ChunkStore {
    fs: Arc<dyn FileSystem>,
    dir: PathBuf,
    files: RwLock<BTreeMap<u32, Arc<dyn File>>>,
    /// Held while files are written and synced: by one at a time, who alone takes from what is pending.
    writing: Mutex<()>,
    /// Never held while the disk is waited for: whoever stores samples or reads them needs it.
    writer: Mutex<Writer>,
    /// Everything before this (as a [`ChunkPtr`] number) is in the files, everything from here on in memory.
    flushed: AtomicU64,
    buffered: AtomicU64,
}

struct Writer {
    segment: u32,
    offset: u32,
    /// What is not durable yet, oldest first: first what is in the files already, then what is not.
    pending: VecDeque<Pending>,
    max_ms: BTreeMap<u32, i64>,
    /// Whether files were made whose directory entries are not durable.
    unsynced_dir: bool,
}

struct Pending {
    segment: u32,
    offset: u32,
    /// Nothing is added while they are being written.
    bytes: Arc<Vec<u8>>,
    /// Whether the file has it; then nothing is added to `bytes` any more.
    written: bool,
}

impl Pending {
    fn end(&self) -> u32 {
        self.offset + self.bytes.len() as u32
    }

    fn place(&self) -> (u32, u32) {
        (self.segment, self.offset)
    }

    /// Where so many more bytes can be added, if they can.
    fn open(&mut self, segment: u32, needed: usize) -> Option<&mut Vec<u8>> {
        if self.segment != segment || self.written {
            return None;
        }
        Arc::get_mut(&mut self.bytes).filter(|bytes| bytes.capacity() - bytes.len() >= needed)
    }
}

impl ChunkStore {
    /// Opens the files in `dir` that a snapshot names; others are leftovers of after it and are removed.
    pub(crate) fn open(fs: Arc<dyn FileSystem>, dir: PathBuf, valid: &[SegmentState]) -> io::Result<Self> {
        fs.create_dir_all(&dir)?;
        let mut files = BTreeMap::new();
        let mut newest = 0;
        for entry in fs.read_dir(&dir)? {
            let Some(number) = entry.name.strip_suffix(".chunks").and_then(|n| n.parse::<u32>().ok()) else {
                continue;
            };
            newest = newest.max(number);
            let path = dir.join(&entry.name);
            if valid.iter().any(|s| s.number == number) {
                files.insert(number, fs.open(&path, OpenOptions { read: true, ..OpenOptions::default() })?);
            } else {
                fs.remove_file(&path)?;
            }
        }
        // Numbers are not used twice, so that no stale pointer can lead into another file.
        let segment = newest.max(valid.iter().map(|s| s.number).max().unwrap_or(0)) + 1;
        let max_ms =
            valid.iter().filter(|s| files.contains_key(&s.number)).map(|s| (s.number, s.max_ms)).collect();
        let writer = Writer { segment, offset: 0, pending: VecDeque::new(), max_ms, unsynced_dir: false };
        Ok(Self {
            fs,
            dir,
            files: RwLock::new(files),
            writing: Mutex::default(),
            writer: Mutex::new(writer),
            flushed: AtomicU64::new(u64::from(segment) << 32),
            buffered: AtomicU64::new(0),
        })
    }

    /// Takes a chunk whose series stored `previous` before it.
    pub(crate) fn append(
        &self,
        previous: Option<ChunkPtr>,
        range: TimeRange,
        encoding: ChunkEncoding,
        data: &[u8],
    ) -> ChunkPtr {
        let writer = &mut *self.writer.lock();
        if writer.offset >= SEGMENT_BYTES {
            writer.segment += 1;
            writer.offset = 0;
        }
        let (segment, offset) = (writer.segment, writer.offset);
        let needed = HEAD_BYTES_MAX + data.len();
        if writer.pending.back_mut().is_none_or(|last| last.open(segment, needed).is_none()) {
            let bytes = Arc::new(Vec::with_capacity(needed.max(PIECE_BYTES)));
            writer.pending.push_back(Pending { segment, offset, bytes, written: false });
        }
        let open = writer.pending.back_mut().and_then(|last| last.open(segment, needed));
        let out = open.expect("there is room, or it was just added");
        let start = out.len();
        let pointer = ChunkPtr::new(segment, offset);
        encode(out, pointer, previous, range, encoding, data);
        let len = (out.len() - start) as u32;
        writer.offset += len;
        let max_ms = writer.max_ms.entry(segment).or_insert(i64::MIN);
        *max_ms = range.end_ms().max(*max_ms);
        self.buffered.fetch_add(u64::from(len), Ordering::Relaxed);
        pointer
    }

    /// How many bytes are not durable yet.
    pub(crate) fn buffered_bytes(&self) -> u64 {
        self.buffered.load(Ordering::Relaxed)
    }

    /// Writes to the files what they do not have. After an error the rest still waits, and a later call goes on.
    pub(crate) fn flush(&self) -> io::Result<()> {
        let _writing = self.writing.lock();
        self.write_pending()
    }

    fn write_pending(&self) -> io::Result<()> {
        let unwritten = |p: &&Pending| !p.written;
        let copied = |p: &Pending| (p.segment, p.offset, Arc::clone(&p.bytes));
        let waiting: Vec<_> = self.writer.lock().pending.iter().filter(unwritten).map(copied).collect();
        for (segment, offset, bytes) in waiting {
            let file = match self.file(segment) {
                Some(file) => file,
                None => {
                    self.writer.lock().unsynced_dir = true;
                    self.create(segment)?
                }
            };
            env::write_all_at(&*file, &bytes, u64::from(offset))?;
            let writer = &mut *self.writer.lock();
            let at = writer.pending.partition_point(|p| p.place() < (segment, offset));
            if let Some(pending) = writer.pending.get_mut(at).filter(|p| p.place() == (segment, offset)) {
                pending.written = true;
            }
            let end = u64::from(segment) << 32 | (u64::from(offset) + bytes.len() as u64);
            self.flushed.store(end, Ordering::Release);
        }
        Ok(())
    }

    /// Makes everything appended so far durable, and says which files there are. After an error the bytes are still
    /// in memory, and the next call writes them again.
    pub(crate) fn sync(&self) -> io::Result<Vec<SegmentState>> {
        let _writing = self.writing.lock();
        self.write_pending()?;
        let (count, segments, dir, states) = {
            let writer = &mut *self.writer.lock();
            let written = writer.pending.iter().take_while(|p| p.written);
            let segments: BTreeSet<u32> = written.clone().map(|p| p.segment).collect();
            let states =
                writer.max_ms.iter().map(|(&number, &max_ms)| SegmentState { number, max_ms }).collect();
            (written.count(), segments, writer.unsynced_dir, states)
        };
        let synced = self.sync_files(&segments, dir);
        let writer = &mut *self.writer.lock();
        if let Err(error) = synced {
            if let Some(first) = writer.pending.front() {
                self.flushed
                    .store(u64::from(first.segment) << 32 | u64::from(first.offset), Ordering::Release);
            }
            writer.pending.iter_mut().for_each(|p| p.written = false);
            return Err(error);
        }
        writer.unsynced_dir &= !dir;
        let durable: usize = writer.pending.drain(..count).map(|p| p.bytes.len()).sum();
        self.buffered.fetch_sub(durable as u64, Ordering::Relaxed);
        Ok(states)
    }

    fn sync_files(&self, segments: &BTreeSet<u32>, dir: bool) -> io::Result<()> {
        for segment in segments {
            if let Some(file) = self.file(*segment) {
                file.sync_data()?;
            }
        }
        if dir { self.fs.sync_dir(&self.dir) } else { Ok(()) }
    }

    /// Reads a chunk; `None` where retention has removed it.
    pub(crate) fn read(&self, pointer: ChunkPtr) -> Result<Option<StoredChunk>, StoreError> {
        let (segment, offset) = (pointer.segment(), pointer.offset());
        let damaged = || StoreError::Damaged { segment, offset };
        if pointer.0.get() >= self.flushed.load(Ordering::Acquire) {
            let writer = self.writer.lock();
            let behind = writer.pending.partition_point(|p| p.place() <= (segment, offset));
            let piece = behind.checked_sub(1).and_then(|at| writer.pending.get(at));
            if let Some(piece) = piece.filter(|p| p.segment == segment && offset < p.end())
                && let Some(bytes) = piece.bytes.get((offset - piece.offset) as usize..)
            {
                return decode(pointer, bytes).map(Some).ok_or_else(damaged);
            }
        }
        let Some(file) = self.file(segment) else { return Ok(None) };
        let bytes =
            read_frame(&*file, offset).map_err(|source| StoreError::Io { segment, offset, source })?;
        decode(pointer, &bytes).map(Some).ok_or_else(damaged)
    }

    /// What lies before this is in the files.
    pub(crate) fn flushed(&self) -> ChunkPtr {
        let number = NonZeroU64::new(self.flushed.load(Ordering::Acquire));
        ChunkPtr(number.expect("segments are numbered from 1"))
    }

    /// Removes the oldest files, as long as they have no sample at or after `min_ms`; the one being written stays. One that
    /// has such a sample keeps those behind it: late chunks, which are in no order of time, are found through them.
    pub(crate) fn drop_before(&self, min_ms: i64) -> io::Result<usize> {
        let expired: Vec<u32> = {
            let writer = self.writer.lock();
            let is_old = |(number, max): &(&u32, &i64)| **max < min_ms && **number < writer.segment;
            // Nobody knows what is in those that a damaged snapshot did not tell of: they stay.
            let known = writer.max_ms.iter().filter(|(_, max)| **max != i64::MAX);
            let old = known.take_while(is_old).map(|(number, _)| *number);
            old.take_while(|n| writer.pending.iter().all(|p| p.segment != *n)).collect()
        };
        for number in &expired {
            self.fs.remove_file(&self.path(*number))?;
            self.files.write().remove(number);
            let writer = &mut *self.writer.lock();
            writer.max_ms.remove(number);
        }
        Ok(expired.len())
    }

    /// A chunk file; `None` where retention has removed it.
    pub(crate) fn file(&self, segment: u32) -> Option<Arc<dyn File>> {
        self.files.read().get(&segment).cloned()
    }

    fn create(&self, segment: u32) -> io::Result<Arc<dyn File>> {
        let options =
            OpenOptions { read: true, write: true, create: true, truncate: true, ..OpenOptions::default() };
        let file = self.fs.open(&self.path(segment), options)?;
        self.files.write().insert(segment, file.clone());
        Ok(file)
    }

    fn path(&self, segment: u32) -> PathBuf {
        self.dir.join(format!("{segment:08}.chunks"))
    }
}

/// Appends a chunk: body length, checksum of its place and the body, and the body (encoding, first time, duration, previous
/// chunk, data).
fn encode(
    out: &mut Vec<u8>,
    pointer: ChunkPtr,
    previous: Option<ChunkPtr>,
    range: TimeRange,
    encoding: ChunkEncoding,
    data: &[u8],
) {
    let frame = out.len();
    out.extend_from_slice(&[0; FRAME_BYTES as usize]);
    let body = out.len();
    out.push(encoding.into());
    put_ivarint(out, range.start_ms());
    put_uvarint(out, zigzag(range.end_ms().wrapping_sub(range.start_ms())));
    out.extend_from_slice(&ChunkPtr::number(previous).to_le_bytes());
    out.extend_from_slice(data);
    let crc = checksum(pointer, &out[body..]);
    let len = (out.len() - body) as u32;
    out[frame..frame + 4].copy_from_slice(&len.to_le_bytes());
    out[frame + 4..body].copy_from_slice(&crc.to_le_bytes());
}

/// Of a chunk's place as well, or a disk that wrote something to a wrong place would give samples of one series to another.
fn checksum(pointer: ChunkPtr, body: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&pointer.0.get().to_le_bytes()), body)
}

/// The frame at the beginning of `bytes`, if it is whole, undamaged, and where it belongs.
fn decode(pointer: ChunkPtr, bytes: &[u8]) -> Option<StoredChunk> {
    decode_with(pointer, bytes, Bytes::copy_from_slice)
}

/// As [`decode`], with the chunk's data kept by `own`.
pub(crate) fn decode_with(
    pointer: ChunkPtr,
    bytes: &[u8],
    own: impl FnOnce(&[u8]) -> Bytes,
) -> Option<StoredChunk> {
    decode_body(body(pointer, bytes)?, own).ok()
}

/// What a frame contains, if it is whole, undamaged, and where it belongs.
fn body(pointer: ChunkPtr, frame: &[u8]) -> Option<&[u8]> {
    let mut reader = Reader::new(frame);
    let len = reader.fixed_u32("length").ok()?;
    let crc = reader.fixed_u32("checksum").ok()?;
    let body = reader.take(len as usize, "body").ok()?;
    (checksum(pointer, body) == crc).then_some(body)
}

fn decode_body(body: &[u8], own: impl FnOnce(&[u8]) -> Bytes) -> Result<StoredChunk, Malformed> {
    let mut reader = Reader::new(body);
    let encoding =
        ChunkEncoding::try_from(reader.u8("encoding")?).map_err(|_| Malformed { what: "encoding" })?;
    let start = reader.ivarint("first time")?;
    let end = start.wrapping_add(reader.ivarint("duration")?);
    let range = TimeRange::new(start, end).ok_or(Malformed { what: "time range" })?;
    let previous = ChunkPtr::from_number(reader.fixed_u64("previous chunk")?);
    let data = own(reader.take(reader.remaining(), "data")?);
    Ok(StoredChunk { previous, chunk: Chunk { range, encoding, data } })
}

/// Reads the frame at `offset`. What is returned may be shorter or longer than the frame.
fn read_frame(file: &dyn File, offset: u32) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; READ_BYTES];
    let mut have = read_up_to(file, &mut bytes, u64::from(offset))?;
    bytes.truncate(have);
    let len = Reader::new(&bytes).fixed_u32("length").unwrap_or(0);
    let whole = (len.min(MAX_STORED_BYTES) + FRAME_BYTES) as usize;
    if have == READ_BYTES && whole > have {
        bytes.resize(whole, 0);
        have += read_up_to(file, &mut bytes[have..], u64::from(offset) + have as u64)?;
        bytes.truncate(have);
    }
    Ok(bytes)
}

/// Reads until the buffer is full or the file ends; how much there was.
pub(crate) fn read_up_to(file: &dyn File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut have = 0;
    while have < buffer.len() {
        match file.read_at(&mut buffer[have..], offset + have as u64)? {
            0 => break,
            n => have += n,
        }
    }
    Ok(have)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use env::SimFs;

    use super::*;

    /// A file of its own, with chunks of these bytes.
    fn filled(fs: &SimFs, valid: &[SegmentState], value: u8) -> (ChunkStore, Vec<ChunkPtr>) {
        let store = ChunkStore::open(Arc::new(fs.clone()), "/chunks".into(), valid).unwrap();
        let range = TimeRange::new(0, 1).unwrap();
        let append = |_| store.append(None, range, ChunkEncoding::Xor, &[value; 100]);
        let pointers = (0..200).map(append).collect();
        store.sync().unwrap();
        (store, pointers)
    }

    /// A chunk that is whole, in the place of another.
    #[test]
    fn what_a_disk_wrote_to_a_wrong_place_is_damage() {
        const PAGE_BYTES: u32 = 4096;
        let fs = SimFs::new(1);
        drop(filled(&fs, &[], 1));
        let (store, second) = filled(&fs, &[SegmentState { number: 1, max_ms: 1 }], 2);
        assert!(second.iter().all(|pointer| store.read(*pointer).is_ok()));
        let file = |number: u32| Path::new("/chunks").join(format!("{number:08}.chunks"));
        fs.misdirect((&file(1), 1), (&file(2), 1)).unwrap();
        let is_moved =
            |pointer: &ChunkPtr| (pointer.offset() + 200) > PAGE_BYTES && pointer.offset() < 2 * PAGE_BYTES;
        for pointer in &second {
            match store.read(*pointer) {
                Ok(read) => assert_eq!(read.unwrap().chunk.data, vec![2; 100], "{pointer:?}"),
                Err(error) => assert!(is_moved(pointer), "{pointer:?}: {error}"),
            }
        }
        let found = second.iter().filter(|pointer| store.read(**pointer).is_err()).count();
        assert!(found > 20, "{found} of a page of chunks");
    }
}
