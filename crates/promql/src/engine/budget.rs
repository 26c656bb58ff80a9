//! How much a query holds in memory, and the limit on it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::error::{ErrorKind, QueryError};

/// How much is taken of memory that queries share at a time, in bytes.
const SHARE_BYTES: u64 = 256 << 10;

/// Memory that a query shares with others.
pub trait SharedMemory: Send + Sync + std::fmt::Debug {
    /// Takes so many bytes for the query. They are given back by whoever made this, once the query has ended.
    ///
    /// # Errors
    /// When there is not as much left; it says why, to the query's user.
    fn take(&self, bytes: u64) -> Result<(), QueryError>;
}

/// The memory of one query.
#[derive(Debug)]
pub struct Budget {
    shared: Option<Arc<dyn SharedMemory>>,
    /// What has been taken of `shared`: never less than the most that was held.
    taken: AtomicU64,
    max_samples: u64,
    max_bytes: u64,
    samples: AtomicU64,
    bytes: AtomicU64,
    peak_samples: AtomicU64,
    peak_bytes: AtomicU64,
}

/// A part of a budget, given back when dropped.
#[derive(Debug)]
pub struct Charge {
    budget: Arc<Budget>,
    samples: u64,
    bytes: u64,
}

impl Budget {
    /// A budget of so many samples and bytes. What is held is taken from `shared`, too, if there is any.
    pub fn new(max_samples: u64, max_bytes: u64, shared: Option<Arc<dyn SharedMemory>>) -> Arc<Self> {
        Arc::new(Self {
            shared,
            taken: AtomicU64::new(0),
            max_samples,
            max_bytes,
            samples: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            peak_samples: AtomicU64::new(0),
            peak_bytes: AtomicU64::new(0),
        })
    }

    /// The most samples held at once so far.
    pub fn peak_samples(&self) -> u64 {
        self.peak_samples.load(Ordering::Relaxed)
    }

    /// The most bytes held at once so far.
    pub fn peak_bytes(&self) -> u64 {
        self.peak_bytes.load(Ordering::Relaxed)
    }

    /// Takes a part of the budget; fails where that goes over a limit.
    pub fn charge(self: &Arc<Self>, samples: usize, bytes: usize) -> Result<Charge, QueryError> {
        let mut charge = Charge { budget: Arc::clone(self), samples: 0, bytes: 0 };
        charge.grow(samples, bytes)?;
        Ok(charge)
    }

    /// Whether so much more may be held for a moment; fails where that goes over a limit.
    pub fn look(&self, samples: usize, bytes: usize) -> Result<(), QueryError> {
        let held = self.samples.load(Ordering::Relaxed) + samples as u64;
        self.check(held, self.bytes.load(Ordering::Relaxed) + bytes as u64)
    }

    /// Notes what is held, and fails if it is too much.
    fn check(&self, held: u64, held_bytes: u64) -> Result<(), QueryError> {
        if held > self.peak_samples.load(Ordering::Relaxed) {
            self.peak_samples.fetch_max(held, Ordering::Relaxed);
        }
        if held_bytes > self.peak_bytes.load(Ordering::Relaxed) {
            self.peak_bytes.fetch_max(held_bytes, Ordering::Relaxed);
        }
        if held > self.max_samples {
            return Err(QueryError::new(
                ErrorKind::TooLarge,
                "query processing would load too many samples into memory in query execution",
            ));
        }
        if held_bytes > self.max_bytes {
            return Err(QueryError::new(
                ErrorKind::TooLarge,
                format!(
                    "query processing would hold {held_bytes} bytes in memory, at most {} are allowed",
                    self.max_bytes
                ),
            ));
        }
        self.share(held_bytes)
    }

    /// Takes from the shared memory what is missing to `held_bytes`, and a little more, so that it is seldom asked.
    fn share(&self, held_bytes: u64) -> Result<(), QueryError> {
        let Some(shared) = &self.shared else { return Ok(()) };
        if held_bytes <= self.taken.load(Ordering::Relaxed) {
            return Ok(());
        }
        let wanted = held_bytes.checked_next_multiple_of(SHARE_BYTES).unwrap_or(u64::MAX);
        let before = self.taken.fetch_max(wanted, Ordering::Relaxed);
        match wanted.checked_sub(before) {
            None | Some(0) => Ok(()),
            Some(missing) => shared.take(missing),
        }
    }
}

impl Charge {
    /// Takes so much more; fails where that goes over a limit.
    pub fn grow(&mut self, samples: usize, bytes: usize) -> Result<(), QueryError> {
        let (samples, bytes) = (samples as u64, bytes as u64);
        self.samples += samples;
        self.bytes += bytes;
        let held = self.budget.samples.fetch_add(samples, Ordering::Relaxed) + samples;
        let held_bytes = self.budget.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.budget.check(held, held_bytes)
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.budget.samples.fetch_sub(self.samples, Ordering::Relaxed);
        self.budget.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_dropped_can_be_taken_again() {
        let budget = Budget::new(10, 100, None);
        let first = budget.charge(8, 10).unwrap();
        assert_eq!(budget.charge(3, 10).unwrap_err().kind, ErrorKind::TooLarge);
        drop(first);
        let second = budget.charge(10, 100).unwrap();
        assert!(budget.charge(0, 1).is_err());
        drop(second);
        assert_eq!((budget.peak_samples(), budget.peak_bytes()), (11, 101));
    }

    #[derive(Debug)]
    struct Pool(AtomicU64);

    impl SharedMemory for Pool {
        fn take(&self, bytes: u64) -> Result<(), QueryError> {
            if self.0.fetch_add(bytes, Ordering::Relaxed) + bytes > 3 * SHARE_BYTES {
                return Err(QueryError::new(ErrorKind::Overloaded, "nothing left"));
            }
            Ok(())
        }
    }

    #[test]
    fn the_most_that_was_held_is_taken_of_shared_memory_in_shares() {
        let pool = Arc::new(Pool(AtomicU64::new(0)));
        let budget = Budget::new(u64::MAX, u64::MAX, Some(Arc::clone(&pool) as Arc<dyn SharedMemory>));
        let share = SHARE_BYTES as usize;
        let first = budget.charge(1, 1).unwrap();
        let second = budget.charge(1, share).unwrap();
        assert_eq!(pool.0.load(Ordering::Relaxed), 2 * SHARE_BYTES);
        drop((first, second));
        drop(budget.charge(1, 2 * share).unwrap());
        assert_eq!(pool.0.load(Ordering::Relaxed), 2 * SHARE_BYTES);
        assert_eq!(budget.charge(1, 4 * share).unwrap_err().kind, ErrorKind::Overloaded);
    }
}
