//! Sorting of what may be much, by comparisons that may be slow: whoever waits for the query can cancel it meanwhile.

use std::cmp::Ordering;

use crate::engine::error::QueryError;

use super::Evaluator;

/// So many items are sorted between looks whether the query is to stop: some milliseconds with labels to compare.
const RUN: usize = 4096;
/// How many samples could be looked at while two items are compared and moved, about.
const WORK_PER_ITEM: usize = 16;

impl Evaluator<'_> {
    /// Sorts items; equal ones stay in their order.
    pub(crate) fn sort_items<T>(
        &self,
        items: Vec<T>,
        compare: impl Fn(&T, &T) -> Ordering,
    ) -> Result<Vec<T>, QueryError> {
        let mut runs = Vec::with_capacity(items.len().div_ceil(RUN));
        let mut rest = items.into_iter();
        loop {
            let mut run: Vec<T> = rest.by_ref().take(RUN).collect();
            if run.is_empty() {
                break;
            }
            run.sort_by(&compare);
            self.spend(run.len() * WORK_PER_ITEM)?;
            runs.push(run);
        }
        while runs.len() > 1 {
            let mut merged = Vec::with_capacity(runs.len().div_ceil(2));
            let mut pairs = runs.into_iter();
            while let Some(first) = pairs.next() {
                merged.push(match pairs.next() {
                    Some(second) => self.merge_runs(first, second, &compare)?,
                    None => first,
                });
            }
            runs = merged;
        }
        Ok(runs.pop().unwrap_or_default())
    }

    /// Two sorted runs as one, in which those of the first come before equal ones of the second.
    fn merge_runs<T>(
        &self,
        mut first: Vec<T>,
        mut second: Vec<T>,
        compare: &impl Fn(&T, &T) -> Ordering,
    ) -> Result<Vec<T>, QueryError> {
        let in_order = match (first.last(), second.first()) {
            (Some(last), Some(next)) => compare(last, next).is_le(),
            _ => true,
        };
        if in_order {
            first.append(&mut second);
            return Ok(first);
        }
        let mut merged = Vec::with_capacity(first.len() + second.len());
        let (mut left, mut right) = (first.into_iter(), second.into_iter());
        while let (Some(a), Some(b)) = (left.as_slice().first(), right.as_slice().first()) {
            let next = if compare(a, b).is_le() { left.next() } else { right.next() };
            merged.extend(next);
            self.spend(WORK_PER_ITEM)?;
        }
        merged.extend(left);
        merged.extend(right);
        Ok(merged)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

    use proptest::prelude::*;

    use crate::engine::budget::Budget;
    use crate::engine::error::ErrorKind;
    use crate::engine::options::EngineOptions;
    use crate::engine::source::{SelectHints, SeriesSet, SeriesSource, SourceError};

    use super::*;

    struct Nothing;

    impl SeriesSource for Nothing {
        fn select(&self, _: &SelectHints) -> Result<Box<dyn SeriesSet + '_>, SourceError> {
            Err(SourceError { message: "there are no series".to_owned() })
        }
    }

    fn sorted(
        items: Vec<(u32, usize)>,
        interrupted: &(dyn Fn() -> Option<ErrorKind> + Sync),
    ) -> Result<Vec<(u32, usize)>, QueryError> {
        let options = EngineOptions::default();
        let budget = Budget::new(u64::MAX, u64::MAX, None);
        let evaluator = Evaluator::new(&options, 1, &Nothing, interrupted, budget, None);
        evaluator.sort_items(items, |a, b| a.0.cmp(&b.0))
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
        #[test]
        fn items_are_sorted_and_equal_ones_stay_in_order(
            (keys, bound) in (prop::collection::vec(any::<u32>(), 0..20_000), 1..50_000u32),
        ) {
            let items: Vec<_> = keys.iter().enumerate().map(|(i, key)| (key % bound, i)).collect();
            let mut expected = items.clone();
            expected.sort();
            prop_assert_eq!(sorted(items, &|| None).unwrap(), expected);
        }
    }

    /// Counted by looks: each is made after so little work that it takes a fraction of the time in which to stop.
    #[test]
    fn a_long_sort_ends_when_told() {
        let items: Vec<_> = (0..300_000u32).map(|i| (i.wrapping_mul(2_654_435_761), 0)).collect();
        let looks = AtomicU64::new(0);
        sorted(items.clone(), &|| {
            looks.fetch_add(1, Relaxed);
            None
        })
        .unwrap();
        let all = looks.into_inner();
        assert!(all > 100, "{all} looks while {} items were sorted", items.len());
        let looks = AtomicU64::new(0);
        let failed = sorted(items, &|| (looks.fetch_add(1, Relaxed) == 40).then_some(ErrorKind::Canceled));
        assert_eq!(failed.unwrap_err().kind, ErrorKind::Canceled);
        assert_eq!(looks.into_inner(), 41);
    }
}
