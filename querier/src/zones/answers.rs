//! Answers of several ingesters as one.

use std::collections::BTreeMap;

use model::{Exemplar, Labels};
use proto::{FamilyMetadata, SeriesExemplars};

/// Everything that one of them has, sorted, each once; at most `limit`, of which 0 means no limit. Ingesters leave out
/// what is behind their own first `limit`, so the first of all are there.
pub(super) fn union<T: Ord>(zones: Vec<Vec<Vec<T>>>, limit: usize) -> Vec<T> {
    let mut all: Vec<T> = zones.into_iter().flatten().flatten().collect();
    // Sorted runs are found and merged.
    all.sort();
    all.dedup();
    all.truncate(unlimited(limit));
    all
}

/// Metadata by family, each entry once.
pub(super) fn metadata(
    zones: Vec<Vec<Vec<FamilyMetadata>>>,
    limit: usize,
    limit_per_family: usize,
) -> Vec<FamilyMetadata> {
    let mut families = BTreeMap::<String, FamilyMetadata>::new();
    for family in zones.into_iter().flatten().flatten() {
        match families.get_mut(&family.family) {
            Some(known) => {
                for entry in family.entries {
                    if known.entries.len() < unlimited(limit_per_family) && !known.entries.contains(&entry) {
                        known.entries.push(entry);
                    }
                }
            }
            None => {
                families.insert(family.family.clone(), family);
            }
        }
    }
    families.into_values().take(unlimited(limit)).collect()
}

/// Exemplars by series, those of each series by time, each once.
pub(crate) fn exemplars(answers: impl Iterator<Item = SeriesExemplars>) -> Vec<SeriesExemplars> {
    let mut by_series = BTreeMap::<Labels, Vec<Exemplar>>::new();
    for series in answers {
        by_series.entry(series.labels).or_default().extend(series.exemplars);
    }
    let merge = |(labels, mut exemplars): (Labels, Vec<Exemplar>)| {
        let key = |e: &Exemplar| (e.timestamp_ms, e.value.to_bits());
        exemplars.sort_by(|a, b| key(a).cmp(&key(b)).then_with(|| a.labels.cmp(&b.labels)));
        exemplars.dedup_by(|a, b| key(a) == key(b) && a.labels == b.labels);
        SeriesExemplars { labels, exemplars }
    };
    by_series.into_iter().map(merge).collect()
}

fn unlimited(limit: usize) -> usize {
    if limit == 0 { usize::MAX } else { limit }
}
