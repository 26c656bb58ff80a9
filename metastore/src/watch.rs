//! A watch: a snapshot where one is asked for, then every change, in order and without a gap. It has no queue: it reads
//! the history that the state remembers, so a watcher that is too slow is told so and begins again.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::Stream;
use prometheus_client::metrics::gauge::Gauge;
use proto::Error;
use proto::metastore::watch_response::Frame;
use proto::metastore::{Event, Events, Record, SnapshotPart, WatchRequest, WatchResponse};
use tokio::sync::watch;

use crate::node::Inner;
use crate::service::{founded, header};
use crate::state::MAX_KEY_BYTES;
use crate::store::Progress;

/// The most prefixes of a watch.
const MAX_PREFIXES: usize = 64;
/// Keys and values of one frame, in bytes; one revision more may exceed it.
const FRAME_BYTES: usize = 1 << 20;

/// A watch at work.
pub(crate) struct Watch {
    node: Arc<Inner>,
    prefixes: Vec<Bytes>,
    progress: watch::Receiver<Progress>,
    next: Next,
    /// When the watcher was last told something, and when changes were last looked for; in monotonic time.
    told: Duration,
    looked: Duration,
    _open: Open,
}

/// What comes next.
enum Next {
    /// The snapshot, from the beginning.
    Snapshot,
    /// What is left of a snapshot of this revision.
    Parts { revision: u64, parts: VecDeque<Vec<Record>> },
    /// Changes after this revision.
    Events { after: u64 },
    /// That what was asked for is forgotten, then nothing more.
    Compacted,
    /// Nothing more.
    End,
}

/// What reading the history came to.
enum Read {
    Changes { events: Vec<Event>, up_to: u64 },
    Nothing,
    Compacted,
}

impl Watch {
    pub(crate) fn new(node: Arc<Inner>, request: WatchRequest) -> Result<Self, Error> {
        let prefixes = request.prefixes;
        if prefixes.is_empty() || prefixes.len() > MAX_PREFIXES {
            let message = format!("a watch of {} prefixes; 1 to {MAX_PREFIXES} are allowed", prefixes.len());
            return Err(Error::invalid(message));
        }
        if let Some(long) = prefixes.iter().find(|prefix| prefix.len() > MAX_KEY_BYTES) {
            let message = format!("a prefix of {} bytes; keys have at most {MAX_KEY_BYTES}", long.len());
            return Err(Error::invalid(message));
        }
        let progress = node.view.progress();
        let cluster_id = founded(&node)?;
        let next = match request.after_revision {
            0 => Next::Snapshot,
            // A revision of another cluster says nothing here.
            _ if request.cluster_id != cluster_id => Next::Compacted,
            after => Next::Events { after },
        };
        let open = Open::new(&node.metrics.watches);
        let told = node.clock.monotonic();
        Ok(Self { node, prefixes, progress, next, told, looked: Duration::ZERO, _open: open })
    }

    /// The frames, until the watch is compacted or nobody reads them any more.
    pub(crate) fn frames(self) -> impl Stream<Item = WatchResponse> + Send {
        futures::stream::unfold(self, |mut watch| async move {
            let frame = watch.frame().await?;
            watch.told = watch.node.clock.monotonic();
            Some((frame, watch))
        })
    }

    async fn frame(&mut self) -> Option<WatchResponse> {
        loop {
            match std::mem::replace(&mut self.next, Next::End) {
                Next::End => return None,
                Next::Snapshot => self.next = self.snapshot(),
                Next::Compacted => {
                    self.node.metrics.compacted_watches.inc();
                    let revision = self.node.view.read(|state| state.history().compacted());
                    return Some(self.response(revision, Frame::CompactedRevision(revision)));
                }
                Next::Parts { revision, mut parts } => {
                    let records = parts.pop_front().unwrap_or_default();
                    let last = parts.is_empty();
                    self.next =
                        if last { Next::Events { after: revision } } else { Next::Parts { revision, parts } };
                    return Some(self.response(revision, Frame::Snapshot(SnapshotPart { records, last })));
                }
                Next::Events { after } => {
                    // Seen before it is read, so that nothing falls between.
                    self.progress.borrow_and_update();
                    self.looked = self.node.clock.monotonic();
                    match self.read(after) {
                        Read::Compacted => self.next = Next::Compacted,
                        Read::Changes { events, up_to } => {
                            self.next = Next::Events { after: up_to };
                            if !events.is_empty() {
                                return Some(self.response(up_to, Frame::Events(Events { events })));
                            }
                            // What changes may all be of others.
                            if self.is_due() {
                                return Some(self.response(up_to, Frame::Progress(true)));
                            }
                        }
                        Read::Nothing => {
                            self.next = Next::Events { after };
                            if self.wait().await? {
                                return Some(self.response(after, Frame::Progress(true)));
                            }
                        }
                    }
                }
            }
        }
    }

    /// Waits for a change; whether it took so long that the watcher should be told of none. `None` once the node stops.
    async fn wait(&mut self) -> Option<bool> {
        let clock = Arc::clone(&self.node.clock);
        let idle = clock.monotonic().saturating_sub(self.told);
        let long = clock.sleep(self.node.config.watch_progress_interval.saturating_sub(idle));
        tokio::select! {
            biased;
            () = self.node.scope.cancelled() => return None,
            changed = self.progress.changed() => changed.ok()?,
            () = long => return Some(true),
        }
        // A lone change is told at once; of many, those that come soon after one another are told together.
        let since = clock.monotonic().saturating_sub(self.looked);
        let gap = self.node.config.watch_gap.saturating_sub(since);
        if !gap.is_zero() {
            clock.sleep(gap).await;
        }
        Some(false)
    }

    /// Whether the watcher has not been told anything for long.
    fn is_due(&self) -> bool {
        self.node.clock.monotonic().saturating_sub(self.told) >= self.node.config.watch_progress_interval
    }

    fn snapshot(&self) -> Next {
        let (revision, records) = self.node.view.read(|state| {
            let mut records: Vec<Arc<Record>> =
                self.prefixes.iter().flat_map(|prefix| state.range(prefix, &[]).cloned()).collect();
            records.sort_unstable_by(|a, b| a.key.cmp(&b.key));
            // Prefixes may overlap.
            records.dedup_by(|a, b| a.key == b.key);
            (state.revision(), records)
        });
        let mut parts = VecDeque::new();
        let mut part = Vec::new();
        let mut bytes = 0;
        for record in records {
            bytes += record.key.len() + record.value.len();
            part.push((*record).clone());
            if bytes >= FRAME_BYTES {
                parts.push_back(std::mem::take(&mut part));
                bytes = 0;
            }
        }
        parts.push_back(part);
        Next::Parts { revision, parts }
    }

    /// The next changes, whole revisions, as many as a frame takes.
    fn read(&self, after: u64) -> Read {
        self.node.view.read(|state| {
            let Ok(history) = state.history().after(after) else { return Read::Compacted };
            if state.revision() <= after {
                return Read::Nothing;
            }
            let mut events = Vec::new();
            let mut bytes = 0;
            let mut up_to = after;
            for event in history {
                let Some(record) = &event.record else { continue };
                if bytes >= FRAME_BYTES && record.mod_revision > up_to {
                    return Read::Changes { events, up_to };
                }
                up_to = record.mod_revision;
                if self.prefixes.iter().any(|prefix| record.key.starts_with(prefix)) {
                    bytes += record.key.len() + record.value.len();
                    events.push((**event).clone());
                }
            }
            Read::Changes { events, up_to: state.revision() }
        })
    }

    fn response(&self, revision: u64, frame: Frame) -> WatchResponse {
        WatchResponse { header: header(&self.node, revision), frame: Some(frame) }
    }
}

/// An open watch, as far as metrics are concerned.
struct Open(Gauge);

impl Open {
    fn new(watches: &Gauge) -> Self {
        watches.inc();
        Self(watches.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}
