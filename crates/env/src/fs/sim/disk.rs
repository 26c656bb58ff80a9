//! What a simulated disk holds: for every file the bytes that are durable and the page cache over them, for every
//! directory the entries that are durable and the changes since.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use parking_lot::Mutex;

use super::CrashMode;
use crate::{Rng, SeededRng};

/// What the disk writes as a whole, or tears.
const PAGE: usize = 4096;

/// What never tears.
const SECTOR: usize = 512;

#[derive(Debug, Clone)]
pub(super) enum Node {
    File(Arc<Mutex<FileData>>),
    Dir(Arc<Mutex<DirData>>),
}

impl Node {
    /// The node as the disk has it after the power went, with nothing pending.
    pub(super) fn survive(&self, mode: CrashMode, rng: &SeededRng) -> Self {
        match self {
            Self::File(file) => {
                let bytes = file.lock().survive(mode, rng);
                Self::File(Arc::new(Mutex::new(FileData {
                    durable: bytes.clone(),
                    cache: bytes,
                    ..FileData::default()
                })))
            }
            Self::Dir(dir) => {
                let mut entries = dir.lock().survive(mode, rng);
                for node in entries.values_mut() {
                    *node = node.survive(mode, rng);
                }
                Self::Dir(Arc::new(Mutex::new(DirData {
                    durable: entries.clone(),
                    entries,
                    pending: Vec::new(),
                })))
            }
        }
    }

    /// Notes for all files below that they have no name any more, and gives their bytes.
    pub(super) fn unlink(&self) -> u64 {
        match self {
            Self::File(file) => {
                let mut file = file.lock();
                file.unlinked = true;
                file.cache.len() as u64
            }
            Self::Dir(dir) => dir.lock().entries.values().map(Self::unlink).sum(),
        }
    }

    /// The bytes of all files below, as far as the cache shows them.
    pub(super) fn bytes(&self) -> u64 {
        match self {
            Self::File(file) => file.lock().cache.len() as u64,
            Self::Dir(dir) => dir.lock().entries.values().map(Self::bytes).sum(),
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct FileData {
    /// What readers see.
    pub(super) cache: Vec<u8>,
    /// It was removed; what open handles do to it takes no space that counts.
    pub(super) unlinked: bool,
    /// What a crash leaves for certain.
    durable: Vec<u8>,
    /// Pages that differ from the durable ones and will be written by the next sync.
    dirty: BTreeSet<usize>,
    /// Pages that differ from the durable ones although the kernel takes them for clean: a sync of them failed.
    forgotten: BTreeSet<usize>,
}

impl FileData {
    pub(super) fn write(&mut self, bytes: &[u8], offset: usize) {
        let end = offset + bytes.len();
        if end > self.cache.len() {
            self.set_len(end);
        }
        self.cache[offset..end].copy_from_slice(bytes);
        self.touch(offset, end);
    }

    pub(super) fn set_len(&mut self, len: usize) {
        let (low, high) = (len.min(self.cache.len()), len.max(self.cache.len()));
        self.cache.resize(len, 0);
        self.touch(low, high);
        let pages = len.div_ceil(PAGE);
        self.dirty.retain(|page| *page < pages);
        self.forgotten.retain(|page| *page < pages);
    }

    fn touch(&mut self, from: usize, to: usize) {
        for page in from / PAGE..to.div_ceil(PAGE) {
            self.dirty.insert(page);
            self.forgotten.remove(&page);
        }
    }

    pub(super) fn sync(&mut self) {
        self.durable.resize(self.cache.len(), 0);
        for page in std::mem::take(&mut self.dirty) {
            copy_page(&self.cache, &mut self.durable, page, PAGE);
        }
    }

    pub(super) fn fail_sync(&mut self) {
        self.forgotten.append(&mut self.dirty);
    }

    /// Flips a bit on the medium and in the cache; false where the file is too short.
    pub(super) fn flip_bit(&mut self, offset: usize, bit: u8) -> bool {
        let mask = 1_u8 << (bit % 8);
        let Some(byte) = self.cache.get_mut(offset) else {
            return false;
        };
        *byte ^= mask;
        if let Some(byte) = self.durable.get_mut(offset) {
            *byte ^= mask;
        }
        true
    }

    /// The bytes of a page, which are zeros from now on, on the medium and in the cache; `None` where there is none.
    pub(super) fn take_page(&mut self, page: usize) -> Option<Vec<u8>> {
        let start = page.checked_mul(PAGE)?;
        let end = start.saturating_add(PAGE).min(self.cache.len());
        let bytes = self.cache.get(start..end).filter(|bytes| !bytes.is_empty())?.to_vec();
        self.put_page(page, &vec![0; bytes.len()]);
        Some(bytes)
    }

    /// Puts bytes where a page begins, on the medium and in the cache; no file becomes longer by it.
    pub(super) fn put_page(&mut self, page: usize, bytes: &[u8]) {
        let start = page.saturating_mul(PAGE);
        for medium in [&mut self.cache, &mut self.durable] {
            let end = start.saturating_add(bytes.len()).min(medium.len());
            if let Some(place) = medium.get_mut(start..end) {
                place.copy_from_slice(&bytes[..place.len()]);
            }
        }
    }

    fn survive(&self, mode: CrashMode, rng: &SeededRng) -> Vec<u8> {
        match mode {
            CrashMode::LoseAll => self.durable.clone(),
            CrashMode::KeepAll => self.cache.clone(),
            CrashMode::Torn => self.tear(rng),
        }
    }

    /// Some of the unsynced pages reach the disk: either the first few in order, or any; the last one perhaps in part.
    fn tear(&self, rng: &SeededRng) -> Vec<u8> {
        let unsynced: Vec<usize> = self.dirty.union(&self.forgotten).copied().collect();
        let survivors: Vec<usize> = if rng.below(2) == 0 {
            let count = usize::try_from(rng.below(unsynced.len() as u64 + 1)).unwrap_or(0);
            unsynced.into_iter().take(count).collect()
        } else {
            unsynced.into_iter().filter(|_| rng.below(2) == 0).collect()
        };
        let mut bytes = self.durable.clone();
        // The length is an attribute of its own: it may be ahead of the pages, which then read as zeros.
        let reach = survivors.last().map_or(0, |page| ((page + 1) * PAGE).min(self.cache.len()));
        let len = match rng.below(3) {
            0 => self.cache.len(),
            _ if self.cache.len() < bytes.len() => bytes.len(),
            _ => reach.max(bytes.len()),
        };
        bytes.resize(len, 0);
        for (index, page) in survivors.iter().enumerate() {
            let torn = index + 1 == survivors.len() && rng.below(2) == 0;
            let sectors = if torn { rng.below((PAGE / SECTOR) as u64) } else { (PAGE / SECTOR) as u64 };
            let limit = usize::try_from(sectors).unwrap_or(0) * SECTOR;
            copy_page(&self.cache, &mut bytes, *page, limit);
        }
        bytes
    }
}

/// Copies the first `limit` bytes of a page, as far as both sides have it.
fn copy_page(from: &[u8], to: &mut [u8], page: usize, limit: usize) {
    let start = page * PAGE;
    let end = (start + limit).min(from.len()).min(to.len());
    if start < end {
        to[start..end].copy_from_slice(&from[start..end]);
    }
}

#[derive(Debug, Default)]
pub(super) struct DirData {
    /// What readers see.
    pub(super) entries: BTreeMap<String, Node>,
    /// What a crash leaves for certain.
    durable: BTreeMap<String, Node>,
    /// What leads from the durable entries to those that readers see, oldest first.
    pending: Vec<Change>,
}

#[derive(Debug, Clone)]
pub(super) enum Change {
    Set(String, Node),
    Remove(String),
    Rename { from: String, to: String },
}

impl Change {
    fn apply(&self, entries: &mut BTreeMap<String, Node>) {
        match self {
            Self::Set(name, node) => {
                entries.insert(name.clone(), node.clone());
            }
            Self::Remove(name) => {
                entries.remove(name);
            }
            Self::Rename { from, to } => {
                if let Some(node) = entries.remove(from) {
                    entries.insert(to.clone(), node);
                }
            }
        }
    }
}

impl DirData {
    pub(super) fn change(&mut self, change: Change) {
        change.apply(&mut self.entries);
        self.pending.push(change);
    }

    pub(super) fn sync(&mut self) {
        for change in std::mem::take(&mut self.pending) {
            change.apply(&mut self.durable);
        }
    }

    fn survive(&self, mode: CrashMode, rng: &SeededRng) -> BTreeMap<String, Node> {
        match mode {
            CrashMode::LoseAll => self.durable.clone(),
            CrashMode::KeepAll => self.entries.clone(),
            CrashMode::Torn => {
                // A journal replays in order, so what survives is a prefix.
                let count = usize::try_from(rng.below(self.pending.len() as u64 + 1)).unwrap_or(0);
                let mut entries = self.durable.clone();
                for change in self.pending.iter().take(count) {
                    change.apply(&mut entries);
                }
                entries
            }
        }
    }
}
