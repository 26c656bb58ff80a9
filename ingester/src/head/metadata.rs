//! Metadata of one tenant: what was said about each metric family, newest first, in bounded number.

use std::collections::BTreeMap;

use model::Metadata;
use proto::FamilyMetadata;

/// So many different metadata are kept of one family; senders rarely disagree.
const ENTRIES_PER_FAMILY: usize = 8;

/// Metadata by family.
#[derive(Default)]
pub(crate) struct FamilyMap {
    families: BTreeMap<String, Vec<Metadata>>,
}

impl FamilyMap {
    /// Whether `metadata` is the newest that is known of `family`, so that nothing would change.
    pub(crate) fn is_current(&self, family: &str, metadata: &Metadata) -> bool {
        self.families.get(family).is_some_and(|entries| entries.first() == Some(metadata))
    }

    /// Whether anything is known of `family`.
    pub(crate) fn knows(&self, family: &str) -> bool {
        self.families.contains_key(family)
    }

    /// Whether `family` is known, or may become known with at most `max_families`.
    pub(crate) fn has_room(&self, family: &str, max_families: usize) -> bool {
        self.families.len() < max_families || self.families.contains_key(family)
    }

    /// Takes `metadata` as the newest of `family`.
    pub(crate) fn set(&mut self, family: &str, metadata: Metadata) {
        let entries = self.families.entry(family.to_owned()).or_default();
        entries.retain(|m| *m != metadata);
        entries.insert(0, metadata);
        entries.truncate(ENTRIES_PER_FAMILY);
    }

    /// All families, or one, within the limits (0: none).
    pub(crate) fn list(&self, family: Option<&str>, limit: usize, per_family: usize) -> Vec<FamilyMetadata> {
        let unlimited = |n: usize| if n == 0 { usize::MAX } else { n };
        let wanted = |name: &str| family.is_none_or(|f| f == name);
        self.families
            .iter()
            .filter(|(name, _)| wanted(name))
            .take(unlimited(limit))
            .map(|(name, entries)| FamilyMetadata {
                family: name.clone(),
                entries: entries.iter().take(unlimited(per_family)).cloned().collect(),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use model::MetricType;

    use super::*;

    fn counter(help: &str) -> Metadata {
        Metadata { metric_type: MetricType::Counter, help: help.to_owned(), unit: String::new() }
    }

    #[test]
    fn newest_first_and_bounded() {
        let mut map = FamilyMap::default();
        for i in 0..20 {
            map.set("f", counter(&i.to_string()));
        }
        map.set("f", counter("15"));
        assert!(map.is_current("f", &counter("15")));
        let listed = map.list(None, 0, 0);
        assert_eq!(listed[0].entries.len(), ENTRIES_PER_FAMILY);
        assert_eq!(listed[0].entries[1], counter("19"));
        assert!(map.has_room("f", 1) && !map.has_room("g", 1));
        assert_eq!(map.list(Some("g"), 0, 0), []);
    }
}
