//! Which buckets a list of spans describes, and how the buckets of two lists correspond.

use model::BucketSpan;

/// How many buckets the spans describe.
pub(crate) fn bucket_count(spans: &[BucketSpan]) -> u64 {
    spans.iter().map(|span| u64::from(span.length)).sum()
}

/// The indexes of the buckets. No sum overflows: there are not 2^31 spans.
fn indexes(spans: &[BucketSpan]) -> impl Iterator<Item = i64> {
    let mut next = 0;
    spans.iter().flat_map(move |span| {
        let start = next + i64::from(span.offset);
        next = start + i64::from(span.length);
        start..next
    })
}

/// The buckets of two span lists side by side, by index: for each that is in either, its position in each.
#[derive(Debug)]
pub(crate) struct Union {
    /// Positions in the first and in the second list of bucket counts.
    pub(crate) positions: Vec<(Option<usize>, Option<usize>)>,
    /// The spans of all of them.
    pub(crate) spans: Vec<BucketSpan>,
}

impl Union {
    pub(crate) fn new(first: &[BucketSpan], second: &[BucketSpan]) -> Self {
        let mut union = Self { positions: Vec::new(), spans: Vec::new() };
        let mut first = indexes(first).enumerate().peekable();
        let mut second = indexes(second).enumerate().peekable();
        let mut end = None;
        loop {
            let index = match (first.peek(), second.peek()) {
                (Some(&(_, a)), Some(&(_, b))) => a.min(b),
                (Some(&(_, index)), None) | (None, Some(&(_, index))) => index,
                (None, None) => return union,
            };
            let in_first = first.next_if(|&(_, i)| i == index).map(|(position, _)| position);
            let in_second = second.next_if(|&(_, i)| i == index).map(|(position, _)| position);
            union.positions.push((in_first, in_second));
            union.push_span(index, &mut end);
        }
    }

    fn push_span(&mut self, index: i64, end: &mut Option<i64>) {
        match (self.spans.last_mut(), *end) {
            (Some(span), Some(end)) if index == end => span.length += 1,
            (_, previous) => {
                let offset = (index - previous.unwrap_or(0)) as i32;
                self.spans.push(BucketSpan { offset, length: 1 });
            }
        }
        *end = Some(index + 1);
    }

    /// Whether the second list has buckets that the first lacks.
    pub(crate) fn adds(&self) -> bool {
        self.positions.iter().any(|(first, _)| first.is_none())
    }

    /// Whether the second list lacks buckets that the first has.
    pub(crate) fn misses(&self) -> bool {
        self.positions.iter().any(|(_, second)| second.is_none())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spans(pairs: &[(i32, u32)]) -> Vec<BucketSpan> {
        pairs.iter().map(|&(offset, length)| BucketSpan { offset, length }).collect()
    }

    fn check(first: &[(i32, u32)], second: &[(i32, u32)], expected: &[(i32, u32)], adds: bool, misses: bool) {
        let union = Union::new(&spans(first), &spans(second));
        assert_eq!(union.spans, spans(expected));
        assert_eq!((union.adds(), union.misses()), (adds, misses));
        assert_eq!(union.positions.len() as u64, bucket_count(&union.spans));
    }

    #[test]
    fn unions() {
        check(&[], &[], &[], false, false);
        check(&[(0, 2)], &[(0, 1), (0, 1)], &[(0, 2)], false, false);
        check(&[(-5, 2)], &[(-4, 3)], &[(-5, 4)], true, true);
        check(&[(0, 2), (2, 1), (3, 2)], &[(0, 3), (1, 1), (3, 2)], &[(0, 3), (1, 1), (3, 2)], true, false);
        check(&[(3, 1)], &[], &[(3, 1)], false, true);
        check(&[(1, 0), (2, 1)], &[(10, 1)], &[(3, 1), (6, 1)], true, true);
    }

    #[test]
    fn positions_are_those_of_the_counts() {
        let union = Union::new(&spans(&[(0, 1), (1, 1)]), &spans(&[(1, 2)]));
        assert_eq!(union.positions, [(Some(0), None), (None, Some(0)), (Some(1), Some(1))]);
    }
}
