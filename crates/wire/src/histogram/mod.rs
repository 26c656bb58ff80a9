//! Native histograms, which remote write 1.0 and 2.0 encode alike: decoding, and whether one contradicts itself.

mod validate;

use std::sync::Arc;

use model::histogram::{BucketSpan, CounterResetHint};
use model::{FloatHistogram, Histogram, Value};

use crate::WireError;
use crate::protobuf::{Field, FieldValue, Fields, varint, zigzag};

pub use validate::{HistogramError, validate};

/// The most buckets of one sign, spans of one sign, or custom bounds that a histogram may have; Prometheus makes at most a few
/// hundred.
pub const MAX_BUCKETS: usize = 65_536;

/// A histogram at a time.
#[derive(Debug, Clone, PartialEq)]
pub struct HistogramSample {
    /// Milliseconds since the Unix epoch.
    pub timestamp_ms: i64,
    /// When its counting began, in milliseconds since the Unix epoch; 0 where it is not known. Only in 2.0.
    pub start_timestamp_ms: i64,
    /// The histogram: with integer or with float counts.
    pub value: Value,
}

/// The timestamp of a `Histogram` message, without decoding the rest.
#[inline]
pub fn timestamp_ms(body: &[u8]) -> Result<i64, WireError> {
    let mut timestamp_ms = 0;
    for field in Fields::new(body) {
        let field = field?;
        if field.number == 15 {
            timestamp_ms = field.int64()?;
        }
    }
    Ok(timestamp_ms)
}

/// Reads a `Histogram` message. Whether it contradicts itself is [`validate`]'s to say.
pub fn decode(body: &[u8]) -> Result<HistogramSample, WireError> {
    let mut fields = Decoded::default();
    for field in Fields::new(body) {
        fields.read(&field?)?;
    }
    Ok(fields.finish())
}

/// A count: whole or a float. The last one in the message decides.
#[derive(Debug, Clone, Copy)]
enum Count {
    Int(u64),
    Float(f64),
}

impl Count {
    fn int(self) -> u64 {
        match self {
            Self::Int(count) => count,
            Self::Float(_) => 0,
        }
    }

    fn float(self) -> f64 {
        match self {
            Self::Int(_) => 0.0,
            Self::Float(count) => count,
        }
    }
}

/// The buckets of one sign.
#[derive(Debug, Default)]
struct Buckets {
    spans: Vec<BucketSpan>,
    deltas: Vec<i64>,
    counts: Vec<f64>,
}

#[derive(Debug)]
struct Decoded {
    count: Count,
    zero_count: Count,
    sum: f64,
    schema: i32,
    zero_threshold: f64,
    negative: Buckets,
    positive: Buckets,
    hint: CounterResetHint,
    timestamp_ms: i64,
    start_timestamp_ms: i64,
    custom_values: Vec<f64>,
}

impl Default for Decoded {
    fn default() -> Self {
        Self {
            count: Count::Int(0),
            zero_count: Count::Int(0),
            sum: 0.0,
            schema: 0,
            zero_threshold: 0.0,
            negative: Buckets::default(),
            positive: Buckets::default(),
            hint: CounterResetHint::Unknown,
            timestamp_ms: 0,
            start_timestamp_ms: 0,
            custom_values: Vec::new(),
        }
    }
}

impl Decoded {
    fn read(&mut self, field: &Field<'_>) -> Result<(), WireError> {
        match field.number {
            1 => self.count = Count::Int(field.varint()?),
            2 => self.count = Count::Float(field.double()?),
            3 => self.sum = field.double()?,
            4 => self.schema = zigzag(field.varint()? & u64::from(u32::MAX)) as i32,
            5 => self.zero_threshold = field.double()?,
            6 => self.zero_count = Count::Int(field.varint()?),
            7 => self.zero_count = Count::Float(field.double()?),
            8 => push_span(&mut self.negative.spans, field)?,
            9 => extend_deltas(&mut self.negative.deltas, field)?,
            10 => extend_doubles(&mut self.negative.counts, field, "negative buckets")?,
            11 => push_span(&mut self.positive.spans, field)?,
            12 => extend_deltas(&mut self.positive.deltas, field)?,
            13 => extend_doubles(&mut self.positive.counts, field, "positive buckets")?,
            14 => self.hint = hint(field.varint()?),
            15 => self.timestamp_ms = field.int64()?,
            16 => extend_doubles(&mut self.custom_values, field, "custom bounds")?,
            17 => self.start_timestamp_ms = field.int64()?,
            _ => {}
        }
        Ok(())
    }

    fn finish(self) -> HistogramSample {
        let value = match self.count {
            Count::Int(count) => Value::Histogram(Arc::new(Histogram {
                counter_reset_hint: self.hint,
                schema: self.schema,
                zero_threshold: self.zero_threshold,
                zero_count: self.zero_count.int(),
                count,
                sum: self.sum,
                positive_spans: self.positive.spans,
                positive_buckets: self.positive.deltas,
                negative_spans: self.negative.spans,
                negative_buckets: self.negative.deltas,
                custom_values: self.custom_values,
            })),
            Count::Float(count) => Value::FloatHistogram(Arc::new(FloatHistogram {
                counter_reset_hint: self.hint,
                schema: self.schema,
                zero_threshold: self.zero_threshold,
                zero_count: self.zero_count.float(),
                count,
                sum: self.sum,
                positive_spans: self.positive.spans,
                positive_buckets: self.positive.counts,
                negative_spans: self.negative.spans,
                negative_buckets: self.negative.counts,
                custom_values: self.custom_values,
            })),
        };
        HistogramSample {
            timestamp_ms: self.timestamp_ms,
            start_timestamp_ms: self.start_timestamp_ms,
            value,
        }
    }
}

/// The hint with this number; numbers that no hint has mean that nothing is known.
fn hint(number: u64) -> CounterResetHint {
    match number {
        1 => CounterResetHint::Reset,
        2 => CounterResetHint::NotReset,
        3 => CounterResetHint::Gauge,
        _ => CounterResetHint::Unknown,
    }
}

fn push_span(spans: &mut Vec<BucketSpan>, field: &Field<'_>) -> Result<(), WireError> {
    room(spans.len() + 1, "spans", field)?;
    let body = field.bytes()?;
    let mut span = BucketSpan::default();
    for inner in Fields::new(body) {
        let inner = inner.map_err(|error| error.shifted(field.end - body.len()))?;
        match inner.number {
            1 => span.offset = zigzag(inner.varint()? & u64::from(u32::MAX)) as i32,
            2 => span.length = inner.varint()? as u32,
            _ => {}
        }
    }
    spans.push(span);
    Ok(())
}

fn extend_deltas(deltas: &mut Vec<i64>, field: &Field<'_>) -> Result<(), WireError> {
    let packed = match field.value {
        FieldValue::Bytes(packed) => packed,
        FieldValue::Varint(number) => {
            room(deltas.len() + 1, "buckets", field)?;
            deltas.push(zigzag(number));
            return Ok(());
        }
        _ => return Err(field.wrong_type("2 (packed varints)")),
    };
    let (mut position, base) = (0, field.end - packed.len());
    while position < packed.len() {
        room(deltas.len() + 1, "buckets", field)?;
        let number = varint(packed, &mut position).map_err(|error| error.shifted(base))?;
        deltas.push(zigzag(number));
    }
    Ok(())
}

fn extend_doubles(out: &mut Vec<f64>, field: &Field<'_>, what: &'static str) -> Result<(), WireError> {
    match field.value {
        FieldValue::Fixed64(bits) => {
            room(out.len() + 1, what, field)?;
            out.push(f64::from_bits(bits));
        }
        FieldValue::Bytes(packed) => {
            let (numbers, rest) = packed.as_chunks::<8>();
            if !rest.is_empty() {
                return Err(WireError::Truncated { offset: field.end, expected: "a packed 64-bit number" });
            }
            room(out.len() + numbers.len(), what, field)?;
            out.extend(numbers.iter().map(|bytes| f64::from_le_bytes(*bytes)));
        }
        _ => return Err(field.wrong_type("2 (packed 64-bit numbers)")),
    }
    Ok(())
}

fn room(wanted: usize, what: &'static str, field: &Field<'_>) -> Result<(), WireError> {
    if wanted > MAX_BUCKETS {
        return Err(WireError::TooMany { offset: field.start, what, max: MAX_BUCKETS });
    }
    Ok(())
}
