//! The memory that running queries may hold together.
//!
//! Each query has its own limit in the engine. Beside it, what it holds is taken from a budget of the process, and given
//! back when the query has ended and its answer is gone. A small part is granted to every query, so that those who ask
//! for little are answered while others hold everything else.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use promql::{ErrorKind, QueryError, SharedMemory};
use telemetry::metrics::Gauge;

use crate::metrics::{AdmissionMetrics, Refusal};

/// What every query may hold uncounted, in bytes. Times the number of queries that run this is what the process may
/// take beyond its budget.
const GRANTED_BYTES: u64 = 8 << 20;

/// The budget of the process.
#[derive(Debug)]
pub(crate) struct ProcessMemory {
    max_bytes: u64,
    taken: AtomicU64,
    gauge: Gauge,
    metrics: AdmissionMetrics,
}

impl ProcessMemory {
    /// A budget of `max_bytes`, of which `gauge` shows what is taken.
    pub(crate) fn new(max_bytes: u64, gauge: Gauge, metrics: AdmissionMetrics) -> Arc<Self> {
        Arc::new(Self { max_bytes, taken: AtomicU64::new(0), gauge, metrics })
    }

    /// The account of a new query.
    pub(crate) fn query(self: &Arc<Self>) -> Arc<QueryMemory> {
        Arc::new(QueryMemory {
            process: Arc::clone(self),
            wanted: AtomicU64::new(0),
            taken: AtomicU64::new(0),
        })
    }

    fn take(&self, bytes: u64) -> bool {
        let taken = self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |taken| {
            taken.checked_add(bytes).filter(|sum| *sum <= self.max_bytes)
        });
        if taken.is_ok() {
            self.gauge.inc_by(i64::try_from(bytes).unwrap_or(i64::MAX));
        }
        taken.is_ok()
    }

    fn give_back(&self, bytes: u64) {
        self.taken.fetch_sub(bytes, Ordering::Relaxed);
        self.gauge.dec_by(i64::try_from(bytes).unwrap_or(i64::MAX));
    }
}

/// What one query has taken of the process' budget, given back when dropped.
#[derive(Debug)]
pub(crate) struct QueryMemory {
    process: Arc<ProcessMemory>,
    /// All that the query has asked for.
    wanted: AtomicU64,
    /// What of it the process has set aside.
    taken: AtomicU64,
}

impl SharedMemory for QueryMemory {
    fn take(&self, bytes: u64) -> Result<(), QueryError> {
        let before = self.wanted.fetch_add(bytes, Ordering::Relaxed);
        let after = before.saturating_add(bytes);
        let counted = after.saturating_sub(GRANTED_BYTES) - before.saturating_sub(GRANTED_BYTES);
        if counted == 0 {
            return Ok(());
        }
        if self.process.take(counted) {
            self.taken.fetch_add(counted, Ordering::Relaxed);
            return Ok(());
        }
        self.process.metrics.refused(Refusal::Memory);
        let max = self.process.max_bytes;
        if after.saturating_sub(GRANTED_BYTES) > max {
            // Alone, it would need more: coming back later does not help.
            return Err(QueryError::new(
                ErrorKind::TooLarge,
                format!(
                    "the query needs more memory than all queries may hold together (max_total_memory_bytes: {max}); \
                     select fewer series or a shorter time range"
                ),
            ));
        }
        Err(QueryError::new(
            ErrorKind::Overloaded,
            format!(
                "the queries that run hold as much memory as they may together (max_total_memory_bytes: {max}); \
                 come back later, or select fewer series"
            ),
        ))
    }
}

impl Drop for QueryMemory {
    fn drop(&mut self) {
        let taken = self.taken.load(Ordering::Relaxed);
        if taken > 0 {
            self.process.give_back(taken);
        }
    }
}

#[cfg(test)]
mod tests {
    use telemetry::Registry;

    use super::*;
    use crate::metrics::QuerierMetrics;

    #[test]
    fn small_queries_run_whatever_others_hold() {
        let metrics = QuerierMetrics::register(&Registry::new());
        let process = ProcessMemory::new(100 << 20, metrics.memory.clone(), metrics.admission.clone());
        let large = process.query();
        large.take(108 << 20).unwrap();
        assert_eq!(metrics.memory.get(), 100 << 20);
        let other = process.query();
        other.take(GRANTED_BYTES).unwrap();
        assert_eq!(other.take(1).unwrap_err().kind, ErrorKind::Overloaded);
        drop(large);
        assert_eq!(metrics.memory.get(), 0);
        // The refusal took nothing; what was asked for is remembered, so that nothing is granted twice.
        other.take(50 << 20).unwrap();
        assert_eq!(metrics.memory.get(), 50 << 20);
        let alone = process.query();
        assert_eq!(alone.take(109 << 20).unwrap_err().kind, ErrorKind::TooLarge);
        drop((other, alone));
        assert_eq!(metrics.memory.get(), 0);
    }
}
