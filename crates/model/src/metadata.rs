//! Metric metadata: type, help text and unit of a metric family.

/// The type of a metric family, with the numbers of remote write's `MetricMetadata.MetricType`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum MetricType {
    /// Not known.
    #[default]
    Unknown,
    /// A counter.
    Counter,
    /// A gauge.
    Gauge,
    /// A histogram, classic or native.
    Histogram,
    /// A histogram whose buckets may go down.
    GaugeHistogram,
    /// A summary.
    Summary,
    /// An info metric.
    Info,
    /// A state set.
    Stateset,
}

impl MetricType {
    /// The type with this number in remote write (1.0 and 2.0 agree); `None` for a number that no type has.
    pub fn from_wire(number: u64) -> Option<Self> {
        Some(match number {
            0 => Self::Unknown,
            1 => Self::Counter,
            2 => Self::Gauge,
            3 => Self::Histogram,
            4 => Self::GaugeHistogram,
            5 => Self::Summary,
            6 => Self::Info,
            7 => Self::Stateset,
            _ => return None,
        })
    }

    /// The number of this type in remote write.
    pub fn to_wire(self) -> u64 {
        match self {
            Self::Unknown => 0,
            Self::Counter => 1,
            Self::Gauge => 2,
            Self::Histogram => 3,
            Self::GaugeHistogram => 4,
            Self::Summary => 5,
            Self::Info => 6,
            Self::Stateset => 7,
        }
    }

    /// The name that Prometheus' APIs and the text format use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
            Self::GaugeHistogram => "gaugehistogram",
            Self::Summary => "summary",
            Self::Info => "info",
            Self::Stateset => "stateset",
        }
    }
}

/// Type, help and unit of a metric family.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Metadata {
    /// The family's type.
    pub metric_type: MetricType,
    /// The help text; may be empty.
    pub help: String,
    /// The unit; may be empty.
    pub unit: String,
}
