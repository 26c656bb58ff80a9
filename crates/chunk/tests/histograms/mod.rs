//! Histograms for tests.

use model::{BucketSpan, CounterResetHint, FloatHistogram, Histogram, stale_nan};
use proptest::prelude::*;

/// A sample to append.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    pub(crate) timestamp: i64,
    pub(crate) histogram: Histogram,
}

/// What can be compared whatever the layout: numbers as bits, and the buckets that are not empty by index.
type Observed = (u64, u64, u64, Vec<(i64, u64)>, Vec<(i64, u64)>, Vec<u64>, i32, u64);

pub(crate) fn observed(h: &FloatHistogram) -> Observed {
    if model::is_stale_nan(h.sum) {
        return (0, 0, h.sum.to_bits(), Vec::new(), Vec::new(), Vec::new(), 0, 0);
    }
    let side = |spans: &[BucketSpan], buckets: &[f64]| {
        let (mut index, mut buckets, mut found) = (0i64, buckets.iter(), Vec::new());
        for span in spans {
            index += i64::from(span.offset);
            for _ in 0..span.length {
                let count = buckets.next().expect("a count for each bucket");
                if *count != 0.0 {
                    found.push((index, count.to_bits()));
                }
                index += 1;
            }
        }
        assert!(buckets.next().is_none());
        found
    };
    (
        h.count.to_bits(),
        h.zero_count.to_bits(),
        h.sum.to_bits(),
        side(&h.positive_spans, &h.positive_buckets),
        side(&h.negative_spans, &h.negative_buckets),
        h.custom_values.iter().map(|v| v.to_bits()).collect(),
        h.schema,
        h.zero_threshold.to_bits(),
    )
}

/// One change of a histogram from one sample to the next.
#[derive(Debug, Clone)]
enum Change {
    Observe { side: bool, index: i8, count: u8 },
    ObserveZero(u8),
    Sum(u64),
    Reset,
    Hint(CounterResetHint),
    Schema(i32),
    ZeroThreshold(f64),
    Bounds(Vec<f64>),
    Stale,
}

fn change() -> impl Strategy<Value = Change> {
    let threshold = prop_oneof![Just(0.0), Just(2f64.powi(-128)), Just(0.001), any::<f64>()];
    let bound = prop_oneof![(0u32..100_000).prop_map(|b| f64::from(b) / 1000.0), any::<f64>()];
    let hint = prop_oneof![
        4 => Just(CounterResetHint::Unknown),
        1 => Just(CounterResetHint::NotReset),
        1 => Just(CounterResetHint::Reset),
        2 => Just(CounterResetHint::Gauge),
    ];
    prop_oneof![
        40 => (any::<bool>(), -20i8..20, any::<u8>()).prop_map(|(side, index, count)| Change::Observe { side, index, count }),
        10 => any::<u8>().prop_map(Change::ObserveZero),
        20 => any::<u64>().prop_map(Change::Sum),
        1 => Just(Change::Reset),
        2 => hint.prop_map(Change::Hint),
        1 => (-4i32..=8).prop_map(Change::Schema),
        1 => threshold.prop_map(Change::ZeroThreshold),
        1 => prop::collection::vec(bound, 1..6).prop_map(Change::Bounds),
        2 => Just(Change::Stale),
    ]
}

/// A histogram by bucket index, from which any layout can be made.
#[derive(Debug, Clone, Default)]
struct Observations {
    sides: [std::collections::BTreeMap<i32, i64>; 2],
    base: Histogram,
}

impl Observations {
    fn apply(&mut self, change: &Change) {
        match change {
            Change::Observe { side, index, count } => {
                let custom = self.base.schema == model::histogram::CUSTOM_BUCKETS_SCHEMA;
                let (side, index) =
                    if custom { (0, index.rem_euclid(4)) } else { (usize::from(*side), *index) };
                *self.sides[side].entry(i32::from(index)).or_default() += i64::from(*count);
                self.base.count += u64::from(*count);
            }
            Change::ObserveZero(count) => {
                self.base.zero_count += u64::from(*count);
                self.base.count += u64::from(*count);
            }
            Change::Sum(bits) => self.base.sum = f64::from_bits(*bits),
            Change::Reset => {
                self.sides = Default::default();
                (self.base.count, self.base.zero_count) = (0, 0);
            }
            Change::Hint(hint) => self.base.counter_reset_hint = *hint,
            Change::Schema(schema) => {
                (self.base.schema, self.base.custom_values) = (*schema, Vec::new());
            }
            Change::ZeroThreshold(threshold) => self.base.zero_threshold = *threshold,
            Change::Bounds(bounds) => {
                self.apply(&Change::Reset);
                self.base.schema = model::histogram::CUSTOM_BUCKETS_SCHEMA;
                self.base.custom_values.clone_from(bounds);
            }
            Change::Stale => {}
        }
    }

    /// The histogram with spans broken where `gaps` is less than the distance of two buckets.
    fn histogram(&self, gap: i32) -> Histogram {
        let side = |observed: &std::collections::BTreeMap<i32, i64>| {
            let (mut spans, mut deltas): (Vec<BucketSpan>, Vec<i64>) = (Vec::new(), Vec::new());
            let (mut end, mut last) = (0, 0);
            for (&index, &count) in observed {
                let distance = index - end;
                match spans.last_mut() {
                    Some(span) if distance <= gap => {
                        span.length += distance as u32 + 1;
                        for _ in 0..distance {
                            deltas.push(-last);
                            last = 0;
                        }
                    }
                    _ => spans.push(BucketSpan { offset: distance, length: 1 }),
                }
                deltas.push(count - last);
                (end, last) = (index + 1, count);
            }
            (spans, deltas)
        };
        let mut histogram = self.base.clone();
        (histogram.positive_spans, histogram.positive_buckets) = side(&self.sides[0]);
        (histogram.negative_spans, histogram.negative_buckets) = side(&self.sides[1]);
        histogram
    }
}

/// Histograms as one series has them, and stranger ones.
pub(crate) fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = (
        prop::collection::vec(change(), 0..6),
        0i32..3,
        prop_oneof![9 => Just(15_000i64), 1 => any::<i64>()],
    );
    prop::collection::vec(step, 0..40).prop_map(|changes| {
        let (mut observations, mut timestamp) = (Observations::default(), 1_700_000_000_000_i64);
        let mut steps = Vec::new();
        for (changes, gap, interval) in changes {
            timestamp = timestamp.wrapping_add(interval);
            changes.iter().for_each(|change| observations.apply(change));
            let stale = changes.iter().any(|change| matches!(change, Change::Stale));
            let histogram = if stale {
                Histogram { sum: stale_nan(), ..Histogram::default() }
            } else {
                observations.histogram(gap)
            };
            steps.push(Step { timestamp, histogram });
        }
        steps
    })
}
