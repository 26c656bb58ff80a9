//! The log as its owner and those who append see it, and the task that runs it.

use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use env::{Clock, FileSystem, Scope, TaskHandle};
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use crate::recover::remove_segments;
use crate::worker::{Entry, LogWriter, Waiting, Worker};
use crate::{
    AppendError, CommitError, OpenError, Position, Recovery, SyncMode, TimeHull, TruncateError, WalConfig,
    WalMetrics,
};

/// What a waiting record costs beyond its bytes.
const RECORD_OVERHEAD_BYTES: usize = 128;
/// After a failure the next group waits this long, doubled with each further one …
const FIRST_BACKOFF: Duration = Duration::from_millis(10);
/// … up to this.
const MAX_BACKOFF: Duration = Duration::from_millis(500);

/// What the owner does with a committed record. Live and in recovery it sees the same records in the same order.
pub trait Apply: Send + 'static {
    /// What whoever appended the record gets back.
    type Outcome: Send + 'static;

    /// Takes in the record that begins at `position`. A panic stops the log for good.
    fn apply(&mut self, position: Position, record: &[u8]) -> Self::Outcome;
}

/// What the log needs of its surroundings.
pub struct WalDeps {
    /// Where the segments are.
    pub fs: Arc<dyn FileSystem>,
    /// For timing and waiting.
    pub clock: Arc<dyn Clock>,
    /// Where the log task runs. When it is cancelled the log commits what waits, then closes.
    pub scope: Scope,
    /// What is counted.
    pub metrics: WalMetrics,
}

/// A log that is being written. Clones are the same log; it closes when the last is dropped.
pub struct Wal<A: Apply> {
    handle: Arc<Handle<A>>,
}

impl<A: Apply> Clone for Wal<A> {
    fn clone(&self) -> Self {
        Self { handle: Arc::clone(&self.handle) }
    }
}

struct Handle<A: Apply> {
    shared: Arc<Shared<A>>,
    fs: Arc<dyn FileSystem>,
    scope: Scope,
    metrics: WalMetrics,
    dir: PathBuf,
    max_record_bytes: usize,
}

impl<A: Apply> Drop for Handle<A> {
    fn drop(&mut self) {
        self.shared.close(State::Closed);
    }
}

struct Shared<A: Apply> {
    queue: Mutex<Queue<A>>,
    wake: Notify,
    max_pending_bytes: usize,
}

struct Queue<A: Apply> {
    entries: Vec<Entry<A>>,
    /// Of the records that were appended and whose fate is open.
    pending_bytes: usize,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    Closed,
    Poisoned,
}

impl<A: Apply> Shared<A> {
    /// The first reason to stop stands, except that poison outweighs a clean end.
    fn close(&self, state: State) {
        let mut queue = self.queue.lock();
        if queue.state == State::Open || state == State::Poisoned {
            queue.state = state;
        }
        drop(queue);
        self.wake.notify_one();
    }

    fn push(&self, queue: &mut Queue<A>, entry: Entry<A>) {
        let was_empty = queue.entries.is_empty();
        queue.entries.push(entry);
        if was_empty {
            self.wake.notify_one();
        }
    }
}

impl<A: Apply> Wal<A> {
    /// Continues the log that `recovery` has read, in a new segment, and starts the log task. `apply` has taken in what
    /// the recovery found.
    ///
    /// # Errors
    /// When the configuration is not valid, or the directory cannot be made or what was recovered not be synced.
    pub fn open(config: &WalConfig, deps: WalDeps, recovery: &Recovery, apply: A) -> Result<Self, OpenError> {
        config.check()?;
        recovery.prepare(&*deps.fs, &config.dir)?;
        let shared = Arc::new(Shared {
            queue: Mutex::new(Queue { entries: Vec::new(), pending_bytes: 0, state: State::Open }),
            wake: Notify::new(),
            max_pending_bytes: config.max_pending_bytes,
        });
        let log = LogWriter::new(
            config,
            Arc::clone(&deps.fs),
            Arc::clone(&deps.clock),
            deps.metrics.clone(),
            recovery.next(),
        );
        let task = Task {
            _ending: Ending(Arc::clone(&shared)),
            shared: Arc::clone(&shared),
            clock: deps.clock,
            scope: deps.scope.clone(),
            metrics: deps.metrics.clone(),
            sync: config.sync,
            sync_at: None,
        };
        let _detached: TaskHandle<()> = deps.scope.spawn("wal", task.run(Worker::new(apply, log)));
        Ok(Self {
            handle: Arc::new(Handle {
                shared,
                fs: deps.fs,
                scope: deps.scope,
                metrics: deps.metrics,
                dir: config.dir.clone(),
                max_record_bytes: config.max_record_bytes,
            }),
        })
    }

    /// Takes in a record. It is committed and applied even if the ticket is dropped; records appended one after the
    /// other are committed in that order.
    ///
    /// # Errors
    /// See [`AppendError`]; the record will not be in the log then.
    pub fn append(&self, record: Vec<u8>, hull: TimeHull) -> Result<Ticket<A>, AppendError> {
        let shared = &self.handle.shared;
        let limit = self.handle.max_record_bytes;
        if record.len() > limit {
            let bytes = record.len();
            return Err(AppendError::TooLarge { bytes, limit });
        }
        let (reply, answer) = oneshot::channel();
        let mut queue = shared.queue.lock();
        match queue.state {
            State::Open => {}
            State::Closed => return Err(AppendError::Closed),
            State::Poisoned => return Err(AppendError::Poisoned),
        }
        let limit = shared.max_pending_bytes;
        if queue.pending_bytes >= limit {
            let pending_bytes = queue.pending_bytes;
            return Err(AppendError::Overloaded { pending_bytes, limit });
        }
        queue.pending_bytes += record.len() + RECORD_OVERHEAD_BYTES;
        shared.push(&mut queue, Entry::Record(Waiting { record, hull, reply }));
        drop(queue);
        Ok(Ticket { answer, shared: Arc::clone(shared) })
    }

    /// Runs `call` on the owner's state after everything that was appended before has been committed, or failed, and
    /// before anything that is appended later is applied. It runs even if the result is dropped; the future fails only
    /// where the log has stopped.
    pub fn run_in_order<T: Send + 'static>(
        &self,
        call: impl FnOnce(&mut A) -> T + Send + 'static,
    ) -> InOrder<A, T> {
        let (reply, answer) = oneshot::channel();
        self.enqueue(
            Entry::Call(Box::new(move |apply| {
                // Whoever asked may have gone.
                let _ = reply.send(call(apply));
            })),
            answer,
        )
    }

    /// Ends the current segment and gives where the next begins: what was appended before has been applied or has
    /// failed and lies before it, what is appended later lies behind it.
    pub fn roll(&self) -> InOrder<A, Position> {
        let (reply, answer) = oneshot::channel();
        self.enqueue(Entry::Roll(reply), answer)
    }

    /// Removes the segments that lie wholly before `position`, which the owner has had from [`Wal::roll`] or
    /// [`Apply::apply`]: a recovery from there on does not need them.
    ///
    /// # Errors
    /// When the file system refuses.
    pub async fn truncate_before(&self, position: Position) -> Result<(), TruncateError> {
        let handle = Arc::clone(&self.handle);
        let remove = move || {
            let removed = remove_segments(&*handle.fs, &handle.dir, |number| number < position.segment)?;
            handle.metrics.segments_removed.inc_by(removed);
            Ok(())
        };
        let result = self.handle.scope.run_blocking(remove).await;
        result
            .map_err(std::io::Error::other)
            .flatten()
            .map_err(|source| TruncateError { path: self.handle.dir.clone(), source })
    }

    /// Takes no more records, and becomes ready when those taken in have been committed, durably in every mode.
    pub async fn close(&self) {
        let (reply, answer) = oneshot::channel();
        let done = self.enqueue(Entry::Sync(reply), answer);
        self.handle.shared.close(State::Closed);
        // The log may have stopped already.
        let _ = done.await;
    }

    /// Bytes of records that were taken in and whose fate is open, with a constant for each record.
    pub fn pending_bytes(&self) -> usize {
        self.handle.shared.queue.lock().pending_bytes
    }

    fn enqueue<T>(&self, entry: Entry<A>, answer: oneshot::Receiver<T>) -> InOrder<A, T> {
        let shared = &self.handle.shared;
        let mut queue = shared.queue.lock();
        // In a log that has stopped the entry is dropped, and the answer with it.
        if queue.state == State::Open {
            shared.push(&mut queue, entry);
        }
        drop(queue);
        InOrder { answer, shared: Arc::clone(shared) }
    }
}

/// A record's fate: ready when the record has been applied, with the outcome, or has failed.
pub struct Ticket<A: Apply> {
    answer: oneshot::Receiver<Result<A::Outcome, CommitError>>,
    shared: Arc<Shared<A>>,
}

impl<A: Apply> Future for Ticket<A> {
    type Output = Result<A::Outcome, CommitError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = ready!(Pin::new(&mut self.answer).poll(context));
        Poll::Ready(answer.unwrap_or_else(|_| Err(self.shared.stopped())))
    }
}

/// The result of something that the log does in order. It fails only where the log has stopped.
pub struct InOrder<A: Apply, T> {
    answer: oneshot::Receiver<T>,
    shared: Arc<Shared<A>>,
}

impl<A: Apply, T> Future for InOrder<A, T> {
    type Output = Result<T, CommitError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = ready!(Pin::new(&mut self.answer).poll(context));
        Poll::Ready(answer.map_err(|_| self.shared.stopped()))
    }
}

impl<A: Apply> Shared<A> {
    fn stopped(&self) -> CommitError {
        match self.queue.lock().state {
            State::Poisoned => CommitError::Poisoned,
            State::Open | State::Closed => CommitError::Closed,
        }
    }
}

/// The log task.
struct Task<A: Apply> {
    /// Whatever ends this task, even an abort before it has begun, nobody may wait for it any longer.
    _ending: Ending<A>,
    shared: Arc<Shared<A>>,
    clock: Arc<dyn Clock>,
    scope: Scope,
    metrics: WalMetrics,
    sync: SyncMode,
    /// When what was acknowledged without a sync is to be synced.
    sync_at: Option<Duration>,
}

impl<A: Apply> Task<A> {
    async fn run(mut self, mut worker: Worker<A>) {
        let mut batch = Vec::new();
        loop {
            if self.scope.is_cancelled() {
                self.shared.close(State::Closed);
            }
            let (state, bytes) = self.take(&mut batch);
            let sync_due = self.sync_at.is_some_and(|at| self.clock.monotonic() >= at);
            let ending = state != State::Open && batch.is_empty();
            if batch.is_empty() && !sync_due && !ending {
                self.wait().await;
                continue;
            }
            let work = move || {
                worker.process(&mut batch);
                if sync_due || ending {
                    worker.log.sync_acknowledged();
                }
                (worker, batch)
            };
            match self.scope.run_blocking(work).await {
                Ok(back) => (worker, batch) = back,
                Err(error) => {
                    tracing::error!(%error, "the write-ahead log is stopped");
                    self.shared.close(State::Poisoned);
                    return;
                }
            }
            self.done(bytes);
            if ending {
                return;
            }
            self.schedule_sync(&worker.log, sync_due);
            self.back_off(worker.log.failures()).await;
        }
    }

    /// Takes everything that waits, leaving the emptied vector of the last batch in its place.
    fn take(&self, batch: &mut Vec<Entry<A>>) -> (State, usize) {
        let mut queue = self.shared.queue.lock();
        std::mem::swap(&mut queue.entries, batch);
        self.metrics.pending_bytes.set(i64::try_from(queue.pending_bytes).unwrap_or(i64::MAX));
        (queue.state, queue.pending_bytes)
    }

    /// What was taken no longer waits; what was appended since does.
    fn done(&self, taken_bytes: usize) {
        let mut queue = self.shared.queue.lock();
        queue.pending_bytes -= taken_bytes;
        self.metrics.pending_bytes.set(i64::try_from(queue.pending_bytes).unwrap_or(i64::MAX));
    }

    async fn wait(&self) {
        let sync_in = self.sync_at.map(|at| at.saturating_sub(self.clock.monotonic()));
        let sync_timer = async {
            match sync_in {
                Some(duration) => self.clock.sleep(duration).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = self.scope.cancelled() => self.shared.close(State::Closed),
            () = self.shared.wake.notified() => {}
            () = sync_timer => {}
        }
    }

    fn schedule_sync(&mut self, log: &LogWriter, synced: bool) {
        let SyncMode::Interval(interval) = self.sync else {
            return;
        };
        if !log.is_unsynced() {
            self.sync_at = None;
        } else if synced || self.sync_at.is_none() {
            self.sync_at = Some(self.clock.monotonic() + interval);
        }
    }

    /// After failures, lets records gather for a while rather than beat on a disk that refuses them one by one.
    async fn back_off(&self, failures: u32) {
        let Some(doublings) = failures.checked_sub(1) else {
            return;
        };
        let factor = 1_u32.checked_shl(doublings.min(16)).unwrap_or(u32::MAX);
        self.clock.sleep(FIRST_BACKOFF.saturating_mul(factor).min(MAX_BACKOFF)).await;
    }
}

/// Closes the queue, and drops what is in it, when the log task is gone.
struct Ending<A: Apply>(Arc<Shared<A>>);

impl<A: Apply> Drop for Ending<A> {
    fn drop(&mut self) {
        self.0.close(State::Closed);
        let abandoned = std::mem::take(&mut self.0.queue.lock().entries);
        drop(abandoned);
    }
}
