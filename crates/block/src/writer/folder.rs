//! The folder that a block is written into: under another name until all of it is there.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use env::{File, FileSystem, OpenOptions};
use ulid::Ulid;

use crate::error::BlockError;
use crate::output::Output;

/// What the names of folders end in whose blocks are not finished, as upstream has it: its tools pass them over.
const UNFINISHED: &str = ".tmp-for-creation";

/// The folder of segments in a block.
const CHUNKS: &str = "chunks";

/// A folder that becomes that of a block.
#[derive(Clone)]
pub(super) struct Folder {
    fs: Arc<dyn FileSystem>,
    parent: PathBuf,
    ulid: Ulid,
}

impl Folder {
    /// A new folder, in place of one that was left unfinished.
    pub(super) fn create(fs: Arc<dyn FileSystem>, parent: &Path, ulid: Ulid) -> Result<Self, BlockError> {
        let folder = Self { fs, parent: parent.to_owned(), ulid };
        let done = folder.finished_path();
        if folder.fs.exists(&done) {
            return Err(BlockError::unwritable(format!("{} is there already", done.display())));
        }
        folder.discard()?;
        env::create_dir_durable(&*folder.fs, parent).map_err(|source| failed(parent, source))?;
        let chunks = folder.path().join(CHUNKS);
        folder.fs.create_dir_all(&chunks).map_err(|source| failed(&chunks, source))?;
        Ok(folder)
    }

    fn path(&self) -> PathBuf {
        self.parent.join(format!("{}{UNFINISHED}", self.ulid))
    }

    fn finished_path(&self) -> PathBuf {
        self.parent.join(self.ulid.to_string())
    }

    /// An empty file, which can be read back.
    pub(super) fn file(&self, name: &str) -> Result<FolderFile, BlockError> {
        let opened = self.fs.open(&self.path().join(name), OpenOptions::CREATE_NEW);
        let file = opened.map_err(|source| BlockError::Write { file: name.to_owned(), source })?;
        Ok(FolderFile { name: name.to_owned(), file, length: 0, crc32c: 0 })
    }

    /// Removes a file that was needed for a while.
    pub(super) fn remove(&self, file: &FolderFile) -> Result<(), BlockError> {
        let removed = self.fs.remove_file(&self.path().join(&file.name));
        removed.map_err(|source| BlockError::Write { file: file.name.clone(), source })
    }

    /// Gives the folder its name, once all its files are durable.
    pub(super) fn finish(&self) -> Result<PathBuf, BlockError> {
        let (path, done) = (self.path(), self.finished_path());
        let named = || {
            self.fs.sync_dir(&path.join(CHUNKS))?;
            self.fs.sync_dir(&path)?;
            self.fs.rename(&path, &done)?;
            self.fs.sync_dir(&self.parent)
        };
        named().map_err(|source| failed(&done, source))?;
        Ok(done)
    }

    /// Removes it, if it is there and unfinished.
    pub(super) fn discard(&self) -> Result<(), BlockError> {
        let path = self.path();
        if !self.fs.exists(&path) {
            return Ok(());
        }
        self.fs.remove_dir_all(&path).map_err(|source| failed(&path, source))
    }
}

fn failed(path: &Path, source: io::Error) -> BlockError {
    BlockError::Write { file: path.display().to_string(), source }
}

/// Removes what writers left in `parent` that did not come to their end. Nobody may be writing there.
///
/// # Errors
/// Where it cannot be read or removed.
pub fn remove_unfinished(fs: &dyn FileSystem, parent: &Path) -> Result<(), BlockError> {
    let entries = fs.read_dir(parent).map_err(|source| failed(parent, source))?;
    for entry in entries.into_iter().filter(|entry| entry.is_dir && entry.name.ends_with(UNFINISHED)) {
        let path = parent.join(&entry.name);
        fs.remove_dir_all(&path).map_err(|source| failed(&path, source))?;
    }
    Ok(())
}

/// A file of the folder.
pub(super) struct FolderFile {
    name: String,
    file: Arc<dyn File>,
    length: u64,
    /// Of what was to be written, taken before it was.
    crc32c: u32,
}

impl FolderFile {
    /// Its name in the block.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Its length, in bytes.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// The CRC-32C of all that it was given.
    pub(super) fn crc32c(&self) -> u32 {
        self.crc32c
    }

    /// Makes it durable.
    pub(super) fn sync(&self) -> Result<(), BlockError> {
        self.file.sync_all().map_err(|source| BlockError::Write { file: self.name.clone(), source })
    }
}

impl Output for FolderFile {
    fn name(&self) -> &str {
        &self.name
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.crc32c = crc32c::crc32c_append(self.crc32c, bytes);
        env::write_all_at(&*self.file, bytes, self.length)?;
        self.length += bytes.len() as u64;
        Ok(())
    }

    fn read_back(&mut self, range: Range<u64>) -> io::Result<Vec<u8>> {
        let length = range.end.checked_sub(range.start).filter(|_| range.end <= self.length);
        let length =
            length.and_then(|length| usize::try_from(length).ok()).ok_or(io::ErrorKind::UnexpectedEof)?;
        let mut bytes = vec![0; length];
        env::read_exact_at(&*self.file, &mut bytes, range.start)?;
        Ok(bytes)
    }
}
