//! Which of two values at one time stays.

use std::cmp::Ordering;

use model::{BucketSpan, FloatHistogram, Histogram, Value};

/// Orders values at one time of one series: the greater one stays. A sample is greater than a stale marker, a histogram than
/// a float, one with float counts than one with integer counts; then bits decide: of the value, or of count, sum and all
/// that a histogram has. The order is total but for what says the same in other words (empty buckets, hints of resets), so what
/// stays of many does not depend on who is compared with whom first.
pub fn precedence(a: &Value, b: &Value) -> Ordering {
    rank(a).cmp(&rank(b)).then_with(|| match (a, b) {
        (Value::Histogram(a), Value::Histogram(b)) => integers(a, b),
        (Value::FloatHistogram(a), Value::FloatHistogram(b)) => floats(a, b),
        _ => Ordering::Equal,
    })
}

/// Live or stale, the kind, and the bits of value, or of count and sum.
type Rank = (bool, u8, u64, u64);

/// What decides nearly always.
fn rank(value: &Value) -> Rank {
    let live = !value.is_stale();
    match value {
        Value::Float(v) => (live, 0, v.to_bits(), 0),
        Value::Histogram(h) => (live, 1, h.count, h.sum.to_bits()),
        Value::FloatHistogram(h) => (live, 2, h.count.to_bits(), h.sum.to_bits()),
    }
}

fn integers(a: &Histogram, b: &Histogram) -> Ordering {
    let key = |h: &Histogram| (h.schema, h.zero_threshold.to_bits(), h.zero_count);
    let counts = |deltas: &[i64]| -> Vec<u64> {
        let sums = deltas.iter().scan(0_i64, |sum, delta| {
            *sum = sum.wrapping_add(*delta);
            Some(*sum)
        });
        sums.map(i64::cast_unsigned).collect()
    };
    let positive = |h: &Histogram| filled(&h.positive_spans, counts(&h.positive_buckets));
    let negative = |h: &Histogram| filled(&h.negative_spans, counts(&h.negative_buckets));
    key(a)
        .cmp(&key(b))
        .then_with(|| positive(a).cmp(&positive(b)))
        .then_with(|| negative(a).cmp(&negative(b)))
        .then_with(|| bits(&a.custom_values).cmp(bits(&b.custom_values)))
}

fn floats(a: &FloatHistogram, b: &FloatHistogram) -> Ordering {
    let key = |h: &FloatHistogram| (h.schema, h.zero_threshold.to_bits(), h.zero_count.to_bits());
    let positive = |h: &FloatHistogram| filled(&h.positive_spans, bits(&h.positive_buckets).collect());
    let negative = |h: &FloatHistogram| filled(&h.negative_spans, bits(&h.negative_buckets).collect());
    key(a)
        .cmp(&key(b))
        .then_with(|| positive(a).cmp(&positive(b)))
        .then_with(|| negative(a).cmp(&negative(b)))
        .then_with(|| bits(&a.custom_values).cmp(bits(&b.custom_values)))
}

fn bits(values: &[f64]) -> impl Iterator<Item = u64> {
    values.iter().map(|value| value.to_bits())
}

/// The buckets that are not empty, with their indexes.
fn filled(spans: &[BucketSpan], counts: Vec<u64>) -> Vec<(i64, u64)> {
    let mut index = 0_i64;
    let indexes = spans.iter().flat_map(|span| {
        let first = index.wrapping_add(i64::from(span.offset));
        index = first.wrapping_add(i64::from(span.length));
        first..index
    });
    indexes.zip(counts).filter(|(_, count)| *count != 0).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn histogram(count: u64, spans: &[(i32, u32)], deltas: &[i64]) -> Value {
        let spans = spans.iter().map(|(offset, length)| BucketSpan { offset: *offset, length: *length });
        Value::Histogram(Arc::new(Histogram {
            count,
            sum: 1.0,
            positive_spans: spans.collect(),
            positive_buckets: deltas.to_vec(),
            ..Histogram::default()
        }))
    }

    #[test]
    fn the_order_is_that_of_what_they_say() {
        let stale = Value::Float(f64::from_bits(model::STALE_NAN_BITS));
        let ascending = [
            stale,
            Value::Float(1.0),
            Value::Float(2.0),
            Value::Float(-1.0),
            histogram(5, &[(0, 2)], &[2, 1]),
            histogram(5, &[(0, 2)], &[3, -1]),
            histogram(5, &[(1, 2)], &[2, 1]),
            histogram(6, &[(0, 2)], &[2, 1]),
        ];
        for (i, a) in ascending.iter().enumerate() {
            for (j, b) in ascending.iter().enumerate() {
                assert_eq!(precedence(a, b), i.cmp(&j), "{a:?} {b:?}");
            }
        }
        // Empty buckets say nothing.
        let padded = histogram(5, &[(0, 1), (0, 2)], &[2, 1, -3]);
        assert!(precedence(&padded, &ascending[4]).is_eq());
    }
}
