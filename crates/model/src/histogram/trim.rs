//! Histograms cut at a value: what `</` and `>/` keep.

use super::{Bucket, FloatHistogram};

/// Which part of a histogram is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// The observations below the value.
    Below,
    /// The observations above the value.
    Above,
}

impl FloatHistogram {
    /// Keeps the observations below or above `value`. A bucket that `value` cuts is split as quantiles would be
    /// interpolated. If anything was taken away, count and sum are estimated from what is left.
    pub fn trim(&mut self, value: f64, keep: Keep) {
        let custom = self.uses_custom_buckets();
        let positive: Vec<Bucket> = self.positive().collect();
        let negative: Vec<Bucket> = self.negative().collect();
        let (mut count, mut sum, mut trimmed) = (0.0, 0.0, false);
        let sides =
            [(&positive, &mut self.positive_buckets, true), (&negative, &mut self.negative_buckets, false)];
        for (buckets, counts, is_positive) in sides {
            for (bucket, stored) in buckets.iter().zip(counts.iter_mut()) {
                if bucket.count == 0.0 {
                    continue;
                }
                let (kept, mean) = kept_of(bucket, value, keep, is_positive, custom);
                count += kept;
                sum += mean * kept;
                if kept != bucket.count {
                    *stored = kept;
                    trimmed = true;
                }
            }
        }
        let holds = |buckets: &[Bucket]| buckets.iter().any(|b| b.count != 0.0);
        if self.zero_count > 0.0 {
            let (kept, mean) =
                kept_of_zero(self.zero_bucket(), value, keep, holds(&negative), holds(&positive));
            trimmed |= kept != self.zero_count;
            self.zero_count = kept;
            count += kept;
            sum += mean * kept;
        }
        if trimmed {
            self.count = count;
            self.sum = sum;
            self.compact(0);
        }
    }
}

/// How many observations of a bucket are kept, and where they lie in the middle.
fn kept_of(bucket: &Bucket, value: f64, keep: Keep, positive: bool, custom: bool) -> (f64, f64) {
    let whole = || (bucket.count, midpoint(bucket.lower, bucket.upper, positive, custom));
    match keep {
        Keep::Below if bucket.upper <= value => whole(),
        Keep::Above if bucket.lower >= value => whole(),
        Keep::Below if bucket.lower >= value => (0.0, 0.0),
        Keep::Above if bucket.upper <= value => (0.0, 0.0),
        // What is left is neither to one side nor to the other: the value is NaN, or cuts the bucket.
        _ if value.is_nan() => (0.0, 0.0),
        _ if bucket.lower == f64::NEG_INFINITY || bucket.upper == f64::INFINITY => {
            kept_of_infinite(bucket, value, keep)
        }
        Keep::Below => (
            bucket.count * bucket.fraction_below(value, custom),
            midpoint(bucket.lower, value, positive, custom),
        ),
        Keep::Above => (
            bucket.count - bucket.count * bucket.fraction_below(value, custom),
            midpoint(value, bucket.upper, positive, custom),
        ),
    }
}

/// A bucket without a lower or an upper end cannot be interpolated, unless zero can stand for its lower end.
fn kept_of_infinite(bucket: &Bucket, value: f64, keep: Keep) -> (f64, f64) {
    let finite_or_zero = |bound: f64| if bound.is_infinite() { 0.0 } else { bound };
    let (count, upper) = (bucket.count, bucket.upper);
    if bucket.lower == f64::NEG_INFINITY {
        let from_zero = upper > 0.0 && upper != f64::INFINITY;
        return match keep {
            Keep::Below if value > 0.0 && from_zero => (count * value / upper, value / 2.0),
            Keep::Below if upper <= 0.0 => (count, value),
            Keep::Above if value >= 0.0 && from_zero => {
                (count * (1.0 - value / upper), (value + upper) / 2.0)
            }
            _ => (0.0, finite_or_zero(upper)),
        };
    }
    match keep {
        Keep::Above if value >= bucket.lower => (count, value),
        _ => (0.0, finite_or_zero(bucket.lower)),
    }
}

fn kept_of_zero(
    bucket: Bucket,
    value: f64,
    keep: Keep,
    has_negative: bool,
    has_positive: bool,
) -> (f64, f64) {
    let lower = if has_positive && !has_negative { 0.0 } else { bucket.lower };
    let upper = if has_negative && !has_positive { 0.0 } else { bucket.upper };
    let all = (bucket.count, (lower + upper) / 2.0);
    let nothing = (0.0, 0.0);
    match keep {
        Keep::Below if value <= lower => nothing,
        Keep::Below if value >= upper => all,
        Keep::Below => (bucket.count * ((value - lower) / (upper - lower)), (lower + value) / 2.0),
        Keep::Above if value <= lower => all,
        Keep::Above if value >= upper => nothing,
        Keep::Above => (bucket.count * ((upper - value) / (upper - lower)), (value + upper) / 2.0),
    }
}

/// The value that stands for all observations between two bounds.
fn midpoint(lower: f64, upper: f64, positive: bool, linear: bool) -> f64 {
    match (lower.is_infinite(), upper.is_infinite()) {
        (true, true) => 0.0,
        (true, false) if upper > 0.0 => upper / 2.0,
        (true, false) => upper,
        (false, true) => lower,
        (false, false) if linear => f64::midpoint(lower, upper),
        (false, false) => {
            let mean = (lower * upper).abs().sqrt();
            if positive { mean } else { -mean }
        }
    }
}
