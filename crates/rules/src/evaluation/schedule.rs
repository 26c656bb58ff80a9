//! When groups are due: at multiples of their interval, each by an offset of its own, so that not all are at once. The
//! offset is the one that Prometheus 3.5 has, so that two that evaluate the same rules write samples at the same times.

use xxhash_rust::xxh64::xxh64;

/// Nanoseconds of a millisecond.
const NANOS_PER_MILLI: u64 = 1_000_000;
/// Lengths from here on stand in three bytes behind this one.
const LONG: usize = 0xff;

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
        let interval_ns = interval_ms.unsigned_abs().saturating_mul(NANOS_PER_MILLI);
        // Upstream counts nanoseconds; its samples have whole milliseconds.
        let offset_ms = (hash(file, group) % interval_ns / NANOS_PER_MILLI) as i64;
        Self { interval_ms, offset_ms }
    }

    /// How often it is, in milliseconds.
    pub fn interval_ms(&self) -> i64 {
        self.interval_ms
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

/// The hash of the label set `{file, name}` as upstream keeps label sets in memory: names and values one after the other,
/// each behind its length.
fn hash(file: &str, group: &str) -> u64 {
    let mut bytes = Vec::with_capacity(16 + file.len() + group.len());
    for text in ["file", file, "name", group] {
        match u8::try_from(text.len()) {
            Ok(length) if text.len() < LONG => bytes.push(length),
            _ => {
                bytes.push(0xff);
                bytes.extend_from_slice(&text.len().to_le_bytes()[..3]);
            }
        }
        bytes.extend_from_slice(text.as_bytes());
    }
    xxh64(&bytes, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_those_of_prometheus() {
        // Times of samples that Prometheus 3.5 wrote, modulo the interval of ten seconds.
        for (group, offset_ms) in [("a", 6_543), ("some longer group", 6_532), ("äöü", 7_862)] {
            assert_eq!(Schedule::new("rules.yml", group, 10_000).before(10_000) - offset_ms, 0, "{group}");
        }
    }
}
