//! The order of series by their labels, found from numbers of symbols: texts are compared once for each value that
//! distinguishes series, not for each pair of series.

use std::cmp::Ordering;
use std::ops::Range;

use hashbrown::HashMap;

use crate::index::{LabelIds, Symbols};

/// So few series are sorted by comparing them.
const FEW: usize = 12;

/// A series to be sorted.
#[derive(Clone, Copy)]
struct Item<'a> {
    labels: &'a [(u32, u32)],
    at: usize,
}

/// Sorts series by the texts of their labels: by the first pair that differs, its name, then its value; labels that are
/// the beginning of others come first. `labels` says which a series has.
pub(crate) fn sort_by_labels<S: Clone>(
    series: &mut Vec<S>,
    symbols: &Symbols,
    labels: impl Fn(&S) -> &LabelIds,
) {
    let item = |(at, series)| Item { labels: labels(series).pairs(), at };
    let mut items: Vec<Item<'_>> = series.iter().enumerate().map(item).collect();
    sort(&mut items, symbols);
    *series = items.iter().filter_map(|item| series.get(item.at).cloned()).collect();
}

/// Divides the series by their first label, each part by the second, and so on.
fn sort(items: &mut [Item<'_>], symbols: &Symbols) {
    let mut scratch = Scratch::default();
    let mut parts: Vec<(Range<usize>, usize)> = vec![(0..items.len(), 0)];
    while let Some((range, depth)) = parts.pop() {
        let Some(part) = items.get_mut(range.clone()) else { continue };
        if part.len() <= FEW {
            part.sort_unstable_by(|a, b| compare(rest(a, depth), rest(b, depth), symbols));
            continue;
        }
        let first = part.first().and_then(|item| item.labels.get(depth));
        if part.iter().all(|item| item.labels.get(depth) == first) {
            // Series with equal labels stay as they are.
            if first.is_some() {
                parts.push((range, depth + 1));
            }
            continue;
        }
        scratch.divide(part, depth, symbols);
        let mut start = range.start;
        for (_, count) in &scratch.pairs {
            parts.push((start..start + count, depth + 1));
            start += count;
        }
    }
}

fn rest<'a>(item: &Item<'a>, depth: usize) -> &'a [(u32, u32)] {
    item.labels.get(depth..).unwrap_or_default()
}

/// Pairs of numbers by their texts.
fn compare(a: &[(u32, u32)], b: &[(u32, u32)], symbols: &Symbols) -> Ordering {
    match a.iter().zip(b).find(|(a, b)| a != b) {
        Some((a, b)) => compare_pairs(*a, *b, symbols),
        None => a.len().cmp(&b.len()),
    }
}

fn compare_pairs(a: (u32, u32), b: (u32, u32), symbols: &Symbols) -> Ordering {
    let names = if a.0 == b.0 { Ordering::Equal } else { symbols.get(a.0).cmp(symbols.get(b.0)) };
    names.then_with(|| symbols.get(a.1).cmp(symbols.get(b.1)))
}

/// What dividing needs, kept from one part to the next.
#[derive(Default)]
struct Scratch<'a> {
    /// The pairs that distinguish the series, and how many series have each; sorted in the end.
    pairs: Vec<(Option<(u32, u32)>, usize)>,
    numbers: HashMap<Option<(u32, u32)>, usize>,
    /// The number of each series' pair, in the order in which they were met.
    of_items: Vec<usize>,
    sorted: Vec<Item<'a>>,
}

impl<'a> Scratch<'a> {
    /// Sorts series by their label at `depth`; `pairs` says how many have which.
    fn divide(&mut self, items: &mut [Item<'a>], depth: usize, symbols: &Symbols) {
        self.pairs.clear();
        self.numbers.clear();
        self.of_items.clear();
        for item in items.iter() {
            let pair = item.labels.get(depth).copied();
            let number = *self.numbers.entry(pair).or_insert_with(|| {
                self.pairs.push((pair, 0));
                self.pairs.len() - 1
            });
            self.pairs[number].1 += 1;
            self.of_items.push(number);
        }
        let mut order: Vec<usize> = (0..self.pairs.len()).collect();
        order.sort_unstable_by(|a, b| match (self.pairs[*a].0, self.pairs[*b].0) {
            (Some(a), Some(b)) => compare_pairs(a, b, symbols),
            (a, b) => a.is_some().cmp(&b.is_some()),
        });
        let mut places = vec![0; order.len()];
        let mut place = 0;
        for number in &order {
            places[*number] = place;
            place += self.pairs[*number].1;
        }
        self.sorted.clear();
        self.sorted.extend_from_slice(items);
        for (item, number) in self.sorted.iter().zip(&self.of_items) {
            items[places[*number]] = *item;
            places[*number] += 1;
        }
        self.pairs = order.iter().map(|number| self.pairs[*number]).collect();
    }
}

#[cfg(test)]
mod tests {
    use model::Labels;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn is_the_order_of_labels(
            sets in prop::collection::vec(
                prop::collection::btree_map("[abc]", "[xyz]{1,2}", 0..4), 0..120
            )
        ) {
            let mut symbols = Symbols::default();
            let pairs = |set: &std::collections::BTreeMap<String, String>, symbols: &mut Symbols| {
                LabelIds::acquire(symbols, set.iter().map(|(n, v)| (n.as_str(), v.as_str())))
            };
            let mut series: Vec<LabelIds> = sets.iter().map(|set| pairs(set, &mut symbols)).collect();
            sort_by_labels(&mut series, &symbols, |series| series);
            let sorted: Vec<Labels> = series.iter().map(|series| series.to_labels(&symbols)).collect();
            let mut expected: Vec<Labels> = sets.iter().map(Labels::from_pairs).collect();
            expected.sort();
            prop_assert_eq!(sorted, expected);
        }
    }
}
