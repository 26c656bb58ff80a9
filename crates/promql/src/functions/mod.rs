//! The functions of PromQL, a file per family.

pub(crate) mod absent;
pub(crate) mod changes;
pub(crate) mod classic;
pub(crate) mod dates;
pub(crate) mod even;
pub(crate) mod extended;
pub(crate) mod float;
pub(crate) mod histogram_rate;
pub(crate) mod natural;
pub(crate) mod over_time;
pub(crate) mod quantile;
pub(crate) mod rate;
pub(crate) mod rate_floats;
pub(crate) mod regression;
pub(crate) mod slide;
pub(crate) mod window;

use model::FloatHistogram;

use dates::DateFunction;
use float::FloatFunction;
use window::RangeFunction;

/// How a function is computed.
#[derive(Debug, Clone, Copy)]
pub(crate) enum CallKind {
    /// Of each float; histograms go.
    Float(FloatFunction),
    /// Of each histogram; floats go.
    Histogram(fn(&FloatHistogram) -> f64),
    Clamp,
    ClampMin,
    ClampMax,
    Round,
    Date(DateFunction),
    Timestamp,
    StartTimestamp,
    LabelReplace,
    LabelJoin,
    Absent,
    AbsentOverTime,
    Scalar,
    Vector,
    Time,
    MinOf,
    MaxOf,
    Sort(Direction),
    SortByLabel(Direction),
    HistogramQuantile,
    HistogramQuantiles,
    HistogramFraction,
    Info,
    Range(RangeFunction),
}

/// Which way to sort.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    Ascending,
    Descending,
}

impl CallKind {
    /// How the function with this name is computed; functions of the query's own times are folded before.
    pub(crate) fn of(name: &str) -> Option<Self> {
        Some(match name {
            "clamp" => Self::Clamp,
            "clamp_min" => Self::ClampMin,
            "clamp_max" => Self::ClampMax,
            "round" => Self::Round,
            "timestamp" => Self::Timestamp,
            "start_timestamp" => Self::StartTimestamp,
            "label_replace" => Self::LabelReplace,
            "label_join" => Self::LabelJoin,
            "absent" => Self::Absent,
            "absent_over_time" => Self::AbsentOverTime,
            "scalar" => Self::Scalar,
            "vector" => Self::Vector,
            "time" => Self::Time,
            "min_of" => Self::MinOf,
            "max_of" => Self::MaxOf,
            "sort" => Self::Sort(Direction::Ascending),
            "sort_desc" => Self::Sort(Direction::Descending),
            "sort_by_label" => Self::SortByLabel(Direction::Ascending),
            "sort_by_label_desc" => Self::SortByLabel(Direction::Descending),
            "histogram_quantile" => Self::HistogramQuantile,
            "histogram_quantiles" => Self::HistogramQuantiles,
            "histogram_fraction" => Self::HistogramFraction,
            "info" => Self::Info,
            _ => {
                let float = float::float_function(name).map(Self::Float);
                let histogram = || quantile::histogram_function(name).map(Self::Histogram);
                let date = || dates::date_function(name).map(Self::Date);
                let range = || window::range_function(name).map(Self::Range);
                return float.or_else(histogram).or_else(date).or_else(range);
            }
        })
    }

    /// Whether it returns a number rather than series.
    pub(crate) fn returns_scalar(&self) -> bool {
        matches!(self, Self::Scalar | Self::Time | Self::MinOf | Self::MaxOf)
    }

    /// Whether each series of the result comes from one series of the argument.
    pub(crate) fn keeps_series(&self) -> bool {
        matches!(
            self,
            Self::Float(_)
                | Self::Histogram(_)
                | Self::Clamp
                | Self::ClampMin
                | Self::ClampMax
                | Self::Round
                | Self::Date(_)
                | Self::Timestamp
                | Self::StartTimestamp
                | Self::Sort(_)
                | Self::SortByLabel(_)
                | Self::Range(_)
        )
    }
}
