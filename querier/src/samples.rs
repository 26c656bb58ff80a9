//! The samples of a series out of its chunks: in order of time, each time once, whatever chunks overlap.

use std::sync::Arc;

use chunk::{ChunkError, Cursor, Encoding, Merged, ValueRef, XorCursor, run_length};
use model::{FloatHistogram, TimeRange, Value};
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

fn borrow(value: &Value) -> ValueRef<'_> {
    match value {
        Value::Float(v) => ValueRef::Float(*v),
        Value::Histogram(h) => ValueRef::Histogram(h),
        Value::FloatHistogram(h) => ValueRef::FloatHistogram(h),
    }
}
