//! What lies inside a native histogram: quantiles, fractions, variance, trimming.

use super::histogram::{Bucket, Hist};

/// What is to be said about a quantile or fraction.
#[derive(Default)]
pub(super) struct NanRemark(pub(super) Option<&'static str>);

/// The part of a bucket below a value inside it.
fn part_below(bucket: &Bucket, value: f64, linear: bool) -> f64 {
    if linear {
        return (value - bucket.lower) / (bucket.upper - bucket.lower);
    }
    let [lower, upper, value_log] = [bucket.lower, bucket.upper, value].map(|v| v.abs().log2());
    if value > 0.0 {
        (value_log - lower) / (upper - lower)
    } else {
        1.0 - (value_log - upper) / (lower - upper)
    }
}

impl Hist {
    /// In a histogram of one sign, the zero bucket is taken to have that sign, too.
    fn with_sign(&self, mut bucket: Bucket) -> Bucket {
        let [negative, positive] =
            [&self.negative, &self.positive].map(|side| side.values().any(|v| *v != 0.0));
        if positive && !negative {
            bucket.lower = 0.0;
        } else if negative && !positive {
            bucket.upper = 0.0;
        }
        bucket
    }

    pub(super) fn quantile(&self, q: f64) -> (f64, NanRemark) {
        let silent = |v| (v, NanRemark(None));
        if q < 0.0 {
            return silent(f64::NEG_INFINITY);
        }
        if q > 1.0 {
            return silent(f64::INFINITY);
        }
        if self.count == 0.0 || q.is_nan() {
            return silent(f64::NAN);
        }
        // Observations that are no number are in no bucket, and count as the largest.
        let has_nan = self.sum.is_nan();
        let from_below = has_nan || q < 0.5;
        let mut buckets = self.buckets();
        if !from_below {
            buckets.reverse();
        }
        let rank = self.count * if from_below { q } else { 1.0 - q };
        buckets.retain(|b| b.count != 0.0);
        let mut bucket = Bucket { lower: 0.0, upper: 0.0, count: 0.0 };
        let mut seen = 0.0;
        let mut rest = buckets.iter();
        for candidate in rest.by_ref() {
            seen += candidate.count;
            bucket = *candidate;
            if seen >= rank {
                break;
            }
        }
        if self.is_custom() {
            if bucket.lower == f64::NEG_INFINITY {
                if bucket.upper <= 0.0 {
                    return silent(bucket.upper);
                }
                bucket.lower = 0.0;
            } else if bucket.upper == f64::INFINITY {
                return silent(bucket.lower);
            }
        } else if bucket.lower < 0.0 && bucket.upper > 0.0 {
            bucket = self.with_sign(bucket);
        }
        let seen = seen.min(self.count);
        if seen < rank {
            if has_nan {
                let remark = "input to histogram_quantile has NaN observations, result is NaN";
                return (f64::NAN, NanRemark(Some(remark)));
            }
            return silent(bucket.upper);
        }
        let all: f64 = seen + rest.map(|b| b.count).sum::<f64>();
        let remark = (has_nan && all < self.count)
            .then_some("input to histogram_quantile has NaN observations, result is skewed higher");
        let inside = if from_below { rank - (seen - bucket.count) } else { seen - rank };
        let part = inside / bucket.count;
        let linear = self.is_custom() || bucket.lower <= 0.0 && bucket.upper >= 0.0;
        let [lower, upper] = [bucket.lower, bucket.upper].map(|v| v.abs().log2());
        let value = if linear {
            bucket.lower + (bucket.upper - bucket.lower) * part
        } else if bucket.lower > 0.0 {
            (lower + (upper - lower) * part).exp2()
        } else {
            -(upper + (lower - upper) * (1.0 - part)).exp2()
        };
        (value, NanRemark(remark))
    }

    pub(super) fn fraction(&self, from: f64, to: f64) -> (f64, NanRemark) {
        if self.count == 0.0 || from.is_nan() || to.is_nan() {
            return (f64::NAN, NanRemark(None));
        }
        if from >= to {
            return (0.0, NanRemark(None));
        }
        let (mut count, mut remark) = (self.count, None);
        if self.sum.is_nan() {
            count = self.buckets().iter().map(|b| b.count).sum();
            if count < self.count {
                remark = Some(
                    "input to histogram_fraction has NaN observations, which are excluded from all fractions",
                );
            }
        }
        let rank = |value| {
            let below = self.below(value);
            if below > count { count } else { below }
        };
        ((rank(to) - rank(from)) / self.count, NanRemark(remark))
    }

    /// How many observations lie below a value.
    fn below(&self, value: f64) -> f64 {
        let mut rank = 0.0;
        for bucket in self.buckets() {
            let zero = bucket.lower <= 0.0 && bucket.upper >= 0.0;
            let bucket = if zero { self.with_sign(bucket) } else { bucket };
            if bucket.lower >= value {
                return rank;
            }
            if bucket.upper > value {
                let linear = self.is_custom() || zero;
                if linear && bucket.lower == f64::NEG_INFINITY {
                    return bucket.count;
                }
                return rank + bucket.count * part_below(&bucket, value, linear);
            }
            rank += bucket.count;
        }
        f64::INFINITY
    }

    pub(super) fn variance(&self) -> f64 {
        let mean = self.sum / self.count;
        let squares = self.buckets().into_iter().filter(|b| b.count != 0.0).map(|bucket| {
            let middle = if self.is_custom() {
                (bucket.lower + bucket.upper) / 2.0
            } else if bucket.lower <= 0.0 && bucket.upper >= 0.0 {
                0.0
            } else {
                (bucket.lower * bucket.upper).sqrt().copysign(bucket.upper)
            };
            bucket.count * (middle - mean) * (middle - mean)
        });
        squares.sum::<f64>() / self.count
    }

    /// What is left of it below (or above) a value.
    pub(super) fn trimmed(mut self, value: f64, keep_below: bool) -> Self {
        let custom = self.is_custom();
        let (mut count, mut sum, mut changed) = (0.0, 0.0, false);
        let mut signs = [false, false];
        for (i, positive) in [true, false].into_iter().enumerate() {
            let buckets = if positive { self.positive_buckets() } else { self.negative_buckets() };
            let side = if positive { &mut self.positive } else { &mut self.negative };
            for (kept, bucket) in side.values_mut().zip(buckets).filter(|(_, b)| b.count != 0.0) {
                signs[i] = true;
                let (left, middle) = rest_of(&bucket, value, keep_below, positive, custom);
                count += left;
                sum += middle * left;
                changed |= left != *kept;
                *kept = left;
            }
        }
        if self.zero_count > 0.0 {
            let zero = self.zero_threshold;
            let lower = if signs[0] && !signs[1] { 0.0 } else { -zero };
            let upper = if signs[1] && !signs[0] { 0.0 } else { zero };
            let nothing = if keep_below { value <= lower } else { value > lower && value >= upper };
            let all = if keep_below { value >= upper } else { value <= lower };
            let (low, high) = match (all, keep_below) {
                (true, _) => (lower, upper),
                (false, true) => (lower, value),
                (false, false) => (value, upper),
            };
            let part = if all { 1.0 } else { (high - low) / (upper - lower) };
            let left = if nothing { 0.0 } else { self.zero_count * part };
            changed |= left != self.zero_count;
            self.zero_count = left;
            count += left;
            sum += if nothing { 0.0 } else { (low + high) / 2.0 * left };
        }
        if changed {
            self.count = count;
            self.sum = sum;
            self = self.compacted();
        }
        self
    }
}

/// What is left of a bucket, and what its observations are on average.
fn rest_of(bucket: &Bucket, value: f64, keep_below: bool, positive: bool, custom: bool) -> (f64, f64) {
    let Bucket { lower, upper, count } = *bucket;
    let (all, nothing) =
        if keep_below { (upper <= value, lower >= value) } else { (lower >= value, upper <= value) };
    if all {
        return (count, middle(lower, upper, positive, custom));
    }
    // A value that is no number leaves nothing.
    if nothing || value.is_nan() {
        return (0.0, 0.0);
    }
    if lower == f64::NEG_INFINITY {
        return match keep_below {
            true if value > 0.0 && upper > 0.0 && upper.is_finite() => (count * value / upper, value / 2.0),
            true if upper <= 0.0 => (count, value),
            false if value >= 0.0 && upper > value && upper.is_finite() => {
                (count * (1.0 - value / upper), (value + upper) / 2.0)
            }
            _ => (0.0, 0.0),
        };
    }
    if upper == f64::INFINITY {
        return if keep_below { (0.0, 0.0) } else { (count, value) };
    }
    let below = count * part_below(bucket, value, custom);
    if keep_below {
        (below, middle(lower, value, positive, custom))
    } else {
        (count - below, middle(value, upper, positive, custom))
    }
}

fn middle(lower: f64, upper: f64, positive: bool, linear: bool) -> f64 {
    match (lower.is_infinite(), upper.is_infinite()) {
        (true, true) => 0.0,
        (true, false) if upper > 0.0 => upper / 2.0,
        (true, false) => upper,
        (false, true) => lower,
        (false, false) if linear => (lower + upper) / 2.0,
        (false, false) => {
            let mean = (lower * upper).abs().sqrt();
            if positive { mean } else { -mean }
        }
    }
}
