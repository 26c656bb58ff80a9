//! Label sets: sorted by name, names unique, values never empty.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64;

use crate::METRIC_NAME;

/// An immutable label set. Cheap to clone. Sorted by name; names are unique; a label with an empty value is the same
/// as no label and is never stored.
///
/// It is one text: each name and value behind its length. Lengths are written in ASCII (`push_length`), so that the
/// whole is a text of which parts can be lent.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Labels(Arc<str>);

/// A byte of a length holds six bits of it, the lowest first, ...
const LENGTH_BITS: u32 = 6;
/// ... and this one where more follow.
const MORE: u8 = 1 << LENGTH_BITS;

/// Appends a length: up to 63 takes a byte, up to 4,095 two.
#[inline]
fn push_length(out: &mut String, mut length: usize) {
    while length >= usize::from(MORE) {
        out.push(char::from(MORE | (length & usize::from(MORE - 1)) as u8));
        length >>= LENGTH_BITS;
    }
    out.push(char::from(length as u8));
}

/// Appends a label.
#[inline]
fn push_label(out: &mut String, name: &str, value: &str) {
    for text in [name, value] {
        push_length(out, text.len());
        out.push_str(text);
    }
}

/// The labels of a set, by name.
#[derive(Debug, Clone)]
pub struct LabelsIter<'a>(&'a str);

impl<'a> LabelsIter<'a> {
    /// The next name or value.
    #[inline]
    fn text(&mut self) -> Option<&'a str> {
        let (length, start) = match *self.0.as_bytes() {
            [length, ..] if length < MORE => (usize::from(length), 1),
            [] => return None,
            _ => self.long(),
        };
        let (text, rest) = self.0[start..].split_at(length);
        self.0 = rest;
        Some(text)
    }

    /// A length of several bytes, and how many.
    #[cold]
    fn long(&self) -> (usize, usize) {
        let (mut length, mut shift, mut bytes) = (0, 0, 0);
        for byte in self.0.bytes() {
            length |= usize::from(byte & (MORE - 1)) << shift;
            shift += LENGTH_BITS;
            bytes += 1;
            if byte < MORE {
                break;
            }
        }
        (length, bytes)
    }
}

impl<'a> Iterator for LabelsIter<'a> {
    type Item = (&'a str, &'a str);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        Some((self.text()?, self.text()?))
    }
}

impl Labels {
    /// No labels.
    pub fn empty() -> Self {
        Self::from_sorted([])
    }

    /// The label set of these pairs, in any order. Of several pairs with one name the last wins; empty values are
    /// dropped.
    pub fn from_pairs<N: AsRef<str>, V: AsRef<str>>(pairs: impl IntoIterator<Item = (N, V)>) -> Self {
        let mut builder = LabelsBuilder::default();
        for (name, value) in pairs {
            builder.set(name.as_ref(), value.as_ref());
        }
        builder.build()
    }

    /// The label set of pairs that are sorted by name already, have no name twice and no empty value.
    pub fn from_sorted<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut text = String::with_capacity(512);
        for (name, value) in pairs {
            push_label(&mut text, name, value);
        }
        Self::of_text(&text)
    }

    /// The set that a text is.
    fn of_text(text: &str) -> Self {
        let labels = Self(text.into());
        debug_assert!(
            labels.iter().zip(labels.iter().skip(1)).all(|(a, b)| a.0 < b.0),
            "labels out of order: {labels}"
        );
        labels
    }

    /// How many labels there are.
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The pairs of name and value, by name.
    #[inline]
    pub fn iter(&self) -> LabelsIter<'_> {
        LabelsIter(&self.0)
    }

    /// The value of the label `name`, if it is there.
    pub fn get(&self, name: &str) -> Option<&str> {
        // Sets are small: walking them in order beats a search.
        for (n, v) in self.iter() {
            match n.cmp(name) {
                Ordering::Less => {}
                Ordering::Equal => return Some(v),
                Ordering::Greater => return None,
            }
        }
        None
    }

    /// The value of the label `name`, or the empty text, which means the same as no label.
    pub fn get_or_empty(&self, name: &str) -> &str {
        self.get(name).unwrap_or("")
    }

    /// The metric's name, if it has one.
    pub fn metric_name(&self) -> Option<&str> {
        self.get(METRIC_NAME)
    }

    /// A builder that starts from this set.
    pub fn to_builder(&self) -> LabelsBuilder {
        LabelsBuilder { pairs: self.iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect() }
    }

    /// This set without the label `name`.
    pub fn without(&self, name: &str) -> Self {
        if self.get(name).is_none() {
            return self.clone();
        }
        Self::from_sorted(self.iter().filter(|(n, _)| *n != name))
    }

    /// How many bytes of heap this set occupies, not counting clones that share it.
    pub fn heap_bytes(&self) -> usize {
        self.0.len() + 2 * size_of::<usize>()
    }

    /// The whole set as bytes: equal for equal sets, different for different ones. What they mean is not told; they are
    /// for hashing and for keys inside one process.
    pub fn as_key(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// A hash of the whole set, in one pass: the same on every machine of one version. The ring's is another one,
    /// [`SeriesHash`](crate::SeriesHash).
    pub fn key_hash(&self) -> u64 {
        xxh3_64(self.as_key())
    }
}

impl Default for Labels {
    fn default() -> Self {
        Self::empty()
    }
}

/// By the first pair that differs: its name, then its value; a set that is the beginning of another comes first.
/// This is the order of Prometheus' results.
impl Ord for Labels {
    fn cmp(&self, other: &Self) -> Ordering {
        // What neighbours in an order have in common is found in one go; then only the first pair that differs is compared.
        let common = common_prefix(self.0.as_bytes(), other.0.as_bytes());
        let (mut pairs, mut before) = (self.iter(), 0);
        loop {
            let here = pairs.clone();
            let end = match pairs.next() {
                Some(_) => self.0.len() - pairs.0.len(),
                None => usize::MAX,
            };
            if end > common {
                let mut there = LabelsIter(&other.0[before..]);
                return here.clone().next().cmp(&there.next());
            }
            before = end;
        }
    }
}

/// How many bytes two texts begin with that are the same.
#[inline]
fn common_prefix(a: &[u8], b: &[u8]) -> usize {
    const BLOCK: usize = 16;
    let blocks = a.chunks_exact(BLOCK).zip(b.chunks_exact(BLOCK));
    let same = BLOCK * blocks.take_while(|(a, b)| a == b).count();
    same + a[same..].iter().zip(&b[same..]).take_while(|(a, b)| a == b).count()
}

impl PartialOrd for Labels {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// As PromQL writes a series without its name in front: `{a="1", b="2"}`.
impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (i, (name, value)) in self.iter().enumerate() {
            let comma = if i == 0 { "" } else { ", " };
            write!(f, "{comma}{name}={value:?}")?;
        }
        f.write_str("}")
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<'a> FromIterator<(&'a str, &'a str)> for Labels {
    fn from_iter<I: IntoIterator<Item = (&'a str, &'a str)>>(pairs: I) -> Self {
        Self::from_pairs(pairs)
    }
}

/// Makes label sets one after the other, of which neighbours begin with the same labels, as they do in any sorted list.
#[derive(Debug, Default)]
pub struct LabelsInARow {
    /// The last set.
    text: String,
    /// Where each of its labels ends.
    ends: Vec<usize>,
}

impl LabelsInARow {
    /// The set of the first `kept` labels of the last one, or all where it has fewer, with `rest` behind them. Names ascend
    /// over all of these, and no value is empty.
    pub fn next<'a>(&mut self, kept: usize, rest: impl IntoIterator<Item = (&'a str, &'a str)>) -> Labels {
        self.ends.truncate(kept);
        self.text.truncate(self.ends.last().copied().unwrap_or(0));
        for (name, value) in rest {
            push_label(&mut self.text, name, value);
            self.ends.push(self.text.len());
        }
        Labels::of_text(&self.text)
    }
}

/// A label set being changed.
#[derive(Debug, Clone, Default)]
pub struct LabelsBuilder {
    /// Sorted by name; values may not be empty.
    pairs: Vec<(String, String)>,
}

impl LabelsBuilder {
    /// Sets `name` to `value`; an empty value removes the label.
    pub fn set(&mut self, name: &str, value: &str) -> &mut Self {
        match (self.position(name), value.is_empty()) {
            (Ok(i), true) => drop(self.pairs.remove(i)),
            (Ok(i), false) => value.clone_into(&mut self.pairs[i].1),
            (Err(_), true) => {}
            (Err(i), false) => self.pairs.insert(i, (name.to_owned(), value.to_owned())),
        }
        self
    }

    /// Removes `name`, if it is there.
    pub fn remove(&mut self, name: &str) -> &mut Self {
        self.set(name, "")
    }

    /// Keeps the labels that `keep` says yes to.
    pub fn retain(&mut self, mut keep: impl FnMut(&str, &str) -> bool) -> &mut Self {
        self.pairs.retain(|(n, v)| keep(n, v));
        self
    }

    /// The value of `name`, if it is there.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.position(name).ok().map(|i| self.pairs[i].1.as_str())
    }

    /// The pairs, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs.iter().map(|(n, v)| (n.as_str(), v.as_str()))
    }

    /// The finished set.
    pub fn build(&self) -> Labels {
        Labels::from_sorted(self.iter())
    }

    fn position(&self, name: &str) -> Result<usize, usize> {
        self.pairs.binary_search_by(|(n, _)| n.as_str().cmp(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_sorted_unique_and_not_empty() {
        let labels = Labels::from_pairs([("b", "1"), ("a", "2"), ("c", ""), ("b", "3")]);
        assert_eq!(labels.iter().collect::<Vec<_>>(), [("a", "2"), ("b", "3")]);
        assert_eq!(labels.get("b"), Some("3"));
        assert_eq!(labels.get("c"), None);
        assert_eq!(labels.get("zz"), None);
        assert_eq!(labels.to_string(), r#"{a="2", b="3"}"#);
    }

    #[test]
    fn sets_in_a_row_are_what_each_is() {
        let texts = ["a", "bb", "c", "ü", &"x".repeat(100)];
        let mut row = LabelsInARow::default();
        let mut last: Vec<(&str, &str)> = Vec::new();
        for i in 0..4_000usize {
            let values = [i / 1_000, i / 100 % 7, i / 10 % 5, i % 5].map(|n| texts[n % texts.len()]);
            let names = ["e", "f", "gg", "h"];
            let pairs: Vec<_> = names.into_iter().zip(values).take(1 + (i / 3) % 4).collect();
            let kept = last.iter().zip(&pairs).take_while(|(a, b)| a == b).count();
            // Not all that could be kept has to be.
            let kept = if i % 17 == 0 { kept / 2 } else { kept };
            assert_eq!(row.next(kept, pairs[kept..].iter().copied()), Labels::from_pairs(pairs.clone()));
            last = pairs;
        }
    }

    #[test]
    fn order_is_by_first_difference() {
        let a = Labels::from_pairs([("a", "1")]);
        let ab = Labels::from_pairs([("a", "1"), ("b", "1")]);
        let b = Labels::from_pairs([("b", "0")]);
        assert!(Labels::empty() < a && a < ab && ab < b);
    }

    #[test]
    fn order_is_that_of_the_pairs_one_by_one() {
        let texts = ["", "a", "ab", "b", "aaaaaaaaaaaaaaaaaaaaaaaab", "ü", "üü", "\u{1}", "\u{7f}"];
        let long = ["x".repeat(63), "x".repeat(64), "x".repeat(65), "x".repeat(4_200), "x".repeat(64) + "y"];
        let texts: Vec<&str> = texts.into_iter().chain(long.iter().map(String::as_str)).collect();
        let mut sets = vec![Labels::empty()];
        for (i, x) in texts.iter().enumerate() {
            for (k, y) in texts.iter().enumerate() {
                sets.push(Labels::from_pairs([("a", *x), ("b", *y)]));
                sets.push(Labels::from_pairs([(texts[i.max(1)], *y), ("zz", texts[k % 4])]));
            }
        }
        for a in &sets {
            for b in &sets {
                assert_eq!(a.cmp(b), a.iter().cmp(b.iter()), "{a:?} and {b:?}");
            }
        }
    }

    #[test]
    fn without_and_builder_leave_the_original_alone() {
        let labels = Labels::from_pairs([("__name__", "up"), ("job", "x")]);
        assert_eq!(labels.without(METRIC_NAME), Labels::from_pairs([("job", "x")]));
        let mut builder = labels.to_builder();
        builder.set("job", "y").remove("__name__").set("new", "1");
        assert_eq!(builder.build(), Labels::from_pairs([("job", "y"), ("new", "1")]));
        assert_eq!(labels.metric_name(), Some("up"));
    }

    #[test]
    fn long_texts_and_many_labels() {
        for length in [1, 63, 64, 65, 4_095, 4_096, 300_000] {
            let (name, value) = ("n".repeat(length), "ü".repeat(length));
            let labels = Labels::from_pairs([(name.as_str(), value.as_str()), ("z", "1")]);
            assert_eq!(labels.iter().collect::<Vec<_>>(), [(name.as_str(), value.as_str()), ("z", "1")]);
            assert_eq!(labels.get("z"), Some("1"));
        }
        for count in [0, 1, 63, 64, 5_000] {
            let labels = Labels::from_pairs((0..count).map(|i| (format!("l{i:05}"), "v")));
            assert_eq!((labels.len(), labels.iter().count()), (count, count));
            assert_eq!(labels.is_empty(), count == 0);
        }
    }

    #[test]
    fn names_and_values_that_run_together_differ() {
        assert_ne!(Labels::from_pairs([("ab", "c")]), Labels::from_pairs([("a", "bc")]));
    }
}
