//! Remote write 1.0 requests.

use model::{Exemplar, Metadata};

use super::put_histogram;
use crate::histogram::HistogramSample;
use crate::protobuf::{put_bytes_field, put_double_field, put_varint_field};

/// Writes a `prometheus.WriteRequest`, series by series.
///
/// ```
/// let mut writer = wire::encode::Rw1Writer::default();
/// writer.label("__name__", "up").label("job", "x").sample(1_000, 1.0).end_series();
/// assert_eq!(wire::rw1::request(writer.message()).count(), 1);
/// ```
#[derive(Debug, Clone, Default)]
pub struct Rw1Writer {
    message: Vec<u8>,
    series: Vec<u8>,
    scratch: Vec<u8>,
    label: Vec<u8>,
}

impl Rw1Writer {
    /// The request so far, without a series that was not ended.
    pub fn message(&self) -> &[u8] {
        &self.message
    }

    /// Begins a new request; the buffers stay.
    pub fn clear(&mut self) {
        self.message.clear();
        self.series.clear();
    }

    /// Adds a label to the series. Senders give them sorted by name.
    pub fn label(&mut self, name: &str, value: &str) -> &mut Self {
        self.raw_label(name.as_bytes(), value.as_bytes())
    }

    /// Adds a label that need not be text.
    pub fn raw_label(&mut self, name: &[u8], value: &[u8]) -> &mut Self {
        put_label(&mut self.series, &mut self.label, name, value);
        self
    }

    /// Adds bytes of a `TimeSeries` message as they are: labels that were encoded before.
    pub fn raw(&mut self, encoded: &[u8]) -> &mut Self {
        self.series.extend_from_slice(encoded);
        self
    }

    /// Adds a float sample.
    pub fn sample(&mut self, timestamp_ms: i64, value: f64) -> &mut Self {
        self.scratch.clear();
        put_double_field(&mut self.scratch, 1, value);
        put_varint_field(&mut self.scratch, 2, timestamp_ms as u64);
        put_bytes_field(&mut self.series, 2, &self.scratch);
        self
    }

    /// Adds an exemplar.
    pub fn exemplar(&mut self, exemplar: &Exemplar) -> &mut Self {
        self.scratch.clear();
        for (name, value) in exemplar.labels.iter() {
            put_label(&mut self.scratch, &mut self.label, name.as_bytes(), value.as_bytes());
        }
        put_double_field(&mut self.scratch, 2, exemplar.value);
        put_varint_field(&mut self.scratch, 3, exemplar.timestamp_ms as u64);
        put_bytes_field(&mut self.series, 3, &self.scratch);
        self
    }

    /// Adds a native histogram. (1.0 has no start timestamps: receivers skip it.)
    pub fn histogram(&mut self, sample: &HistogramSample) -> &mut Self {
        self.scratch.clear();
        put_histogram(&mut self.scratch, sample);
        put_bytes_field(&mut self.series, 4, &self.scratch);
        self
    }

    /// Ends the series and adds it to the request; a series without anything is added too.
    pub fn end_series(&mut self) -> &mut Self {
        put_bytes_field(&mut self.message, 1, &self.series);
        self.series.clear();
        self
    }

    /// Adds metadata of a metric family to the request.
    pub fn metadata(&mut self, family: &str, metadata: &Metadata) -> &mut Self {
        self.scratch.clear();
        put_varint_field(&mut self.scratch, 1, metadata.metric_type.to_wire());
        put_bytes_field(&mut self.scratch, 2, family.as_bytes());
        put_bytes_field(&mut self.scratch, 4, metadata.help.as_bytes());
        put_bytes_field(&mut self.scratch, 5, metadata.unit.as_bytes());
        put_bytes_field(&mut self.message, 3, &self.scratch);
        self
    }
}

fn put_label(out: &mut Vec<u8>, scratch: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    scratch.clear();
    put_bytes_field(scratch, 1, name);
    put_bytes_field(scratch, 2, value);
    put_bytes_field(out, 1, scratch);
}
