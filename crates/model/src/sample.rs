//! Samples: a timestamp and a value, which is a float or a native histogram.

use std::sync::Arc;

use crate::{FloatHistogram, Histogram};

/// The bits of the NaN that marks a series as stale; every other NaN is an ordinary value.
pub const STALE_NAN_BITS: u64 = 0x7ff0_0000_0000_0002;

/// The staleness marker.
pub fn stale_nan() -> f64 {
    f64::from_bits(STALE_NAN_BITS)
}

/// Whether `value` is the staleness marker (compared by bits: NaN never equals itself).
pub fn is_stale_nan(value: f64) -> bool {
    value.to_bits() == STALE_NAN_BITS
}

/// What a sample holds.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A float.
    Float(f64),
    /// A native histogram with integer counts.
    Histogram(Arc<Histogram>),
    /// A native histogram with float counts.
    FloatHistogram(Arc<FloatHistogram>),
}

impl Value {
    /// Whether this is the staleness marker: as a float, or as the sum of a histogram.
    pub fn is_stale(&self) -> bool {
        match self {
            Self::Float(v) => is_stale_nan(*v),
            Self::Histogram(h) => is_stale_nan(h.sum),
            Self::FloatHistogram(h) => is_stale_nan(h.sum),
        }
    }

    /// Equality by bits, so that two equal NaNs are equal and `0` differs from `-0`: what decides whether a second
    /// sample at one timestamp is a harmless repetition or a conflict.
    pub fn same_bits(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Float(a), Self::Float(b)) => a.to_bits() == b.to_bits(),
            (Self::Histogram(a), Self::Histogram(b)) => a.same_bits(b),
            (Self::FloatHistogram(a), Self::FloatHistogram(b)) => a.same_bits(b),
            _ => false,
        }
    }
}

/// A value at a time.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Milliseconds since the Unix epoch.
    pub timestamp_ms: i64,
    /// The value.
    pub value: Value,
}

/// A range of time, both ends included, in milliseconds since the Unix epoch. Never empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TimeRange {
    start: i64,
    end: i64,
}

impl TimeRange {
    /// All of time.
    pub const ALL: Self = Self { start: i64::MIN, end: i64::MAX };

    /// The range from `start` to `end`, both included; `None` where `end` is before `start`.
    pub fn new(start_ms: i64, end_ms: i64) -> Option<Self> {
        (start_ms <= end_ms).then_some(Self { start: start_ms, end: end_ms })
    }

    /// The first millisecond of the range.
    pub fn start_ms(self) -> i64 {
        self.start
    }

    /// The last millisecond of the range.
    pub fn end_ms(self) -> i64 {
        self.end
    }

    /// Whether `timestamp_ms` is inside.
    pub fn contains(self, timestamp_ms: i64) -> bool {
        self.start <= timestamp_ms && timestamp_ms <= self.end
    }

    /// Whether the two ranges share a millisecond.
    pub fn overlaps(self, other: Self) -> bool {
        self.start <= other.end && other.start <= self.end
    }

    /// The smallest range that holds both.
    pub fn hull(self, other: Self) -> Self {
        Self { start: self.start.min(other.start), end: self.end.max(other.end) }
    }
}
