//! The log as its owner and those who append see it.

use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use env::{Clock, FileSystem, Scope, TaskHandle};
use tokio::sync::oneshot;

use crate::queue::{Entry, Shared, State};
use crate::recover::remove_segments;
use crate::task::Task;
use crate::worker::Worker;
use crate::writer::LogWriter;
use crate::{
    AppendError, CommitError, OpenError, Position, Recovery, TimeHull, TruncateError, WalConfig, WalMetrics,
};

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

impl<A: Apply> Wal<A> {
    /// Continues the log that `recovery` has read, in a new segment, and starts the log task. `apply` has taken in what
    /// the recovery found.
    ///
    /// # Errors
    /// When the configuration is not valid, or the directory cannot be made or what was recovered not be synced.
    pub fn open(config: &WalConfig, deps: WalDeps, recovery: &Recovery, apply: A) -> Result<Self, OpenError> {
        config.check()?;
        recovery.prepare(&*deps.fs, &config.dir)?;
        let shared = Arc::new(Shared::new(config.max_pending_bytes));
        let log = LogWriter::new(
            config,
            Arc::clone(&deps.fs),
            Arc::clone(&deps.clock),
            deps.metrics.clone(),
            recovery.next(),
        );
        let worker = Worker::new(apply, log, Arc::clone(&shared), deps.scope.clone());
        let task = Task::new(&shared, deps.clock, deps.scope.clone());
        let _detached: TaskHandle<()> = deps.scope.spawn("wal", task.run(worker));
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
        let answer = shared.append(record, hull)?;
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
        self.handle.shared.pending_bytes()
    }

    fn enqueue<T>(&self, entry: Entry<A>, answer: oneshot::Receiver<T>) -> InOrder<A, T> {
        let shared = &self.handle.shared;
        shared.enqueue(entry);
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
