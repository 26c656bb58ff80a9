//! File systems that do not do what they say.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use env::{DirEntry, File, FileLock, FileSystem, OpenOptions};

/// The tenant that is forgotten, and what is put in its place.
const TENANT: &[u8] = b"blue";
const OTHER: &[u8] = b"blur";
/// A block of a snapshot: its length and checksum, then a byte of what it is and one of how long the tenant's name is.
const HEADER_BYTES: usize = 8;
const NAME_AT: usize = HEADER_BYTES + 2;

/// A file system whose files are [`UnfaithfulFile`]s.
pub(super) struct Unfaithful {
    disk: Arc<dyn FileSystem>,
    wrong: Wrong,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wrong {
    NeverSynced,
    Forgetful,
}

impl Unfaithful {
    /// Says that the files of the log are synced, and does nothing.
    pub(super) fn never_synced(disk: Arc<dyn FileSystem>) -> Self {
        Self { disk, wrong: Wrong::NeverSynced }
    }

    /// Writes another tenant's name into snapshots.
    pub(super) fn forgetful(disk: Arc<dyn FileSystem>) -> Self {
        Self { disk, wrong: Wrong::Forgetful }
    }
}

impl FileSystem for Unfaithful {
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.disk.create_dir_all(path)
    }

    fn open(&self, path: &Path, options: OpenOptions) -> io::Result<Arc<dyn File>> {
        let file = self.disk.open(path, options)?;
        Ok(Arc::new(UnfaithfulFile { file, path: path.to_owned(), wrong: self.wrong }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.disk.remove_file(path)
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        self.disk.remove_dir_all(path)
    }

    fn read_dir(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        self.disk.read_dir(path)
    }

    fn exists(&self, path: &Path) -> bool {
        self.disk.exists(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.disk.sync_dir(path)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn FileLock>> {
        self.disk.lock(path)
    }
}

struct UnfaithfulFile {
    file: Arc<dyn File>,
    path: PathBuf,
    wrong: Wrong,
}

impl UnfaithfulFile {
    fn sync(&self, sync: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        match self.wrong {
            Wrong::NeverSynced if self.path.extension().is_some_and(|extension| extension == "wal") => Ok(()),
            Wrong::NeverSynced | Wrong::Forgetful => sync(),
        }
    }

    /// Whether what is written is a block of a snapshot with what the tenant has.
    fn is_of_tenant(&self, buf: &[u8]) -> bool {
        let in_snapshots = self.path.parent().is_some_and(|dir| dir.ends_with("snapshots"));
        in_snapshots && buf.get(NAME_AT..).is_some_and(|rest| rest.starts_with(TENANT))
    }
}

impl File for UnfaithfulFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buf, offset)
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        if self.wrong != Wrong::Forgetful || !self.is_of_tenant(buf) {
            return self.file.write_at(buf, offset);
        }
        let mut block = buf.to_vec();
        block[NAME_AT..NAME_AT + TENANT.len()].copy_from_slice(OTHER);
        let crc = crc32c::crc32c(&block[HEADER_BYTES..]);
        block[4..HEADER_BYTES].copy_from_slice(&crc.to_le_bytes());
        self.file.write_at(&block, offset)
    }

    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.sync(|| self.file.sync_data())
    }

    fn sync_all(&self) -> io::Result<()> {
        self.sync(|| self.file.sync_all())
    }
}
