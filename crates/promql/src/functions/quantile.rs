//! Quantiles, fractions and moments of native histograms.

use model::histogram::Bucket;
use model::{CompensatedSum, FloatHistogram};

use crate::ast::Span;
use crate::engine::annotations::{Annotations, with_metric};

/// The function of histograms with this name.
pub(crate) fn histogram_function(name: &str) -> Option<fn(&FloatHistogram) -> f64> {
    Some(match name {
        "histogram_count" => |h| h.count,
        "histogram_sum" => |h| h.sum,
        "histogram_avg" => |h| h.sum / h.count,
        "histogram_stdvar" => variance,
        "histogram_stddev" => |h| variance(h).sqrt(),
        _ => return None,
    })
}

/// The estimated variance: every observation is taken to lie in the middle of its bucket.
fn variance(h: &FloatHistogram) -> f64 {
    let mean = h.sum / h.count;
    let mut sum = CompensatedSum::default();
    for bucket in h.all_buckets().iter().filter(|b| b.count != 0.0) {
        let middle = if h.uses_custom_buckets() {
            (bucket.upper + bucket.lower) / 2.0
        } else if bucket.lower <= 0.0 && bucket.upper >= 0.0 {
            0.0
        } else {
            let middle = (bucket.upper * bucket.lower).sqrt();
            if bucket.upper < 0.0 { -middle } else { middle }
        };
        let delta = middle - mean;
        sum.add(bucket.count * delta * delta);
    }
    (sum.sum + sum.compensation) / h.count
}

/// Where annotations about a histogram belong.
pub(crate) struct Origin<'a> {
    pub(crate) metric: &'a str,
    pub(crate) span: Span,
}

/// If one sign has observations only, zero bounds the zero bucket on the other side. Upstream asks whether a sign has
/// buckets, even empty ones; whether it has those depends on where its chunks are cut.
fn narrow_zero_bucket(h: &FloatHistogram, bucket: &mut Bucket) {
    let holds = |counts: &[f64]| counts.iter().any(|count| *count != 0.0);
    match (holds(&h.negative_buckets), holds(&h.positive_buckets)) {
        (false, true) => bucket.lower = 0.0,
        (true, false) => bucket.upper = 0.0,
        _ => {}
    }
}

/// What upstream looks at where a histogram has no buckets.
const NO_BUCKET: Bucket =
    Bucket { lower: 0.0, upper: 0.0, lower_inclusive: false, upper_inclusive: false, count: 0.0, index: 0 };

/// The quantile `q`, interpolated inside its bucket: linearly for custom and zero buckets, else on a logarithmic
/// scale.
pub(crate) fn quantile(
    q: f64,
    h: &FloatHistogram,
    origin: &Origin<'_>,
    annotations: &mut Annotations,
) -> f64 {
    if q < 0.0 {
        return f64::NEG_INFINITY;
    }
    if q > 1.0 {
        return f64::INFINITY;
    }
    if h.count == 0.0 || q.is_nan() {
        return f64::NAN;
    }
    // From the nearer end, unless observations of NaN, which are in no bucket, make the upper end unknown.
    let upwards = h.sum.is_nan() || q < 0.5;
    let mut buckets = h.all_buckets();
    if !upwards {
        buckets.reverse();
    }
    let mut rank = if upwards { q } else { 1.0 - q } * h.count;
    let mut count = 0.0;
    // If the rank is not reached, the outermost bucket that holds something it is.
    let mut bucket = NO_BUCKET;
    let mut remaining = buckets.iter();
    for candidate in remaining.by_ref().filter(|b| b.count != 0.0) {
        count += candidate.count;
        bucket = *candidate;
        if count >= rank {
            break;
        }
    }
    if h.uses_custom_buckets() {
        if bucket.lower == f64::NEG_INFINITY {
            if bucket.upper <= 0.0 {
                return bucket.upper;
            }
            bucket.lower = 0.0;
        } else if bucket.upper == f64::INFINITY {
            return bucket.lower;
        }
    } else if bucket.lower < 0.0 && bucket.upper > 0.0 {
        narrow_zero_bucket(h, &mut bucket);
    }
    count = count.min(h.count);
    if count < rank {
        if h.sum.is_nan() {
            let text = "input to histogram_quantile has NaN observations, result is NaN";
            annotations.info(origin.span, with_metric(text, origin.metric));
            return f64::NAN;
        }
        return bucket.upper;
    }
    rank = if upwards { rank - (count - bucket.count) } else { count - rank };
    if h.sum.is_nan() && count + remaining.map(|b| b.count).sum::<f64>() < h.count {
        let text = "input to histogram_quantile has NaN observations, result is skewed higher";
        annotations.info(origin.span, with_metric(text, origin.metric));
    }
    let fraction = rank / bucket.count;
    if h.uses_custom_buckets() || (bucket.lower <= 0.0 && bucket.upper >= 0.0) {
        return bucket.lower + (bucket.upper - bucket.lower) * fraction;
    }
    let (lower, upper) = (bucket.lower.abs().log2(), bucket.upper.abs().log2());
    if bucket.lower > 0.0 {
        (lower + (upper - lower) * fraction).exp2()
    } else {
        -(upper + (lower - upper) * (1.0 - fraction)).exp2()
    }
}

/// The fraction of observations between two values.
pub(crate) fn fraction(
    lower: f64,
    upper: f64,
    h: &FloatHistogram,
    origin: &Origin<'_>,
    annotations: &mut Annotations,
) -> f64 {
    if h.count == 0.0 || lower.is_nan() || upper.is_nan() {
        return f64::NAN;
    }
    if lower >= upper {
        return 0.0;
    }
    let buckets = h.all_buckets();
    let below = |value: f64| rank_below(value, h, &buckets);
    let mut count = h.count;
    if h.sum.is_nan() {
        count = buckets.iter().map(|b| b.count).sum();
        if count < h.count {
            let text =
                "input to histogram_fraction has NaN observations, which are excluded from all fractions";
            annotations.info(origin.span, with_metric(text, origin.metric));
        }
    }
    let rank = |value: f64| below(value).filter(|rank| *rank <= count).unwrap_or(count);
    (rank(upper) - rank(lower)) / h.count
}

/// How many observations lie below a value; none if all do.
fn rank_below(value: f64, h: &FloatHistogram, buckets: &[Bucket]) -> Option<f64> {
    let mut rank = 0.0;
    for bucket in buckets {
        let mut bucket = *bucket;
        let around_zero = bucket.lower <= 0.0 && bucket.upper >= 0.0;
        if around_zero {
            narrow_zero_bucket(h, &mut bucket);
        }
        if bucket.lower >= value {
            return Some(rank);
        }
        if bucket.upper > value {
            // Of a bucket without a lower end, everything counts as below.
            if bucket.lower == f64::NEG_INFINITY && (h.uses_custom_buckets() || around_zero) {
                return Some(bucket.count);
            }
            let linear = h.uses_custom_buckets() || around_zero;
            return Some(rank + bucket.count * bucket.fraction_below(value, linear));
        }
        rank += bucket.count;
    }
    None
}
