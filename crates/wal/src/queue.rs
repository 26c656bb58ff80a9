//! What waits for the log: filled by those who append, emptied by the log's thread, and how the one wakes the other.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};
use tokio::sync::{Notify, oneshot};

use crate::{AppendError, Apply, CommitError, Position, TimeHull, WalMetrics};

/// What a waiting record costs beyond its bytes.
const RECORD_OVERHEAD_BYTES: usize = 128;

/// A record that waits, and where its fate is told.
pub(crate) struct Waiting<O> {
    pub(crate) record: Vec<u8>,
    pub(crate) hull: TimeHull,
    pub(crate) reply: oneshot::Sender<Result<O, CommitError>>,
}

/// What the log does, in order.
pub(crate) enum Entry<A: Apply> {
    Record(Waiting<A::Outcome>),
    Call(Box<dyn FnOnce(&mut A) + Send>),
    Roll(oneshot::Sender<Position>),
    Sync(oneshot::Sender<()>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Open,
    Closed,
    Poisoned,
}

/// Who is told of what arrives. The queue is filled under its lock, and whoever starts or stops listening holds it too,
/// so nothing is missed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Listener {
    /// The log task.
    Task,
    /// Nobody: the log's thread is at work and will look again.
    Nobody,
    /// The log's thread, once so many entries wait; of anything but a record, at once.
    Thread { entries: usize },
}

/// The queue, and those who listen to it.
pub(crate) struct Shared<A: Apply> {
    queue: Mutex<Queue<A>>,
    wake_task: Notify,
    wake_thread: Condvar,
    max_pending_bytes: usize,
}

struct Queue<A: Apply> {
    entries: Vec<Entry<A>>,
    /// Of the records that were appended and whose fate is open.
    pending_bytes: usize,
    state: State,
    listener: Listener,
}

impl<A: Apply> Shared<A> {
    pub(crate) fn new(max_pending_bytes: usize) -> Self {
        let queue =
            Queue { entries: Vec::new(), pending_bytes: 0, state: State::Open, listener: Listener::Task };
        Self {
            queue: Mutex::new(queue),
            wake_task: Notify::new(),
            wake_thread: Condvar::new(),
            max_pending_bytes,
        }
    }

    /// Takes no more entries. The first reason to stop stands, except that poison outweighs a clean end.
    pub(crate) fn close(&self, state: State) {
        let mut queue = self.queue.lock();
        if queue.state == State::Open || state == State::Poisoned {
            queue.state = state;
        }
        self.wake(&mut queue);
    }

    fn wake(&self, queue: &mut Queue<A>) {
        match queue.listener {
            Listener::Task => self.wake_task.notify_one(),
            Listener::Nobody => {}
            Listener::Thread { .. } => {
                queue.listener = Listener::Nobody;
                self.wake_thread.notify_one();
            }
        }
    }

    /// Puts a record into the queue and gives where its fate will be told.
    pub(crate) fn append(
        &self,
        record: Vec<u8>,
        hull: TimeHull,
    ) -> Result<oneshot::Receiver<Result<A::Outcome, CommitError>>, AppendError> {
        let (reply, answer) = oneshot::channel();
        let mut queue = self.queue.lock();
        match queue.state {
            State::Open => {}
            State::Closed => return Err(AppendError::Closed),
            State::Poisoned => return Err(AppendError::Poisoned),
        }
        let (pending_bytes, limit) = (queue.pending_bytes, self.max_pending_bytes);
        if pending_bytes >= limit {
            return Err(AppendError::Overloaded { pending_bytes, limit });
        }
        queue.pending_bytes += record.len() + RECORD_OVERHEAD_BYTES;
        queue.entries.push(Entry::Record(Waiting { record, hull, reply }));
        let enough = match queue.listener {
            Listener::Task => queue.entries.len() == 1,
            Listener::Nobody => false,
            Listener::Thread { entries } => queue.entries.len() >= entries,
        };
        if enough {
            self.wake(&mut queue);
        }
        Ok(answer)
    }

    /// Puts something other than a record into the queue. In a log that has stopped the entry is dropped, and the
    /// answer that it holds with it.
    pub(crate) fn enqueue(&self, entry: Entry<A>) {
        let mut queue = self.queue.lock();
        if queue.state == State::Open {
            queue.entries.push(entry);
            self.wake(&mut queue);
        }
    }

    pub(crate) fn pending_bytes(&self) -> usize {
        self.queue.lock().pending_bytes
    }

    /// Why somebody who waits was given no answer.
    pub(crate) fn stopped(&self) -> CommitError {
        match self.queue.lock().state {
            State::Poisoned => CommitError::Poisoned,
            State::Open | State::Closed => CommitError::Closed,
        }
    }

    /// Ready when something has arrived for the log task, or the state has changed.
    pub(crate) async fn arrival(&self) {
        self.wake_task.notified().await;
    }

    /// Whether the log task has anything to do: something waits, or the queue is closed.
    pub(crate) fn has_work(&self) -> bool {
        let queue = self.queue.lock();
        !queue.entries.is_empty() || queue.state != State::Open
    }

    /// Takes everything that waits, leaving the emptied vector of the last batch in its place, and gives how many bytes
    /// that is. From here on the caller looks into the queue again before it stops.
    pub(crate) fn take(&self, batch: &mut Vec<Entry<A>>, metrics: &WalMetrics) -> (State, usize) {
        let mut queue = self.queue.lock();
        std::mem::swap(&mut queue.entries, batch);
        queue.listener = Listener::Nobody;
        metrics.pending_bytes.set(i64::try_from(queue.pending_bytes).unwrap_or(i64::MAX));
        (queue.state, queue.pending_bytes)
    }

    /// What was taken no longer waits; what was appended since does.
    pub(crate) fn done(&self, taken_bytes: usize, metrics: &WalMetrics) {
        let mut queue = self.queue.lock();
        queue.pending_bytes -= taken_bytes;
        metrics.pending_bytes.set(i64::try_from(queue.pending_bytes).unwrap_or(i64::MAX));
    }

    /// How many entries wait, and the bytes of records whose fate is open.
    pub(crate) fn waiting(&self) -> (usize, usize) {
        let queue = self.queue.lock();
        (queue.entries.len(), queue.pending_bytes)
    }

    /// Blocks until `entries` wait, something other than a record arrives, or the queue is closed; at most for `bound`.
    /// Gives how many wait then.
    pub(crate) fn wait_for(&self, entries: usize, bound: Duration) -> usize {
        let mut queue = self.queue.lock();
        if queue.entries.len() < entries && queue.state == State::Open {
            queue.listener = Listener::Thread { entries };
            self.wake_thread.wait_for(&mut queue, bound);
            queue.listener = Listener::Nobody;
        }
        queue.entries.len()
    }

    /// From here on the log task is told of what arrives.
    pub(crate) fn hand_to_task(&self) {
        self.queue.lock().listener = Listener::Task;
    }

    /// The same, but only if nothing waits and the queue is open; whether that was so.
    pub(crate) fn hand_to_task_if_idle(&self) -> bool {
        let mut queue = self.queue.lock();
        let idle = queue.entries.is_empty() && queue.state == State::Open;
        if idle {
            queue.listener = Listener::Task;
        }
        idle
    }
}

/// Closes the queue, and drops what is in it, when the log task is gone.
pub(crate) struct Ending<A: Apply>(pub(crate) Arc<Shared<A>>);

impl<A: Apply> Drop for Ending<A> {
    fn drop(&mut self) {
        self.0.close(State::Closed);
        let mut queue: MutexGuard<'_, Queue<A>> = self.0.queue.lock();
        let abandoned = std::mem::take(&mut queue.entries);
        drop(queue);
        drop(abandoned);
    }
}

/// Poisons the log if it is dropped by a panic.
pub(crate) struct PoisonOnPanic<'a, A: Apply>(pub(crate) &'a Shared<A>);

impl<A: Apply> Drop for PoisonOnPanic<'_, A> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.close(State::Poisoned);
        }
    }
}
