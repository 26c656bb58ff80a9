//! How much a query holds in memory, and the limit on it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::error::{ErrorKind, QueryError};

/// The memory of one query.
#[derive(Debug)]
pub struct Budget {
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
    /// A budget of so many samples and bytes.
    pub fn new(max_samples: u64, max_bytes: u64) -> Arc<Self> {
        Arc::new(Self {
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
        let charge = Charge { budget: Arc::clone(self), samples: samples as u64, bytes: bytes as u64 };
        let held = self.samples.fetch_add(charge.samples, Ordering::Relaxed) + charge.samples;
        let held_bytes = self.bytes.fetch_add(charge.bytes, Ordering::Relaxed) + charge.bytes;
        self.peak_samples.fetch_max(held, Ordering::Relaxed);
        self.peak_bytes.fetch_max(held_bytes, Ordering::Relaxed);
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
        Ok(charge)
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
        let budget = Budget::new(10, 100);
        let first = budget.charge(8, 10).unwrap();
        assert_eq!(budget.charge(3, 10).unwrap_err().kind, ErrorKind::TooLarge);
        drop(first);
        let second = budget.charge(10, 100).unwrap();
        assert!(budget.charge(0, 1).is_err());
        drop(second);
        assert_eq!((budget.peak_samples(), budget.peak_bytes()), (11, 101));
    }
}
