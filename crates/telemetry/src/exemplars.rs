//! Histograms whose buckets name a trace that fell into them.

use std::fmt;

use opentelemetry::trace::TraceId;
use prometheus_client::encoding::{
    EncodeLabel as _, EncodeLabelSet, EncodeMetric, LabelSetEncoder, MetricEncoder,
};
use prometheus_client::metrics::exemplar::HistogramWithExemplars;
use prometheus_client::metrics::{MetricType, TypedMetric};

use crate::trace;

/// A histogram that keeps, for each bucket, the last observation made while a request was traced, with the id of its
/// trace; scraped as OpenMetrics, that is an exemplar. Clones are the same histogram.
#[derive(Debug, Clone)]
pub struct TracedHistogram(HistogramWithExemplars<TraceLabel>);

/// The labels of an exemplar.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct TraceLabel(TraceId);

impl TracedHistogram {
    /// An empty histogram with these upper bounds.
    pub fn new(buckets: &[f64]) -> Self {
        Self(HistogramWithExemplars::new(buckets.iter().copied()))
    }

    /// Counts `value`. Where the code that runs belongs to a trace that is exported, it becomes its bucket's exemplar. Its
    /// time is that of the scrape.
    pub fn observe(&self, value: f64) {
        self.0.observe(value, trace::sampled().map(TraceLabel), None);
    }
}

impl TypedMetric for TracedHistogram {
    const TYPE: MetricType = MetricType::Histogram;
}

impl EncodeMetric for TracedHistogram {
    fn encode(&self, encoder: MetricEncoder<'_>) -> fmt::Result {
        self.0.encode(encoder)
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}

impl EncodeLabelSet for TraceLabel {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
        ("trace_id", self.0.to_string()).encode(encoder.encode_label())
    }
}
