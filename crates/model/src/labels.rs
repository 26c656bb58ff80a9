//! Label sets: sorted by name, names unique, values never empty.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::METRIC_NAME;

/// An immutable label set. Cheap to clone. Sorted by name; names are unique; a label with an empty value is the same
/// as no label and is never stored.
#[derive(Clone, PartialEq, Eq)]
pub struct Labels(Arc<Inner>);

/// All names and values one behind the other, and where each ends.
#[derive(PartialEq, Eq)]
struct Inner {
    text: Box<str>,
    ends: Box<[u32]>,
}

impl Labels {
    /// No labels.
    pub fn empty() -> Self {
        Self(Arc::new(Inner { text: "".into(), ends: Box::new([]) }))
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
        let mut text = String::new();
        let mut ends = Vec::new();
        for (name, value) in pairs {
            text.push_str(name);
            ends.push(text.len() as u32);
            text.push_str(value);
            ends.push(text.len() as u32);
        }
        let labels = Self(Arc::new(Inner { text: text.into(), ends: ends.into() }));
        debug_assert!(
            labels.iter().zip(labels.iter().skip(1)).all(|(a, b)| a.0 < b.0),
            "labels out of order: {labels}"
        );
        labels
    }

    /// How many labels there are.
    pub fn len(&self) -> usize {
        self.0.ends.len() / 2
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.ends.is_empty()
    }

    /// The pairs of name and value, by name.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&str, &str)> + ExactSizeIterator + Clone {
        (0..self.len()).map(|i| self.pair(i))
    }

    fn pair(&self, index: usize) -> (&str, &str) {
        let Inner { text, ends } = &*self.0;
        let start = if index == 0 { 0 } else { ends[2 * index - 1] as usize };
        let (middle, end) = (ends[2 * index] as usize, ends[2 * index + 1] as usize);
        (&text[start..middle], &text[middle..end])
    }

    /// The value of the label `name`, if it is there.
    pub fn get(&self, name: &str) -> Option<&str> {
        // Sets are small: walking them in order beats a binary search over two arrays.
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
        self.0.text.len() + self.0.ends.len() * size_of::<u32>() + size_of::<Inner>() + 2 * size_of::<usize>()
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
        self.iter().cmp(other.iter())
    }
}

impl PartialOrd for Labels {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Hash for Labels {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.text.hash(state);
        self.0.ends.hash(state);
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
    fn order_is_by_first_difference() {
        let a = Labels::from_pairs([("a", "1")]);
        let ab = Labels::from_pairs([("a", "1"), ("b", "1")]);
        let b = Labels::from_pairs([("b", "0")]);
        assert!(Labels::empty() < a && a < ab && ab < b);
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
    fn names_and_values_that_run_together_differ() {
        assert_ne!(Labels::from_pairs([("ab", "c")]), Labels::from_pairs([("a", "bc")]));
    }
}
