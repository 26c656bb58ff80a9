//! The `Histogram` message, which remote write 1.0 and 2.0 encode alike.

use model::histogram::{BucketSpan, CounterResetHint};
use model::{FloatHistogram, Histogram};

use crate::histogram::HistogramSample;
use crate::protobuf::{put_bytes_field, put_double_field, put_varint, put_varint_field, to_zigzag};

/// Appends the body of a `Histogram` message; a float value, which no histogram is, appends nothing.
pub fn put_histogram(out: &mut Vec<u8>, sample: &HistogramSample) {
    match &sample.value {
        model::Value::Float(_) => return,
        model::Value::Histogram(histogram) => put_int(out, histogram),
        model::Value::FloatHistogram(histogram) => put_float(out, histogram),
    }
    put_varint_field(out, 15, sample.timestamp_ms as u64);
    if sample.start_timestamp_ms != 0 {
        put_varint_field(out, 17, sample.start_timestamp_ms as u64);
    }
}

fn put_int(out: &mut Vec<u8>, h: &Histogram) {
    put_varint_field(out, 1, h.count);
    put_double_field(out, 3, h.sum);
    put_schema(out, h.schema, h.zero_threshold);
    put_varint_field(out, 6, h.zero_count);
    put_spans(out, 8, &h.negative_spans);
    put_deltas(out, 9, &h.negative_buckets);
    put_spans(out, 11, &h.positive_spans);
    put_deltas(out, 12, &h.positive_buckets);
    put_hint(out, h.counter_reset_hint);
    put_doubles(out, 16, &h.custom_values);
}

fn put_float(out: &mut Vec<u8>, h: &FloatHistogram) {
    put_double_field(out, 2, h.count);
    put_double_field(out, 3, h.sum);
    put_schema(out, h.schema, h.zero_threshold);
    put_double_field(out, 7, h.zero_count);
    put_spans(out, 8, &h.negative_spans);
    put_doubles(out, 10, &h.negative_buckets);
    put_spans(out, 11, &h.positive_spans);
    put_doubles(out, 13, &h.positive_buckets);
    put_hint(out, h.counter_reset_hint);
    put_doubles(out, 16, &h.custom_values);
}

fn put_schema(out: &mut Vec<u8>, schema: i32, zero_threshold: f64) {
    put_varint_field(out, 4, to_zigzag(i64::from(schema)));
    put_double_field(out, 5, zero_threshold);
}

fn put_hint(out: &mut Vec<u8>, hint: CounterResetHint) {
    let number = match hint {
        CounterResetHint::Unknown => return,
        CounterResetHint::Reset => 1,
        CounterResetHint::NotReset => 2,
        CounterResetHint::Gauge => 3,
    };
    put_varint_field(out, 14, number);
}

fn put_spans(out: &mut Vec<u8>, field: u32, spans: &[BucketSpan]) {
    let mut body = Vec::with_capacity(12);
    for span in spans {
        body.clear();
        put_varint_field(&mut body, 1, to_zigzag(i64::from(span.offset)));
        put_varint_field(&mut body, 2, u64::from(span.length));
        put_bytes_field(out, field, &body);
    }
}

fn put_deltas(out: &mut Vec<u8>, field: u32, deltas: &[i64]) {
    if deltas.is_empty() {
        return;
    }
    let mut packed = Vec::with_capacity(2 * deltas.len());
    for &delta in deltas {
        put_varint(&mut packed, to_zigzag(delta));
    }
    put_bytes_field(out, field, &packed);
}

fn put_doubles(out: &mut Vec<u8>, field: u32, numbers: &[f64]) {
    if numbers.is_empty() {
        return;
    }
    put_varint(out, u64::from(field) << 3 | 2);
    put_varint(out, 8 * numbers.len() as u64);
    for number in numbers {
        out.extend_from_slice(&number.to_bits().to_le_bytes());
    }
}
