//! Files and directories, with durability spelled out: file contents last from `sync_data` or `sync_all` on, and
//! creations, renames and removals from [`FileSystem::sync_dir`] of the directory on.
//!
//! [`RealFs`] is the machine's file system. [`SimFs`] is one in memory that holds callers to those rules: a crash
//! forgets what was not synced. Calls block; callers on an async runtime go through `Scope::run_blocking`.

mod real;
mod sim;

use std::io;
use std::path::Path;
use std::sync::Arc;

pub use real::RealFs;
pub use sim::{CrashMode, Fault, FaultKind, OP_LOG_LIMIT, OpKind, OpRecord, SimFs};

/// A tree of directories and files.
pub trait FileSystem: Send + Sync + 'static {
    /// Makes a directory and the missing ones above it. Durable only once each parent was synced, see
    /// [`create_dir_durable`].
    ///
    /// # Errors
    /// Of the system, for example where a file is in the way.
    fn create_dir_all(&self, path: &Path) -> io::Result<()>;

    /// Opens a file.
    ///
    /// # Errors
    /// Of the system; `NotFound` and `AlreadyExists` are told apart.
    fn open(&self, path: &Path, options: OpenOptions) -> io::Result<Arc<dyn File>>;

    /// Moves a file or directory, replacing a file at the target atomically.
    ///
    /// # Errors
    /// Of the system.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file. Open handles stay usable.
    ///
    /// # Errors
    /// Of the system.
    fn remove_file(&self, path: &Path) -> io::Result<()>;

    /// Removes a directory with everything in it.
    ///
    /// # Errors
    /// Of the system.
    fn remove_dir_all(&self, path: &Path) -> io::Result<()>;

    /// What is in a directory, sorted by name. Entries whose names are not UTF-8 are left out: we never make such.
    ///
    /// # Errors
    /// Of the system.
    fn read_dir(&self, path: &Path) -> io::Result<Vec<DirEntry>>;

    /// Whether something is at `path`.
    fn exists(&self, path: &Path) -> bool;

    /// Makes creations, renames and removals in a directory durable.
    ///
    /// # Errors
    /// Of the system. What was to be made durable may or may not be then.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;

    /// Takes an exclusive lock on a file, which is made where it is missing, until the result is dropped.
    ///
    /// # Errors
    /// `WouldBlock` where somebody else holds it; the message names the process where that is known.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn FileLock>>;
}

/// An open file. Offsets are in bytes from the start.
pub trait File: Send + Sync {
    /// Reads into `buf` from `offset` and gives how many bytes; 0 at the end. May be short.
    ///
    /// # Errors
    /// Of the system.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes `buf` at `offset`, growing the file where needed, and gives how many bytes were taken. May be short.
    ///
    /// # Errors
    /// Of the system; see [`is_no_space`].
    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize>;

    /// The length in bytes.
    ///
    /// # Errors
    /// Of the system.
    fn len(&self) -> io::Result<u64>;

    /// Whether the file has no bytes.
    ///
    /// # Errors
    /// Of the system.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Cuts the file, or grows it with zeros.
    ///
    /// # Errors
    /// Of the system.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Makes contents and length durable.
    ///
    /// # Errors
    /// Of the system. After an error what was written since the last success may be lost for good, even where a
    /// later sync succeeds.
    fn sync_data(&self) -> io::Result<()>;

    /// Makes contents and all attributes durable.
    ///
    /// # Errors
    /// As [`File::sync_data`].
    fn sync_all(&self) -> io::Result<()>;
}

/// A lock that is held until it is dropped.
pub trait FileLock: Send + Sync {}

/// An entry of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirEntry {
    /// The name inside the directory.
    pub name: String,
    /// Whether it is a directory.
    pub is_dir: bool,
    /// A file's length in bytes; of no meaning for a directory.
    pub len: u64,
}

/// How to open a file. All off by default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OpenOptions {
    /// Allow reading.
    pub read: bool,
    /// Allow writing.
    pub write: bool,
    /// Make the file where it is missing.
    pub create: bool,
    /// Make the file, and fail where it exists.
    pub create_new: bool,
    /// Cut the file to nothing.
    pub truncate: bool,
}

impl OpenOptions {
    /// To read a file that exists.
    pub const READ: Self =
        Self { read: true, write: false, create: false, create_new: false, truncate: false };
    /// To read and write a file that exists.
    pub const READ_WRITE: Self = Self { write: true, ..Self::READ };
    /// To make a file that must not exist.
    pub const CREATE_NEW: Self = Self { create_new: true, ..Self::READ_WRITE };
    /// To make a file, or empty the one that exists.
    pub const CREATE_EMPTY: Self = Self { create: true, truncate: true, ..Self::READ_WRITE };
}

/// Whether an error says that the disk, or a quota on it, is full.
pub fn is_no_space(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Fills `buf` from `offset`.
///
/// # Errors
/// `UnexpectedEof` where the file ends before that, or the system's.
pub fn read_exact_at(file: &dyn File, mut buf: &mut [u8], mut offset: u64) -> io::Result<()> {
    while !buf.is_empty() {
        match file.read_at(buf, offset) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => {
                buf = buf.get_mut(count..).unwrap_or_default();
                offset += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Writes all of `buf` at `offset`, going on after short writes.
///
/// # Errors
/// The system's; part of `buf` may have been written then.
pub fn write_all_at(file: &dyn File, mut buf: &[u8], mut offset: u64) -> io::Result<()> {
    while !buf.is_empty() {
        match file.write_at(buf, offset) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => {
                buf = buf.get(count..).unwrap_or_default();
                offset += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Reads a whole file of at most `limit` bytes.
///
/// # Errors
/// `FileTooLarge` above the limit, or the system's.
pub fn read_file(fs: &dyn FileSystem, path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let file = fs.open(path, OpenOptions::READ)?;
    let len = file.len()?;
    let too_large = || {
        let message = format!("{} has {len} bytes, at most {limit} are read", path.display());
        io::Error::new(io::ErrorKind::FileTooLarge, message)
    };
    if len > limit {
        return Err(too_large());
    }
    let mut contents = vec![0; usize::try_from(len).map_err(|_| too_large())?];
    read_exact_at(&*file, &mut contents, 0)?;
    Ok(contents)
}

/// Replaces a small file so that after a crash either the old or the new contents are there: written beside it under
/// `<name>.tmp`, synced, renamed over it, and the directory synced.
///
/// # Errors
/// The system's. The old contents are then still there, or the new ones but perhaps not durably.
pub fn write_file_durable(fs: &dyn FileSystem, path: &Path, contents: &[u8]) -> io::Result<()> {
    let no_name = || io::Error::new(io::ErrorKind::InvalidInput, format!("{} names no file", path.display()));
    let mut name = path.file_name().ok_or_else(no_name)?.to_owned();
    name.push(".tmp");
    let temporary = path.with_file_name(name);
    let file = fs.open(&temporary, OpenOptions::CREATE_EMPTY)?;
    write_all_at(&*file, contents, 0)?;
    file.sync_all()?;
    fs.rename(&temporary, path)?;
    fs.sync_dir(path.parent().ok_or_else(no_name)?)
}

/// Makes a directory and the missing ones above it, durably: every parent that got a new entry is synced.
///
/// # Errors
/// The system's.
pub fn create_dir_durable(fs: &dyn FileSystem, path: &Path) -> io::Result<()> {
    let missing = path.ancestors().take_while(|dir| !dir.as_os_str().is_empty() && !fs.exists(dir)).count();
    fs.create_dir_all(path)?;
    // One more than was missing: a directory that exists may have been made, and not synced, by an attempt that failed.
    for dir in path.ancestors().take(missing + 1) {
        match dir.parent() {
            Some(parent) if parent.as_os_str().is_empty() => fs.sync_dir(Path::new("."))?,
            Some(parent) => fs.sync_dir(parent)?,
            None => {}
        }
    }
    Ok(())
}
