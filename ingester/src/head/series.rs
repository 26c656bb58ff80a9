//! One series in the head: what has been applied to it, and where its chunks are.

use std::sync::atomic::AtomicBool;

use bytes::Bytes;
use chunk::XorAppender;
use model::{SeriesHash, TimeRange, Value};
use parking_lot::Mutex;
use proto::{Chunk, ChunkEncoding, RejectReason};

use crate::chains;
use crate::chunk_store::{ChunkPtr, ChunkStore, StoreError};
use crate::head::cuts::{CHUNK_ALIGNMENT_MS, CHUNK_SAMPLES, CutGroup, Cuts};
use crate::head::late::Late;
use crate::head::open::{Incoming, OpenChunk, Push, is_repetition, value_in};
use crate::index::LabelIds;

/// A chunk of histograms is also full with this many bytes.
const CHUNK_BYTES: usize = 16 << 10;
/// How far behind the newest sample a repetition is recognised as one; older samples outside the out-of-order window
/// are refused without looking.
const REPETITION_MS: i64 = CHUNK_ALIGNMENT_MS;

/// A series of one tenant.
pub(crate) struct Series {
    /// Its number within the tenant.
    pub(crate) id: u32,
    /// With which others its chunks are cut.
    pub(crate) cut_group: CutGroup,
    /// Its ring hash.
    pub(crate) hash: SeriesHash,
    /// Its labels.
    pub(crate) labels: LabelIds,
    /// Whether a durable record of the log (or a snapshot) has its labels. Until then every record repeats them.
    pub(crate) logged: AtomicBool,
    /// Everything that changes.
    pub(crate) state: Mutex<State>,
}

/// What has been applied to a series.
#[derive(Default)]
pub(crate) struct State {
    /// The first and last sample in order; `None` before the first.
    pub(crate) range: Option<TimeRange>,
    /// The chunk being filled, and when it starts.
    pub(crate) open: Option<OpenChunk>,
    /// The newest full chunk.
    pub(crate) stored: Option<ChunkPtr>,
    /// Out-of-order samples, for the few series that have some.
    pub(crate) late: Option<Box<Late>>,
    /// How much of the log since a snapshot's start is in this state.
    pub(crate) applied: Applied,
}

/// How many samples were applied since the log was last rolled for a snapshot. A snapshot is taken while samples go
/// on arriving, so a series may be in it with some that the log has behind the snapshot's start: a replay skips as
/// many.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Applied {
    /// Which roll `samples` counts from; 0 during replay.
    pub(crate) epoch: u32,
    /// Samples since then; during replay, how many are still to be skipped.
    pub(crate) samples: u32,
}

/// What happens around a sample that is applied.
#[derive(Clone, Copy)]
pub(crate) struct Context<'a> {
    /// Where full chunks go.
    pub(crate) store: &'a ChunkStore,
    /// How late a sample may be.
    pub(crate) out_of_order_window_ms: u64,
    /// Counts the rolls of the log; 0 during replay.
    pub(crate) epoch: u32,
}

/// What became of a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Stored now.
    Stored,
    /// Stored before, with the same value.
    Repeated,
    /// Not stored.
    Refused(RejectReason),
}

/// The samples of a series that came in order, or those that came late.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Half {
    /// In order.
    InOrder,
    /// Late.
    Late,
}

/// What a reader needs to find a series' chunks without holding its lock.
pub(crate) struct Selection {
    stored: Option<ChunkPtr>,
    late_stored: Option<ChunkPtr>,
    in_memory: Vec<Chunk>,
}

impl Series {
    pub(crate) fn new(id: u32, hash: SeriesHash, cut_group: CutGroup, labels: LabelIds) -> Self {
        let (logged, state) = (AtomicBool::new(false), Mutex::new(State::default()));
        Self { id, cut_group, hash, labels, logged, state }
    }
}

impl State {
    /// Applies one sample. Live and in replay, the same samples in the same order have the same fates.
    pub(crate) fn apply(&mut self, sample: Incoming<'_>, cuts: Cuts, context: Context<'_>) -> Fate {
        let Incoming { timestamp_ms, value, .. } = sample;
        if self.is_in_snapshot(timestamp_ms, context.epoch) {
            return Fate::Repeated;
        }
        let Some(range) = self.range else {
            return self.append(sample, cuts, context.store);
        };
        let newest = range.end_ms();
        if timestamp_ms > newest {
            return self.append(sample, cuts, context.store);
        }
        let behind = newest.saturating_sub(timestamp_ms);
        let window = i64::try_from(context.out_of_order_window_ms).unwrap_or(i64::MAX);
        if behind > window.max(REPETITION_MS) {
            return Fate::Refused(if window == 0 { RejectReason::OutOfOrder } else { RejectReason::TooOld });
        }
        if let (0, Some(open)) = (behind, &self.open) {
            return match open.last_equals(value) {
                true => Fate::Repeated,
                false => Fate::Refused(RejectReason::NewValueForTimestamp),
            };
        }
        // A chunk that cannot be read cannot say that the sample repeats one: then it is treated as new.
        match self.value_at(timestamp_ms, context.store).unwrap_or(None) {
            Some(existing) if is_repetition(&existing, value) => Fate::Repeated,
            Some(_) => Fate::Refused(RejectReason::NewValueForTimestamp),
            None if behind <= window && window > 0 => {
                let late = self.late.get_or_insert_default();
                late.insert(sample, context.store);
                Fate::Stored
            }
            None if window == 0 => Fate::Refused(RejectReason::OutOfOrder),
            None => Fate::Refused(RejectReason::TooOld),
        }
    }

    /// Reads where appending will read and write, so that it need not wait for the memory.
    #[inline]
    pub(crate) fn touch(&self) -> u8 {
        let bytes = self.open.as_ref().map_or(&[][..], OpenChunk::bytes);
        bytes.first().unwrap_or(&0) ^ bytes.last().unwrap_or(&0)
    }

    fn is_in_snapshot(&mut self, timestamp_ms: i64, epoch: u32) -> bool {
        let applied = &mut self.applied;
        if epoch != applied.epoch {
            *applied = Applied { epoch, samples: 0 };
        }
        if epoch != 0 {
            applied.samples = applied.samples.saturating_add(1);
            return false;
        }
        // What a snapshot contains is never newer than its newest sample; should damage have taken samples out of the
        // log, this keeps those behind it from being skipped in their place.
        let skip = applied.samples > 0 && self.range.is_some_and(|r| timestamp_ms <= r.end_ms());
        applied.samples = if skip { applied.samples - 1 } else { 0 };
        skip
    }

    pub(super) fn append(&mut self, sample: Incoming<'_>, cuts: Cuts, store: &ChunkStore) -> Fate {
        let timestamp_ms = sample.timestamp_ms;
        let capacity = if self.stored.is_none() { cuts.first_samples() } else { CHUNK_SAMPLES };
        let pushed = match &mut self.open {
            Some(open) if !is_full(open, capacity) && !cuts.are_between(open.first_ms(), timestamp_ms) => {
                open.append(sample)
            }
            _ => Push::NeedsNewChunk,
        };
        let opened = match (pushed, &self.open) {
            (Push::Done, _) => {
                self.extend_to(timestamp_ms);
                return Fate::Stored;
            }
            (Push::NeedsNewChunk, Some(open)) => open.next(sample),
            (Push::NeedsNewChunk, None) => OpenChunk::start(sample),
            (Push::Invalid, _) => None,
        };
        if opened.is_none() {
            return Fate::Refused(RejectReason::InvalidHistogram);
        }
        self.close(store);
        self.open = opened;
        self.extend_to(timestamp_ms);
        Fate::Stored
    }

    pub(super) fn extend_to(&mut self, timestamp_ms: i64) {
        let start = self.range.map_or(timestamp_ms, TimeRange::start_ms);
        self.range = TimeRange::new(start, timestamp_ms);
    }

    /// Stores the chunk being filled, if there is one.
    pub(crate) fn close(&mut self, store: &ChunkStore) {
        if let (Some(open), Some(range)) = (self.open.take(), self.range)
            && let Some(range) = TimeRange::new(open.first_ms(), range.end_ms())
        {
            self.stored = Some(store.append(self.stored, range, open.encoding(), open.bytes()));
        }
    }

    /// The earliest and the latest sample, late ones included.
    pub(crate) fn hull(&self) -> Option<TimeRange> {
        let late = self.late.as_ref().and_then(|late| late.range());
        match (self.range, late) {
            (Some(range), Some(late)) => Some(range.hull(late)),
            (range, late) => range.or(late),
        }
    }

    /// The earliest and the latest sample of one half.
    pub(crate) fn hull_of(&self, half: Half) -> Option<TimeRange> {
        match half {
            Half::InOrder => self.range,
            Half::Late => self.late.as_ref().and_then(|late| late.range()),
        }
    }

    /// The value at a timestamp, wherever it is stored.
    fn value_at(&self, timestamp_ms: i64, store: &ChunkStore) -> Result<Option<Value>, StoreError> {
        let Some(range) = TimeRange::new(timestamp_ms, timestamp_ms) else { return Ok(None) };
        let chunks = chains::of_one(self.select(range), range, store)?;
        Ok(chunks.iter().find_map(|c| value_in(c.encoding, &c.data, timestamp_ms).ok().flatten()))
    }

    /// What a reader needs for this range; the lock may be released then.
    pub(crate) fn select(&self, range: TimeRange) -> Selection {
        let Selection { stored, mut in_memory, .. } = self.select_half(Half::InOrder, range);
        let late = self.select_half(Half::Late, range);
        in_memory.extend(late.in_memory);
        Selection { stored, late_stored: late.late_stored, in_memory }
    }

    /// As [`State::select`], where the newest sample in the range is enough: that one alone, if it is at hand.
    pub(crate) fn select_newest(&self, range: TimeRange) -> Selection {
        // Late samples are older than the last one in order.
        let last = self.open.as_ref().and_then(OpenChunk::last_float).filter(|(at, _)| range.contains(*at));
        let Some(newest) = last.and_then(|(at, value)| chunk_of_one(at, value)) else {
            return self.select(range);
        };
        Selection { stored: None, late_stored: None, in_memory: vec![newest] }
    }

    /// As [`State::select`], of one half alone.
    pub(crate) fn select_half(&self, half: Half, range: TimeRange) -> Selection {
        let mut in_memory = Vec::new();
        if half == Half::Late {
            let late = self.late.as_deref();
            if let Some(late) = late {
                in_memory.extend(late.chunks_in_memory().into_iter().filter(|c| c.range.overlaps(range)));
            }
            // Where an instance took over what another one had, that is many chunks that most queries do not want.
            let late = late.filter(|late| late.range().is_some_and(|own| own.overlaps(range)));
            return Selection { stored: None, late_stored: late.and_then(Late::stored), in_memory };
        }
        if let (Some(open), Some(own)) = (&self.open, self.range)
            && let Some(own) = TimeRange::new(open.first_ms(), own.end_ms())
            && own.overlaps(range)
        {
            let before = self.stored.map_or(0, |_| chunks_before(own, open.num_samples(), range));
            in_memory.reserve_exact(1 + before);
            let data = Bytes::copy_from_slice(open.bytes());
            in_memory.push(Chunk { range: own, encoding: open.encoding(), data });
        }
        // Stored chunks in order end before the open one begins.
        let stored = match &self.open {
            Some(open) if open.first_ms() <= range.start_ms() => None,
            _ => self.stored,
        };
        Selection { stored, late_stored: None, in_memory }
    }
}

/// Where a list of stored chunks goes on.
pub(crate) struct Link {
    pub(crate) pointer: ChunkPtr,
    /// Whether it is a list of late chunks, which are in no order of time.
    pub(crate) late: bool,
}

impl Selection {
    /// The chunks in memory that overlap the range, ...
    pub(crate) fn take_in_memory(&mut self) -> Vec<Chunk> {
        std::mem::take(&mut self.in_memory)
    }

    /// ... and the lists of stored ones.
    pub(crate) fn links(&self) -> impl Iterator<Item = Link> {
        let link = |late| move |pointer| Link { pointer, late };
        self.stored.map(link(false)).into_iter().chain(self.late_stored.map(link(true)))
    }
}

/// How many full chunks a series may have in a range before its open one, if its samples were always so far apart: room for
/// them is made at once.
fn chunks_before(open: TimeRange, samples: u16, range: TimeRange) -> usize {
    const AT_MOST: i64 = 64;
    let length = open.end_ms().saturating_sub(open.start_ms());
    let full = length.saturating_mul(i64::from(CHUNK_SAMPLES)) / i64::from(samples.max(2) - 1);
    let left = open.start_ms().saturating_sub(range.start_ms());
    // With one sample nothing is known of distances.
    if left <= 0 || full == 0 { 0 } else { (left / full.min(CHUNK_ALIGNMENT_MS) + 1).min(AT_MOST) as usize }
}

/// A chunk with one sample.
fn chunk_of_one(timestamp_ms: i64, value: f64) -> Option<Chunk> {
    let mut appender = XorAppender::new();
    appender.append(timestamp_ms, value).ok()?;
    let range = TimeRange::new(timestamp_ms, timestamp_ms)?;
    Some(Chunk { range, encoding: ChunkEncoding::Xor, data: Bytes::from(appender.into_bytes()) })
}

fn is_full(open: &OpenChunk, capacity: u16) -> bool {
    open.num_samples() >= capacity || open.bytes().len() >= CHUNK_BYTES
}
