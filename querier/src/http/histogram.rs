//! Native histograms in the bucket form of Prometheus' JSON: every populated bucket with its bounds.

use std::f64::consts::SQRT_2;

use model::histogram::CUSTOM_BUCKETS_SCHEMA;
use model::{BucketSpan, FloatHistogram};

use super::json::push_quoted_value;

/// A populated bucket.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Bucket {
    lower: f64,
    upper: f64,
    lower_inclusive: bool,
    upper_inclusive: bool,
    count: f64,
}

/// Appends `{"count":"…","sum":"…","buckets":[[boundaries,"lower","upper","count"],…]}`. Boundaries are 0 where only
/// the upper bound belongs to the bucket, 1 where only the lower does, 2 for neither, 3 for both.
pub(crate) fn push_histogram(out: &mut Vec<u8>, histogram: &FloatHistogram) {
    out.extend_from_slice(b"{\"count\":");
    push_quoted_value(out, histogram.count);
    out.extend_from_slice(b",\"sum\":");
    push_quoted_value(out, histogram.sum);
    let mut separator: &[u8] = b",\"buckets\":[";
    each_bucket(histogram, |bucket| {
        out.extend_from_slice(separator);
        separator = b",";
        push_bucket(out, bucket);
    });
    if separator == b"," {
        out.push(b']');
    }
    out.push(b'}');
}

fn push_bucket(out: &mut Vec<u8>, bucket: Bucket) {
    let boundaries = match (bucket.lower_inclusive, bucket.upper_inclusive) {
        (false, true) => b'0',
        (true, false) => b'1',
        (false, false) => b'2',
        (true, true) => b'3',
    };
    out.extend_from_slice(&[b'[', boundaries, b',']);
    push_quoted_value(out, bucket.lower);
    out.push(b',');
    push_quoted_value(out, bucket.upper);
    out.push(b',');
    push_quoted_value(out, bucket.count);
    out.push(b']');
}

/// Visits populated buckets from the lowest to the highest.
fn each_bucket(histogram: &FloatHistogram, mut visit: impl FnMut(Bucket)) {
    let negative: Vec<_> = buckets(&histogram.negative_spans, &histogram.negative_buckets).collect();
    for (index, count) in negative.into_iter().rev() {
        let (lower, upper) = (-bound(histogram, index), -bound(histogram, index - 1));
        visit(bucket(histogram, index, (lower, upper), count));
    }
    if histogram.zero_count != 0.0 {
        visit(Bucket {
            lower: -histogram.zero_threshold,
            upper: histogram.zero_threshold,
            lower_inclusive: true,
            upper_inclusive: true,
            count: histogram.zero_count,
        });
    }
    for (index, count) in buckets(&histogram.positive_spans, &histogram.positive_buckets) {
        let (lower, upper) = (bound(histogram, index - 1), bound(histogram, index));
        visit(bucket(histogram, index, (lower, upper), count));
    }
}

/// The bucket with these bounds; where the zero bucket reaches into it, it begins behind the zero bucket.
fn bucket(histogram: &FloatHistogram, index: i32, (lower, upper): (f64, f64), count: f64) -> Bucket {
    let custom = histogram.schema == CUSTOM_BUCKETS_SCHEMA;
    let zero = histogram.zero_threshold;
    Bucket {
        lower: if lower > 0.0 && lower < zero { zero } else { lower },
        upper: if upper < 0.0 && upper > -zero { -zero } else { upper },
        lower_inclusive: if custom { index == 0 } else { lower < 0.0 },
        upper_inclusive: custom || upper > 0.0,
        count,
    }
}

/// Indices and counts of the populated buckets of one sign.
fn buckets<'a>(spans: &'a [BucketSpan], counts: &'a [f64]) -> impl Iterator<Item = (i32, f64)> + 'a {
    let indices = spans.iter().scan(0i32, |next, span| {
        let start = next.saturating_add(span.offset);
        let end = start.saturating_add_unsigned(span.length);
        *next = end;
        Some(start..end)
    });
    indices.flatten().zip(counts.iter().copied()).filter(|(_, count)| *count != 0.0)
}

/// The upper bound of bucket `index` of the positive side.
fn bound(histogram: &FloatHistogram, index: i32) -> f64 {
    if histogram.schema == CUSTOM_BUCKETS_SCHEMA {
        return match usize::try_from(index) {
            Ok(i) => histogram.custom_values.get(i).copied().unwrap_or(f64::INFINITY),
            Err(_) => f64::NEG_INFINITY,
        };
    }
    exponential_bound(histogram.schema, index)
}

/// `2^(2^-n)` for n from 1 to 8. The first is one bit below the nearest float: upstream's bounds were made so, and
/// results have to agree in every digit.
const ROOTS_OF_TWO: [f64; 8] = [
    SQRT_2 - f64::EPSILON,
    1.189_207_115_002_721,
    1.090_507_732_665_257_7,
    1.044_273_782_427_413_8,
    1.021_897_148_654_116_6,
    1.010_889_286_051_700_5,
    1.005_429_901_112_802_7,
    1.002_711_275_050_202_5,
];

/// The upper bound of bucket `index` of an exponential schema: `2^(index · 2^-schema)`.
fn exponential_bound(schema: i32, index: i32) -> f64 {
    let (mantissa, exponent) = if schema <= 0 {
        (1.0, i64::from(index) << schema.unsigned_abs().min(8))
    } else {
        let schema = schema.min(8);
        let fraction = index & ((1 << schema) - 1);
        // The fraction's bits, from the highest, say which roots the bound is a product of.
        let product = (1..=schema)
            .filter(|n| fraction >> (schema - n) & 1 == 1)
            .fold(0.5, |product, n| product * ROOTS_OF_TWO[n as usize - 1]);
        (product, i64::from(index >> schema) + 1)
    };
    // The last bucket of regular numbers ends at the largest one; the next is that of the infinities.
    if (mantissa, exponent) == (1.0, 1_024) || (mantissa, exponent) == (0.5, 1_025) {
        return f64::MAX;
    }
    scale(mantissa, exponent)
}

/// `mantissa · 2^exponent`, rounded once where the result is subnormal.
fn scale(mantissa: f64, exponent: i64) -> f64 {
    const STEP: i64 = 1_000;
    let mut value = mantissa;
    let mut rest = exponent.clamp(-3 * STEP, 3 * STEP);
    while rest > STEP {
        value *= 2f64.powi(STEP as i32);
        rest -= STEP;
    }
    // The largest part comes last, so that only the last product can be subnormal.
    let first = if rest < -STEP { rest + STEP } else { rest };
    value *= 2f64.powi(first as i32);
    if rest < -STEP {
        value *= 2f64.powi(-STEP as i32);
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_root_is_one_bit_below() {
        assert_eq!(ROOTS_OF_TWO[0].to_bits(), SQRT_2.to_bits() - 1);
    }

    fn written(histogram: &FloatHistogram) -> String {
        let mut out = Vec::new();
        push_histogram(&mut out, histogram);
        String::from_utf8(out).unwrap()
    }

    fn span(offset: i32, length: u32) -> BucketSpan {
        BucketSpan { offset, length }
    }

    /// As upstream's API tests have it.
    #[test]
    fn exponential_buckets_of_both_signs() {
        let histogram = FloatHistogram {
            schema: 2,
            count: 19.0,
            sum: 18.4,
            zero_threshold: 0.001,
            zero_count: 2.0,
            positive_spans: vec![span(0, 2), span(1, 2)],
            positive_buckets: vec![1.0, 2.0, 0.0, 1.5],
            negative_spans: vec![span(0, 1)],
            negative_buckets: vec![3.0],
            ..FloatHistogram::default()
        };
        assert_eq!(
            written(&histogram),
            r#"{"count":"19","sum":"18.4","buckets":[[1,"-1","-0.8408964152537144","3"],[3,"-0.001","0.001","2"],[0,"0.8408964152537144","1","1"],[0,"1","1.189207115002721","2"],[0,"1.6817928305074288","2","1.5"]]}"#
        );
    }

    #[test]
    fn custom_bounds() {
        let histogram = FloatHistogram {
            schema: CUSTOM_BUCKETS_SCHEMA,
            count: 6.0,
            sum: f64::NAN,
            custom_values: vec![-1.0, 5.0],
            positive_spans: vec![span(0, 3)],
            positive_buckets: vec![1.0, 2.0, 3.0],
            ..FloatHistogram::default()
        };
        assert_eq!(
            written(&histogram),
            r#"{"count":"6","sum":"NaN","buckets":[[3,"-Inf","-1","1"],[0,"-1","5","2"],[0,"5","+Inf","3"]]}"#
        );
    }

    #[test]
    fn no_buckets_no_key() {
        assert_eq!(written(&FloatHistogram::default()), r#"{"count":"0","sum":"0"}"#);
    }

    #[test]
    fn the_zero_bucket_cuts_its_neighbours() {
        let histogram = FloatHistogram {
            schema: 0,
            count: 2.0,
            zero_threshold: 0.75,
            positive_spans: vec![span(0, 1)],
            positive_buckets: vec![1.0],
            negative_spans: vec![span(0, 1)],
            negative_buckets: vec![1.0],
            ..FloatHistogram::default()
        };
        assert_eq!(
            written(&histogram),
            r#"{"count":"2","sum":"0","buckets":[[1,"-1","-0.75","1"],[0,"0.75","1","1"]]}"#
        );
    }

    #[test]
    fn bounds_at_the_ends_of_the_range() {
        assert_eq!(exponential_bound(0, 1_024), f64::MAX);
        assert_eq!(exponential_bound(0, 1_025), f64::INFINITY);
        assert_eq!(exponential_bound(-4, 64), f64::MAX);
        assert_eq!(exponential_bound(8, 1_024 << 8), f64::MAX);
        assert_eq!(exponential_bound(0, -1_074), f64::from_bits(1));
        assert_eq!(exponential_bound(3, -1_073 << 3), f64::from_bits(2));
        assert_eq!(exponential_bound(0, i32::MIN), 0.0);
        assert_eq!(exponential_bound(-4, i32::MAX), f64::INFINITY);
    }

    #[test]
    fn bounds_are_powers() {
        for schema in -4..=8 {
            for index in -2_000..2_000 {
                let expected = (f64::from(index) * 2f64.powi(-schema)).exp2();
                let bound = exponential_bound(schema, index);
                if expected.is_normal() && expected.is_finite() && bound != f64::MAX {
                    assert!((bound / expected - 1.0).abs() < 1e-14, "schema {schema} index {index}");
                }
            }
        }
    }
}
