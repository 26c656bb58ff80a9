//! Buckets with their bounds, and ways to walk them.

use std::f64::consts::SQRT_2;

use super::sparse;
use super::{BucketSpan, CUSTOM_BUCKETS_SCHEMA, EXPONENTIAL_SCHEMA_MAX, FloatHistogram};

/// A bucket of a native histogram.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bucket {
    /// The lower bound.
    pub lower: f64,
    /// The upper bound.
    pub upper: f64,
    /// Whether the lower bound belongs to the bucket.
    pub lower_inclusive: bool,
    /// Whether the upper bound belongs to the bucket.
    pub upper_inclusive: bool,
    /// The observations in it.
    pub count: f64,
    /// Its index among those of its sign; 0 for the zero bucket.
    pub index: i32,
}

impl Bucket {
    /// The part of the bucket, from 0 to 1, that lies below `value`, which is strictly inside finite bounds. With
    /// `linear`, observations are taken to be spread evenly; else evenly on a logarithmic scale.
    pub fn fraction_below(&self, value: f64, linear: bool) -> f64 {
        if linear {
            return (value - self.lower) / (self.upper - self.lower);
        }
        let (lower, upper) = (self.lower.abs().log2(), self.upper.abs().log2());
        let at = value.abs().log2();
        if value > 0.0 { (at - lower) / (upper - lower) } else { 1.0 - (at - upper) / (lower - upper) }
    }
}

/// The upper bound of bucket `index` of an exponential schema, on the positive side.
pub fn exponential_bound(index: i32, schema: i32) -> f64 {
    // 2^1024 is one step above the largest float; that bucket ends at the largest float instead.
    if schema <= 0 {
        let exponent = i64::from(index) << schema.unsigned_abs().min(31);
        return match exponent {
            1024 => f64::MAX,
            _ => exp2_of_integer(exponent),
        };
    }
    let schema = schema.min(30);
    let whole = i64::from(index >> schema);
    let part = index & ((1 << schema) - 1);
    if part == 0 {
        return if whole == 1024 { f64::MAX } else { exp2_of_integer(whole) };
    }
    // The fraction, from 1 to 2, is computed apart from the whole part, so that it is the same in every octave.
    let fraction = if schema <= EXPONENTIAL_SCHEMA_MAX {
        product_of_roots(part, schema)
    } else {
        (f64::from(part) / f64::from(1u32 << schema)).exp2()
    };
    fraction * exp2_of_integer(whole)
}

/// `2^(2^-n)` for n from 1 to 8. The first is one bit below the nearest float: upstream's bounds are made so, and
/// results have to agree with it in every digit.
const ROOTS_OF_TWO: [f64; EXPONENTIAL_SCHEMA_MAX as usize] = [
    SQRT_2 - f64::EPSILON,
    1.189_207_115_002_721,
    1.090_507_732_665_257_7,
    1.044_273_782_427_413_8,
    1.021_897_148_654_116_6,
    1.010_889_286_051_700_5,
    1.005_429_901_112_802_7,
    1.002_711_275_050_202_5,
];

/// `2^(part · 2^-schema)`: the bits of `part`, from the highest, say which roots it is the product of.
fn product_of_roots(part: i32, schema: i32) -> f64 {
    let roots = ROOTS_OF_TWO.iter().zip((0..schema).rev());
    roots.filter(|(_, bit)| part >> bit & 1 == 1).fold(1.0, |product, (root, _)| product * root)
}

fn exp2_of_integer(exponent: i64) -> f64 {
    match exponent {
        i64::MIN..-1074 => 0.0,
        -1074..-1022 => f64::from_bits(1u64 << (exponent + 1074)),
        -1022..1024 => f64::from_bits(((exponent + 1023) as u64) << 52),
        _ => f64::INFINITY,
    }
}

/// The upper bound of bucket `index` of custom bounds.
fn custom_bound(index: i32, bounds: &[f64]) -> f64 {
    match usize::try_from(index) {
        Ok(i) => bounds.get(i).copied().unwrap_or(f64::INFINITY),
        Err(_) => f64::NEG_INFINITY,
    }
}

impl FloatHistogram {
    /// Whether the bounds are custom.
    pub fn uses_custom_buckets(&self) -> bool {
        self.schema == CUSTOM_BUCKETS_SCHEMA
    }

    fn bound(&self, index: i32) -> f64 {
        if self.uses_custom_buckets() {
            custom_bound(index, &self.custom_values)
        } else {
            exponential_bound(index, self.schema)
        }
    }

    /// The zero bucket of an exponential histogram.
    pub fn zero_bucket(&self) -> Bucket {
        Bucket {
            lower: -self.zero_threshold,
            upper: self.zero_threshold,
            lower_inclusive: true,
            upper_inclusive: true,
            count: self.zero_count,
            index: 0,
        }
    }

    fn side<'a>(
        &'a self,
        spans: &'a [BucketSpan],
        counts: &'a [f64],
        positive: bool,
    ) -> impl Iterator<Item = Bucket> + 'a {
        let custom = self.uses_custom_buckets();
        sparse::indexes(spans).zip(counts.iter().copied()).map(move |(index, count)| {
            let (near, far) = (self.bound(index.wrapping_sub(1)), self.bound(index));
            let (lower, upper) = if positive { (near, far) } else { (-far, -near) };
            Bucket {
                lower,
                upper,
                lower_inclusive: if custom { index == 0 } else { lower < 0.0 },
                upper_inclusive: custom || upper > 0.0,
                count,
                index,
            }
        })
    }

    /// The positive buckets, empty ones included, from the zero bucket upwards.
    pub fn positive(&self) -> impl Iterator<Item = Bucket> + '_ {
        self.side(&self.positive_spans, &self.positive_buckets, true)
    }

    /// The negative buckets, empty ones included, from the zero bucket downwards.
    pub fn negative(&self) -> impl Iterator<Item = Bucket> + '_ {
        self.side(&self.negative_spans, &self.negative_buckets, false)
    }

    /// All buckets, ascending. Where a bucket reaches into the zero bucket, its bound is the zero threshold. The zero
    /// bucket is there only if it holds something.
    pub fn all_buckets(&self) -> Vec<Bucket> {
        let mut out: Vec<Bucket> = self.negative().collect();
        out.reverse();
        if self.zero_count > 0.0 {
            out.push(self.zero_bucket());
        }
        out.extend(self.positive());
        let zero = self.zero_threshold;
        for bucket in &mut out {
            if bucket.upper < 0.0 && bucket.upper > -zero {
                bucket.upper = -zero;
            } else if bucket.lower > 0.0 && bucket.lower < zero {
                bucket.lower = zero;
            }
        }
        out
    }

    /// How much memory it takes, in bytes.
    pub fn size_bytes(&self) -> usize {
        size_of::<Self>()
            + (self.positive_spans.len() + self.negative_spans.len()) * size_of::<BucketSpan>()
            + (self.positive_buckets.len() + self.negative_buckets.len() + self.custom_values.len())
                * size_of::<f64>()
    }

    /// Whether any count, or the sum, is infinite.
    pub fn has_overflow(&self) -> bool {
        [self.zero_count, self.count, self.sum]
            .iter()
            .chain(&self.positive_buckets)
            .chain(&self.negative_buckets)
            .any(|v| v.is_infinite())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_at_the_ends_of_the_range() {
        assert_eq!(exponential_bound(1_024, 0), f64::MAX);
        assert_eq!(exponential_bound(1_025, 0), f64::INFINITY);
        assert_eq!(exponential_bound(64, -4), f64::MAX);
        assert_eq!(exponential_bound(1_024 << 8, 8), f64::MAX);
        assert_eq!(exponential_bound(-1_074, 0), f64::from_bits(1));
        assert_eq!(exponential_bound(-1_073 << 3, 3), f64::from_bits(2));
        assert_eq!(exponential_bound(i32::MIN, 0), 0.0);
        assert_eq!(exponential_bound(i32::MAX, -4), f64::INFINITY);
    }

    /// Values of upstream's table, doubled.
    #[test]
    fn bounds_are_those_of_upstream_bit_for_bit() {
        for (schema, index, bound) in [
            (1, 1, SQRT_2 - f64::EPSILON),
            (2, 3, 1.681_792_830_507_428_8),
            (3, 7, 1.834_008_086_409_342_2),
            (4, 11, 1.610_490_331_949_254),
            (5, 31, 1.957_144_124_175_399_8),
        ] {
            assert_eq!(exponential_bound(index, schema), bound, "schema {schema} index {index}");
        }
    }

    #[test]
    fn bounds_are_powers() {
        for schema in -4..=8 {
            for index in -2_000..2_000 {
                let expected = (f64::from(index) * 2f64.powi(-schema)).exp2();
                let bound = exponential_bound(index, schema);
                if expected.is_normal() && expected.is_finite() && bound != f64::MAX {
                    assert!((bound / expected - 1.0).abs() < 1e-14, "schema {schema} index {index}");
                }
            }
        }
    }
}
