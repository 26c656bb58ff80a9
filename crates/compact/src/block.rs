//! A block, as planning sees it.

use std::collections::BTreeMap;

use ulid::Ulid;

use crate::shard::Shard;

/// What is known of a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// Its name.
    pub id: Ulid,
    /// The first time that may be in it, in milliseconds since the Unix epoch.
    pub min_ms: i64,
    /// The first time that is behind it, likewise.
    pub max_ms: i64,
    /// How often its samples have been merged; 1 for one that was cut from a head.
    pub level: u32,
    /// The blocks cut from heads whose samples are in it, sorted.
    pub sources: Vec<Ulid>,
    /// Labels that all its series have besides their own, but for the shard. Only blocks with the same are merged.
    pub labels: BTreeMap<String, String>,
    /// Which of its tenant's series it has.
    pub shard: Shard,
    /// How many series it has.
    pub series: u64,
    /// How long its files are together, in bytes.
    pub bytes: u64,
    /// When its upload was complete, in milliseconds since the Unix epoch.
    pub uploaded_ms: i64,
    /// Whether its samples are means and sums of those that came.
    pub is_downsampled: bool,
    /// Whether it must not be merged: somebody said so, or it is broken.
    pub is_excluded: bool,
}

/// An aligned span of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Window {
    /// Its first millisecond since the Unix epoch.
    pub start_ms: i64,
    /// The first millisecond behind it.
    pub end_ms: i64,
}

impl Block {
    /// The last millisecond that may be in it.
    pub(crate) fn last_ms(&self) -> i64 {
        self.max_ms.saturating_sub(1).max(self.min_ms)
    }

    /// The window of this length that it lies in, where it lies in one.
    pub(crate) fn window(&self, length_ms: i64) -> Option<Window> {
        let start = self.min_ms.div_euclid(length_ms);
        if start != self.last_ms().div_euclid(length_ms) {
            return None;
        }
        let start_ms = start.checked_mul(length_ms)?;
        Some(Window { start_ms, end_ms: start_ms.checked_add(length_ms)? })
    }

    /// Whether it has samples of every time that `other` has some of, as far as both say.
    pub(crate) fn spans(&self, other: &Self) -> bool {
        self.min_ms <= other.min_ms && self.max_ms >= other.max_ms
    }
}
