//! When groups are due: at multiples of their interval, each by an offset of its own, so that not all are at once.

use xxhash_rust::xxh3::xxh3_64;

/// The times of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schedule {
    interval_ms: i64,
    offset_ms: i64,
}

/// An evaluation that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// Its time, in milliseconds since 1970.
    pub at_ms: i64,
    /// How many before it were missed.
    pub missed: u64,
}

impl Schedule {
    /// The schedule of a group, which depends on its file and name alone: whoever evaluates it does so at the same times.
    pub fn new(file: &str, group: &str, interval_ms: i64) -> Self {
        let interval_ms = interval_ms.max(1);
        let hash = xxh3_64(&[file.as_bytes(), &[0xff], group.as_bytes()].concat());
        let offset_ms = (hash % interval_ms.unsigned_abs()) as i64;
        Self { interval_ms, offset_ms }
    }

    /// The last of its times that is not after `now_ms`.
    pub fn before(&self, now_ms: i64) -> i64 {
        now_ms - (now_ms - self.offset_ms).rem_euclid(self.interval_ms)
    }

    /// Its next time after `last_ms`, one of its times. If by `now_ms` it is late by more than one interval, those in
    /// between are missed.
    pub fn after(&self, last_ms: i64, now_ms: i64) -> Due {
        let missed = ((now_ms - last_ms) / self.interval_ms - 1).max(0);
        Due { at_ms: last_ms + (missed + 1) * self.interval_ms, missed: missed.unsigned_abs() }
    }
}
