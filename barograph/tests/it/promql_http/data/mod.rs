//! What both sides hold: two hours of floats and histograms, every 15 seconds from a fixed moment on.
//!
//! Counters and most gauges are multiples of a power of two, so that their sums are exact in whatever order they are
//! taken; a difference in a sum is then a defect. Series are written in the order of their labels, which is then
//! also the order in which Prometheus' storage gives them out.

mod floats;
mod histograms;

use model::Value;

/// 2025-12-31T23:00:00Z: the year ends in the middle of the data.
pub(super) const START_MS: i64 = 1_767_222_000_000;
/// The distance of samples.
pub(super) const INTERVAL_MS: i64 = 15_000;
/// How many samples a series has that is always there.
pub(super) const SAMPLES: i64 = 481;

/// A series with its samples in order of time.
#[derive(Debug, Clone)]
pub(super) struct Series {
    pub(super) labels: Vec<(String, String)>,
    pub(super) samples: Vec<(i64, Value)>,
}

impl Series {
    /// A series of a metric with these labels, whose sample of each number is what `value` says, later by `delay_ms`.
    fn new(
        metric: &str,
        labels: &[(&str, &str)],
        delay_ms: i64,
        mut value: impl FnMut(i64) -> Option<Value>,
    ) -> Self {
        let named = std::iter::once(("__name__", metric)).chain(labels.iter().copied());
        let mut labels: Vec<_> = named.map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
        labels.sort();
        let at = |i| START_MS + i * INTERVAL_MS + delay_ms;
        Self { labels, samples: (0..SAMPLES).filter_map(|i| Some((at(i), value(i)?))).collect() }
    }
}

/// Everything, in order of labels.
pub(super) fn all() -> Vec<Series> {
    let mut all = floats::all();
    all.extend(histograms::all());
    all.sort_by(|a, b| a.labels.cmp(&b.labels));
    all
}
