//! Buckets as pairs of index and count, in order of index: the form that arithmetic on histograms works in.

use super::BucketSpan;

/// A bucket's index and count.
pub(super) type SparseBucket = (i32, f64);

/// The buckets that spans and counts describe, empty ones included. Counts without a span are left out.
pub(super) fn expand(spans: &[BucketSpan], counts: &[f64]) -> Vec<SparseBucket> {
    indexes(spans).zip(counts.iter().copied()).collect()
}

/// The indexes of the buckets that spans describe.
pub(super) fn indexes(spans: &[BucketSpan]) -> impl Iterator<Item = i32> {
    let mut next = 0i32;
    spans.iter().flat_map(move |span| {
        let start = next.wrapping_add(span.offset);
        next = start.wrapping_add(span.length as i32);
        (0..span.length).map(move |i| start.wrapping_add(i as i32))
    })
}

/// Spans and counts for buckets in order of index.
pub(super) fn collapse(buckets: impl IntoIterator<Item = SparseBucket>) -> (Vec<BucketSpan>, Vec<f64>) {
    let (mut spans, mut counts) = (Vec::<BucketSpan>::new(), Vec::new());
    let mut next = 0i32;
    for (index, count) in buckets {
        let offset = index.wrapping_sub(next);
        match spans.last_mut() {
            Some(span) if offset == 0 => span.length += 1,
            _ => spans.push(BucketSpan { offset, length: 1 }),
        }
        counts.push(count);
        next = index.wrapping_add(1);
    }
    (spans, counts)
}

/// The index, in the coarser schema `to`, of the bucket that holds bucket `index` of schema `from`.
pub(super) fn coarser_index(index: i32, from: i32, to: i32) -> i32 {
    let shift = from.saturating_sub(to).clamp(0, 31);
    (index.wrapping_sub(1) >> shift).wrapping_add(1)
}

/// The buckets in a coarser schema; those that fall together are summed.
pub(super) fn coarsen(buckets: &[SparseBucket], from: i32, to: i32) -> Vec<SparseBucket> {
    let mut out: Vec<SparseBucket> = Vec::with_capacity(buckets.len());
    for (index, count) in buckets {
        let index = coarser_index(*index, from, to);
        match out.last_mut() {
            Some((last, sum)) if *last == index => *sum += count,
            _ => out.push((index, *count)),
        }
    }
    out
}

/// The sorted bounds that both have.
pub(super) fn common_bounds(a: &[f64], b: &[f64]) -> Vec<f64> {
    let (mut i, mut j) = (0, 0);
    let mut out = Vec::new();
    while let (Some(x), Some(y)) = (a.get(i), b.get(j)) {
        if x == y {
            out.push(*x);
        }
        i += usize::from(x <= y);
        j += usize::from(x >= y);
        if x.is_nan() || y.is_nan() {
            break;
        }
    }
    out
}

/// Buckets of custom bounds, moved to bounds that are a subset of theirs.
pub(super) fn rebin(buckets: &[SparseBucket], bounds: &[f64], target: &[f64]) -> Vec<SparseBucket> {
    let mut out: Vec<SparseBucket> = Vec::new();
    for (index, count) in buckets {
        let bound = usize::try_from(*index).ok().and_then(|i| bounds.get(i));
        let position = bound.map_or(target.len(), |bound| target.partition_point(|t| t < bound));
        let position = position as i32;
        match out.last_mut() {
            Some((last, sum)) if *last == position => *sum += count,
            _ => out.push((position, *count)),
        }
    }
    out
}

/// Whether two lists of custom bounds are the same.
pub(super) fn same_bounds(a: &[f64], b: &[f64]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(x, y)| x == y)
}
