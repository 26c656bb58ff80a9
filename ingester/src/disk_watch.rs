//! Says so when the disk keeps the write-ahead log or chunk files waiting: nothing has failed then, but writes are acknowledged
//! late, and once too much waits they are refused.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use telemetry::LogRateLimit;

use crate::maintenance::wait;
use crate::service::Inner;

/// How often it is looked.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A disk that takes so long for one write or sync is slow.
const SLOW: Duration = Duration::from_secs(1);
/// How often that is logged at most, for each of the two.
const LOG_EVERY: Duration = Duration::from_secs(60);

/// What the disk has been asked for and not done.
pub(crate) struct DiskWatch {
    /// Records that have been committed and applied.
    pub(crate) applied: Arc<AtomicU64>,
    /// Since when chunk files are being written or synced.
    chunk_files: Mutex<Option<Duration>>,
    log: LogRateLimit<&'static str>,
}

impl DiskWatch {
    pub(crate) fn new() -> Self {
        Self { applied: Arc::default(), chunk_files: Mutex::default(), log: LogRateLimit::new(LOG_EVERY) }
    }

    /// Chunk files are being written from now on, or have been.
    pub(crate) fn chunk_files(&self, since: Option<Duration>) {
        *self.chunk_files.lock() = since;
    }
}

/// How far the log had come when something waited for it, and when that was seen first.
#[derive(Clone, Copy)]
struct Stop {
    applied: u64,
    since: Duration,
}

/// Looks until the ingester stops.
pub(crate) async fn watch(inner: Arc<Inner>) {
    let mut stop = None;
    while wait(&inner, LOOK_EVERY).await {
        stop = look(&inner, stop);
    }
}

/// Looks once; `stop` is what was found the last time.
fn look(inner: &Inner, stop: Option<Stop>) -> Option<Stop> {
    let (watch, now) = (&inner.disk_watch, inner.clock.monotonic());
    let (applied, pending) = (watch.applied.load(Ordering::Relaxed), inner.log.pending_bytes());
    let same = stop.filter(|stop| stop.applied == applied).unwrap_or(Stop { applied, since: now });
    let stop = Some(same).filter(|_| pending > 0);
    let of_log = stop.map_or(Duration::ZERO, |stop| now.saturating_sub(stop.since));
    let of_chunk_files = watch.chunk_files.lock().map_or(Duration::ZERO, |since| now.saturating_sub(since));
    let longest = Some(of_log.max(of_chunk_files)).filter(|longest| *longest >= SLOW);
    inner.metrics.disk_wait_seconds.set(longest.map_or(0.0, |longest| longest.as_secs_f64()));
    let chunk_bytes = inner.head.store().buffered_bytes();
    for (what, waits, bytes) in
        [("the write-ahead log", of_log, pending as u64), ("chunk files", of_chunk_files, chunk_bytes)]
    {
        if waits >= SLOW && watch.log.allow(&what, now).is_some() {
            tracing::warn!(
                seconds = waits.as_secs_f64(),
                bytes,
                "the disk is slow and keeps {what} waiting: writes are late, and are refused once too much waits"
            );
        }
    }
    stop
}
