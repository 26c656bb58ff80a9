//! How many requests read whole series out at the same time.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::{ApiError, ErrorType};

/// Lets a bounded number of remote reads and federations run; the others wait, as long as their clients do.
#[derive(Debug, Clone)]
pub(super) struct ReadGate(Arc<Semaphore>);

/// The right to read; dropping it lets the next one in.
pub(super) type ReadPermit = OwnedSemaphorePermit;

impl ReadGate {
    pub(super) fn new(max_concurrent: usize) -> Self {
        Self(Arc::new(Semaphore::new(max_concurrent)))
    }

    /// Waits for a turn.
    pub(super) async fn enter(&self) -> Result<ReadPermit, ApiError> {
        let permit = Arc::clone(&self.0).acquire_owned().await;
        permit.map_err(|_| ApiError::new(ErrorType::Unavailable, "the querier is shutting down"))
    }
}
