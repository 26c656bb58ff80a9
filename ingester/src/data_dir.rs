//! An ingester's directory: who may use it, and which format it has.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use env::{FileLock, FileSystem};

use crate::error::StartError;

/// What the format file says. A version that could misread the directory has another line.
const FORMAT: &str = "barograph ingester 2\n";

/// A format file is a line; whatever is longer is none.
const MAX_FORMAT_BYTES: u64 = 4096;

/// A locked directory.
pub(crate) struct DataDir {
    root: PathBuf,
    /// Held for as long as the ingester lives.
    _lock: Box<dyn FileLock>,
}

impl DataDir {
    /// Locks the directory, which is made where it is missing, and checks its format.
    pub(crate) fn open(fs: &Arc<dyn FileSystem>, root: &Path) -> Result<Self, StartError> {
        let io = |path: PathBuf| move |source| StartError::Io { path, source };
        env::create_dir_durable(&**fs, root).map_err(io(root.to_owned()))?;
        let path = root.join("lock");
        let lock = fs.lock(&path).map_err(|source| StartError::Locked { path, source })?;
        let path = root.join("format");
        match env::read_file(&**fs, &path, MAX_FORMAT_BYTES) {
            Ok(found) if found == FORMAT.as_bytes() => {}
            Ok(found) => {
                let found = String::from_utf8_lossy(&found).trim().to_owned();
                return Err(StartError::Format { path, found, known: FORMAT.trim() });
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                env::write_file_durable(&**fs, &path, FORMAT.as_bytes()).map_err(io(path.clone()))?;
            }
            Err(source) => return Err(StartError::Io { path, source }),
        }
        let dir = Self { root: root.to_owned(), _lock: lock };
        for path in [dir.wal(), dir.chunks(), dir.snapshots(), dir.blocks()] {
            env::create_dir_durable(&**fs, &path).map_err(io(path.clone()))?;
        }
        Ok(dir)
    }

    /// Where the log is.
    pub(crate) fn wal(&self) -> PathBuf {
        self.root.join("wal")
    }

    /// Where the chunk files are.
    pub(crate) fn chunks(&self) -> PathBuf {
        self.root.join("chunks")
    }

    /// Where blocks are until they are in the bucket.
    pub(crate) fn blocks(&self) -> PathBuf {
        self.root.join("blocks")
    }

    /// Where the snapshots are.
    pub(crate) fn snapshots(&self) -> PathBuf {
        self.root.join("snapshots")
    }
}
