//! The blocks of a tenant that have nothing but what the head has, too: whoever asks the head need not read them.
//!
//! A block is held from when it has been cut, because it was cut from this head, until something of its time is about to be
//! forgotten. A selection that is being answered then has been told that it covers the block ([`Promise`]): forgetting waits for it,
//! but not for long, and it fails where that was not enough. A restart holds nothing: what a head has after it need not be what it
//! had.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use model::TimeRange;
use parking_lot::Mutex;
use ulid::Ulid;

/// So long forgetting waits for selections that cover a block. Queries take less unless somebody stands still.
const WAIT_MAX: Duration = Duration::from_secs(5 * 60);

/// So many blocks of a tenant are held at most: those of some windows, each cut again a few times.
const BLOCKS_MAX: usize = 1024;

/// The blocks of a tenant that the head holds whole.
pub(crate) struct Held {
    known: Mutex<Known>,
}

struct Known {
    blocks: Vec<Entry>,
    /// The head may have forgotten what is before this time, in milliseconds since the Unix epoch.
    forgotten_before_ms: i64,
}

struct Entry {
    block: Arc<Block>,
    /// Since when nobody is told of the block any more, by the monotonic clock.
    given_up_at: Option<Duration>,
}

/// A block, for as long as a selection covers it.
struct Block {
    ulid: Ulid,
    range: TimeRange,
    /// Set before the first of its samples is forgotten.
    is_forgotten: AtomicBool,
}

/// What a selection covers.
#[derive(Default)]
pub(crate) struct Promise {
    blocks: Vec<Arc<Block>>,
}

impl Default for Held {
    fn default() -> Self {
        Self { known: Mutex::new(Known { blocks: Vec::new(), forgotten_before_ms: i64::MIN }) }
    }
}

impl Held {
    /// Notes a block that has just been cut from the head: of samples from `min_time` on, and before `max_time`.
    pub(crate) fn add(&self, ulid: Ulid, min_time: i64, max_time: i64) {
        let mut known = self.known.lock();
        let Some(range) = TimeRange::new(min_time, max_time.saturating_sub(1)) else { return };
        // What was forgotten while the block was cut may be in it.
        if min_time < known.forgotten_before_ms || known.blocks.len() >= BLOCKS_MAX {
            return;
        }
        let block = Arc::new(Block { ulid, range, is_forgotten: AtomicBool::new(false) });
        known.blocks.push(Entry { block, given_up_at: None });
    }

    /// What a selection of this time covers that looks at the head from now on.
    pub(crate) fn promise(&self, range: TimeRange) -> Promise {
        let known = self.known.lock();
        let held = known.blocks.iter().filter(|entry| entry.given_up_at.is_none());
        let blocks = held.map(|entry| &entry.block).filter(|block| block.range.overlaps(range));
        Promise { blocks: blocks.cloned().collect() }
    }

    /// Before which time may be forgotten, of what is before `before_ms`. From now on no selection covers blocks of that time, and
    /// those that do have to end soon.
    pub(crate) fn forget(&self, before_ms: i64, now: Duration) -> i64 {
        let mut known = self.known.lock();
        let mut allowed_ms = before_ms;
        known.blocks.retain_mut(|Entry { block, given_up_at }| {
            let min_time = block.range.start_ms();
            if min_time >= before_ms {
                return true;
            }
            let since = *given_up_at.get_or_insert(now);
            let is_waited_for = Arc::strong_count(block) > 1 && now.saturating_sub(since) < WAIT_MAX;
            if is_waited_for {
                allowed_ms = allowed_ms.min(min_time);
            } else {
                block.is_forgotten.store(true, Ordering::Release);
            }
            is_waited_for
        });
        known.forgotten_before_ms = known.forgotten_before_ms.max(allowed_ms);
        allowed_ms
    }
}

impl Promise {
    /// The names of the blocks.
    pub(crate) fn covered(&self) -> BTreeSet<Ulid> {
        self.blocks.iter().map(|block| block.ulid).collect()
    }

    /// Whether what has been read of the head until now had everything that was in these blocks.
    pub(crate) fn is_kept(&self) -> bool {
        !self.blocks.iter().any(|block| block.is_forgotten.load(Ordering::Acquire))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1_000);

    fn all(held: &Held) -> Vec<u128> {
        held.promise(TimeRange::ALL).covered().iter().map(|ulid| ulid.0).collect()
    }

    #[test]
    fn blocks_are_held_until_their_time_is_forgotten() {
        let held = Held::default();
        for window in 0..3 {
            held.add(Ulid(1 + window as u128), window * 10, (window + 1) * 10);
        }
        assert_eq!(all(&held), [1, 2, 3]);
        let some = held.promise(TimeRange::new(10, 15).unwrap());
        assert_eq!(some.covered(), BTreeSet::from([Ulid(2)]));
        assert!(held.promise(TimeRange::new(30, 40).unwrap()).covered().is_empty());
        drop(some);
        assert_eq!(held.forget(0, NOW), 0);
        assert_eq!(all(&held), [1, 2, 3]);
        assert_eq!(held.forget(11, NOW), 11);
        assert_eq!(all(&held), [3]);
        // A window that is cut again, of which something has been forgotten.
        held.add(Ulid(4), 10, 20);
        held.add(Ulid(5), 20, 30);
        assert_eq!(all(&held), [3, 5]);
        assert_eq!(held.forget(5, NOW), 5, "a window was opened again");
        held.add(Ulid(6), 0, 10);
        assert_eq!(all(&held), [3, 5], "what was forgotten stays so");
    }

    #[test]
    fn forgetting_waits_for_promises_but_not_forever() {
        let held = Held::default();
        held.add(Ulid(1), 0, 10);
        held.add(Ulid(2), 10, 20);
        let promise = held.promise(TimeRange::ALL);
        assert_eq!(held.forget(20, NOW), 0);
        assert!(all(&held).is_empty(), "nobody is told any more");
        assert!(promise.is_kept());
        assert_eq!(held.forget(20, NOW + WAIT_MAX / 2), 0);
        drop(promise);
        assert_eq!(held.forget(20, NOW + WAIT_MAX / 2), 20);

        held.add(Ulid(3), 20, 30);
        let promise = held.promise(TimeRange::ALL);
        assert_eq!(held.forget(25, NOW), 20);
        assert!(promise.is_kept());
        assert_eq!(held.forget(25, NOW + WAIT_MAX), 25);
        assert!(!promise.is_kept());
        assert!(Promise::default().is_kept());
    }

    #[test]
    fn there_is_a_bound() {
        let held = Held::default();
        for number in 0..2 * BLOCKS_MAX {
            held.add(Ulid(number as u128), 0, 10);
        }
        assert_eq!(all(&held).len(), BLOCKS_MAX);
    }
}
