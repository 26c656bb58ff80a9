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
    at: u32,
}

/// Sorts series by the texts of their labels: by the first pair that differs, its name, then its value; labels that are
/// the beginning of others come first. `labels` says which a series has. Of series there are at most as many as a head
/// numbers, 4 billion.
pub(crate) fn sort_by_labels<S>(series: &mut [S], symbols: &Symbols, labels: impl Fn(&S) -> &LabelIds) {
    let item = |(series, at)| Item { labels: labels(series).pairs(), at };
    let mut items: Vec<Item<'_>> = series.iter().zip(0..).map(item).collect();
    sort(&mut items, symbols);
    let mut targets = vec![0; series.len()];
    for (item, target) in items.iter().zip(0..) {
        if let Some(own) = targets.get_mut(item.at as usize) {
            *own = target;
        }
    }
    drop(items);
    permute(series, &mut targets);
}

/// Puts each item where it belongs: `targets` says where, each place once. It is in order then, too.
fn permute<T>(items: &mut [T], targets: &mut [u32]) {
    for at in 0..items.len().min(targets.len()) {
        while targets[at] as usize != at {
            let target = targets[at] as usize;
            items.swap(at, target);
            targets.swap(at, target);
        }
    }
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
            let end = start + *count as usize;
            parts.push((start..end, depth + 1));
            start = end;
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
struct Scratch {
    /// The pairs that distinguish the series, and how many series have each; sorted in the end.
    pairs: Vec<(Option<(u32, u32)>, u32)>,
    numbers: HashMap<Option<(u32, u32)>, u32>,
    /// By the number of a pair, in the order in which they were met: where the next series goes that has it.
    places: Vec<u32>,
    /// The number of each series' pair, and then where the series goes.
    targets: Vec<u32>,
}

impl Scratch {
    /// Sorts series by their label at `depth`; `pairs` says how many have which.
    fn divide(&mut self, items: &mut [Item<'_>], depth: usize, symbols: &Symbols) {
        self.pairs.clear();
        self.numbers.clear();
        self.targets.clear();
        for item in items.iter() {
            let pair = item.labels.get(depth).copied();
            let number = *self.numbers.entry(pair).or_insert_with(|| {
                self.pairs.push((pair, 0));
                self.pairs.len() as u32 - 1
            });
            self.pairs[number as usize].1 += 1;
            self.targets.push(number);
        }
        let mut order: Vec<u32> = (0..self.pairs.len() as u32).collect();
        let pair_of = |number: &u32| self.pairs[*number as usize];
        order.sort_unstable_by(|a, b| match (pair_of(a).0, pair_of(b).0) {
            (Some(a), Some(b)) => compare_pairs(a, b, symbols),
            (a, b) => a.is_some().cmp(&b.is_some()),
        });
        self.places.clear();
        self.places.resize(order.len(), 0);
        let mut place = 0;
        for number in &order {
            self.places[*number as usize] = place;
            place += pair_of(number).1;
        }
        for target in &mut self.targets {
            let place = &mut self.places[*target as usize];
            *target = *place;
            *place += 1;
        }
        permute(items, &mut self.targets);
        self.pairs = order.iter().map(pair_of).collect();
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
