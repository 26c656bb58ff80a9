//! The protobuf format: families behind their lengths. Source: `metrics.proto` of `io.prometheus.client`.

use model::histogram::{BucketSpan, CUSTOM_BUCKETS_SCHEMA};
use model::{FloatHistogram, Labels};
use wire::protobuf::{put_bytes_field, put_double_field, put_varint, put_varint_field, to_zigzag};

use super::escape::Escaping;
use super::{Kind, Newest, NewestValue, classic_buckets, labels_of};

/// Numbers of `MetricType`.
const UNTYPED: u64 = 3;
const HISTOGRAM: u64 = 4;
const GAUGE_HISTOGRAM: u64 = 5;

/// Writes families, one at a time.
#[derive(Debug, Default)]
pub(super) struct FamilyWriter {
    family: Vec<u8>,
    metric: Vec<u8>,
    scratch: Vec<u8>,
    inner: Vec<u8>,
}

impl FamilyWriter {
    pub(super) fn begin(&mut self, name: &str, kind: Kind) {
        let kind = match kind {
            Kind::Untyped => UNTYPED,
            Kind::Histogram => HISTOGRAM,
            Kind::GaugeHistogram => GAUGE_HISTOGRAM,
        };
        put_bytes_field(&mut self.family, 1, name.as_bytes());
        put_varint_field(&mut self.family, 3, kind);
    }

    /// Adds a series to the family.
    pub(super) fn metric(&mut self, labels: &Labels, newest: &Newest, escaping: Escaping) {
        self.metric.clear();
        for (name, value) in labels_of(labels) {
            self.scratch.clear();
            put_bytes_field(&mut self.scratch, 1, escaping.apply(name).as_bytes());
            put_bytes_field(&mut self.scratch, 2, value.as_bytes());
            put_bytes_field(&mut self.metric, 1, &self.scratch);
        }
        self.scratch.clear();
        match &newest.value {
            NewestValue::Float(value) => {
                put_double_field(&mut self.scratch, 1, *value);
                put_bytes_field(&mut self.metric, 5, &self.scratch);
            }
            NewestValue::Histogram(histogram) => {
                if histogram.schema == CUSTOM_BUCKETS_SCHEMA {
                    self.classic(histogram);
                } else {
                    self.native(histogram);
                }
                put_bytes_field(&mut self.metric, 7, &self.scratch);
            }
        }
        put_varint_field(&mut self.metric, 6, newest.timestamp_ms as u64);
        put_bytes_field(&mut self.family, 4, &self.metric);
    }

    /// Ends the family, if there is one, and appends it.
    pub(super) fn end(&mut self, out: &mut Vec<u8>) {
        if !self.family.is_empty() {
            put_varint(out, self.family.len() as u64);
            out.append(&mut self.family);
        }
    }

    fn classic(&mut self, histogram: &FloatHistogram) {
        put_double_field(&mut self.scratch, 4, histogram.count);
        put_double_field(&mut self.scratch, 2, histogram.sum);
        for (bound, count) in classic_buckets(histogram) {
            self.inner.clear();
            put_double_field(&mut self.inner, 4, count);
            put_double_field(&mut self.inner, 2, bound);
            put_bytes_field(&mut self.scratch, 3, &self.inner);
        }
    }

    fn native(&mut self, histogram: &FloatHistogram) {
        put_double_field(&mut self.scratch, 4, histogram.count);
        put_double_field(&mut self.scratch, 2, histogram.sum);
        put_varint_field(&mut self.scratch, 5, to_zigzag(i64::from(histogram.schema)));
        put_double_field(&mut self.scratch, 6, histogram.zero_threshold);
        put_double_field(&mut self.scratch, 8, histogram.zero_count);
        self.spans(9, &histogram.negative_spans);
        histogram.negative_buckets.iter().for_each(|count| put_double_field(&mut self.scratch, 11, *count));
        self.spans(12, &histogram.positive_spans);
        histogram.positive_buckets.iter().for_each(|count| put_double_field(&mut self.scratch, 14, *count));
    }

    fn spans(&mut self, field: u32, spans: &[BucketSpan]) {
        for span in spans {
            self.inner.clear();
            put_varint_field(&mut self.inner, 1, to_zigzag(i64::from(span.offset)));
            put_varint_field(&mut self.inner, 2, u64::from(span.length));
            put_bytes_field(&mut self.scratch, field, &self.inner);
        }
    }
}
