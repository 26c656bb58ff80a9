//! How many queries run and how many wait: beyond both bounds queries are refused at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use telemetry::metrics::Gauge;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::ApiError;

/// When to come back after a refusal: a fraction of the time that queries usually wait.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// Lets a bounded number of queries run, and a bounded number wait for them, first come first served.
#[derive(Debug)]
pub(crate) struct Admission {
    running: Arc<Semaphore>,
    waiting: AtomicUsize,
    max_queued: usize,
    queue_length: Gauge,
    running_count: Gauge,
}

/// The right to run a query; dropping it lets the next one in.
#[derive(Debug)]
pub(crate) struct Admitted {
    _permit: OwnedSemaphorePermit,
    running_count: Gauge,
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.running_count.dec();
    }
}

impl Admission {
    /// Counts those that wait in `queue_length` and those that run in `running_count`.
    pub(crate) fn new(
        max_concurrent: usize,
        max_queued: usize,
        queue_length: Gauge,
        running_count: Gauge,
    ) -> Self {
        Self {
            running: Arc::new(Semaphore::new(max_concurrent)),
            waiting: AtomicUsize::new(0),
            max_queued,
            queue_length,
            running_count,
        }
    }

    /// Waits for a turn. Dropping the future gives the place in the queue up.
    pub(crate) async fn admit(&self) -> Result<Admitted, ApiError> {
        if let Ok(permit) = Arc::clone(&self.running).try_acquire_owned() {
            return Ok(self.admitted(permit));
        }
        let _place = self.enqueue()?;
        match Arc::clone(&self.running).acquire_owned().await {
            Ok(permit) => Ok(self.admitted(permit)),
            Err(_) => Err(ApiError::overloaded("the querier is shutting down", RETRY_AFTER)),
        }
    }

    fn admitted(&self, permit: OwnedSemaphorePermit) -> Admitted {
        self.running_count.inc();
        Admitted { _permit: permit, running_count: self.running_count.clone() }
    }

    fn enqueue(&self) -> Result<Place<'_>, ApiError> {
        let admitted = self.waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |waiting| {
            (waiting < self.max_queued).then_some(waiting + 1)
        });
        if admitted.is_err() {
            let message = format!("too many queries: {} wait already; come back later", self.max_queued);
            return Err(ApiError::overloaded(message, RETRY_AFTER));
        }
        self.queue_length.inc();
        Ok(Place(self))
    }
}

/// A place in the queue.
struct Place<'a>(&'a Admission);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
        self.0.queue_length.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn runs_queues_and_refuses() {
        let admission = Admission::new(1, 1, Gauge::default(), Gauge::default());
        let first = admission.admit().await.unwrap();
        let mut second = Box::pin(admission.admit());
        assert!(futures::poll!(&mut second).is_pending());
        let refused = admission.admit().await.unwrap_err();
        assert_eq!(refused.kind, crate::ErrorType::Unavailable);
        assert!(refused.retry_after.is_some());
        assert_eq!((admission.queue_length.get(), admission.running_count.get()), (1, 1));
        drop(first);
        let second = second.await.unwrap();
        assert_eq!(admission.queue_length.get(), 0);
        // One that gives up makes room for another.
        let mut third = Box::pin(admission.admit());
        assert!(futures::poll!(&mut third).is_pending());
        drop(third);
        let mut fourth = Box::pin(admission.admit());
        assert!(futures::poll!(&mut fourth).is_pending());
        drop(second);
        assert!(fourth.await.is_ok());
        assert_eq!((admission.queue_length.get(), admission.running_count.get()), (0, 0));
    }
}
