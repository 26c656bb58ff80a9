//! What integer and float histograms have in common, so that one appender and one cursor serve both.

use std::fmt::Debug;

use model::{CounterResetHint, FloatHistogram, Histogram};

use super::layout::{Layout, OwnedLayout};
use crate::bits::{BitReader, BitWriter};

/// A histogram as the appender and the cursor see it. Arrays of two hold the positive side, then the negative one.
pub trait Sample: Clone + Default + Debug {
    /// A bucket as it is stored.
    type Bucket: Copy + Default;
    /// A bucket's own count.
    type Count: Copy + Default + PartialOrd;

    /// What is known about a counter reset.
    fn hint(&self) -> CounterResetHint;
    /// Sets what is known about a counter reset.
    fn set_hint(&mut self, hint: CounterResetHint);
    /// The sum of observations.
    fn sum(&self) -> f64;
    /// A histogram of which nothing but the sum is known.
    fn of_sum(sum: f64) -> Self;
    /// All but the numbers.
    fn layout(&self) -> Layout<'_>;
    /// Takes a layout over; all buckets become 0.
    fn set_layout(&mut self, layout: OwnedLayout);
    /// The buckets.
    fn buckets(&self) -> [&[Self::Bucket]; 2];
    /// The buckets, and their spans with them.
    fn set_side(&mut self, side: usize, spans: Vec<model::BucketSpan>, counts: Vec<Self::Count>);
    /// The counts of buckets.
    fn counts(buckets: &[Self::Bucket]) -> impl Iterator<Item = Self::Count>;
    /// Whether there are fewer observations than in `last`.
    fn count_fell(&self, last: &Self) -> bool;
    /// Whether there are fewer observations in the zero bucket than in `last`.
    fn zero_count_fell(&self, last: &Self) -> bool;
    /// Whether sum and counts are the same bits, buckets aside.
    fn same_totals(&self, other: &Self) -> bool;
    /// Whether two counts are the same bits.
    fn same_count(a: Self::Count, b: Self::Count) -> bool;
}

/// The running differences of a chunk's fields. Writing and reading keep them equal.
pub trait Fields: Clone + Default + Debug {
    /// What the chunk holds.
    type Sample: Sample;

    /// Writes a chunk's first sample.
    fn write_first(&mut self, writer: &mut BitWriter<'_>, new: &Self::Sample);
    /// Writes a sample of the same layout as `last` and moves `last` on to it.
    fn write_next(&mut self, writer: &mut BitWriter<'_>, last: &mut Self::Sample, new: &Self::Sample);
    /// Writes a stale marker and moves `last` on to it.
    fn write_stale(&mut self, writer: &mut BitWriter<'_>, last: &mut Self::Sample, sum: f64);
    /// Reads a chunk's first sample into `into`, which has its layout already.
    fn read_first(&mut self, reader: &mut BitReader<'_>, into: &mut Self::Sample);
    /// Reads the sample that follows `last` over it; `None` where the bits mean nothing.
    fn read_next(&mut self, reader: &mut BitReader<'_>, last: &mut Self::Sample) -> Option<()>;
}

macro_rules! fields_of_the_same_name {
    () => {
        fn hint(&self) -> CounterResetHint {
            self.counter_reset_hint
        }

        fn set_hint(&mut self, hint: CounterResetHint) {
            self.counter_reset_hint = hint;
        }

        fn sum(&self) -> f64 {
            self.sum
        }

        fn of_sum(sum: f64) -> Self {
            Self { sum, ..Self::default() }
        }

        fn layout(&self) -> Layout<'_> {
            Layout {
                schema: self.schema,
                zero_threshold: self.zero_threshold,
                spans: [&self.positive_spans, &self.negative_spans],
                custom_values: &self.custom_values,
            }
        }

        fn set_layout(&mut self, layout: OwnedLayout) {
            let [positive, negative] = layout.spans;
            self.schema = layout.schema;
            self.zero_threshold = layout.zero_threshold;
            self.custom_values = layout.custom_values;
            self.positive_buckets = zeros(&positive);
            self.negative_buckets = zeros(&negative);
            self.positive_spans = positive;
            self.negative_spans = negative;
        }

        fn buckets(&self) -> [&[Self::Bucket]; 2] {
            [&self.positive_buckets, &self.negative_buckets]
        }

        fn set_side(&mut self, side: usize, spans: Vec<model::BucketSpan>, counts: Vec<Self::Count>) {
            if side == 0 {
                self.positive_spans = spans;
                self.positive_buckets = stored(counts);
            } else {
                self.negative_spans = spans;
                self.negative_buckets = stored(counts);
            }
        }

        fn count_fell(&self, last: &Self) -> bool {
            self.count < last.count
        }

        fn zero_count_fell(&self, last: &Self) -> bool {
            self.zero_count < last.zero_count
        }
    };
}

fn zeros<T: Copy + Default>(spans: &[model::BucketSpan]) -> Vec<T> {
    let buckets: usize = spans.iter().map(|span| span.length as usize).sum();
    vec![T::default(); buckets]
}

impl Sample for Histogram {
    type Bucket = i64;
    type Count = i64;

    fields_of_the_same_name!();

    fn counts(deltas: &[i64]) -> impl Iterator<Item = i64> {
        let sum = |count: &mut i64, delta: &i64| {
            *count = count.wrapping_add(*delta);
            Some(*count)
        };
        deltas.iter().scan(0, sum)
    }

    fn same_totals(&self, other: &Self) -> bool {
        self.sum.to_bits() == other.sum.to_bits()
            && self.count == other.count
            && self.zero_count == other.zero_count
    }

    fn same_count(a: i64, b: i64) -> bool {
        a == b
    }
}

impl Sample for FloatHistogram {
    type Bucket = f64;
    type Count = f64;

    fields_of_the_same_name!();

    fn counts(counts: &[f64]) -> impl Iterator<Item = f64> {
        counts.iter().copied()
    }

    fn same_totals(&self, other: &Self) -> bool {
        self.sum.to_bits() == other.sum.to_bits()
            && self.count.to_bits() == other.count.to_bits()
            && self.zero_count.to_bits() == other.zero_count.to_bits()
    }

    fn same_count(a: f64, b: f64) -> bool {
        a.to_bits() == b.to_bits()
    }
}

/// Counts as buckets store them.
trait Stored: Sized {
    fn stored(counts: Vec<Self>) -> Vec<Self>;
}

impl Stored for i64 {
    fn stored(counts: Vec<i64>) -> Vec<i64> {
        let mut previous = 0;
        let delta = |count: i64| count.wrapping_sub(std::mem::replace(&mut previous, count));
        counts.into_iter().map(delta).collect()
    }
}

impl Stored for f64 {
    fn stored(counts: Vec<f64>) -> Vec<f64> {
        counts
    }
}

fn stored<T: Stored>(counts: Vec<T>) -> Vec<T> {
    T::stored(counts)
}
