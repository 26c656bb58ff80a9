//! Native histograms, as Prometheus defines them: a schema, a zero bucket, and sparse buckets described by spans.
//!
//! Schemas -4 to 8 are exponential: bucket `i` covers `(2^((i-1)·2^-schema), 2^(i·2^-schema)]`. Schema -53 has custom
//! bounds (`custom_values`, ascending upper bounds without +Inf) and no negative or zero buckets.
//! Source: Prometheus' native histogram specification.

mod arithmetic;
mod bucket;
mod compact;
mod reset;
mod sparse;
mod sum;
mod text;
mod trim;

#[cfg(test)]
mod tests;

pub use arithmetic::{Combination, IncompatibleSchemas};
pub use bucket::{Bucket, exponential_bound};
pub use sum::HistogramSum;
pub use trim::Keep;

/// The schema of histograms with custom bounds.
pub const CUSTOM_BUCKETS_SCHEMA: i32 = -53;
/// The coarsest exponential schema.
pub const EXPONENTIAL_SCHEMA_MIN: i32 = -4;
/// The finest exponential schema.
pub const EXPONENTIAL_SCHEMA_MAX: i32 = 8;

/// A run of consecutive buckets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct BucketSpan {
    /// Gap to the end of the previous span; for the first span, the index of its first bucket.
    pub offset: i32,
    /// How many buckets the span has; may be 0.
    pub length: u32,
}

/// What is known about whether a counter histogram was reset before this sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum CounterResetHint {
    /// Not known: the reader has to look.
    #[default]
    Unknown,
    /// It was reset.
    Reset,
    /// It was not reset.
    NotReset,
    /// It is a gauge: the question makes no sense.
    Gauge,
}

/// A native histogram with integer counts. Bucket counts are deltas: each is relative to the previous bucket of its
/// sign, the first is absolute.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Histogram {
    /// What is known about a reset.
    pub counter_reset_hint: CounterResetHint,
    /// -4 to 8, or -53 for custom bounds.
    pub schema: i32,
    /// Observations with an absolute value up to this are counted in the zero bucket.
    pub zero_threshold: f64,
    /// Observations in the zero bucket.
    pub zero_count: u64,
    /// All observations (NaN ones too).
    pub count: u64,
    /// Sum of all observations; the staleness marker here marks the sample as stale.
    pub sum: f64,
    /// Spans of the positive buckets.
    pub positive_spans: Vec<BucketSpan>,
    /// Deltas of the positive buckets.
    pub positive_buckets: Vec<i64>,
    /// Spans of the negative buckets.
    pub negative_spans: Vec<BucketSpan>,
    /// Deltas of the negative buckets.
    pub negative_buckets: Vec<i64>,
    /// Upper bounds, ascending, without +Inf; only with schema -53.
    pub custom_values: Vec<f64>,
}

/// A native histogram with float counts. Bucket counts are absolute.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct FloatHistogram {
    /// What is known about a reset.
    pub counter_reset_hint: CounterResetHint,
    /// -4 to 8, or -53 for custom bounds.
    pub schema: i32,
    /// Observations with an absolute value up to this are counted in the zero bucket.
    pub zero_threshold: f64,
    /// Observations in the zero bucket.
    pub zero_count: f64,
    /// All observations (NaN ones too).
    pub count: f64,
    /// Sum of all observations; the staleness marker here marks the sample as stale.
    pub sum: f64,
    /// Spans of the positive buckets.
    pub positive_spans: Vec<BucketSpan>,
    /// Counts of the positive buckets.
    pub positive_buckets: Vec<f64>,
    /// Spans of the negative buckets.
    pub negative_spans: Vec<BucketSpan>,
    /// Counts of the negative buckets.
    pub negative_buckets: Vec<f64>,
    /// Upper bounds, ascending, without +Inf; only with schema -53.
    pub custom_values: Vec<f64>,
}

fn same_floats(a: &[f64], b: &[f64]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(x, y)| x.to_bits() == y.to_bits())
}

impl Histogram {
    /// Equality by bits, leaving the reset hint out: whether a second sample at the same timestamp repeats this one.
    pub fn same_bits(&self, other: &Self) -> bool {
        self.schema == other.schema
            && self.zero_threshold.to_bits() == other.zero_threshold.to_bits()
            && self.zero_count == other.zero_count
            && self.count == other.count
            && self.sum.to_bits() == other.sum.to_bits()
            && self.positive_spans == other.positive_spans
            && self.positive_buckets == other.positive_buckets
            && self.negative_spans == other.negative_spans
            && self.negative_buckets == other.negative_buckets
            && same_floats(&self.custom_values, &other.custom_values)
    }

    /// The same histogram with float counts.
    pub fn to_float(&self) -> FloatHistogram {
        FloatHistogram {
            counter_reset_hint: self.counter_reset_hint,
            schema: self.schema,
            zero_threshold: self.zero_threshold,
            zero_count: self.zero_count as f64,
            count: self.count as f64,
            sum: self.sum,
            positive_spans: self.positive_spans.clone(),
            positive_buckets: absolute(&self.positive_buckets),
            negative_spans: self.negative_spans.clone(),
            negative_buckets: absolute(&self.negative_buckets),
            custom_values: self.custom_values.clone(),
        }
    }
}

fn absolute(deltas: &[i64]) -> Vec<f64> {
    deltas
        .iter()
        .scan(0i64, |count, delta| {
            *count = count.wrapping_add(*delta);
            Some(*count as f64)
        })
        .collect()
}

impl FloatHistogram {
    /// Equality by bits, leaving the reset hint out: whether a second sample at the same timestamp repeats this one.
    pub fn same_bits(&self, other: &Self) -> bool {
        self.schema == other.schema
            && self.zero_threshold.to_bits() == other.zero_threshold.to_bits()
            && self.zero_count.to_bits() == other.zero_count.to_bits()
            && self.count.to_bits() == other.count.to_bits()
            && self.sum.to_bits() == other.sum.to_bits()
            && self.positive_spans == other.positive_spans
            && same_floats(&self.positive_buckets, &other.positive_buckets)
            && self.negative_spans == other.negative_spans
            && same_floats(&self.negative_buckets, &other.negative_buckets)
            && same_floats(&self.custom_values, &other.custom_values)
    }
}
