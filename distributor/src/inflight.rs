//! The bound on what is under way: requests and their bytes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use telemetry::metrics::Gauge;

use crate::config::DistributorConfig;
use crate::error::WriteError;
use crate::metrics::Metrics;

/// Counts what is under way and refuses what would be too much.
pub(crate) struct Inflight {
    requests: Arc<Bounded>,
    bytes: Arc<Bounded>,
    config: DistributorConfig,
    metrics: Metrics,
}

impl Inflight {
    pub(crate) fn new(config: &DistributorConfig, metrics: &Metrics) -> Self {
        let requests = config.max_inflight_push_requests as u64;
        Self {
            requests: Bounded::new(requests, &metrics.inflight_requests),
            bytes: Bounded::new(config.max_inflight_push_requests_bytes.bytes(), &metrics.inflight_bytes),
            config: config.clone(),
            metrics: metrics.clone(),
        }
    }

    /// Lets a request in.
    pub(crate) fn request(&self) -> Result<Permit, WriteError> {
        self.admit(&self.requests, 1, "max_inflight_push_requests")
    }

    /// Sets bytes aside for a request.
    pub(crate) fn bytes(&self, bytes: u64) -> Result<Permit, WriteError> {
        self.admit(&self.bytes, bytes, "max_inflight_push_requests_bytes")
    }

    fn admit(&self, bounded: &Arc<Bounded>, amount: u64, limit: &'static str) -> Result<Permit, WriteError> {
        bounded.take(amount).ok_or_else(|| {
            self.metrics.shed_requests.get_or_create(&[("limit", limit)]).inc();
            WriteError::Overloaded { limit, max: bounded.max, retry_after: self.config.retry_after }
        })
    }
}

/// A number that stays within a bound.
struct Bounded {
    max: u64,
    taken: AtomicU64,
    gauge: Gauge,
}

impl Bounded {
    fn new(max: u64, gauge: &Gauge) -> Arc<Self> {
        Arc::new(Self { max, taken: AtomicU64::new(0), gauge: gauge.clone() })
    }

    fn take(self: &Arc<Self>, amount: u64) -> Option<Permit> {
        let within = |taken: u64| taken.checked_add(amount).filter(|sum| *sum <= self.max);
        self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, within).ok()?;
        self.gauge.inc_by(amount as i64);
        Some(Permit { bounded: Arc::clone(self), amount })
    }
}

/// What was let in; dropping it makes room again.
pub(crate) struct Permit {
    bounded: Arc<Bounded>,
    amount: u64,
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.bounded.taken.fetch_sub(self.amount, Ordering::Relaxed);
        self.bounded.gauge.dec_by(self.amount as i64);
    }
}
