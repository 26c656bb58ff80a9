//! The samples of chunks that overlap, each time once.

use std::cmp::Ordering;
use std::sync::Arc;

use model::{CounterResetHint, TimeRange, Value};

use crate::cursor::{Cursor, Encoding, Started, ValueRef, cursor};
use crate::error::ChunkError;
use crate::precedence::precedence;

/// A chunk, wherever its bytes are.
pub trait ChunkData {
    /// From its first to its last sample.
    fn range(&self) -> TimeRange;
    /// How it is encoded.
    fn encoding(&self) -> Encoding;
    /// The chunk, without encoding byte and checksum.
    fn data(&self) -> &[u8];
}

/// How many of the first chunks hang together by overlapping. They are sorted by their first sample.
pub fn run_length<C: ChunkData>(chunks: &[C]) -> usize {
    let Some((first, others)) = chunks.split_first() else { return 0 };
    let mut end = first.range().end_ms();
    let overlapping = others.iter().take_while(|chunk| {
        let overlaps = chunk.range().start_ms() <= end;
        end = end.max(chunk.range().end_ms());
        overlaps
    });
    1 + overlapping.count()
}

/// Walks chunks that overlap.
///
/// Of two values at one time a sample wins over a stale marker, a histogram over a float, and then the larger bit
/// pattern, and of equal values the later start ([`precedence`]). So whoever merges comes to the same samples, whatever order
/// the chunks came in, and also where some of them had been merged with each other before.
///
/// That a counter was not reset is said of a histogram and the one before it in its chunk. Where another one comes before it
/// here, nothing is said.
#[derive(Debug)]
pub struct Merged<'a, C> {
    range: TimeRange,
    /// Sorted by their first sample.
    waiting: std::slice::Iter<'a, C>,
    /// Chunks that may have the next sample.
    active: Vec<Active<'a>>,
    /// Whether a sample has been taken.
    begun: bool,
}

/// A chunk being read, with its next sample.
#[derive(Debug)]
struct Active<'a> {
    cursor: Cursor<'a>,
    timestamp_ms: i64,
    sample: StartedValue,
    /// Whether the sample before this one in the chunk is the last one that was taken.
    follows: bool,
}

/// A value and when its counting began, 0 where that is unknown.
#[derive(Debug, Clone)]
struct StartedValue {
    value: Value,
    start_ms: i64,
}

impl<'a, C: ChunkData> Merged<'a, C> {
    /// The samples of `chunks`, which are sorted by their first sample, in `range`.
    pub fn new(chunks: &'a [C], range: TimeRange) -> Self {
        Self { range, waiting: chunks.iter(), active: Vec::new(), begun: false }
    }

    /// The next sample, its time in milliseconds.
    ///
    /// # Errors
    /// Where a chunk cannot be read.
    pub fn next_sample(&mut self) -> Result<Option<(i64, Value)>, ChunkError> {
        Ok(self.next_started()?.map(|(at, _, value)| (at, value)))
    }

    /// The next sample with its start timestamp, both times in milliseconds; 0 is an unknown start.
    ///
    /// # Errors
    /// Where a chunk cannot be read.
    pub fn next_started(&mut self) -> Result<Option<Started<Value>>, ChunkError> {
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
            if self.earliest_ms().is_some_and(|earliest| chunk.range().start_ms() > earliest) {
                return Ok(());
            }
            self.waiting.next();
            if chunk.range().overlaps(self.range) {
                let cursor = cursor(chunk.encoding(), chunk.data())?;
                self.active.extend(first_in(cursor, self.range.start_ms())?);
            }
        }
        Ok(())
    }

    /// The value at `timestamp_ms`, moving on every chunk that has one.
    fn take(&mut self, timestamp_ms: i64) -> Result<Option<StartedValue>, ChunkError> {
        let has_one = |active: &&mut Active<'_>| active.timestamp_ms == timestamp_ms;
        // Of those that are equal any will do.
        let mut best: Option<StartedValue> = None;
        let mut follows = false;
        for active in self.active.iter_mut().filter(has_one) {
            match best.as_ref().map(|best| active.sample.precedence(best)) {
                None | Some(Ordering::Greater) => {
                    follows = active.follows;
                    best = Some(active.sample.clone());
                }
                Some(Ordering::Equal) => follows |= active.follows,
                Some(Ordering::Less) => {}
            }
        }
        let Some(best) = best else { return Ok(None) };
        let mut taken: Option<StartedValue> = None;
        let mut i = 0;
        while let Some(active) = self.active.get_mut(i) {
            if active.timestamp_ms != timestamp_ms {
                active.follows = false;
                i += 1;
                continue;
            }
            let is_taken = active.sample.precedence(&best).is_eq();
            active.follows = is_taken;
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

impl StartedValue {
    /// Orders samples at one time: the greater one wins. Equal are only those that say the same.
    fn precedence(&self, other: &Self) -> Ordering {
        precedence(&self.value, &other.value).then(self.start_ms.cmp(&other.start_ms))
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
