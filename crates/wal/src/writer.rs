//! The segments as their writer sees them: which one is open, and what happens when the file system refuses. Everything
//! here blocks.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use env::{Clock, FileSystem, OpenOptions};

use crate::format::segment_name;
use crate::queue::Waiting;
use crate::segment::{Previous, SegmentWriter};
use crate::{CommitError, Operation, Position, SyncMode, WalConfig, WalMetrics};

/// The write buffer is given back to the allocator when it has grown beyond this.
const KEEP_BUFFER_BYTES: usize = 4 << 20;

/// The segments, and what is to be known of them to go on.
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
    last_sync: Duration,
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
            last_sync: Duration::ZERO,
            buffer: Vec::new(),
        }
    }

    /// The log's monotonic time.
    pub(crate) fn now(&self) -> Duration {
        self.clock.monotonic()
    }

    pub(crate) fn metrics(&self) -> &WalMetrics {
        &self.metrics
    }

    pub(crate) fn sync_mode(&self) -> SyncMode {
        self.sync
    }

    /// How long the last group was on its way to the disk; zero where it was not waited for.
    pub(crate) fn last_sync(&self) -> Duration {
        self.last_sync
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
        let (result, _) = sync(segment, &*self.clock, &self.metrics);
        if let Err(source) = result {
            self.fail(Operation::Sync, source);
        }
    }

    /// Writes records as one group, durably unless the mode says otherwise, and gives where each begins. After an error
    /// none of them counts, and what is on the disk of them will not be trusted once a later group is committed.
    pub(crate) fn commit<O>(
        &mut self,
        group: &[Waiting<O>],
        positions: &mut Vec<Position>,
    ) -> Result<(), CommitError> {
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
            let (result, took) = sync(segment, &*self.clock, &self.metrics);
            self.last_sync = took;
            result.map_err(|error| (Operation::Sync, error))?;
        } else {
            self.last_sync = Duration::ZERO;
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

/// Makes a segment durable, and gives how long that took.
fn sync(segment: &SegmentWriter, clock: &dyn Clock, metrics: &WalMetrics) -> (io::Result<()>, Duration) {
    let start = clock.monotonic();
    let result = segment.file.sync_data();
    let took = clock.monotonic().saturating_sub(start);
    metrics.sync_seconds.observe(took.as_secs_f64());
    (result, took)
}
