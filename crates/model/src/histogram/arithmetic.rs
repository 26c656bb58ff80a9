//! Sums, differences and multiples of histograms. Schemas, zero buckets and custom bounds that differ are brought to
//! what both can express.

use thiserror::Error;

use super::sparse::{self, SparseBucket};
use super::{CounterResetHint, FloatHistogram, exponential_bound};

/// Why two histograms cannot be combined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("cannot apply this operation on histograms with a mix of exponential and custom bucket schemas")]
pub struct IncompatibleSchemas;

/// What had to be done to combine two histograms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Combination {
    /// One was marked as a counter reset, the other as none.
    pub reset_collision: bool,
    /// Custom bounds differed: only those that both have are left.
    pub bounds_reconciled: bool,
}

impl CounterResetHint {
    /// The hint of a combination of two histograms, and whether they contradict each other.
    pub fn combined(self, other: Self) -> (Self, bool) {
        match (self, other) {
            (a, b) if a == b => (a, false),
            (Self::Gauge, _) | (_, Self::Gauge) => (Self::Gauge, false),
            (Self::Unknown, _) | (_, Self::Unknown) => (Self::Unknown, false),
            _ => (Self::Unknown, true),
        }
    }
}

impl FloatHistogram {
    /// Multiplies everything; a negative factor makes it a gauge.
    pub fn scale(&mut self, factor: f64) {
        self.for_all(|v| *v *= factor);
        if factor < 0.0 {
            self.counter_reset_hint = CounterResetHint::Gauge;
        }
    }

    /// Divides everything; a negative divisor makes it a gauge, and zero leaves no buckets.
    pub fn divide(&mut self, divisor: f64) {
        self.for_all(|v| *v /= divisor);
        if divisor == 0.0 {
            self.positive_spans.clear();
            self.positive_buckets.clear();
            self.negative_spans.clear();
            self.negative_buckets.clear();
        } else if divisor < 0.0 {
            self.counter_reset_hint = CounterResetHint::Gauge;
        }
    }

    /// Changes all numbers but those of empty buckets: they stay empty, also where NaN multiplies them.
    fn for_all(&mut self, change: impl Fn(&mut f64)) {
        for value in [&mut self.zero_count, &mut self.count, &mut self.sum] {
            change(value);
        }
        let buckets = self.positive_buckets.iter_mut().chain(&mut self.negative_buckets);
        buckets.filter(|count| **count != 0.0).for_each(change);
    }

    /// Adds `other`. The result may have empty buckets.
    pub fn add(&mut self, other: &Self) -> Result<Combination, IncompatibleSchemas> {
        self.combine(other, 1.0)
    }

    /// Subtracts `other`. The result may have empty buckets.
    pub fn sub(&mut self, other: &Self) -> Result<Combination, IncompatibleSchemas> {
        self.combine(other, -1.0)
    }

    fn combine(&mut self, other: &Self, sign: f64) -> Result<Combination, IncompatibleSchemas> {
        if self.uses_custom_buckets() != other.uses_custom_buckets() {
            return Err(IncompatibleSchemas);
        }
        let mut done = Combination::default();
        (self.counter_reset_hint, done.reset_collision) =
            self.counter_reset_hint.combined(other.counter_reset_hint);
        let aligned = Aligned::new(self, other);
        done.bounds_reconciled = aligned.bounds_reconciled;
        self.zero_count += sign * aligned.other_zero_count;
        self.count += sign * other.count;
        self.sum += sign * other.sum;
        let positive =
            merge(&sparse::expand(&self.positive_spans, &self.positive_buckets), &aligned.positive, sign);
        (self.positive_spans, self.positive_buckets) = sparse::collapse(positive);
        let negative =
            merge(&sparse::expand(&self.negative_spans, &self.negative_buckets), &aligned.negative, sign);
        (self.negative_spans, self.negative_buckets) = sparse::collapse(negative);
        Ok(done)
    }

    /// The same histogram in a coarser (or the same) exponential schema. Its reset hint is lost unless the schema is
    /// the same.
    #[must_use]
    pub fn to_schema(&self, schema: i32) -> Self {
        let mut out = self.clone();
        if schema < self.schema && !self.uses_custom_buckets() {
            out.reduce_to(schema);
            out.counter_reset_hint = CounterResetHint::Unknown;
        }
        out
    }

    pub(super) fn reduce_to(&mut self, schema: i32) {
        for (spans, counts) in [
            (&mut self.positive_spans, &mut self.positive_buckets),
            (&mut self.negative_spans, &mut self.negative_buckets),
        ] {
            let coarse = sparse::coarsen(&sparse::expand(spans, counts), self.schema, schema);
            (*spans, *counts) = sparse::collapse(coarse);
        }
        self.schema = schema;
    }

    /// What the zero count would be for a threshold at least as large, and that threshold, moved up to the end of a
    /// populated bucket that it would cut.
    pub(super) fn zero_count_for(&self, threshold: f64) -> (f64, f64) {
        let mut threshold = threshold;
        if threshold == self.zero_threshold {
            return (self.zero_count, threshold);
        }
        // Each turn moves the threshold to the end of another bucket.
        for _ in 0..=self.positive_buckets.len() + self.negative_buckets.len() {
            let mut sum = crate::CompensatedSum::from(self.zero_count);
            let mut cut = None;
            for bucket in self.positive().take_while(|b| b.lower < threshold) {
                sum.add(bucket.count);
                if bucket.upper > threshold {
                    cut = (bucket.count != 0.0).then_some(bucket.upper);
                    break;
                }
            }
            threshold = cut.unwrap_or(threshold);
            cut = None;
            for bucket in self.negative().take_while(|b| b.upper > -threshold) {
                sum.add(bucket.count);
                if bucket.lower < -threshold {
                    cut = (bucket.count != 0.0).then_some(-bucket.lower);
                    break;
                }
            }
            match cut {
                Some(larger) => threshold = larger,
                None => return (sum.total(), threshold),
            }
        }
        (self.zero_count, threshold)
    }

    /// Widens the zero bucket and takes the buckets inside it out.
    fn widen_zero_bucket(&mut self, threshold: f64) {
        (self.zero_count, self.zero_threshold) = self.zero_count_for(threshold);
        let zero = self.zero_threshold;
        let schema = self.schema;
        for (spans, counts) in [
            (&mut self.positive_spans, &mut self.positive_buckets),
            (&mut self.negative_spans, &mut self.negative_buckets),
        ] {
            let outside = sparse::expand(spans, counts).into_iter().filter(|(index, count)| {
                *count != 0.0 && exponential_bound(index.wrapping_sub(1), schema) >= zero
            });
            (*spans, *counts) = sparse::collapse(outside);
        }
    }
}

/// What is to be added to a histogram, in its layout, which has been changed where the other one demanded it.
pub(super) struct Aligned {
    pub(super) other_zero_count: f64,
    pub(super) positive: Vec<SparseBucket>,
    pub(super) negative: Vec<SparseBucket>,
    pub(super) bounds_reconciled: bool,
}

impl Aligned {
    pub(super) fn new(own: &mut FloatHistogram, other: &FloatHistogram) -> Self {
        let mut positive = sparse::expand(&other.positive_spans, &other.positive_buckets);
        let mut negative = sparse::expand(&other.negative_spans, &other.negative_buckets);
        if own.uses_custom_buckets() {
            let bounds_reconciled = !sparse::same_bounds(&own.custom_values, &other.custom_values);
            if bounds_reconciled {
                let bounds = sparse::common_bounds(&own.custom_values, &other.custom_values);
                let buckets = sparse::expand(&own.positive_spans, &own.positive_buckets);
                let rebinned = sparse::rebin(&buckets, &own.custom_values, &bounds);
                (own.positive_spans, own.positive_buckets) = sparse::collapse(rebinned);
                positive = sparse::rebin(&positive, &other.custom_values, &bounds);
                own.custom_values = bounds;
            }
            return Self { other_zero_count: 0.0, positive, negative: Vec::new(), bounds_reconciled };
        }
        let other_zero_count = reconcile_zero_buckets(own, other);
        if other.schema < own.schema {
            own.reduce_to(other.schema);
        } else if other.schema > own.schema {
            positive = sparse::coarsen(&positive, other.schema, own.schema);
            negative = sparse::coarsen(&negative, other.schema, own.schema);
        }
        // What lies inside the zero bucket is in its count already.
        for buckets in [&mut positive, &mut negative] {
            let inside = |index: i32| exponential_bound(index, own.schema) <= own.zero_threshold;
            let first = buckets.iter().position(|(index, _)| !inside(*index)).unwrap_or(buckets.len());
            buckets.drain(..first);
        }
        Self { other_zero_count, positive, negative, bounds_reconciled: false }
    }
}

/// Brings both to one zero threshold that cuts no populated bucket, and returns the other's zero count for it.
fn reconcile_zero_buckets(own: &mut FloatHistogram, other: &FloatHistogram) -> f64 {
    let (mut count, mut threshold) = (other.zero_count, other.zero_threshold);
    // Thresholds only grow, and only to the ends of buckets.
    let most = 2
        + own.positive_buckets.len()
        + own.negative_buckets.len()
        + other.positive_buckets.len()
        + other.negative_buckets.len();
    for _ in 0..most {
        if own.zero_threshold > threshold {
            (count, threshold) = other.zero_count_for(own.zero_threshold);
        }
        if threshold > own.zero_threshold {
            own.widen_zero_bucket(threshold);
        }
        if threshold == own.zero_threshold {
            break;
        }
    }
    count
}

/// The buckets of `a` plus `sign` times those of `b`.
fn merge(a: &[SparseBucket], b: &[SparseBucket], sign: f64) -> Vec<SparseBucket> {
    let mut out = Vec::with_capacity(a.len().max(b.len()));
    let (mut i, mut j) = (0, 0);
    loop {
        match (a.get(i), b.get(j)) {
            (Some(x), Some(y)) if x.0 == y.0 => {
                out.push((x.0, x.1 + sign * y.1));
                (i, j) = (i + 1, j + 1);
            }
            (Some(x), other) if other.is_none_or(|y| x.0 < y.0) => {
                out.push(*x);
                i += 1;
            }
            (_, Some(y)) => {
                out.push((y.0, sign * y.1));
                j += 1;
            }
            _ => return out,
        }
    }
}
