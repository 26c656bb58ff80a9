//! Quantiles and fractions of classic histograms: cumulative buckets in series of their own.

use crate::engine::annotations::ForcedMonotonicity;

/// Differences of successive buckets up to this, relative to them, are taken to come from rounding.
const SMALL_DELTA: f64 = 1e-12;

/// A cumulative bucket.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct ClassicBucket {
    pub(crate) upper: f64,
    pub(crate) count: f64,
}

/// Sorts by bound and adds up those with equal bounds; false unless the highest bound is infinite.
fn normalize(buckets: &mut Vec<ClassicBucket>) -> bool {
    buckets.sort_by(|a, b| a.upper.partial_cmp(&b.upper).unwrap_or(std::cmp::Ordering::Equal));
    buckets.dedup_by(|later, earlier| {
        let same = later.upper == earlier.upper;
        if same {
            earlier.count += later.count;
        }
        same
    });
    buckets.last().is_some_and(|b| b.upper == f64::INFINITY)
}

/// Makes counts never go down. What only rounding can explain is changed silently.
fn make_monotonic(buckets: &mut [ClassicBucket], time_ms: i64) -> Option<ForcedMonotonicity> {
    let mut forced: Option<ForcedMonotonicity> = None;
    let mut highest = buckets.first()?.count;
    for bucket in &mut buckets[1..] {
        let count = bucket.count;
        if count == highest {
            continue;
        }
        if nearly_equal(highest, count) {
            bucket.count = highest;
            continue;
        }
        if count < highest {
            bucket.count = highest;
            let forced = forced.get_or_insert(ForcedMonotonicity {
                first_ms: time_ms,
                last_ms: time_ms,
                lowest_bucket: f64::INFINITY,
                highest_bucket: f64::NEG_INFINITY,
                max_difference: 0.0,
                samples: 1,
            });
            forced.lowest_bucket = forced.lowest_bucket.min(bucket.upper);
            forced.highest_bucket = forced.highest_bucket.max(bucket.upper);
            forced.max_difference = forced.max_difference.max(highest - count);
            continue;
        }
        highest = count;
    }
    forced
}

fn nearly_equal(a: f64, b: f64) -> bool {
    if a.is_nan() && b.is_nan() || a == b {
        return true;
    }
    let (sum, difference) = (a.abs() + b.abs(), (a - b).abs());
    if a == 0.0 || b == 0.0 || sum < f64::MIN_POSITIVE {
        return difference < SMALL_DELTA * f64::MIN_POSITIVE;
    }
    difference / sum.min(f64::MAX) < SMALL_DELTA
}

/// The quantile `q`, interpolated linearly, and what had to be done to the buckets.
pub(crate) fn quantile(
    q: f64,
    buckets: &mut Vec<ClassicBucket>,
    time_ms: i64,
) -> (f64, Option<ForcedMonotonicity>) {
    if q.is_nan() {
        return (f64::NAN, None);
    }
    if q < 0.0 {
        return (f64::NEG_INFINITY, None);
    }
    if q > 1.0 {
        return (f64::INFINITY, None);
    }
    if !normalize(buckets) {
        return (f64::NAN, None);
    }
    let forced = make_monotonic(buckets, time_ms);
    (quantile_of_monotonic(q, buckets), forced)
}

fn quantile_of_monotonic(q: f64, buckets: &[ClassicBucket]) -> f64 {
    let [finite @ .., highest] = buckets else {
        return f64::NAN;
    };
    if finite.is_empty() || highest.count == 0.0 {
        return f64::NAN;
    }
    let rank = q * highest.count;
    let at = first_reaching(finite, rank);
    let Some(bucket) = finite.get(at) else {
        return finite[finite.len() - 1].upper;
    };
    if at == 0 {
        if bucket.upper <= 0.0 {
            return bucket.upper;
        }
        return bucket.upper * (rank / bucket.count);
    }
    let below = finite[at - 1];
    let fraction = (rank - below.count) / (bucket.count - below.count);
    below.upper + (bucket.upper - below.upper) * fraction
}

/// The first bucket that holds at least `rank`, found by halving.
fn first_reaching(buckets: &[ClassicBucket], rank: f64) -> usize {
    let (mut low, mut high) = (0, buckets.len());
    while low < high {
        let middle = usize::midpoint(low, high);
        if buckets[middle].count >= rank {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    low
}

/// The fraction of observations between two values, interpolated linearly.
pub(crate) fn fraction(lower: f64, upper: f64, buckets: &mut Vec<ClassicBucket>) -> f64 {
    if !normalize(buckets) {
        return f64::NAN;
    }
    let count = buckets.last().map_or(0.0, |b| b.count);
    if count == 0.0 || lower.is_nan() || upper.is_nan() {
        return f64::NAN;
    }
    if lower >= upper {
        return 0.0;
    }
    let rank = |value: f64| rank_below(value, buckets).filter(|rank| *rank <= count).unwrap_or(count);
    (rank(upper) - rank(lower)) / count
}

/// How many observations lie below a value; none if all do.
fn rank_below(value: f64, buckets: &[ClassicBucket]) -> Option<f64> {
    let first = buckets.first()?;
    // If the lowest bound is positive, all observations are taken to be.
    let mut lower = if first.upper <= 0.0 { f64::NEG_INFINITY } else { 0.0 };
    let mut rank = 0.0;
    for bucket in buckets {
        if lower >= value {
            return Some(rank);
        }
        if bucket.upper > value {
            if lower == f64::NEG_INFINITY {
                return Some(bucket.count);
            }
            return Some(rank + (bucket.count - rank) * (value - lower) / (bucket.upper - lower));
        }
        rank = bucket.count;
        lower = bucket.upper;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buckets(pairs: &[(f64, f64)]) -> Vec<ClassicBucket> {
        pairs.iter().map(|(upper, count)| ClassicBucket { upper: *upper, count: *count }).collect()
    }

    #[test]
    fn interpolation_and_ends() {
        let b = [(10.0, 20.0), (5.0, 10.0), (f64::INFINITY, 30.0)];
        assert_eq!(quantile(0.5, &mut buckets(&b), 0), (7.5, None));
        assert_eq!(quantile(1.0, &mut buckets(&b), 0).0, 10.0);
        assert_eq!(quantile(0.1, &mut buckets(&b), 0).0, 1.5);
        assert!(quantile(0.5, &mut buckets(&b[..2]), 0).0.is_nan());
        assert_eq!(fraction(0.0, 7.5, &mut buckets(&b)), 0.5);
    }

    #[test]
    fn counts_that_go_down_are_raised() {
        let b = [(1.0, 10.0), (2.0, 5.0), (f64::INFINITY, 20.0)];
        let (value, forced) = quantile(0.5, &mut buckets(&b), 7);
        assert_eq!(value, 1.0);
        let forced = forced.unwrap();
        assert_eq!((forced.lowest_bucket, forced.max_difference, forced.first_ms), (2.0, 5.0, 7));
        let b = [(1.0, 1e12), (2.0, 1e12 - 0.1), (f64::INFINITY, 1e12)];
        assert_eq!(quantile(0.5, &mut buckets(&b), 7).1, None);
    }
}
