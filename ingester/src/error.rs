//! What can go wrong when an ingester starts. What goes wrong later is answered to whoever asked.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// Why an ingester cannot start.
#[derive(Debug, Error)]
pub enum StartError {
    /// Another process uses the directory.
    #[error("cannot lock {}: is another barograph running on it?", path.display())]
    Locked {
        /// The lock file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The directory was written by a version that this one does not know.
    #[error(
        "{} says {found:?}, this version knows {known:?}: start the version that wrote the directory, or use another --data",
        path.display()
    )]
    Format {
        /// The file that says so.
        path: PathBuf,
        /// What it says.
        found: String,
        /// What this version writes.
        known: &'static str,
    },
    /// The directory is that of another instance.
    #[error(
        "{} says that the directory is that of instance {found:?}: start it as {found:?}, or give {instance:?} another --data",
        path.display()
    )]
    OtherInstance {
        /// The file that says so.
        path: PathBuf,
        /// Whose it is.
        found: String,
        /// Who wanted it.
        instance: String,
    },
    /// The disk failed.
    #[error("cannot read or write {}", path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The log cannot be read.
    #[error("cannot recover the write-ahead log")]
    Recover(#[from] wal::RecoverError),
    /// The log cannot be opened for writing.
    #[error("cannot open the write-ahead log")]
    Open(#[from] wal::OpenError),
    /// The process is being stopped.
    #[error("the start was interrupted: {reason}")]
    Interrupted {
        /// By what.
        reason: String,
    },
}
