//! The writing side of the log: which segment is open, what happens when the file system refuses, and the batch of
//! work that the log task hands over at a time. Everything here blocks.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use env::{Clock, FileSystem, OpenOptions};
use tokio::sync::oneshot;

use crate::format::segment_name;
use crate::segment::{Previous, SegmentWriter};
use crate::{Apply, CommitError, Operation, Position, SyncMode, TimeHull, WalConfig, WalMetrics};

/// The write buffer is given back to the allocator when it has grown beyond this.
const KEEP_BUFFER_BYTES: usize = 4 << 20;

/// A record that waits, and where its fate is told.
pub(crate) struct Waiting<O> {
    pub(crate) record: Vec<u8>,
    pub(crate) hull: TimeHull,
    pub(crate) reply: oneshot::Sender<Result<O, CommitError>>,
}

/// What the log task does, in order.
pub(crate) enum Entry<A: Apply> {
    Record(Waiting<A::Outcome>),
    Call(Box<dyn FnOnce(&mut A) + Send>),
    Roll(oneshot::Sender<Position>),
    Sync(oneshot::Sender<()>),
}

/// The owner's state and the log, which go together to the thread that blocks, and come back.
pub(crate) struct Worker<A: Apply> {
    pub(crate) apply: A,
    pub(crate) log: LogWriter,
    positions: Vec<Position>,
    group: Vec<Waiting<A::Outcome>>,
}

impl<A: Apply> Worker<A> {
    pub(crate) fn new(apply: A, log: LogWriter) -> Self {
        Self { apply, log, positions: Vec::new(), group: Vec::new() }
    }

    /// Does all of a batch: the records between two other entries are one group.
    pub(crate) fn process(&mut self, batch: &mut Vec<Entry<A>>) {
        for entry in batch.drain(..) {
            match entry {
                Entry::Record(waiting) => self.group.push(waiting),
                Entry::Call(call) => {
                    self.commit_group();
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
    }

    fn commit_group(&mut self) {
        if self.group.is_empty() {
            return;
        }
        self.positions.clear();
        let outcome = self.log.commit(&self.group, &mut self.positions);
        match outcome {
            Ok(()) => {
                for (waiting, position) in self.group.drain(..).zip(&self.positions) {
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

/// The segments, as their writer sees them.
pub(crate) struct LogWriter {
    fs: Arc<dyn FileSystem>,
    clock: Arc<dyn Clock>,
    metrics: WalMetrics,
    dir: PathBuf,
    segment_bytes: u32,
    sync: SyncMode,
    open: Option<SegmentWriter>,
    /// The segment that is made when none is open.
    next: u32,
    /// What that segment says about the one before it.
    previous: Previous,
    /// Something was acknowledged that is not durable.
    unsynced: bool,
    failures: u32,
    buffer: Vec<u8>,
}

impl LogWriter {
    pub(crate) fn new(
        config: &WalConfig,
        fs: Arc<dyn FileSystem>,
        clock: Arc<dyn Clock>,
        metrics: WalMetrics,
        (next, previous): (u32, Previous),
    ) -> Self {
        Self {
            fs,
            clock,
            metrics,
            dir: config.dir.clone(),
            segment_bytes: config.segment_bytes,
            sync: config.sync,
            open: None,
            next,
            previous,
            unsynced: false,
            failures: 0,
            buffer: Vec::new(),
        }
    }

    /// How many groups or syncs in a row have failed.
    pub(crate) fn failures(&self) -> u32 {
        self.failures
    }

    /// Whether something was acknowledged that is not durable.
    pub(crate) fn is_unsynced(&self) -> bool {
        self.unsynced
    }

    /// Ends the segment, so that the next group begins a new one, and gives where that will begin. The new segment is
    /// made with the group, so this cannot fail.
    pub(crate) fn roll(&mut self) -> Position {
        self.sync_acknowledged();
        self.close();
        Position { segment: self.next, offset: 0 }
    }

    /// Makes durable what was acknowledged without it. A failure leaves the segment behind.
    pub(crate) fn sync_acknowledged(&mut self) {
        if !std::mem::take(&mut self.unsynced) {
            return;
        }
        let Some(segment) = &self.open else {
            return;
        };
        if let Err(source) = sync(segment, &*self.clock, &self.metrics) {
            self.fail(Operation::Sync, source);
        }
    }

    /// Writes records as one group, durably unless the mode says otherwise, and gives where each begins. After an error
    /// none of them counts, and what is on the disk of them will not be trusted once a later group is committed.
    fn commit<O>(&mut self, group: &[Waiting<O>], positions: &mut Vec<Position>) -> Result<(), CommitError> {
        if self.open.as_ref().is_some_and(|segment| segment.committed().valid_len >= self.segment_bytes) {
            self.roll();
        }
        match self.try_commit(group, positions) {
            Ok(bytes) => {
                self.failures = 0;
                self.metrics.bytes.inc_by(u64::from(bytes));
                self.metrics.records.inc_by(group.len() as u64);
                self.metrics.groups.inc();
                Ok(())
            }
            Err((operation, source)) => Err(self.fail(operation, source)),
        }
    }

    fn try_commit<O>(
        &mut self,
        group: &[Waiting<O>],
        positions: &mut Vec<Position>,
    ) -> Result<u32, (Operation, io::Error)> {
        let segment = match self.open.take() {
            Some(segment) => segment,
            None => self.create().map_err(|error| (Operation::Create, error))?,
        };
        let segment = self.open.insert(segment);
        let fresh = segment.committed().valid_len == 0;
        // The first of a group vouches for everything before it, so it is marked only where that is durable.
        let mut first = !self.unsynced;
        for waiting in group {
            let position = segment.push(&waiting.record, waiting.hull, first);
            positions.push(position.map_err(|error| (Operation::Write, error))?);
            first = false;
        }
        segment.write().map_err(|error| (Operation::Write, error))?;
        if fresh || self.sync == SyncMode::Always {
            sync(segment, &*self.clock, &self.metrics).map_err(|error| (Operation::Sync, error))?;
        } else {
            self.unsynced = true;
        }
        if fresh {
            self.fs.sync_dir(&self.dir).map_err(|error| (Operation::Sync, error))?;
        }
        Ok(segment.commit())
    }

    fn create(&mut self) -> io::Result<SegmentWriter> {
        let path = self.dir.join(segment_name(self.next));
        // What an attempt has left that acknowledged nothing. It must go before anything is acknowledged in its place.
        if self.fs.exists(&path) {
            self.fs.remove_file(&path)?;
        }
        let file = self.fs.open(&path, OpenOptions::CREATE_NEW)?;
        self.metrics.segments_created.inc();
        self.metrics.segment.set(i64::from(self.next));
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.shrink_to(KEEP_BUFFER_BYTES);
        Ok(SegmentWriter::new(file, self.next, self.previous, buffer))
    }

    /// Leaves the segment behind. What it acknowledged stays trusted, and the next segment says so; one that has
    /// acknowledged nothing is made again under the same number.
    fn close(&mut self) {
        if let Some(segment) = self.open.take() {
            let committed = segment.committed();
            if committed.valid_len > 0 {
                self.next = segment.number() + 1;
                self.previous = committed;
            }
            self.buffer = segment.into_buffer();
        }
    }

    fn fail(&mut self, operation: Operation, source: io::Error) -> CommitError {
        let error = CommitError::Io { operation, source: Arc::new(source) };
        self.metrics.failed(operation, &error);
        self.failures = self.failures.saturating_add(1);
        self.unsynced = false;
        if let Some(segment) = &self.open {
            // Only to have less to distrust: the next segment's header is what counts.
            let _ = segment.file.set_len(u64::from(segment.committed().valid_len));
        }
        self.close();
        error
    }
}

fn sync(segment: &SegmentWriter, clock: &dyn Clock, metrics: &WalMetrics) -> io::Result<()> {
    let start = clock.monotonic();
    let result = segment.file.sync_data();
    metrics.sync_seconds.observe(clock.monotonic().saturating_sub(start).as_secs_f64());
    result
}
