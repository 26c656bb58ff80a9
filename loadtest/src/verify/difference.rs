//! What the oracle can find wrong.

use std::collections::BTreeMap;

use serde::Serialize;

/// Differences listed in full; the rest is only counted.
const MAX_LISTED: usize = 20;

/// A kind of difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DifferenceKind {
    /// An acknowledged sample is not returned.
    Missing,
    /// A sample has another value than was written.
    WrongValue,
    /// A sample is returned more than once.
    Duplicate,
    /// A sample of a series and step that were never sent.
    NeverSent,
    /// A sample at a time at which none was written.
    WrongTime,
    /// A series that was never written, or not by this tenant.
    UnknownSeries,
    /// The series API does not list a series with acknowledged samples.
    SeriesNotListed,
    /// The series API lists a series that was never written.
    SeriesListed,
    /// The label values API and the population do not agree.
    LabelValues,
}

/// One difference.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Difference {
    /// What is wrong.
    pub kind: DifferenceKind,
    /// With which series, at what time, and how.
    pub detail: String,
}

/// All differences found: how many of each kind, and the first ones.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Differences {
    /// How many of each kind.
    pub counts: BTreeMap<DifferenceKind, u64>,
    /// The first ones.
    pub first: Vec<Difference>,
}

impl Differences {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    pub(super) fn add(&mut self, kind: DifferenceKind, detail: impl FnOnce() -> String) {
        *self.counts.entry(kind).or_default() += 1;
        if self.first.len() < MAX_LISTED {
            self.first.push(Difference { kind, detail: detail() });
        }
    }

    pub(super) fn merge(&mut self, other: Self) {
        for (kind, count) in other.counts {
            *self.counts.entry(kind).or_default() += count;
        }
        let room = MAX_LISTED - self.first.len();
        self.first.extend(other.first.into_iter().take(room));
    }
}
