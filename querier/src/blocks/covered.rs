//! Blocks that a selection need not read, since ingesters that answer it have every sample of theirs. Which those are is told by the
//! names of blocks, not by their times: somebody may have put others there for the same time.

use std::collections::BTreeSet;

use block::Meta;
use ulid::Ulid;

use super::outside::Outside;

/// Who merges blocks, as `meta.json` says it: what is in such a block is in its sources, series by series.
const COMPACTOR: &str = "compactor";

/// What others say in the section of Thanos of a block that is no more what its sources were.
const REWRITTEN: &str = "rewrites";

/// Whether all samples of a block are in the blocks that are covered, under the same labels.
pub(super) fn is_covered(meta: &Meta, outside: &Outside, covered: &BTreeSet<Ulid>) -> bool {
    // Labels that are put in or taken out make other series of them.
    if covered.is_empty() || !outside.is_nothing() {
        return false;
    }
    if covered.contains(&meta.ulid) {
        return true;
    }
    let sources = &meta.compaction.sources;
    meta.compaction.level > 1
        && is_merged_only(meta)
        && !sources.is_empty()
        && sources.iter().all(|source| covered.contains(source))
}

/// Whether a block was made by merging alone. Tools that change what is in a block keep its sources.
fn is_merged_only(meta: &Meta) -> bool {
    meta.thanos
        .as_ref()
        .is_some_and(|thanos| thanos.source == COMPACTOR && !thanos.others.contains_key(REWRITTEN))
}

#[cfg(test)]
mod tests {
    use block::meta::{Compaction, Stats, Thanos};
    use bucket::Layout;

    use super::*;

    fn meta(ulid: u128, level: u32, sources: &[u128], source: &str) -> Meta {
        let sources = sources.iter().copied().map(Ulid).collect();
        Meta {
            ulid: Ulid(ulid),
            min_time: 0,
            max_time: 1,
            stats: Stats::default(),
            compaction: Compaction { level, sources, ..Compaction::default() },
            version: 1,
            thanos: Some(Thanos { source: source.to_owned(), ..Thanos::default() }),
            others: Default::default(),
        }
    }

    #[test]
    fn a_block_is_covered_by_its_name_or_by_those_of_all_of_its_sources() {
        let covered = BTreeSet::from([1, 2, 3].map(Ulid));
        let is = |meta: &Meta| is_covered(meta, &Outside::default(), &covered);
        assert!(is(&meta(1, 1, &[1], "receive")));
        assert!(!is(&meta(4, 1, &[4], "receive")));
        assert!(is(&meta(9, 2, &[1, 3], "compactor")));
        assert!(!is(&meta(9, 2, &[1, 4], "compactor")), "one is somebody else's");
        assert!(!is(&meta(9, 2, &[], "compactor")), "nobody knows what is in it");
        assert!(!is(&meta(9, 1, &[1], "bucket.rewrite")) && !is(&meta(9, 2, &[1], "bucket.rewrite")));
        let mut rewritten = meta(9, 2, &[1], "compactor");
        assert!(is(&rewritten));
        rewritten.thanos.iter_mut().for_each(|thanos| {
            thanos.others.insert(REWRITTEN.to_owned(), serde_json::json!([{}]));
        });
        assert!(!is(&rewritten));
        assert!(!is(&Meta { thanos: None, ..meta(9, 2, &[1], "") }));
        assert!(!is_covered(&meta(1, 1, &[1], "receive"), &Outside::default(), &BTreeSet::new()));
    }

    #[test]
    fn with_labels_from_outside_nothing_is_covered() {
        let covered = BTreeSet::from([Ulid(1)]);
        let mut meta = meta(1, 1, &[1], "receive");
        let of = |meta: &Meta, replicas: &[&str]| {
            let replicas: Vec<String> = replicas.iter().map(|label| (*label).to_owned()).collect();
            is_covered(meta, &Outside::of(Layout::Thanos, meta, &replicas), &covered)
        };
        assert!(of(&meta, &[]));
        assert!(!of(&meta, &["replica"]));
        let labels = [("cluster".to_owned(), "one".to_owned())];
        meta.thanos.iter_mut().for_each(|thanos| thanos.labels = labels.clone().into());
        assert!(!of(&meta, &[]));
    }
}
