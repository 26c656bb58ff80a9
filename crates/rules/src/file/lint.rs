//! What is allowed, but hardly meant.

use std::collections::BTreeMap;

use super::RuleGroup;

/// Rules of one name with the same labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Duplicate {
    /// The name of the metric or of the alert.
    pub name: String,
    /// Their labels, those of the group included.
    pub labels: BTreeMap<String, String>,
    /// How many there are.
    pub count: usize,
}

/// Rules that stand more than once, by name and labels.
pub fn duplicates(groups: &[RuleGroup]) -> Vec<Duplicate> {
    let mut counts = BTreeMap::new();
    for group in groups {
        for rule in &group.rules {
            let mut labels = group.labels.clone();
            labels.extend(rule.labels.clone());
            *counts.entry((rule.name.clone(), labels)).or_insert(0usize) += 1;
        }
    }
    let several = counts.into_iter().filter(|(_, count)| *count > 1);
    several.map(|((name, labels), count)| Duplicate { name, labels, count }).collect()
}
