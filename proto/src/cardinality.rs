//! How many series, values and bytes a tenant has, and where: messages of the cardinality API.

use futures::stream::BoxStream;
use model::{Labels, Matcher, TenantId};

use crate::Error;

/// Which series are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    /// All that are in memory.
    InMemory,
    /// Those whose newest sample is at or after this time, in milliseconds since the Unix epoch, and no stale marker.
    ActiveSince(i64),
}

/// Series that are counted or listed.
#[derive(Debug, Clone)]
pub struct CardinalityRequest {
    /// Whose data.
    pub tenant: TenantId,
    /// All of these have to match; none: all series.
    pub matchers: Vec<Matcher>,
    /// Which of them.
    pub counted: Counted,
}

/// The values of one label, by hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelNameCardinality {
    /// The label.
    pub name: String,
    /// XXH3-64 of each value, sorted, each once: what several ingesters say can be united, at 8 bytes a value. Two of
    /// ten million values share a hash once in 370,000 such labels; then the count is one too low.
    pub values: Vec<u64>,
}

/// How many series each value of one label has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelValueCardinality {
    /// The label.
    pub name: String,
    /// Its values and how many series have each, sorted by value.
    pub values: Vec<(String, u64)>,
}

/// How many series have which values of some labels.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LabelValuesCardinality {
    /// All series of the tenant that are counted, whatever the matchers say.
    pub series_total: u64,
    /// The labels asked for that have series, sorted by name.
    pub labels: Vec<LabelValueCardinality>,
}

/// Something, and how much of it there is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stat {
    /// What it is.
    pub name: String,
    /// How much there is.
    pub value: u64,
}

/// A tenant's index in numbers. Lists have the largest first and at most as many as were asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct IndexStats {
    /// Series.
    pub series: u64,
    /// Different pairs of a label and a value.
    pub label_pairs: u64,
    /// Chunks, open ones included, where the ingester counts them by tenant.
    pub chunks: u64,
    /// The times of the oldest and the newest sample in milliseconds since the Unix epoch, where there are samples.
    pub range: Option<model::TimeRange>,
    /// Series by metric name.
    pub series_by_metric: Vec<Stat>,
    /// Different values by label.
    pub values_by_label: Vec<Stat>,
    /// Bytes of the label's names and values in all its series, by label.
    pub bytes_by_label: Vec<Stat>,
    /// Series by pair, written `name=value`.
    pub series_by_pair: Vec<Stat>,
}

/// A series in a list of active ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActiveSeries {
    /// Its labels.
    pub labels: Labels,
    /// How many populated buckets its newest sample has, where that is a native histogram.
    pub buckets: Option<u32>,
}

/// Active series in batches, sorted by labels over all batches.
pub type ActiveSeriesStream = BoxStream<'static, Result<Vec<ActiveSeries>, Error>>;
