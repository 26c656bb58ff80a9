//! Blocks all of whose samples are in others: what stays of a job that ended between writing and marking.

use std::collections::{BTreeMap, BTreeSet};

use ulid::Ulid;

use crate::block::Block;
use crate::plan::Contained;
use crate::shard::Shard;

/// The blocks whose samples are all in others of the same labels, with those. `longest_ms` is a length no block of a ladder
/// is longer than: blocks are looked at together that begin within one such time, and those before and after it.
pub(crate) fn contained(blocks: &[&Block], longest_ms: i64) -> Vec<Contained> {
    let mut by_time: BTreeMap<i64, Vec<&Block>> = BTreeMap::new();
    for block in blocks {
        by_time.entry(block.min_ms.div_euclid(longest_ms)).or_default().push(block);
    }
    let mut found = Vec::new();
    for near in by_time.values() {
        let mut by_source: BTreeMap<Ulid, Vec<&Block>> = BTreeMap::new();
        for block in near.iter().filter(|block| block.level > 1) {
            for source in &block.sources {
                by_source.entry(*source).or_default().push(block);
            }
        }
        for block in near {
            let Some(first) = block.sources.first() else { continue };
            let others = by_source.get(first).map(Vec::as_slice).unwrap_or_default();
            if let Some(by) = containers(block, others) {
                found.push(Contained { block: block.id, by });
            }
        }
    }
    found
}

/// Those of `others` that have all of `block` together; `None` where they have not.
fn containers(block: &Block, others: &[&Block]) -> Option<Vec<Ulid>> {
    let all: Vec<&Block> = others.iter().copied().filter(|other| supersedes(other, block)).collect();
    if let Some(one) = all.iter().find(|other| other.shard.covers(block.shard)) {
        return Some(vec![one.id]);
    }
    // All parts of a split: of the same sources, and as many as there must be.
    let counts: BTreeSet<u32> = all.iter().map(|other| other.shard.count()).collect();
    for count in counts.into_iter().filter(|count| count.is_multiple_of(block.shard.count())) {
        let parts = Shard::all(count).filter(|part| block.shard.covers(*part));
        let have = parts.map(|part| all.iter().find(|other| other.shard == part).map(|other| other.id));
        if let Some(by) = have.collect::<Option<Vec<Ulid>>>() {
            return Some(by);
        }
    }
    None
}

/// Whether a later block has every source of `block`, and its times. Of two with the same sources the later one stays.
fn supersedes(other: &Block, block: &Block) -> bool {
    let later = (other.sources.len(), other.level, other.id) > (block.sources.len(), block.level, block.id);
    let has = |source: &Ulid| other.sources.binary_search(source).is_ok();
    other.id != block.id && later && other.spans(block) && block.sources.iter().all(has)
}
