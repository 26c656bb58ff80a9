//! What a query returns.

use std::sync::Arc;

use model::{FloatHistogram, Labels};

use super::annotations::Annotations;

/// A sample's value.
#[derive(Debug, Clone, PartialEq)]
pub enum SampleValue {
    /// A float.
    Float(f64),
    /// A native histogram.
    Histogram(Arc<FloatHistogram>),
}

/// A series of an instant vector. All have the time of the query.
#[derive(Debug, Clone, PartialEq)]
pub struct InstantSample {
    /// Its labels.
    pub labels: Labels,
    /// Its value.
    pub value: SampleValue,
}

/// A series of a range vector or of the result of a range query. At one time there is a float or a histogram.
#[derive(Debug, Clone, PartialEq)]
pub struct RangeSeries {
    /// Its labels.
    pub labels: Labels,
    /// Times in milliseconds and values, ascending.
    pub floats: Vec<(i64, f64)>,
    /// Times in milliseconds and histograms, ascending.
    pub histograms: Vec<(i64, Arc<FloatHistogram>)>,
}

/// What a query evaluates to.
#[derive(Debug, Clone, PartialEq)]
pub enum QueryValue {
    /// A number at the time of the query.
    Scalar(f64),
    /// A text; it need not be UTF-8.
    String(Vec<u8>),
    /// A sample per series, in the order of the query's outermost sort, else by labels.
    Vector(Vec<InstantSample>),
    /// Ranges of samples, by labels.
    Matrix(Vec<RangeSeries>),
}

/// What a query cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct QueryStats {
    /// Series read from the source.
    pub series: u64,
    /// Samples read from the source.
    pub samples_read: u64,
    /// Most samples held in memory at once.
    pub peak_samples: u64,
    /// Most bytes held in memory at once.
    pub peak_bytes: u64,
}

/// The outcome of a query.
#[derive(Debug, Clone, PartialEq)]
pub struct QueryResult {
    /// The value.
    pub value: QueryValue,
    /// Warnings and infos.
    pub annotations: Annotations,
    /// What it cost.
    pub stats: QueryStats,
}
