//! What can go wrong when a metastore node starts. What goes wrong later is answered to whoever asked.

use openraft::error::Fatal;
use thiserror::Error;

use crate::store::{EngineError, IdentityError};

/// Why a node cannot start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The directory is not this version's.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The store cannot be read.
    #[error("cannot read the metastore's state")]
    Load(#[from] EngineError),
    /// openraft refuses what it was told.
    #[error("the metastore's timing cannot be used: {reason}")]
    Config {
        /// Why.
        reason: String,
    },
    /// Raft cannot start on what is stored.
    #[error("cannot start Raft")]
    Raft(#[source] Box<Fatal<u64>>),
    /// The process is being stopped.
    #[error("the start was interrupted: {reason}")]
    Interrupted {
        /// By what.
        reason: String,
    },
}
