//! The owner's state and the log, on the thread that blocks: it commits what waits, group after group, and applies it.

use std::sync::Arc;
use std::time::Duration;

use env::Scope;

use crate::gather::Gather;
use crate::queue::{Entry, PoisonOnPanic, Shared, State, Waiting};
use crate::writer::LogWriter;
use crate::{Apply, Position, SyncMode};

/// So long an idle thread waits for more before it goes back to the pool: longer than a sync and the way back of a
/// writer that was answered, so that under load there is one thread that is woken directly, and short enough that a
/// thread of the pool is not kept from others, nor a stop delayed, to anyone's notice.
const LINGER: Duration = Duration::from_millis(5);

/// Why the worker came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pause {
    /// Nothing waits, or somebody asked to stop.
    Idle,
    /// The file system has refused, so many times in a row.
    Failed { failures: u32 },
    /// The log is closed and all of it committed.
    Ended,
}

/// The owner's state and the log, which go together to the thread that blocks, and come back.
pub(crate) struct Worker<A: Apply> {
    apply: A,
    log: LogWriter,
    shared: Arc<Shared<A>>,
    scope: Scope,
    gather: Gather,
    /// When what was acknowledged without a sync is to be synced.
    sync_at: Option<Duration>,
    batch: Vec<Entry<A>>,
    positions: Vec<Position>,
    group: Vec<Waiting<A::Outcome>>,
}

impl<A: Apply> Worker<A> {
    pub(crate) fn new(apply: A, log: LogWriter, shared: Arc<Shared<A>>, scope: Scope) -> Self {
        Self {
            apply,
            log,
            shared,
            scope,
            gather: Gather::default(),
            sync_at: None,
            batch: Vec::new(),
            positions: Vec::new(),
            group: Vec::new(),
        }
    }

    /// Whether what was acknowledged without a sync is to be synced now.
    pub(crate) fn is_sync_due(&self) -> bool {
        self.sync_at.is_some_and(|at| self.log.now() >= at)
    }

    /// How long until then, where something is to be synced.
    pub(crate) fn sync_in(&self) -> Option<Duration> {
        self.sync_at.map(|at| at.saturating_sub(self.log.now()))
    }

    /// Commits and applies what waits until nothing does. What arrives from then on the log task is told.
    pub(crate) fn work(&mut self) -> Pause {
        loop {
            let (state, bytes) = self.shared.take(&mut self.batch, self.log.metrics());
            let answered = self.batch.len();
            let ending = state != State::Open && answered == 0;
            let sync_due = self.is_sync_due();
            self.process();
            if sync_due || ending {
                self.log.sync_acknowledged();
            }
            self.shared.done(bytes, self.log.metrics());
            if ending {
                return Pause::Ended;
            }
            self.schedule_sync(sync_due);
            let failures = self.log.failures();
            if failures > 0 || self.scope.is_cancelled() {
                self.shared.hand_to_task();
                return if failures > 0 { Pause::Failed { failures } } else { Pause::Idle };
            }
            if !self.scope.is_simulated() {
                self.wait(answered);
            }
            if self.shared.hand_to_task_if_idle() {
                return Pause::Idle;
            }
        }
    }

    /// Waits for more, as long as that is worth its while. Never in simulation: this is real time.
    fn wait(&mut self, answered: usize) {
        let waiting = self.shared.waiting();
        let mut there = waiting.0;
        if let Some((wanted, bound)) = self.gather.plan(answered, waiting, self.log.last_sync()) {
            there = self.shared.wait_for(wanted, bound);
            self.gather.waited(wanted, waiting.0, there);
        }
        if there == 0 {
            self.shared.wait_for(1, self.sync_in().map_or(LINGER, |sync_in| sync_in.min(LINGER)));
        }
    }

    fn schedule_sync(&mut self, synced: bool) {
        let SyncMode::Interval(interval) = self.log.sync_mode() else {
            return;
        };
        if !self.log.is_unsynced() {
            self.sync_at = None;
        } else if synced || self.sync_at.is_none() {
            self.sync_at = Some(self.log.now() + interval);
        }
    }

    /// Does all of a batch: the records between two other entries are one group.
    fn process(&mut self) {
        let mut batch = std::mem::take(&mut self.batch);
        for entry in batch.drain(..) {
            match entry {
                Entry::Record(waiting) => self.group.push(waiting),
                Entry::Call(call) => {
                    self.commit_group();
                    let _poison = PoisonOnPanic(&self.shared);
                    call(&mut self.apply);
                }
                Entry::Roll(reply) => {
                    self.commit_group();
                    // Whoever asked may have gone.
                    let _ = reply.send(self.log.roll());
                }
                Entry::Sync(reply) => {
                    self.commit_group();
                    self.log.sync_acknowledged();
                    let _ = reply.send(());
                }
            }
        }
        self.commit_group();
        self.batch = batch;
    }

    fn commit_group(&mut self) {
        if self.group.is_empty() {
            return;
        }
        self.positions.clear();
        match self.log.commit(&self.group, &mut self.positions) {
            Ok(()) => {
                for (waiting, position) in self.group.drain(..).zip(&self.positions) {
                    // Before the reply is dropped, so that whoever waits is told why.
                    let _poison = PoisonOnPanic(&self.shared);
                    let outcome = self.apply.apply(*position, &waiting.record);
                    // Whoever appended may have gone; the record is applied all the same.
                    let _ = waiting.reply.send(Ok(outcome));
                }
            }
            Err(error) => {
                for waiting in self.group.drain(..) {
                    let _ = waiting.reply.send(Err(error.clone()));
                }
            }
        }
    }
}
