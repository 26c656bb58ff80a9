//! What a caller keeps to with one peer: a breaker, and bounds on what is under way. Whatever would be too much is
//! refused at once, before it waits anywhere.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use env::{Clock, Rng};
use parking_lot::Mutex;
use proto::Error;

use super::breaker::{Admitted, Breaker, BreakerPolicy, Change};
use super::config::GrpcConfig;
use super::metrics::{GrpcMetrics, PeerMetrics};
use super::retry::RetryBudget;

/// What a caller is told to wait where too much is under way.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Calls that may be repeated at once after a quiet time.
const RETRY_BURST: u32 = 20;

/// The bounds towards one peer. Shared by all channels to it.
pub(crate) struct PeerGuard {
    peer: Box<str>,
    breaker: Mutex<Breaker>,
    calls: AtomicU64,
    max_calls: u64,
    bytes: AtomicU64,
    max_bytes: u64,
    repetitions: RetryBudget,
    metrics: PeerMetrics,
    clock: Arc<dyn Clock>,
    rng: Arc<dyn Rng>,
}

/// What bounds are told apart by.
#[derive(Debug, Clone, Copy)]
enum Bound {
    Calls,
    Bytes,
}

impl PeerGuard {
    /// The guard of the peer that metrics and logs are to call `peer`.
    pub(crate) fn new(
        peer: &str,
        config: &GrpcConfig,
        metrics: &GrpcMetrics,
        clock: Arc<dyn Clock>,
        rng: Arc<dyn Rng>,
    ) -> Arc<Self> {
        let policy = BreakerPolicy {
            failures: config.breaker_failures,
            first_wait: config.breaker_first_wait,
            longest_wait: config.breaker_longest_wait,
        };
        let metrics = metrics.of_peer(peer);
        // One of the same name at another address may have been open.
        metrics.open.set(0);
        Arc::new(Self {
            peer: peer.into(),
            breaker: Mutex::new(Breaker::new(policy)),
            calls: AtomicU64::new(0),
            max_calls: config.max_calls_per_peer as u64,
            bytes: AtomicU64::new(0),
            max_bytes: config.max_bytes_per_peer.bytes(),
            repetitions: RetryBudget::new(RETRY_BURST),
            metrics,
            clock,
            rng,
        })
    }

    /// Lets a call out.
    pub(crate) fn call(self: &Arc<Self>) -> Result<Call, Error> {
        let under_way = self.take(Bound::Calls, 1)?;
        let admitted = self.breaker.lock().admit(self.clock.monotonic()).map_err(|wait| {
            self.metrics.kept_back.inc();
            let peer = &self.peer;
            Error::unavailable(format!("{peer} has not answered of late; it is tried again soon"), wait)
        })?;
        Ok(Call { admitted: Some(admitted), under_way })
    }

    /// Sets bytes aside for a call.
    pub(crate) fn bytes(self: &Arc<Self>, bytes: u64) -> Result<UnderWay, Error> {
        let under_way = self.take(Bound::Bytes, bytes)?;
        self.metrics.sent.inc_by(bytes);
        Ok(under_way)
    }

    /// The peer is no longer one: its metrics go.
    pub(crate) fn forget(&self) {
        self.metrics.forget();
    }

    /// Calls that are made for the first time earn repetitions.
    pub(crate) fn repetitions(&self) -> &RetryBudget {
        &self.repetitions
    }

    fn bound(&self, bound: Bound) -> (&AtomicU64, u64, &'static str) {
        match bound {
            Bound::Calls => (&self.calls, self.max_calls, "grpc.max_calls_per_peer"),
            Bound::Bytes => (&self.bytes, self.max_bytes, "grpc.max_bytes_per_peer"),
        }
    }

    fn take(self: &Arc<Self>, bound: Bound, amount: u64) -> Result<UnderWay, Error> {
        let (taken, max, setting) = self.bound(bound);
        // What is larger than the bound goes out alone.
        let within = |taken: u64| taken.checked_add(amount).filter(|sum| *sum <= max || taken == 0);
        if taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, within).is_ok() {
            return Ok(UnderWay { guard: Arc::clone(self), bound, amount });
        }
        self.metrics.shed.inc();
        let message = format!("too much is under way to {}: {setting} is {max}", self.peer);
        Err(Error::unavailable(message, RETRY_AFTER))
    }

    fn note(&self, change: Change) {
        let peer = &*self.peer;
        match change {
            Change::None => {}
            Change::Opened { wait } => {
                self.metrics.open.set(1);
                self.metrics.openings.inc();
                tracing::warn!(peer, ?wait, "peer does not answer; calls to it are kept back");
            }
            Change::StaysOpen { wait } => tracing::debug!(peer, ?wait, "peer still does not answer"),
            Change::Closed => {
                self.metrics.open.set(0);
                tracing::info!(peer, "peer answers again");
            }
        }
    }
}

impl std::fmt::Debug for PeerGuard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PeerGuard").field("peer", &self.peer).finish_non_exhaustive()
    }
}

/// A call that was let out; dropping it without a word means that its caller has gone.
#[derive(Debug)]
pub(crate) struct Call {
    admitted: Option<Admitted>,
    under_way: UnderWay,
}

impl Call {
    /// The peer has answered, whatever it said.
    pub(crate) fn answered(mut self) {
        let guard = &self.under_way.guard;
        if let Some(admitted) = self.admitted.take() {
            let change = guard.breaker.lock().answered(admitted);
            guard.note(change);
        }
    }

    /// The peer was not reached, or did not answer in time.
    pub(crate) fn failed(mut self) {
        let guard = &self.under_way.guard;
        if let Some(admitted) = self.admitted.take() {
            let (now, chance) = (guard.clock.monotonic(), guard.rng.next_u64());
            let change = guard.breaker.lock().failed(admitted, now, chance);
            guard.note(change);
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if let Some(admitted) = self.admitted.take() {
            let guard = &self.under_way.guard;
            guard.breaker.lock().given_up(admitted, guard.clock.monotonic());
        }
    }
}

/// What was let out; dropping it makes room again.
#[derive(Debug)]
pub(crate) struct UnderWay {
    guard: Arc<PeerGuard>,
    bound: Bound,
    amount: u64,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let (taken, _, _) = self.guard.bound(self.bound);
        taken.fetch_sub(self.amount, Ordering::Relaxed);
    }
}
