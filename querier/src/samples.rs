//! The samples of a series out of its chunks: in order of time, each time once, whatever chunks overlap.

use std::sync::Arc;

use chunk::{ChunkError, Cursor, Encoding, Started, ValueRef, XorCursor};
use model::{CounterResetHint, FloatHistogram, TimeRange, Value};
use proto::Chunk;

#[cfg(test)]
mod tests;

/// Takes the samples of a series, in order of time.
pub(crate) trait Sink {
    /// Takes a float.
    fn float(&mut self, timestamp_ms: i64, value: f64);
    /// Takes floats, as many times as values.
    fn floats(&mut self, timestamps_ms: &[i64], values: &[f64]);
    /// Takes a histogram.
    fn histogram(&mut self, timestamp_ms: i64, value: Arc<FloatHistogram>);
    /// Where floats without start timestamps may be appended: times and values, as many of one as of the other. `None`
    /// where they have to be handed over.
    fn columns(&mut self) -> Option<(&mut Vec<i64>, &mut Vec<f64>)> {
        None
    }
    /// Takes a float whose counting began at `start_ms`, 0 where that is unknown. Who has no use for that is given a float.
    fn started_float(&mut self, timestamp_ms: i64, start_ms: i64, value: f64) {
        let _ = start_ms;
        self.float(timestamp_ms, value);
    }
    /// Takes a histogram likewise.
    fn started_histogram(&mut self, timestamp_ms: i64, start_ms: i64, value: Arc<FloatHistogram>) {
        let _ = start_ms;
        self.histogram(timestamp_ms, value);
    }
}

/// Reads the chunks of one series, run by run. Chunks may overlap and repeat each other: replicas and out-of-order
/// data do. Those that do not are decoded straight into the sink.
#[derive(Debug)]
pub(crate) struct SeriesReader<'a> {
    range: TimeRange,
    /// Sorted by their first sample.
    chunks: &'a [Chunk],
    last_ms: Option<i64>,
    /// A decoded chunk of floats.
    timestamps_ms: Vec<i64>,
    values: Vec<f64>,
    /// As many as values, or none where none is known.
    starts_ms: Vec<i64>,
}

impl<'a> SeriesReader<'a> {
    /// The samples of `chunks`, which are sorted by their first sample, in `range`.
    pub(crate) fn new(chunks: &'a [Chunk], range: TimeRange) -> Self {
        debug_assert!(chunks.is_sorted_by_key(|c| c.range.start_ms()), "chunks out of order");
        Self {
            range,
            chunks,
            last_ms: None,
            timestamps_ms: Vec::new(),
            values: Vec::new(),
            starts_ms: Vec::new(),
        }
    }

    /// Reads the next chunk, or the next ones that overlap; whether there were any.
    pub(crate) fn read_run(&mut self, sink: &mut impl Sink) -> Result<bool, ChunkError> {
        let (run, rest) = self.chunks.split_at(run_length(self.chunks));
        self.chunks = rest;
        match run {
            [] => return Ok(false),
            [chunk] if !chunk.range.overlaps(self.range) => {}
            [chunk] => self.read_chunk(chunk, sink)?,
            chunks => {
                let mut merged = Merged::new(chunks, self.range);
                while let Some((at, start, value)) = merged.next_started()? {
                    self.give(at, start, borrow(&value), sink);
                }
            }
        }
        Ok(true)
    }

    fn read_chunk(&mut self, chunk: &Chunk, sink: &mut impl Sink) -> Result<(), ChunkError> {
        if chunk.encoding == Encoding::Xor
            && let Some((timestamps, values)) = sink.columns()
        {
            let first = timestamps.len();
            let decoded = XorCursor::new(&chunk.data)?.decode_into(timestamps, values);
            if decoded.is_ok() && self.keep_inside(first, timestamps, values) {
                return Ok(());
            }
            timestamps.truncate(first);
            values.truncate(first);
            decoded?;
        }
        let mut cursor = chunk::cursor(chunk.encoding, &chunk.data)?;
        let floats = match &mut cursor {
            Cursor::Xor(floats) => {
                self.clear();
                Some(floats.decode_into(&mut self.timestamps_ms, &mut self.values))
            }
            Cursor::Xor2(floats) => {
                self.clear();
                Some(floats.decode_into(&mut self.timestamps_ms, &mut self.values, &mut self.starts_ms))
            }
            _ => None,
        };
        if let Some(decoded) = floats {
            decoded?;
            self.give_floats(sink);
            return Ok(());
        }
        while let Some((at, start, value)) = cursor.next_with_start()? {
            if at > self.range.end_ms() {
                break;
            }
            if at >= self.range.start_ms() {
                self.give(at, start, value, sink);
            }
        }
        Ok(())
    }

    /// Leaves of the samples from number `first` on those inside the range. If they are not in order, or not all later than
    /// the last one, nothing is done: false.
    fn keep_inside(&mut self, first: usize, timestamps: &mut Vec<i64>, values: &mut Vec<f64>) -> bool {
        let Some(new) = timestamps.get(first..).filter(|new| ascends(new)) else {
            return false;
        };
        let inside = |at: Option<&i64>| at.is_none_or(|at| self.range.contains(*at));
        let (start, end) = if inside(new.first()) && inside(new.last()) {
            (0, new.len())
        } else {
            let start = new.partition_point(|at| *at < self.range.start_ms());
            (start, new.partition_point(|at| *at <= self.range.end_ms()).max(start))
        };
        let kept = &new[start..end];
        let last = kept.last().copied();
        if kept.first().zip(self.last_ms).is_some_and(|(next, before)| *next <= before) {
            return false;
        }
        timestamps.truncate(first + end);
        values.truncate(first + end);
        if start > 0 {
            timestamps.drain(first..first + start);
            values.drain(first..first + start);
        }
        self.last_ms = last.or(self.last_ms);
        true
    }

    fn clear(&mut self) {
        self.timestamps_ms.clear();
        self.values.clear();
        self.starts_ms.clear();
    }

    /// Hands the decoded floats on: all at once where all of them count and none has a start timestamp, which is
    /// nearly always.
    fn give_floats(&mut self, sink: &mut impl Sink) {
        let (Some(first), Some(last)) = (self.timestamps_ms.first(), self.timestamps_ms.last()) else {
            return;
        };
        let inside = self.starts_ms.is_empty() && self.range.contains(*first) && self.range.contains(*last);
        let later = self.last_ms.is_none_or(|before| before < *first);
        if inside && later && ascends(&self.timestamps_ms) {
            self.last_ms = Some(*last);
            sink.floats(&self.timestamps_ms, &self.values);
            return;
        }
        for i in 0..self.timestamps_ms.len() {
            let at = self.timestamps_ms[i];
            if self.range.contains(at) {
                let start = self.starts_ms.get(i).copied().unwrap_or(0);
                self.give(at, start, ValueRef::Float(self.values[i]), sink);
            }
        }
    }

    /// Hands a sample on, unless it is not later than the last one: a chunk whose range says less than it has is not
    /// believed twice.
    fn give(&mut self, at: i64, start: i64, value: ValueRef<'_>, sink: &mut impl Sink) {
        if self.last_ms.is_some_and(|last| at <= last) {
            return;
        }
        self.last_ms = Some(at);
        match value {
            ValueRef::Float(v) if start == 0 => sink.float(at, v),
            ValueRef::Float(v) => sink.started_float(at, start, v),
            ValueRef::Histogram(h) => sink.started_histogram(at, start, Arc::new(h.to_float())),
            ValueRef::FloatHistogram(h) => sink.started_histogram(at, start, Arc::new(h.clone())),
        }
    }
}

/// Whether each time is later than the one before it.
fn ascends(timestamps_ms: &[i64]) -> bool {
    /// Times further apart than this are not looked at together, so that what is summed up does not overflow.
    const INTERVAL_MAX_MS: i64 = 1 << 32;
    let ([first, second, ..], [.., last]) = (timestamps_ms, timestamps_ms) else { return true };
    // Evenly spaced, as nearly always: that is told without a branch for each.
    let interval_ms = second.wrapping_sub(*first);
    let pairs = timestamps_ms.iter().zip(timestamps_ms.get(1..).unwrap_or_default());
    if (1..INTERVAL_MAX_MS).contains(&interval_ms) && last > first {
        let odd = pairs.clone().fold(0, |odd, (a, b)| odd | (b.wrapping_sub(*a) ^ interval_ms));
        if odd == 0 {
            return true;
        }
    }
    pairs.fold(true, |all, (a, b)| all & (a < b))
}

/// Reads here and there in chunks that are about to be decoded: they lie in many places, and the processor waits for all
/// of them together rather than for each when its turn comes.
pub(crate) fn touch<'c>(chunks: impl Iterator<Item = &'c Chunk>) {
    /// What a processor fetches at a time, in bytes, ...
    const LINE: usize = 64;
    /// ... and how many of these of a chunk.
    const LINES: usize = 16;
    let mut all = 0;
    for chunk in chunks {
        for line in chunk.data.chunks(LINE).take(LINES) {
            all ^= line[0];
        }
    }
    std::hint::black_box(all);
}

/// How many of the first chunks hang together by overlapping.
pub(crate) fn run_length(chunks: &[Chunk]) -> usize {
    let Some(first) = chunks.first() else { return 0 };
    let mut end = first.range.end_ms();
    let overlapping = chunks[1..].iter().take_while(|chunk| {
        let overlaps = chunk.range.start_ms() <= end;
        end = end.max(chunk.range.end_ms());
        overlaps
    });
    1 + overlapping.count()
}

fn borrow(value: &Value) -> ValueRef<'_> {
    match value {
        Value::Float(v) => ValueRef::Float(*v),
        Value::Histogram(h) => ValueRef::Histogram(h),
        Value::FloatHistogram(h) => ValueRef::FloatHistogram(h),
    }
}

/// Walks chunks that overlap.
///
/// Of two values at one time a sample wins over a stale marker, a histogram over a float, and then the larger bit
/// pattern, and of equal values the later start, so that every querier answers the same whatever order the chunks came in.
///
/// That a counter was not reset is said of a histogram and the one before it in its chunk. Where another one comes before it
/// here, nothing is said.
pub(crate) struct Merged<'a> {
    range: TimeRange,
    /// Sorted by their first sample.
    waiting: std::slice::Iter<'a, Chunk>,
    /// Chunks that may have the next sample.
    active: Vec<Active<'a>>,
    /// Whether a sample has been taken.
    begun: bool,
}

/// A chunk being read, with its next sample.
struct Active<'a> {
    cursor: Cursor<'a>,
    timestamp_ms: i64,
    sample: StartedValue,
    /// Whether the sample before this one in the chunk is the last one that was taken.
    follows: bool,
}

/// A value and when its counting began, 0 where that is unknown.
struct StartedValue {
    value: Value,
    start_ms: i64,
}

impl<'a> Merged<'a> {
    /// The samples of `chunks`, which are sorted by their first sample, in `range`.
    pub(crate) fn new(chunks: &'a [Chunk], range: TimeRange) -> Self {
        Self { range, waiting: chunks.iter(), active: Vec::new(), begun: false }
    }

    /// The next sample, its time in milliseconds.
    pub(crate) fn next_sample(&mut self) -> Result<Option<(i64, Value)>, ChunkError> {
        Ok(self.next_started()?.map(|(at, _, value)| (at, value)))
    }

    /// The next sample with its start timestamp, both times in milliseconds; 0 is an unknown start.
    fn next_started(&mut self) -> Result<Option<Started<Value>>, ChunkError> {
        self.admit()?;
        match self.earliest_ms() {
            Some(at) if at <= self.range.end_ms() => {
                Ok(self.take(at)?.map(|taken| (at, taken.start_ms, taken.value)))
            }
            _ => Ok(None),
        }
    }

    fn earliest_ms(&self) -> Option<i64> {
        self.active.iter().map(|a| a.timestamp_ms).min()
    }

    /// Begins every chunk that may have a sample no later than those at hand.
    fn admit(&mut self) -> Result<(), ChunkError> {
        while let Some(chunk) = self.waiting.as_slice().first() {
            if self.earliest_ms().is_some_and(|earliest| chunk.range.start_ms() > earliest) {
                return Ok(());
            }
            self.waiting.next();
            if chunk.range.overlaps(self.range) {
                let cursor = chunk::cursor(chunk.encoding, &chunk.data)?;
                self.active.extend(first_in(cursor, self.range.start_ms())?);
            }
        }
        Ok(())
    }

    /// The value at `timestamp_ms`, moving on every chunk that has one.
    fn take(&mut self, timestamp_ms: i64) -> Result<Option<StartedValue>, ChunkError> {
        let has_one = |active: &&Active<'_>| active.timestamp_ms == timestamp_ms;
        let Some(best) = self.active.iter().filter(has_one).map(Active::rank).max() else { return Ok(None) };
        let is_best = |active: &&Active<'_>| active.timestamp_ms == timestamp_ms && active.rank() == best;
        let follows = self.active.iter().filter(is_best).any(|active| active.follows);
        let mut taken: Option<StartedValue> = None;
        let mut i = 0;
        while let Some(active) = self.active.get_mut(i) {
            let is_taken = active.timestamp_ms == timestamp_ms && active.rank() == best;
            active.follows = is_taken;
            if active.timestamp_ms != timestamp_ms {
                i += 1;
                continue;
            }
            let next = active.cursor.next_with_start()?.map(owned);
            let sample = match next {
                Some((at, next)) => {
                    active.timestamp_ms = at;
                    i += 1;
                    std::mem::replace(&mut active.sample, next)
                }
                None => self.active.swap_remove(i).sample,
            };
            if is_taken {
                taken = Some(sample);
            }
        }
        // Before the first one in the range there may be another, which nobody sees.
        let is_first = !std::mem::replace(&mut self.begun, true);
        if !follows
            && !is_first
            && let Some(taken) = &mut taken
        {
            forget_hint(&mut taken.value);
        }
        Ok(taken)
    }
}

impl Active<'_> {
    /// Orders samples at one time: larger wins.
    fn rank(&self) -> (Rank, i64) {
        (rank(&self.sample.value), self.sample.start_ms)
    }
}

/// Says nothing of a reset of a counter.
fn forget_hint(value: &mut Value) {
    match value {
        Value::Histogram(h) if h.counter_reset_hint == CounterResetHint::NotReset => {
            Arc::make_mut(h).counter_reset_hint = CounterResetHint::Unknown;
        }
        Value::FloatHistogram(h) if h.counter_reset_hint == CounterResetHint::NotReset => {
            Arc::make_mut(h).counter_reset_hint = CounterResetHint::Unknown;
        }
        _ => {}
    }
}

/// `cursor` at its first sample at or after `start_ms`.
fn first_in(mut cursor: Cursor<'_>, start_ms: i64) -> Result<Option<Active<'_>>, ChunkError> {
    let first = loop {
        match cursor.next_with_start()? {
            Some(sample) if sample.0 >= start_ms => break Some(owned(sample)),
            Some(_) => {}
            None => break None,
        }
    };
    Ok(first.map(|(timestamp_ms, sample)| Active { cursor, timestamp_ms, sample, follows: false }))
}

fn owned((at, start_ms, value): Started<ValueRef<'_>>) -> (i64, StartedValue) {
    (at, StartedValue { value: value.to_value(), start_ms })
}

/// Live or stale, the kind, and the bits of value, or of count and sum.
type Rank = (bool, u8, u64, u64);

/// Orders values at one time: larger wins. The bits of count and sum tell histograms apart.
fn rank(value: &Value) -> Rank {
    let live = !value.is_stale();
    match value {
        Value::Float(v) => (live, 0, v.to_bits(), 0),
        Value::Histogram(h) => (live, 1, h.count, h.sum.to_bits()),
        Value::FloatHistogram(h) => (live, 2, h.count.to_bits(), h.sum.to_bits()),
    }
}
