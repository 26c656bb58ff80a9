//! Time: what the wall says, how long it has been, and waiting. Nobody else reads a clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::oneshot;

/// Where time comes from.
pub trait Clock: Send + Sync + 'static {
    /// The wall clock, in milliseconds since the Unix epoch. It may jump in either direction.
    fn now_ms(&self) -> i64;

    /// Time since this clock was made, near the start of the process. It never goes back.
    fn monotonic(&self) -> Duration;

    /// Becomes ready once [`Clock::monotonic`] has advanced by `duration`, counted from this call.
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()>;
}

/// The machine's clock. Sleeping needs a tokio runtime with its timer.
#[derive(Debug, Clone)]
pub struct SystemClock {
    origin: Instant,
}

impl SystemClock {
    /// A clock whose monotonic time starts now.
    #[expect(clippy::disallowed_methods, reason = "this is the seam that everybody else uses")]
    pub fn new() -> Self {
        Self { origin: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the seam that everybody else uses")]
    fn now_ms(&self) -> i64 {
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
            Err(before) => i64::try_from(before.duration().as_millis()).map_or(i64::MIN, |ms| -ms),
        }
    }

    fn monotonic(&self) -> Duration {
        self.origin.elapsed()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(duration))
    }
}

/// The clock of a simulated instance: the runtime's own, usually paused, time, plus a skew of the wall clock. Clones are the
/// same clock.
#[derive(Debug, Clone)]
pub struct SimClock {
    origin: tokio::time::Instant,
    start_ms: i64,
    skew_ms: Arc<AtomicI64>,
}

impl SimClock {
    /// A clock that reads `start_ms + skew_ms` now and goes with the runtime's time.
    pub fn new(start_ms: i64, skew_ms: i64) -> Self {
        Self { origin: tokio::time::Instant::now(), start_ms, skew_ms: Arc::new(AtomicI64::new(skew_ms)) }
    }

    /// Makes the wall clock read so much more than it would without skew, from now on; in milliseconds, and less where it is
    /// negative.
    pub fn set_skew_ms(&self, skew_ms: i64) {
        self.skew_ms.store(skew_ms, Ordering::Relaxed);
    }
}

impl Clock for SimClock {
    fn now_ms(&self) -> i64 {
        let skew_ms = self.skew_ms.load(Ordering::Relaxed);
        self.start_ms.saturating_add(skew_ms).saturating_add(whole_ms(self.monotonic()))
    }

    fn monotonic(&self) -> Duration {
        self.origin.elapsed()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(duration))
    }
}

/// A clock that stands still until a test moves it. Clones share the time.
#[derive(Debug, Clone)]
pub struct ManualClock {
    state: Arc<Mutex<ManualState>>,
}

#[derive(Debug)]
struct ManualState {
    wall_at_origin_ms: i64,
    monotonic: Duration,
    sleepers: Vec<(Duration, oneshot::Sender<()>)>,
}

impl ManualClock {
    /// A clock that reads `now_ms`, with monotonic time at zero.
    pub fn new(now_ms: i64) -> Self {
        Self {
            state: Arc::new(Mutex::new(ManualState {
                wall_at_origin_ms: now_ms,
                monotonic: Duration::ZERO,
                sleepers: Vec::new(),
            })),
        }
    }

    /// Makes the wall clock jump to `now_ms`, as an operator or a time server does. Monotonic time and sleepers are
    /// untouched.
    pub fn set(&self, now_ms: i64) {
        let mut state = self.state.lock();
        state.wall_at_origin_ms = now_ms.saturating_sub(whole_ms(state.monotonic));
    }

    /// Lets `duration` pass on both clocks and wakes the sleepers whose time has come, earliest first.
    pub fn advance(&self, duration: Duration) {
        let mut due = {
            let mut state = self.state.lock();
            state.monotonic += duration;
            let now = state.monotonic;
            let (due, waiting) =
                state.sleepers.drain(..).partition::<Vec<_>, _>(|(deadline, _)| *deadline <= now);
            state.sleepers = waiting;
            due
        };
        due.sort_by_key(|(deadline, _)| *deadline);
        for (_, waker) in due {
            // A sleeper that was dropped no longer cares.
            let _ = waker.send(());
        }
    }

    /// How many sleeps are pending, dropped ones excluded, so that a test can wait until its subject sleeps.
    pub fn sleepers(&self) -> usize {
        self.state.lock().sleepers.iter().filter(|(_, waker)| !waker.is_closed()).count()
    }
}

impl Clock for ManualClock {
    fn now_ms(&self) -> i64 {
        let state = self.state.lock();
        state.wall_at_origin_ms.saturating_add(whole_ms(state.monotonic))
    }

    fn monotonic(&self) -> Duration {
        self.state.lock().monotonic
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        if duration.is_zero() {
            return Box::pin(std::future::ready(()));
        }
        let (waker, woken) = oneshot::channel();
        let mut state = self.state.lock();
        let deadline = state.monotonic + duration;
        state.sleepers.retain(|(_, waker)| !waker.is_closed());
        state.sleepers.push((deadline, waker));
        let keep_alive = Arc::clone(&self.state);
        Box::pin(async move {
            // The state is held, so the sender is dropped only after it has been used.
            let _ = woken.await;
            drop(keep_alive);
        })
    }
}

fn whole_ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
