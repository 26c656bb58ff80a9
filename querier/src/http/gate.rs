//! How many requests read whole series out at the same time.

use std::sync::Arc;
use std::time::Duration;

use env::Clock;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::{ApiError, ErrorType};

/// When to come back after a refusal.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// Lets a bounded number of remote reads and federations run; the others wait, as long as their clients do and a query
/// may take.
#[derive(Debug, Clone)]
pub(super) struct ReadGate(Arc<Semaphore>);

/// The right to read; dropping it lets the next one in.
pub(super) type ReadPermit = OwnedSemaphorePermit;

impl ReadGate {
    pub(super) fn new(max_concurrent: usize) -> Self {
        Self(Arc::new(Semaphore::new(max_concurrent)))
    }

    /// Waits for a turn, at most `timeout`.
    pub(super) async fn enter(&self, clock: &dyn Clock, timeout: Duration) -> Result<ReadPermit, ApiError> {
        tokio::select! {
            biased;
            permit = Arc::clone(&self.0).acquire_owned() => {
                permit.map_err(|_| ApiError::new(ErrorType::Unavailable, "the querier is shutting down"))
            }
            () = clock.sleep(timeout) => {
                let message = "too many remote reads and federations; come back later";
                Err(ApiError::overloaded(message, RETRY_AFTER))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use env::ManualClock;

    use super::*;

    #[tokio::test]
    async fn one_after_the_other_and_not_for_ever() {
        let (clock, gate) = (ManualClock::new(0), ReadGate::new(1));
        let timeout = Duration::from_secs(1);
        let first = gate.enter(&clock, timeout).await.unwrap();
        let mut second = Box::pin(gate.enter(&clock, timeout));
        assert!(futures::poll!(&mut second).is_pending());
        drop(first);
        let second = second.await.unwrap();
        let mut third = Box::pin(gate.enter(&clock, timeout));
        assert!(futures::poll!(&mut third).is_pending());
        clock.advance(timeout);
        let refused = third.await.unwrap_err();
        assert!(refused.kind == ErrorType::Unavailable && refused.retry_after.is_some());
        drop(second);
        assert!(gate.enter(&clock, timeout).await.is_ok());
    }
}
