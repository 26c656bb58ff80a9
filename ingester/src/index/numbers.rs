//! Sorted lists of numbers without repetition.

/// Lists grow by a quarter: with doubling, a third of what postings occupy would be slack.
const GROWTH_DIVISOR: usize = 4;

/// Adds a number that is not there. Live, numbers only grow; a replay may meet them in another order, since the log has
/// series in the order in which their requests arrived there.
pub(super) fn insert_sorted(ids: &mut Vec<u32>, id: u32) {
    if ids.len() == ids.capacity() {
        ids.reserve_exact((ids.len() / GROWTH_DIVISOR).next_multiple_of(4).max(4));
    }
    match ids.last() {
        Some(last) if *last > id => ids.insert(ids.partition_point(|other| *other < id), id),
        _ => ids.push(id),
    }
}

/// Keeps what is in `other` too.
pub(super) fn intersect(result: &mut Vec<u32>, other: &[u32]) {
    let mut rest = other;
    result.retain(|id| {
        rest = from(rest, *id);
        rest.first() == Some(id)
    });
}

/// Keeps what is not in `other`.
pub(super) fn subtract(result: &mut Vec<u32>, other: &[u32]) {
    let mut rest = other;
    result.retain(|id| {
        rest = from(rest, *id);
        rest.first() != Some(id)
    });
}

/// The part of `list` from the first number that is not less than `id`, found in steps that double.
fn from(list: &[u32], id: u32) -> &[u32] {
    let mut bound = 1;
    while list.get(bound).is_some_and(|other| *other < id) {
        bound *= 2;
    }
    let end = (bound + 1).min(list.len());
    let window = list.get(bound / 2..end).unwrap_or_default();
    let start = bound / 2 + window.partition_point(|other| *other < id);
    list.get(start..).unwrap_or_default()
}

/// What is in any of the lists, of which no two share a number.
pub(super) fn union_of_disjoint(lists: &[&[u32]]) -> Vec<u32> {
    let total = lists.iter().map(|list| list.len()).sum();
    let low = lists.iter().filter_map(|list| list.first()).min().copied().unwrap_or_default();
    let high = lists.iter().filter_map(|list| list.last()).max().copied().unwrap_or_default();
    // Numbers that are not scattered are sorted fastest by setting bits.
    if (high - low) as usize / 64 < total {
        let mut bits = Bits::between(low, high);
        lists.iter().for_each(|list| bits.set(list));
        return bits.numbers(total);
    }
    let mut union = Vec::with_capacity(total);
    lists.iter().for_each(|list| union.extend_from_slice(list));
    union.sort_unstable();
    union
}

/// A list as bits, to ask for single numbers.
pub(super) struct Bits {
    first: u32,
    words: Vec<u64>,
}

impl Bits {
    /// A bit for each number from `first` to `last`, none set.
    fn between(first: u32, last: u32) -> Self {
        Self { first, words: vec![0; (last - first) as usize / 64 + 1] }
    }

    /// The bits of a sorted list; `None` where it is so scattered that they take more than `words_max` words.
    pub(super) fn new(list: &[u32], words_max: usize) -> Option<Self> {
        let (first, last) = (*list.first()?, *list.last()?);
        if (last - first) as usize / 64 >= words_max {
            return None;
        }
        let mut bits = Self::between(first, last);
        bits.set(list);
        Some(bits)
    }

    fn set(&mut self, list: &[u32]) {
        for id in list {
            if let Some(word) = self.words.get_mut((id - self.first) as usize / 64) {
                *word |= 1 << ((id - self.first) % 64);
            }
        }
    }

    /// Whether one of the numbers of `list` is there.
    pub(super) fn contain_any(&self, list: &[u32]) -> bool {
        list.iter().any(|id| {
            let word = id.checked_sub(self.first).and_then(|at| self.words.get(at as usize / 64));
            word.is_some_and(|word| word >> ((id - self.first) % 64) & 1 == 1)
        })
    }

    /// The numbers, sorted.
    fn numbers(&self, capacity: usize) -> Vec<u32> {
        let mut numbers = Vec::with_capacity(capacity);
        for (word, at) in self.words.iter().zip(0u32..) {
            let mut left = *word;
            while left != 0 {
                numbers.push(self.first + at * 64 + left.trailing_zeros());
                left &= left - 1;
            }
        }
        numbers
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn numbers() -> impl Strategy<Value = BTreeSet<u32>> {
        let scattered = proptest::collection::btree_set(any::<u32>(), 0..50);
        prop_oneof![proptest::collection::btree_set(0u32..300, 0..200), scattered]
    }

    fn list(set: &BTreeSet<u32>) -> Vec<u32> {
        set.iter().copied().collect()
    }

    proptest! {
        #[test]
        fn set_operations(a in numbers(), b in numbers(), order in any::<bool>()) {
            let mut inserted = Vec::new();
            let ids: Vec<u32> = if order { list(&a) } else { a.iter().rev().copied().collect() };
            ids.into_iter().for_each(|id| insert_sorted(&mut inserted, id));
            prop_assert_eq!(&inserted, &list(&a));

            let (mut both, mut only_a) = (list(&a), list(&a));
            intersect(&mut both, &list(&b));
            prop_assert_eq!(both, list(&(&a & &b)));
            subtract(&mut only_a, &list(&b));
            prop_assert_eq!(&only_a, &list(&(&a - &b)));
            if let Some(bits) = Bits::new(&list(&a), 100) {
                prop_assert_eq!(bits.contain_any(&list(&b)), !(&a & &b).is_empty());
            }
            prop_assert_eq!(union_of_disjoint(&[&only_a, &list(&b)]), list(&(&a | &b)));
        }
    }

    #[test]
    fn no_list_is_an_empty_union() {
        assert!(union_of_disjoint(&[]).is_empty());
        assert_eq!(union_of_disjoint(&[&[u32::MAX]]), [u32::MAX]);
    }
}
