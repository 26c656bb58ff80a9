//! Reads stored chunks of many series for one selection. Where chunks that are wanted lie near each other in a file, they
//! are read together: more and more at a time as long as that is of use.

use std::sync::Arc;

use bytes::Bytes;
use env::File;

use crate::chunk_store::{
    ChunkPtr, ChunkStore, FRAME_BYTES, MAX_STORED_BYTES, READ_BYTES, StoreError, StoredChunk, decode_shared,
    read_up_to,
};

/// At most so much is read at once, unless a single chunk is longer.
const WINDOW_BYTES_MAX: usize = 16 << 10;
/// So many windows are kept: a selection reads about as many places at a time as its series have chunks.
const WINDOWS: usize = 32;
/// The next chunk is near where it lies within so many lengths of a window behind it.
const NEAR: usize = 2;
/// A window that brought so many chunks is followed by a longer one.
const ENOUGH_CHUNKS: u32 = 2;

/// A part of a file.
struct Window {
    segment: u32,
    start: usize,
    bytes: Bytes,
    /// When it was last of use, in reads.
    used: u64,
    /// How many chunks it has brought.
    chunks: u32,
}

impl Window {
    fn end(&self) -> usize {
        self.start + self.bytes.len()
    }

    /// The frame at `offset`, if all of it is here. Its length is not believed beyond what is here.
    fn frame(&self, segment: u32, offset: usize) -> Option<Bytes> {
        let from = offset.checked_sub(self.start).filter(|_| self.segment == segment)?;
        let length = self.bytes.get(from..)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))?;
        let end = from.checked_add(length as usize)?.checked_add(FRAME_BYTES as usize)?;
        (end <= self.bytes.len()).then(|| self.bytes.slice(from..end))
    }
}

/// Reads chunks, and keeps what it has read for the next ones.
#[derive(Default)]
pub(crate) struct ChunkReader {
    windows: Vec<Window>,
    reads: u64,
    file: Option<(u32, Arc<dyn File>)>,
}

impl ChunkReader {
    /// Reads a chunk; `None` where retention has removed it.
    pub(crate) fn read(
        &mut self,
        store: &ChunkStore,
        pointer: ChunkPtr,
    ) -> Result<Option<StoredChunk>, StoreError> {
        let flushed = store.flushed();
        if pointer >= flushed {
            return store.read(pointer);
        }
        self.reads += 1;
        let (segment, offset) = (pointer.segment(), pointer.offset() as usize);
        let found = self.windows.iter_mut().find_map(|window| {
            let frame = window.frame(segment, offset)?;
            window.used = self.reads;
            window.chunks += 1;
            Some(frame)
        });
        let frame = match found {
            Some(frame) => frame,
            None => match self.fetch(store, flushed, segment, offset)? {
                Some(frame) => frame,
                None => return Ok(None),
            },
        };
        decode_shared(&frame).map(Some).ok_or(StoreError::Damaged { segment, offset: pointer.offset() })
    }

    /// Reads a window that begins with the frame at `offset`; `None` where the file is gone.
    fn fetch(
        &mut self,
        store: &ChunkStore,
        flushed: ChunkPtr,
        segment: u32,
        offset: usize,
    ) -> Result<Option<Bytes>, StoreError> {
        let Some(file) = self.file(store, segment) else { return Ok(None) };
        // What lies behind the flushed part may be written at this moment.
        let limit = if segment == flushed.segment() { flushed.offset() as usize } else { usize::MAX };
        let near = self.windows.iter().position(|window| {
            window.segment == segment
                && (window.start..window.end() + NEAR * window.bytes.len()).contains(&offset)
        });
        let size = match near.and_then(|at| self.windows.get(at)) {
            Some(window) if window.chunks >= ENOUGH_CHUNKS => {
                (2 * window.bytes.len()).clamp(READ_BYTES, WINDOW_BYTES_MAX)
            }
            _ => READ_BYTES,
        };
        let io = |source| StoreError::Io { segment, offset: offset as u32, source };
        let mut bytes = vec![0; size.min(limit - offset)];
        let mut have = read_up_to(&*file, &mut bytes, offset as u64).map_err(io)?;
        let length = bytes.first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes));
        let whole = (length.min(MAX_STORED_BYTES) + FRAME_BYTES) as usize;
        if have == bytes.len() && whole > have {
            bytes.resize(whole.min(limit - offset), 0);
            have += read_up_to(&*file, &mut bytes[have..], (offset + have) as u64).map_err(io)?;
        }
        bytes.truncate(have);
        let window = Window { segment, start: offset, bytes: bytes.into(), used: self.reads, chunks: 1 };
        // A frame that is not whole fails to decode.
        let frame = window.frame(segment, offset).unwrap_or_else(|| window.bytes.clone());
        self.keep(window, near);
        Ok(Some(frame))
    }

    /// Keeps a window, in the place of the one that it continues or else of the one that was of no use for longest.
    fn keep(&mut self, window: Window, continued: Option<usize>) {
        let oldest = || self.windows.iter().enumerate().min_by_key(|(_, w)| w.used).map(|(at, _)| at);
        let place = continued.or_else(|| if self.windows.len() < WINDOWS { None } else { oldest() });
        match place.and_then(|at| self.windows.get_mut(at)) {
            Some(place) => *place = window,
            None => self.windows.push(window),
        }
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

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use env::SimFs;
    use model::TimeRange;
    use proto::ChunkEncoding;

    use super::*;

    /// Chunks of all lengths, read in several orders while more are written, are what they were.
    #[test]
    fn reads_what_the_store_reads() {
        let store = ChunkStore::open(Arc::new(SimFs::new(1)), PathBuf::from("/chunks"), &[]).unwrap();
        let mut pointers = Vec::new();
        let mut reader = ChunkReader::default();
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
            for step in [1, 7, 64, 401] {
                for at in (0..pointers.len()).map(|i| i * step % pointers.len()) {
                    let expected = store.read(pointers[at]).unwrap();
                    assert!(expected.is_some());
                    assert_eq!(reader.read(&store, pointers[at]).unwrap(), expected, "{round} {step} {at}");
                }
            }
        }
        assert!(reader.windows.len() <= WINDOWS);
    }
}
