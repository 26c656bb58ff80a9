//! The data directory: locked against a second process, and marked with the version of its format.
//!
//! ```text
//! <data>/LOCK      locked while a process uses the directory
//! <data>/VERSION   "barograph data <n>\n"
//! <data>/<role>/   what a role keeps
//! ```

use std::io;
use std::path::{Path, PathBuf};

use env::{FileLock, FileSystem};
use thiserror::Error;

/// The format of the directory that this program reads and writes.
pub(crate) const FORMAT_VERSION: u32 = 1;

const LOCK: &str = "LOCK";
const VERSION: &str = "VERSION";
const MARK: &str = "barograph data ";
const MAX_VERSION_BYTES: u64 = 64;

/// Why a data directory cannot be used.
#[derive(Debug, Error)]
pub(crate) enum DataDirError {
    /// It cannot be made or written.
    #[error("data directory {path}: cannot {operation}")]
    Io {
        /// The directory.
        path: PathBuf,
        /// What was tried.
        operation: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Another process has it.
    #[error(
        "data directory {path} is in use by another process; stop that one, or choose another with --data"
    )]
    InUse {
        /// The directory.
        path: PathBuf,
        /// What the system said, with the process where it is known.
        #[source]
        source: io::Error,
    },
    /// It holds something else.
    #[error("data directory {path} is not empty and not ours; choose another with --data")]
    Foreign {
        /// The directory.
        path: PathBuf,
    },
    /// It was written by another version.
    #[error("data directory {path} has format {found:?}; this program reads format {FORMAT_VERSION}")]
    Version {
        /// The directory.
        path: PathBuf,
        /// What its version file says.
        found: String,
    },
}

/// A data directory that belongs to this process as long as this value lives.
pub(crate) struct DataDir {
    path: PathBuf,
    _lock: Box<dyn FileLock>,
}

impl DataDir {
    /// Makes the directory where it is missing, locks it, and checks or writes its format version.
    ///
    /// # Errors
    /// [`DataDirError`] says which of it failed.
    pub(crate) fn open(fs: &dyn FileSystem, path: &Path) -> Result<Self, DataDirError> {
        let failed = |operation| move |source| DataDirError::Io { path: path.to_owned(), operation, source };
        env::create_dir_durable(fs, path).map_err(failed("make it"))?;
        let lock = fs.lock(&path.join(LOCK)).map_err(|source| match source.kind() {
            io::ErrorKind::WouldBlock => DataDirError::InUse { path: path.to_owned(), source },
            _ => DataDirError::Io { path: path.to_owned(), operation: "lock it", source },
        })?;
        let version = path.join(VERSION);
        if fs.exists(&version) {
            let bytes =
                env::read_file(fs, &version, MAX_VERSION_BYTES).map_err(failed("read its version"))?;
            let found = String::from_utf8_lossy(&bytes).trim_end().to_owned();
            if found.strip_prefix(MARK) != Some(FORMAT_VERSION.to_string().as_str()) {
                return Err(DataDirError::Version { path: path.to_owned(), found });
            }
        } else {
            let entries = fs.read_dir(path).map_err(failed("list it"))?;
            if entries.iter().any(|entry| entry.name != LOCK && !entry.name.starts_with(VERSION)) {
                return Err(DataDirError::Foreign { path: path.to_owned() });
            }
            let text = format!("{MARK}{FORMAT_VERSION}\n");
            env::write_file_durable(fs, &version, text.as_bytes()).map_err(failed("write its version"))?;
        }
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    /// The folder of a role.
    pub(crate) fn role(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

impl std::fmt::Debug for DataDir {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DataDir").field("path", &self.path).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use env::SimFs;

    use super::*;

    #[test]
    fn a_directory_is_made_marked_and_opened_again() {
        let fs = SimFs::new(1);
        let path = Path::new("/data");
        let first = DataDir::open(&fs, path).expect("a new directory");
        assert_eq!(first.role("ingester"), Path::new("/data/ingester"));
        let second = DataDir::open(&fs, path).expect_err("it is locked");
        assert!(matches!(second, DataDirError::InUse { .. }), "{second:?}");
        drop(first);
        DataDir::open(&fs, path).expect("the lock is gone");
    }

    #[test]
    fn a_directory_of_another_format_is_refused() {
        let fs = SimFs::new(1);
        let path = Path::new("/data");
        drop(DataDir::open(&fs, path).expect("a new directory"));
        env::write_file_durable(&fs, &path.join(VERSION), b"barograph data 12\n").expect("written");
        let error = DataDir::open(&fs, path).expect_err("a newer format");
        assert_eq!(
            error.to_string(),
            "data directory /data has format \"barograph data 12\"; this program reads format 1"
        );
    }

    #[test]
    fn a_directory_of_somebody_else_is_refused() {
        let fs = SimFs::new(1);
        let path = Path::new("/data");
        env::create_dir_durable(&fs, path).expect("made");
        env::write_file_durable(&fs, &path.join("thesis.tex"), b"x").expect("written");
        assert!(matches!(DataDir::open(&fs, path), Err(DataDirError::Foreign { .. })));
    }
}
