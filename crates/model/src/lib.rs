//! The words everything else is written in: labels, samples, native histograms, exemplars, metadata, matchers,
//! tenants. Pure data and pure functions: nothing here knows about clocks, sockets, files or randomness.

pub mod compensated;
pub mod exemplar;
pub mod hash;
pub mod histogram;
pub mod labels;
pub mod matcher;
pub mod metadata;
pub mod sample;
pub mod tenant;

pub use compensated::CompensatedSum;
pub use exemplar::Exemplar;
pub use hash::{SeriesHash, TenantSeed};
pub use histogram::{BucketSpan, CounterResetHint, FloatHistogram, Histogram, HistogramSum};
pub use labels::{Labels, LabelsBuilder, LabelsInARow, LabelsIter};
pub use matcher::{MatchOp, Matcher, MatcherError};
pub use metadata::{Metadata, MetricType};
pub use sample::{STALE_NAN_BITS, Sample, TimeRange, Value, is_stale_nan, stale_nan};
pub use tenant::{TenantId, TenantIdError};

/// The label that holds a metric's name.
pub const METRIC_NAME: &str = "__name__";
