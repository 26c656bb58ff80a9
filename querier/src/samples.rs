//! The samples of a series out of its chunks: in order of time, each time once, whatever chunks overlap.

use chunk::{ChunkError, Cursor};
use model::{TimeRange, Value};
use proto::Chunk;

/// Walks the chunks of one series. Chunks may overlap and repeat each other: replicas and out-of-order data do.
///
/// Of two values at one time a sample wins over a stale marker, a histogram over a float, and then the larger bit
/// pattern, so that every querier answers the same whatever order the chunks came in.
pub(crate) struct MergedSamples<'a> {
    range: TimeRange,
    /// Sorted by their first sample.
    waiting: std::slice::Iter<'a, Chunk>,
    /// Chunks that may have the next sample; more than one only where chunks overlap.
    active: Vec<Active<'a>>,
    last_ms: Option<i64>,
}

/// A chunk being read, with its next sample.
struct Active<'a> {
    cursor: Cursor<'a>,
    timestamp_ms: i64,
    value: Value,
}

impl<'a> MergedSamples<'a> {
    /// The samples of `chunks`, which are sorted by their first sample, in `range`.
    pub(crate) fn new(chunks: &'a [Chunk], range: TimeRange) -> Self {
        debug_assert!(chunks.is_sorted_by_key(|c| c.range.start_ms()), "chunks out of order");
        Self { range, waiting: chunks.iter(), active: Vec::new(), last_ms: None }
    }

    /// The next sample, its time in milliseconds.
    pub(crate) fn next_sample(&mut self) -> Result<Option<(i64, Value)>, ChunkError> {
        loop {
            self.admit()?;
            let Some(timestamp_ms) = self.active.iter().map(|a| a.timestamp_ms).min() else {
                return Ok(None);
            };
            if timestamp_ms > self.range.end_ms() {
                return Ok(None);
            }
            let value = self.take(timestamp_ms)?;
            // A chunk that begins before its range says is not believed twice.
            let repeats = self.last_ms.is_some_and(|last| timestamp_ms <= last);
            if let Some(value) = value
                && !repeats
            {
                self.last_ms = Some(timestamp_ms);
                return Ok(Some((timestamp_ms, value)));
            }
        }
    }

    /// Begins every chunk that may have a sample no later than those at hand.
    fn admit(&mut self) -> Result<(), ChunkError> {
        while let Some(chunk) = self.waiting.as_slice().first() {
            let earliest = self.active.iter().map(|a| a.timestamp_ms).min();
            if earliest.is_some_and(|earliest| chunk.range.start_ms() > earliest) {
                return Ok(());
            }
            self.waiting.next();
            if !chunk.range.overlaps(self.range) {
                continue;
            }
            let cursor = chunk::cursor(chunk.encoding, &chunk.data)?;
            self.active.extend(first_in(cursor, self.range.start_ms())?);
        }
        Ok(())
    }

    /// The value at `timestamp_ms`, moving on every chunk that has one.
    fn take(&mut self, timestamp_ms: i64) -> Result<Option<Value>, ChunkError> {
        let mut taken: Option<Value> = None;
        let mut i = 0;
        while i < self.active.len() {
            let active = &mut self.active[i];
            if active.timestamp_ms != timestamp_ms {
                i += 1;
                continue;
            }
            let next = active.cursor.next_sample()?.map(|(at, value)| (at, value.to_value()));
            let value = match next {
                Some((at, next)) => {
                    active.timestamp_ms = at;
                    i += 1;
                    std::mem::replace(&mut active.value, next)
                }
                None => self.active.swap_remove(i).value,
            };
            taken = Some(match taken {
                Some(other) => preferred(other, value),
                None => value,
            });
        }
        Ok(taken)
    }
}

/// `cursor` at its first sample at or after `start_ms`.
fn first_in(mut cursor: Cursor<'_>, start_ms: i64) -> Result<Option<Active<'_>>, ChunkError> {
    let first = loop {
        match cursor.next_sample()? {
            Some((at, value)) if at >= start_ms => break Some((at, value.to_value())),
            Some(_) => {}
            None => break None,
        }
    };
    Ok(first.map(|(timestamp_ms, value)| Active { cursor, timestamp_ms, value }))
}

fn preferred(a: Value, b: Value) -> Value {
    if rank(&a) >= rank(&b) { a } else { b }
}

/// Orders values at one time: larger wins. The bits of count and sum tell histograms apart.
fn rank(value: &Value) -> (bool, u8, u64, u64) {
    let live = !value.is_stale();
    match value {
        Value::Float(v) => (live, 0, v.to_bits(), 0),
        Value::Histogram(h) => (live, 1, h.count, h.sum.to_bits()),
        Value::FloatHistogram(h) => (live, 2, h.count.to_bits(), h.sum.to_bits()),
    }
}
