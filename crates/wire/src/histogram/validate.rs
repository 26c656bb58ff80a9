//! Whether a native histogram contradicts itself: what a receiver has to refuse.
//!
//! Source: the Remote-Write specifications and Prometheus' native histogram specification.

use model::Value;
use model::histogram::{
    BucketSpan, CUSTOM_BUCKETS_SCHEMA, EXPONENTIAL_SCHEMA_MAX, EXPONENTIAL_SCHEMA_MIN, FloatHistogram,
    Histogram,
};
use thiserror::Error;

/// How a native histogram contradicts itself.
#[derive(Debug, Clone, Copy, PartialEq, Error)]
pub enum HistogramError {
    /// A schema that does not exist.
    #[error(
        "histogram has schema {schema}; allowed are {EXPONENTIAL_SCHEMA_MIN} to {EXPONENTIAL_SCHEMA_MAX}, \
         and {CUSTOM_BUCKETS_SCHEMA} for custom bounds"
    )]
    Schema {
        /// The schema.
        schema: i32,
    },
    /// A span behind the first that begins before the previous one ends, or a first span below the first custom bucket.
    #[error("{sign} span {span} of the histogram has the negative offset {offset}")]
    SpanOffset {
        /// `positive` or `negative`.
        sign: &'static str,
        /// Which span, from 0.
        span: usize,
        /// Its offset.
        offset: i32,
    },
    /// Spans for another number of buckets than there are.
    #[error("the histogram's {sign} spans describe {described} buckets, but there are {buckets}")]
    SpanLength {
        /// `positive` or `negative`.
        sign: &'static str,
        /// How many buckets the spans have.
        described: u64,
        /// How many there are.
        buckets: usize,
    },
    /// A bucket, the zero bucket or the whole with a count below zero, or with one that is not a number.
    #[error("the histogram's {what} is {count}; counts are never negative")]
    NegativeCount {
        /// What is counted.
        what: &'static str,
        /// The count.
        count: f64,
    },
    /// More observations in buckets than a 64-bit count can tell.
    #[error("the histogram's buckets together have more than 2^64 observations")]
    CountOverflow,
    /// A count that is not what the buckets add up to.
    #[error("the histogram's count is {count}, but its buckets add up to {buckets}")]
    CountMismatch {
        /// The histogram's count.
        count: u64,
        /// The sum over buckets.
        buckets: u64,
    },
    /// Custom bounds that are not finite.
    #[error("custom bound {bound} of the histogram is not finite")]
    BoundNotFinite {
        /// The bound.
        bound: f64,
    },
    /// Custom bounds that do not ascend.
    #[error("custom bound {bound} of the histogram follows {previous}; bounds ascend")]
    BoundsNotAscending {
        /// The bound before.
        previous: f64,
        /// The bound.
        bound: f64,
    },
    /// Buckets beyond the last custom bound's.
    #[error("the histogram has {bounds} custom bounds, so at most {} buckets, but its spans reach {reach}", bounds + 1)]
    TooFewBounds {
        /// How many bounds there are.
        bounds: usize,
        /// How many buckets the spans reach over, gaps included.
        reach: u64,
    },
    /// Something that histograms with custom bounds do not have.
    #[error("a histogram with custom bounds has no {what}")]
    NotWithCustomBounds {
        /// What it has.
        what: &'static str,
    },
    /// Custom bounds with an exponential schema.
    #[error("a histogram with the exponential schema {schema} has no custom bounds")]
    BoundsWithExponentialSchema {
        /// The schema.
        schema: i32,
    },
}

/// Checks a histogram; a float is always right.
pub fn validate(value: &Value) -> Result<(), HistogramError> {
    match value {
        Value::Float(_) => Ok(()),
        Value::Histogram(histogram) => validate_int(histogram),
        Value::FloatHistogram(histogram) => validate_float(histogram),
    }
}

fn validate_int(h: &Histogram) -> Result<(), HistogramError> {
    Layout {
        schema: h.schema,
        zero_threshold: h.zero_threshold,
        has_zero_count: h.zero_count != 0,
        positive: (&h.positive_spans, h.positive_buckets.len()),
        negative: (&h.negative_spans, h.negative_buckets.len()),
        bounds: &h.custom_values,
    }
    .check()?;
    let positive = sum_deltas(&h.positive_buckets, "positive bucket")?;
    let negative = sum_deltas(&h.negative_buckets, "negative bucket")?;
    let buckets = positive
        .checked_add(negative)
        .and_then(|sum| sum.checked_add(h.zero_count))
        .ok_or(HistogramError::CountOverflow)?;
    // Observations that are NaN are counted, but they are in no bucket; they make the sum NaN.
    let consistent = match h.sum.is_nan() {
        true => buckets <= h.count,
        false => buckets == h.count,
    };
    if !consistent {
        return Err(HistogramError::CountMismatch { count: h.count, buckets });
    }
    Ok(())
}

/// Counts are not added up: rounding would refuse good histograms.
fn validate_float(h: &FloatHistogram) -> Result<(), HistogramError> {
    Layout {
        schema: h.schema,
        zero_threshold: h.zero_threshold,
        has_zero_count: h.zero_count != 0.0,
        positive: (&h.positive_spans, h.positive_buckets.len()),
        negative: (&h.negative_spans, h.negative_buckets.len()),
        bounds: &h.custom_values,
    }
    .check()?;
    not_negative(&[h.count], "count")?;
    not_negative(&[h.zero_count], "zero count")?;
    not_negative(&h.positive_buckets, "positive bucket")?;
    not_negative(&h.negative_buckets, "negative bucket")
}

/// What integer and float histograms have in common.
struct Layout<'a> {
    schema: i32,
    zero_threshold: f64,
    has_zero_count: bool,
    /// Spans and the number of buckets.
    positive: (&'a [BucketSpan], usize),
    negative: (&'a [BucketSpan], usize),
    bounds: &'a [f64],
}

impl Layout<'_> {
    fn check(&self) -> Result<(), HistogramError> {
        match self.schema {
            CUSTOM_BUCKETS_SCHEMA => self.check_custom()?,
            EXPONENTIAL_SCHEMA_MIN..=EXPONENTIAL_SCHEMA_MAX if self.bounds.is_empty() => {
                check_spans("negative", self.negative)?;
            }
            EXPONENTIAL_SCHEMA_MIN..=EXPONENTIAL_SCHEMA_MAX => {
                return Err(HistogramError::BoundsWithExponentialSchema { schema: self.schema });
            }
            schema => return Err(HistogramError::Schema { schema }),
        }
        check_spans("positive", self.positive)
    }

    fn check_custom(&self) -> Result<(), HistogramError> {
        let refused = |what| Err(HistogramError::NotWithCustomBounds { what });
        if self.has_zero_count {
            return refused("zero count");
        }
        if self.zero_threshold != 0.0 {
            return refused("zero threshold");
        }
        if !self.negative.0.is_empty() || self.negative.1 > 0 {
            return refused("negative buckets");
        }
        if let Some(&bound) = self.bounds.iter().find(|bound| !bound.is_finite()) {
            return Err(HistogramError::BoundNotFinite { bound });
        }
        if let Some(&[previous, bound]) = self.bounds.array_windows().find(|[a, b]| a >= b) {
            return Err(HistogramError::BoundsNotAscending { previous, bound });
        }
        let spans = self.positive.0;
        if let Some(&BucketSpan { offset, .. }) = spans.first()
            && offset < 0
        {
            return Err(HistogramError::SpanOffset { sign: "positive", span: 0, offset });
        }
        let reach = spans
            .iter()
            .map(|span| u64::from(span.offset.max(0).unsigned_abs()) + u64::from(span.length))
            .sum::<u64>();
        if reach > self.bounds.len() as u64 + 1 {
            return Err(HistogramError::TooFewBounds { bounds: self.bounds.len(), reach });
        }
        Ok(())
    }
}

fn check_spans(sign: &'static str, (spans, buckets): (&[BucketSpan], usize)) -> Result<(), HistogramError> {
    let mut described = 0;
    for (i, span) in spans.iter().enumerate() {
        if i > 0 && span.offset < 0 {
            return Err(HistogramError::SpanOffset { sign, span: i, offset: span.offset });
        }
        described += u64::from(span.length);
    }
    if described != buckets as u64 {
        return Err(HistogramError::SpanLength { sign, described, buckets });
    }
    Ok(())
}

/// The sum of the counts that these deltas describe.
fn sum_deltas(deltas: &[i64], what: &'static str) -> Result<u64, HistogramError> {
    let (mut count, mut sum) = (0i64, 0u64);
    for &delta in deltas {
        count = count.checked_add(delta).ok_or(HistogramError::CountOverflow)?;
        let absolute =
            u64::try_from(count).map_err(|_| HistogramError::NegativeCount { what, count: count as f64 })?;
        sum = sum.checked_add(absolute).ok_or(HistogramError::CountOverflow)?;
    }
    Ok(sum)
}

fn not_negative(counts: &[f64], what: &'static str) -> Result<(), HistogramError> {
    match counts.iter().find(|count| **count < 0.0) {
        Some(&count) => Err(HistogramError::NegativeCount { what, count }),
        None => Ok(()),
    }
}
