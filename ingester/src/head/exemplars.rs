//! Exemplars of one tenant: the newest of all its series, in a ring of bounded size.

use std::collections::{HashMap, VecDeque};

use model::{Exemplar, TimeRange};

/// One exemplar and the series that it belongs to.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Stored {
    /// The series' number.
    pub(crate) series: u32,
    /// The exemplar.
    pub(crate) exemplar: Exemplar,
}

/// The newest exemplars of a tenant.
#[derive(Default)]
pub(crate) struct Exemplars {
    ring: VecDeque<Stored>,
    /// The newest exemplar of each series in the ring, and how many of the series the ring holds.
    newest: HashMap<u32, (Exemplar, u32), xxhash_rust::xxh3::Xxh3DefaultBuilder>,
}

impl Exemplars {
    /// Takes an exemplar; `false` where it is older than what its series has. A repetition of the newest is fine.
    pub(crate) fn add(&mut self, series: u32, exemplar: Exemplar, capacity: usize) -> bool {
        if let Some((newest, _)) = self.newest.get(&series) {
            if *newest == exemplar {
                return true;
            }
            if exemplar.timestamp_ms < newest.timestamp_ms {
                return false;
            }
        }
        while self.ring.len() >= capacity.max(1) {
            self.drop_oldest();
        }
        if capacity == 0 {
            // A tenant that keeps none has not sent a wrong one.
            return true;
        }
        let entry = self.newest.entry(series).or_insert_with(|| (exemplar.clone(), 0));
        entry.0 = exemplar.clone();
        entry.1 += 1;
        self.ring.push_back(Stored { series, exemplar });
        true
    }

    /// Takes an exemplar back from a snapshot, which has the oldest first.
    pub(crate) fn restore(&mut self, stored: Stored) {
        self.add(stored.series, stored.exemplar, usize::MAX);
    }

    fn drop_oldest(&mut self) {
        let Some(oldest) = self.ring.pop_front() else { return };
        if let Some((_, count)) = self.newest.get_mut(&oldest.series) {
            *count -= 1;
            if *count == 0 {
                self.newest.remove(&oldest.series);
            }
        }
    }

    /// Those of the series that `wanted` says yes to, in `range`, oldest first.
    pub(crate) fn select(&self, range: TimeRange, wanted: impl Fn(u32) -> bool) -> Vec<Stored> {
        let inside = |s: &&Stored| range.contains(s.exemplar.timestamp_ms) && wanted(s.series);
        self.ring.iter().filter(inside).cloned().collect()
    }

    /// All, oldest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Stored> {
        self.ring.iter()
    }
}

#[cfg(test)]
mod tests {
    use model::Labels;

    use super::*;

    fn exemplar(timestamp_ms: i64) -> Exemplar {
        Exemplar { labels: Labels::from_pairs([("trace_id", "x")]), value: 1.0, timestamp_ms }
    }

    #[test]
    fn the_ring_keeps_the_newest_and_refuses_the_past() {
        let mut exemplars = Exemplars::default();
        assert!(exemplars.add(1, exemplar(10), 2));
        assert!(exemplars.add(1, exemplar(10), 2), "a repetition is fine");
        assert!(!exemplars.add(1, exemplar(9), 2), "the past is not");
        assert!(exemplars.add(2, exemplar(5), 2));
        assert!(exemplars.add(2, exemplar(6), 2), "the oldest makes room");
        let times = |e: &Exemplars| e.iter().map(|s| s.exemplar.timestamp_ms).collect::<Vec<_>>();
        assert_eq!(times(&exemplars), [5, 6]);
        assert!(exemplars.add(1, exemplar(1), 2), "forgotten series start afresh");
        assert_eq!(exemplars.select(TimeRange::ALL, |s| s == 2).len(), 1);
    }
}
