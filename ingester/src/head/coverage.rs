//! Which time of a tenant's samples blocks have been cut from, and where something came since.
//!
//! Time is divided into windows, the same for all tenants and replicas. All windows before [`Coverage::cut_before`] have been
//! cut. A sample that is stored in one of them later makes it *open* again: it is cut once more. Windows that are cut begin
//! to be so in the order of the log, so that no sample falls between a cut and the next.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicI64, Ordering};

use model::TimeRange;
use parking_lot::Mutex;

/// Nothing has been cut.
pub(crate) const NEVER: i64 = i64::MIN;

/// What has been cut of a tenant.
pub(crate) struct Coverage {
    cut_before_ms: AtomicI64,
    windows: Mutex<Windows>,
}

#[derive(Default)]
struct Windows {
    /// How long a window is; 0 until something has been cut.
    length_ms: i64,
    /// The starts of windows that got samples since they were cut, and when that was first noticed.
    open: BTreeMap<i64, Option<i64>>,
    /// Those that are being cut again, or for the first time.
    being_cut: BTreeSet<i64>,
    /// Whether that has changed since it was last saved.
    is_changed: bool,
}

impl Default for Coverage {
    fn default() -> Self {
        Self { cut_before_ms: AtomicI64::new(NEVER), windows: Mutex::default() }
    }
}

/// The start of the window that a time is in.
pub(crate) fn window_of(timestamp_ms: i64, length_ms: i64) -> i64 {
    timestamp_ms.saturating_sub(timestamp_ms.rem_euclid(length_ms.max(1)))
}

/// What of a tenant's coverage survives a restart.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Saved {
    /// How long a window was.
    pub(crate) length_ms: i64,
    /// All windows before this have been cut.
    pub(crate) cut_before_ms: Option<i64>,
    /// The starts of those that have to be cut again.
    pub(crate) open: Vec<i64>,
}

impl Coverage {
    /// All windows before this have been cut; [`NEVER`] where none has.
    #[inline]
    pub(crate) fn cut_before(&self) -> i64 {
        self.cut_before_ms.load(Ordering::Acquire)
    }

    /// The windows that samples in a range lie in, where they are few; `None` where they are not.
    pub(crate) fn few_windows(&self, range: TimeRange) -> Option<Vec<i64>> {
        few_windows(range, self.windows.lock().length_ms)
    }

    /// Notes that a sample was stored that lies before [`Self::cut_before`].
    #[cold]
    pub(crate) fn stored_late(&self, timestamp_ms: i64) {
        let mut windows = self.windows.lock();
        let start = window_of(timestamp_ms, windows.length_ms);
        windows.is_changed |= windows.open.insert(start, None).is_none();
    }

    /// Restores what was saved. Where windows have another length now, all those are open that touch one that was.
    pub(crate) fn restore(&self, saved: &Saved, length_ms: i64) {
        let mut windows = self.windows.lock();
        windows.length_ms = length_ms;
        for start in &saved.open {
            let behind = start.saturating_add(saved.length_ms.max(1));
            let mut next = window_of(*start, length_ms);
            while next < behind {
                windows.open.insert(next, None);
                next = next.saturating_add(length_ms.max(1));
            }
        }
        if let Some(cut_before_ms) = saved.cut_before_ms {
            self.cut_before_ms.store(window_of(cut_before_ms, length_ms), Ordering::Release);
        }
    }

    /// What has to survive a restart now, once the window `done` has been cut: it is still being cut until that is durable.
    pub(crate) fn save(&self, done: Option<i64>) -> Saved {
        let mut windows = self.windows.lock();
        windows.is_changed = false;
        let being_cut = windows.being_cut.iter().filter(|start| Some(**start) != done);
        let open: BTreeSet<i64> = windows.open.keys().chain(being_cut).copied().collect();
        let cut_before_ms = Some(self.cut_before()).filter(|before| *before != NEVER);
        Saved { length_ms: windows.length_ms, cut_before_ms, open: open.into_iter().collect() }
    }

    /// Whether [`Self::save`] would give something else than the last time.
    pub(crate) fn is_changed(&self) -> bool {
        self.windows.lock().is_changed
    }

    /// What was saved did not reach the disk.
    pub(crate) fn not_saved(&self) {
        self.windows.lock().is_changed = true;
    }

    /// Begins to cut a window: what is stored in it from now on opens it again. To be called in log order.
    pub(crate) fn begin(&self, start_ms: i64, length_ms: i64) {
        let mut windows = self.windows.lock();
        windows.length_ms = length_ms;
        windows.is_changed |= windows.open.remove(&start_ms).is_some();
        windows.being_cut.insert(start_ms);
        let behind = start_ms.saturating_add(length_ms);
        if behind > self.cut_before() {
            self.cut_before_ms.store(behind, Ordering::Release);
        }
    }

    /// The window has been cut.
    pub(crate) fn done(&self, start_ms: i64) {
        self.windows.lock().being_cut.remove(&start_ms);
    }

    /// The window could not be cut, and has to be tried again.
    pub(crate) fn failed(&self, start_ms: i64) {
        let mut windows = self.windows.lock();
        windows.being_cut.remove(&start_ms);
        // It has been waited for already.
        windows.open.insert(start_ms, Some(i64::MIN));
        windows.is_changed = true;
    }

    /// Nothing before this time is to be cut any more: its samples have expired.
    pub(crate) fn expire(&self, oldest_ms: i64) {
        let mut windows = self.windows.lock();
        let length = windows.length_ms;
        let before = windows.open.len();
        windows.open.retain(|start, _| start.saturating_add(length) > oldest_ms);
        windows.is_changed |= windows.open.len() != before;
    }

    /// The open windows that have been so since before `noticed_before_ms`; those that are new are noticed now.
    pub(crate) fn to_cut_again(&self, now_ms: i64, noticed_before_ms: i64) -> Vec<i64> {
        let mut windows = self.windows.lock();
        windows
            .open
            .values_mut()
            .filter(|noticed| noticed.is_none())
            .for_each(|noticed| *noticed = Some(now_ms));
        let due =
            windows.open.iter().filter(|(_, noticed)| noticed.is_some_and(|at| at <= noticed_before_ms));
        due.map(|(start, _)| *start).collect()
    }

    /// From this time on there may be samples that no block has.
    pub(crate) fn uncut_from(&self) -> i64 {
        let windows = self.windows.lock();
        let first = windows.open.keys().chain(&windows.being_cut).min().copied();
        first.unwrap_or(i64::MAX).min(self.cut_before())
    }
}

/// The windows that samples in a range lie in, where they are few; `None` where they are not.
fn few_windows(range: TimeRange, length_ms: i64) -> Option<Vec<i64>> {
    const FEW: usize = 64;
    let first = window_of(range.start_ms(), length_ms);
    let starts = (0..=FEW as i64).map(|n| first.saturating_add(n.saturating_mul(length_ms)));
    let starts: Vec<i64> = starts.take_while(|start| *start <= range.end_ms()).collect();
    (starts.len() <= FEW).then_some(starts)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000;

    #[test]
    fn a_window_is_open_from_its_first_late_sample_until_it_is_cut_again() {
        let coverage = Coverage::default();
        assert_eq!((coverage.cut_before(), coverage.uncut_from()), (NEVER, NEVER));
        coverage.begin(0, 2 * HOUR);
        assert_eq!((coverage.cut_before(), coverage.uncut_from()), (2 * HOUR, 0));
        // A late sample while it is being cut is not in the block.
        coverage.stored_late(HOUR);
        coverage.done(0);
        assert_eq!(coverage.uncut_from(), 0);
        assert_eq!(coverage.to_cut_again(100, 50), Vec::<i64>::new());
        assert_eq!(coverage.to_cut_again(200, 100), [0]);
        coverage.begin(0, 2 * HOUR);
        assert_eq!(coverage.save(None).open, [0]);
        assert!(coverage.save(Some(0)).open.is_empty());
        coverage.done(0);
        assert_eq!((coverage.cut_before(), coverage.uncut_from()), (2 * HOUR, 2 * HOUR));
        coverage.begin(0, 2 * HOUR);
        coverage.failed(0);
        assert_eq!((coverage.uncut_from(), coverage.to_cut_again(0, 0)), (0, vec![0]));
        coverage.expire(2 * HOUR);
        assert_eq!(coverage.uncut_from(), 2 * HOUR);
    }

    #[test]
    fn what_was_saved_is_there_after_a_restart_with_windows_of_another_length() {
        let coverage = Coverage::default();
        coverage.begin(4 * HOUR, 2 * HOUR);
        coverage.done(4 * HOUR);
        coverage.stored_late(3 * HOUR);
        assert!(coverage.is_changed());
        let saved = coverage.save(None);
        assert!(!coverage.is_changed());
        let same = Coverage::default();
        same.restore(&saved, 2 * HOUR);
        assert_eq!(same.save(None), saved);
        let shorter = Coverage::default();
        shorter.restore(&saved, HOUR);
        assert_eq!(shorter.save(None).open, [2 * HOUR, 3 * HOUR]);
        let longer = Coverage::default();
        longer.restore(&saved, 4 * HOUR);
        assert_eq!((longer.save(None).open, longer.cut_before()), (vec![0], 4 * HOUR));
    }

    #[test]
    fn windows_are_aligned_and_counted() {
        assert_eq!(window_of(-1, HOUR), -HOUR);
        assert_eq!(window_of(i64::MIN, HOUR), i64::MIN);
        let range = |start, end| TimeRange::new(start, end).unwrap();
        assert_eq!(few_windows(range(HOUR - 1, HOUR), HOUR), Some(vec![0, HOUR]));
        assert_eq!(few_windows(TimeRange::ALL, HOUR), None);
    }
}
