//! What goes wrong with a tenant's blocks.

use block::BlockError;
use bucket::{BucketError, TenantBucketError};
use thiserror::Error;
use ulid::Ulid;

/// Why something was not done. Nothing is lost by it: it is tried again.
#[derive(Debug, Error)]
pub enum CompactError {
    /// The bucket failed.
    #[error("{0}")]
    Bucket(#[from] BucketError),
    /// What a tenant has in it is not as it should be.
    #[error("{0}")]
    Tenant(#[from] TenantBucketError),
    /// A block is damaged: it is set aside.
    #[error("block {block} is damaged: {source}")]
    Broken {
        /// Which.
        block: Ulid,
        /// What is wrong with it.
        #[source]
        source: BlockError,
    },
    /// A block cannot be read now.
    #[error("block {block} cannot be read: {source}")]
    Unreadable {
        /// Which.
        block: Ulid,
        /// Why.
        #[source]
        source: BlockError,
    },
    /// A new block cannot be written, or is not what was written.
    #[error("the new block is not right: {0}")]
    Output(#[source] BlockError),
    /// The folder for new blocks fails.
    #[error("the folder for new blocks cannot be used: {0}")]
    Scratch(#[source] std::io::Error),
    /// What is in the bucket is not what was uploaded.
    #[error("{file} of the new block {block} is something else in the bucket than it was on the disk")]
    Differs {
        /// Which block.
        block: Ulid,
        /// Which file.
        file: String,
    },
    /// Another process has the work now.
    #[error("another compactor has the job, or this one's lease has ended")]
    NotOurs,
    /// Blocks that were to be merged are not there any more.
    #[error("blocks that were merged have been merged or dropped by somebody else meanwhile")]
    Overtaken,
    /// The process is stopping.
    #[error("interrupted: {reason}")]
    Interrupted {
        /// By what.
        reason: String,
    },
}

impl CompactError {
    /// A word for metrics.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::Bucket(_) | Self::Tenant(_) => "bucket",
            Self::Broken { .. } => "broken",
            Self::Unreadable { .. } => "unreadable",
            Self::Output(_) | Self::Scratch(_) => "disk",
            Self::Differs { .. } => "upload",
            Self::NotOurs => "lease",
            Self::Overtaken => "overtaken",
            Self::Interrupted { .. } => "interrupted",
        }
    }

    /// What a failure to read `block` means: that it is damaged, or that the bucket does not answer.
    pub(crate) fn of_block(block: Ulid, source: BlockError) -> Self {
        match source {
            BlockError::Malformed { .. } | BlockError::Checksum { .. } => Self::Broken { block, source },
            source => Self::Unreadable { block, source },
        }
    }
}

impl From<env::TaskError> for CompactError {
    fn from(error: env::TaskError) -> Self {
        Self::Interrupted { reason: error.to_string() }
    }
}
