//! What a query evaluates to.

use std::sync::Arc;

use model::{FloatHistogram, Labels};

/// The result of a query.
#[derive(Debug, Clone, PartialEq)]
pub enum QueryValue {
    /// A number at a time.
    Scalar {
        /// The time of evaluation in milliseconds since the Unix epoch.
        timestamp_ms: i64,
        /// The number.
        value: f64,
    },
    /// A text at a time.
    String {
        /// The time of evaluation in milliseconds since the Unix epoch.
        timestamp_ms: i64,
        /// The text.
        text: String,
    },
    /// One sample of each series.
    Vector(Vec<VectorSample>),
    /// Samples of each series.
    Matrix(Vec<MatrixSeries>),
}

/// A sample of an instant vector.
#[derive(Debug, Clone, PartialEq)]
pub struct VectorSample {
    /// The series.
    pub labels: Labels,
    /// The time of evaluation in milliseconds since the Unix epoch.
    pub timestamp_ms: i64,
    /// The value.
    pub value: Point,
}

/// A series of a range vector or of a range query.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct MatrixSeries {
    /// The series.
    pub labels: Labels,
    /// Its floats by time.
    pub floats: Vec<(i64, f64)>,
    /// Its histograms by time.
    pub histograms: Vec<(i64, Arc<FloatHistogram>)>,
}

/// A float or a histogram.
#[derive(Debug, Clone, PartialEq)]
pub enum Point {
    /// A float.
    Float(f64),
    /// A histogram; results have float counts only.
    Histogram(Arc<FloatHistogram>),
}

impl QueryValue {
    /// The `resultType` of the API.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Scalar { .. } => "scalar",
            Self::String { .. } => "string",
            Self::Vector(_) => "vector",
            Self::Matrix(_) => "matrix",
        }
    }

    /// Keeps the first `limit` series (0: all); whether any were dropped.
    pub fn truncate(&mut self, limit: usize) -> bool {
        if limit == 0 {
            return false;
        }
        match self {
            Self::Scalar { .. } | Self::String { .. } => false,
            Self::Vector(samples) => truncate(samples, limit),
            Self::Matrix(series) => truncate(series, limit),
        }
    }
}

impl MatrixSeries {
    /// Adds a sample that is later than all so far.
    pub fn push(&mut self, timestamp_ms: i64, value: Point) {
        match value {
            Point::Float(v) => self.floats.push((timestamp_ms, v)),
            Point::Histogram(h) => self.histograms.push((timestamp_ms, h)),
        }
    }

    /// Whether there are no samples.
    pub fn is_empty(&self) -> bool {
        self.floats.is_empty() && self.histograms.is_empty()
    }
}

fn truncate<T>(items: &mut Vec<T>, limit: usize) -> bool {
    let too_many = items.len() > limit;
    items.truncate(limit);
    too_many
}
