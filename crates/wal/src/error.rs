//! What can go wrong, by operation.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use env::is_no_space;

use crate::ConfigError;

/// What the log was doing when the file system refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Making a new segment.
    Create,
    /// Writing records.
    Write,
    /// Making records durable.
    Sync,
}

impl Operation {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Write => "write",
            Self::Sync => "sync",
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why a record was not taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// Too much waits already; try again later.
    #[error("the write-ahead log has {pending_bytes} bytes waiting to be written, at most {limit} may")]
    Overloaded {
        /// What waits.
        pending_bytes: usize,
        /// What may wait.
        limit: usize,
    },
    /// The record can never be taken in.
    #[error("a record of {bytes} bytes is too large for the write-ahead log, at most {limit} are taken")]
    TooLarge {
        /// Of the record.
        bytes: usize,
        /// What is taken.
        limit: usize,
    },
    /// Applying an earlier record panicked; the process must be restarted.
    #[error("the write-ahead log is stopped because applying an earlier record failed")]
    Poisoned,
    /// The log was closed.
    #[error("the write-ahead log is closed")]
    Closed,
}

/// Why a record that had been taken in was not committed. It was not applied; whether a restart finds it is open, until
/// a later record is committed: then it will not be found.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CommitError {
    /// The file system refused. The log goes on with a new segment.
    #[error("cannot {operation} the write-ahead log")]
    Io {
        /// What was tried.
        operation: Operation,
        /// What the file system said.
        #[source]
        source: Arc<io::Error>,
    },
    /// Applying this or an earlier record panicked; the process must be restarted.
    #[error("the write-ahead log is stopped because applying a record failed")]
    Poisoned,
    /// The log was closed before the record's turn came.
    #[error("the write-ahead log is closed")]
    Closed,
}

impl CommitError {
    /// Whether the disk, or a quota on it, is full.
    pub fn is_no_space(&self) -> bool {
        matches!(self, Self::Io { source, .. } if is_no_space(source))
    }
}

/// Why a log cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The configuration is not valid.
    #[error("invalid configuration of the write-ahead log")]
    Config(#[from] ConfigError),
    /// The file system refused.
    #[error("cannot open the write-ahead log in {}", path.display())]
    Io {
        /// The directory or segment.
        path: PathBuf,
        /// What the file system said.
        #[source]
        source: io::Error,
    },
}

/// Why a log cannot be recovered. Damage is no error, it is part of the result.
#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    /// The file system refused.
    #[error("cannot read the write-ahead log at {}", path.display())]
    Io {
        /// The directory or segment.
        path: PathBuf,
        /// What the file system said.
        #[source]
        source: io::Error,
    },
    /// Somebody else, or a newer version of ourselves, wrote it.
    #[error(
        "{} is in format {found} of the write-ahead log; this version reads formats up to {known}: start the version that wrote it",
        path.display()
    )]
    UnknownFormat {
        /// The segment.
        path: PathBuf,
        /// Its format version.
        found: u8,
        /// The newest that we read.
        known: u8,
    },
}

/// Why segments that are no longer needed could not be removed. Those that are left are removed the next time.
#[derive(Debug, thiserror::Error)]
#[error("cannot remove segments of the write-ahead log in {}", path.display())]
pub struct TruncateError {
    /// The log's directory.
    pub path: PathBuf,
    /// What the file system said.
    #[source]
    pub source: io::Error,
}
