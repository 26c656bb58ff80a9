//! Places in the log, and the times that records cover.

use std::fmt;

/// A place in the log: of a record, where it begins. Ordered as the log is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The segment's number, from 1.
    pub segment: u32,
    /// Bytes from the start of the segment.
    pub offset: u32,
}

impl Position {
    /// The start of the first segment: before everything.
    pub const START: Self = Self { segment: 1, offset: 0 };
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.segment, self.offset)
    }
}

/// The smallest range of time, both ends included, in milliseconds since the Unix epoch, that holds all samples of a
/// record. Empty where `min_ts` is above `max_ts`: a record without samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TimeHull {
    /// The earliest timestamp.
    pub min_ts: i64,
    /// The latest timestamp.
    pub max_ts: i64,
}

impl TimeHull {
    /// Of nothing.
    pub const EMPTY: Self = Self { min_ts: i64::MAX, max_ts: i64::MIN };

    /// From `min_ts` to `max_ts`, both included.
    pub fn new(min_ts: i64, max_ts: i64) -> Self {
        Self { min_ts, max_ts }
    }

    /// Whether there is no time in it.
    pub fn is_empty(self) -> bool {
        self.min_ts > self.max_ts
    }

    /// The smallest hull that holds both.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self { min_ts: self.min_ts.min(other.min_ts), max_ts: self.max_ts.max(other.max_ts) }
    }

    /// The smallest hull that holds this and `timestamp_ms`.
    #[must_use]
    pub fn with(self, timestamp_ms: i64) -> Self {
        self.union(Self::new(timestamp_ms, timestamp_ms))
    }

    /// Whether all of `other` is inside.
    pub fn covers(self, other: Self) -> bool {
        other.is_empty() || (self.min_ts <= other.min_ts && other.max_ts <= self.max_ts)
    }
}
