//! The shortest form of a histogram, and equality of what histograms describe.

use super::sparse::{self, SparseBucket};
use super::{BucketSpan, FloatHistogram};

impl FloatHistogram {
    /// Drops empty buckets, except where at most `max_empty` of them lie between two others: those are kept, or put
    /// in, so that one span goes on.
    pub fn compact(&mut self, max_empty: usize) {
        compact_side(&mut self.positive_spans, &mut self.positive_buckets, max_empty);
        compact_side(&mut self.negative_spans, &mut self.negative_buckets, max_empty);
    }

    /// This histogram, compacted without any empty bucket.
    #[must_use]
    pub fn compacted(mut self) -> Self {
        self.compact(0);
        self
    }

    /// Whether both describe the same data, bit by bit; neither the reset hint nor empty buckets count, as both follow
    /// from where chunks are cut.
    pub fn same_data(&self, other: &Self) -> bool {
        self.schema == other.schema
            && self.count.to_bits() == other.count.to_bits()
            && self.sum.to_bits() == other.sum.to_bits()
            && self.zero_threshold == other.zero_threshold
            && self.zero_count.to_bits() == other.zero_count.to_bits()
            && (!self.uses_custom_buckets() || sparse::same_bounds(&self.custom_values, &other.custom_values))
            && same_side(
                (&self.positive_spans, &self.positive_buckets),
                (&other.positive_spans, &other.positive_buckets),
            )
            && same_side(
                (&self.negative_spans, &self.negative_buckets),
                (&other.negative_spans, &other.negative_buckets),
            )
    }
}

fn same_side(a: (&[BucketSpan], &[f64]), b: (&[BucketSpan], &[f64])) -> bool {
    populated(a).eq(populated(b))
}

/// The indexes of buckets that hold something, and the bits of what they hold.
fn populated((spans, counts): (&[BucketSpan], &[f64])) -> impl Iterator<Item = (i32, u64)> {
    let held = |(index, count): (i32, &f64)| (*count != 0.0).then_some((index, count.to_bits()));
    sparse::indexes(spans).zip(counts).filter_map(held)
}

fn compact_side(spans: &mut Vec<BucketSpan>, counts: &mut Vec<f64>, max_empty: usize) {
    let tight = counts.iter().all(|count| *count != 0.0)
        && spans.iter().all(|span| span.length > 0)
        && spans.iter().skip(1).all(|span| span.offset > 0 && span.offset as usize > max_empty);
    if tight && !spans.is_empty() {
        return;
    }
    let mut out: Vec<SparseBucket> = Vec::with_capacity(counts.len());
    for (index, count) in sparse::expand(spans, counts) {
        if count == 0.0 {
            continue;
        }
        if let Some((last, _)) = out.last().copied() {
            let missing = i64::from(index) - i64::from(last) - 1;
            if missing > 0 && missing as usize <= max_empty {
                out.extend((last + 1..index).map(|empty| (empty, 0.0)));
            }
        }
        out.push((index, count));
    }
    (*spans, *counts) = sparse::collapse(out);
}
