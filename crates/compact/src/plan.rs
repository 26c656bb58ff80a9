//! From blocks to what is to be done with them.

use std::collections::{BTreeMap, BTreeSet};

use ulid::Ulid;

use crate::block::{Block, Window};
use crate::contained::contained;
use crate::ladder::Ladder;
use crate::shard::{MAX_SHARDS, Shard};

/// A block made for a window takes in late ones every so often: this part of the window's length, so that a trickle of late
/// samples does not write a large block anew all the time.
const LATE_PART: i64 = 4;

/// By which rules blocks are planned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// The spans that blocks grow into.
    pub ladder: Ladder,
    /// How long after the end of a window its blocks may still come, in milliseconds.
    pub wait_ms: i64,
    /// How long a block that was cut from a head is left alone after its upload, in milliseconds.
    pub settle_ms: i64,
    /// How old samples may become, in milliseconds; `None`: as old as they like.
    pub retention_ms: Option<i64>,
    /// How many series a block has at most: windows with more are split.
    pub max_series: u64,
    /// How many bytes a block has at most, likewise.
    pub max_bytes: u64,
    /// How often a sample is in blocks that were cut from heads: about as many times fewer series and bytes stay of them.
    pub replicas: u32,
}

/// What is to be done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// Blocks to be merged, those of short windows first, and of those of equal length the latest. No block is in two.
    pub jobs: Vec<Job>,
    /// Blocks to be dropped since others have their samples.
    pub contained: Vec<Contained>,
    /// Blocks to be dropped since all their samples are too old, oldest first.
    pub expired: Vec<Ulid>,
    /// Blocks that stay as they are whatever time it is, and why.
    pub left: Vec<Left>,
}

/// Blocks that are to be merged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// The window that they lie in.
    pub window: Window,
    /// The labels of their series besides their own, but for the shard.
    pub labels: BTreeMap<String, String>,
    /// What is merged, sorted.
    pub inputs: Vec<Ulid>,
    /// The parts that are written, in order: every series of the inputs is in one of them.
    pub outputs: Vec<Shard>,
}

/// A block all of whose samples are in others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contained {
    /// The block.
    pub block: Ulid,
    /// The others.
    pub by: Vec<Ulid>,
}

/// A block that stays as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Left {
    /// The block.
    pub block: Ulid,
    /// Why.
    pub reason: Reason,
}

/// Why a block stays as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// It is marked not to be merged.
    Excluded,
    /// It is downsampled.
    Downsampled,
    /// It reaches over the edge of the longest window.
    Unaligned,
}

impl Reason {
    /// In words.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Excluded => "marked not to be compacted",
            Self::Downsampled => "downsampled",
            Self::Unaligned => "in no window of the longest range",
        }
    }
}

impl Job {
    /// Its name among the jobs of its tenant: another set of blocks is another job.
    pub fn name(&self) -> String {
        let mut bytes = Vec::with_capacity(self.inputs.len() * 16);
        for input in &self.inputs {
            bytes.extend_from_slice(&input.to_bytes());
        }
        let length = self.window.end_ms - self.window.start_ms;
        format!("{}-{}-{:016x}", self.window.start_ms, length, xxhash_rust::xxh64::xxh64(&bytes, 0))
    }
}

/// What is to be done with a tenant's blocks at `now_ms`. Those that are marked to be deleted are not among `blocks`. The
/// order of `blocks` does not matter.
pub fn plan(blocks: &[Block], rules: &Rules, now_ms: i64) -> Plan {
    let mut plan = Plan::default();
    let mut groups: BTreeMap<&BTreeMap<String, String>, Vec<&Block>> = BTreeMap::new();
    let oldest = rules.retention_ms.map(|retention| now_ms.saturating_sub(retention));
    let mut expired: Vec<&Block> = Vec::new();
    for block in blocks {
        if oldest.is_some_and(|oldest| block.max_ms <= oldest) {
            expired.push(block);
            continue;
        }
        match stays(block, rules) {
            Some(reason) => plan.left.push(Left { block: block.id, reason }),
            None => groups.entry(&block.labels).or_default().push(block),
        }
    }
    expired.sort_unstable_by_key(|block| (block.max_ms, block.id));
    plan.expired = expired.into_iter().map(|block| block.id).collect();
    plan.left.sort_unstable_by_key(|left| left.block);
    for group in groups.values_mut() {
        group.sort_unstable_by_key(|block| block.id);
        let gone = contained(group, rules.ladder.longest_ms());
        let ids: BTreeSet<Ulid> = gone.iter().map(|contained| contained.block).collect();
        plan.contained.extend(gone);
        let settled = now_ms.saturating_sub(rules.settle_ms);
        // What was merged has no replicas that could still come.
        let is_settled = |block: &Block| block.level > 1 || block.uploaded_ms <= settled;
        group.retain(|block| !ids.contains(&block.id) && is_settled(block));
        plan.jobs.extend(jobs(group, rules, now_ms));
    }
    let length = |job: &Job| job.window.end_ms - job.window.start_ms;
    plan.jobs.sort_by_cached_key(|job| (length(job), -job.window.end_ms, job.inputs.clone()));
    plan.contained.sort_unstable_by_key(|contained| contained.block);
    plan
}

fn stays(block: &Block, rules: &Rules) -> Option<Reason> {
    if block.is_excluded {
        Some(Reason::Excluded)
    } else if block.is_downsampled {
        Some(Reason::Downsampled)
    } else if block.window(rules.ladder.longest_ms()).is_none() {
        Some(Reason::Unaligned)
    } else {
        None
    }
}

/// The jobs of blocks with the same labels.
fn jobs(blocks: &[&Block], rules: &Rules, now_ms: i64) -> Vec<Job> {
    let mut all = Vec::new();
    let mut taken: BTreeSet<Ulid> = BTreeSet::new();
    let mut shorter_ms = None;
    for length_ms in rules.ladder.lengths_ms() {
        let mut windows: BTreeMap<Window, Vec<&Block>> = BTreeMap::new();
        for block in blocks {
            if let Some(window) = block.window(*length_ms) {
                windows.entry(window).or_default().push(block);
            }
        }
        for (window, blocks) in windows {
            let is_due = window.end_ms.saturating_add(rules.wait_ms) <= now_ms;
            // What is merged in it now is merged with the rest of it the next time.
            if !is_due || blocks.iter().any(|block| taken.contains(&block.id)) {
                continue;
            }
            let step = Step { window, shorter_ms, rules, now_ms };
            for job in step.jobs(&blocks) {
                taken.extend(job.inputs.iter().copied());
                all.push(job);
            }
        }
        shorter_ms = Some(*length_ms);
    }
    all
}

/// A window that may be merged now.
struct Step<'a> {
    window: Window,
    /// The length of the step below; `None` on the lowest.
    shorter_ms: Option<i64>,
    rules: &'a Rules,
    now_ms: i64,
}

impl Step<'_> {
    fn jobs(&self, blocks: &[&Block]) -> Vec<Job> {
        let wanted = self.wanted_shards(blocks);
        meeting(blocks).into_iter().filter_map(|together| self.job(&together, wanted)).collect()
    }

    /// The job of blocks whose shards hang together, if there is something to do.
    fn job(&self, blocks: &[&Block], wanted: u32) -> Option<Job> {
        let first = blocks.first()?;
        let is_split = self.shorter_ms.is_none() && first.shard.count() < wanted;
        if (blocks.len() < 2 && !is_split) || self.is_early(blocks) {
            return None;
        }
        let count = output_count(blocks, wanted);
        let outputs =
            Shard::all(count).filter(|shard| blocks.iter().any(|block| block.shard.meets(*shard))).collect();
        let mut inputs: Vec<Ulid> = blocks.iter().map(|block| block.id).collect();
        inputs.sort_unstable();
        Some(Job { window: self.window, labels: first.labels.clone(), inputs, outputs })
    }

    /// Whether late blocks should wait for more of them before one that was made for this window takes them in.
    fn is_early(&self, blocks: &[&Block]) -> bool {
        let (made, late): (Vec<&&Block>, Vec<&&Block>) = blocks.iter().partition(|block| self.is_made(block));
        let oldest = late.iter().map(|block| block.uploaded_ms).min();
        let wait_ms = (self.window.end_ms - self.window.start_ms) / LATE_PART;
        !made.is_empty() && oldest.is_some_and(|oldest| oldest.saturating_add(wait_ms) > self.now_ms)
    }

    /// Whether a block is what was merged for this window, rather than for a part of it.
    fn is_made(&self, block: &Block) -> bool {
        block.level > 1 && self.shorter_ms.is_none_or(|shorter_ms| block.window(shorter_ms).is_none())
    }

    /// Into how many parts the series of the window should go. On higher steps series are not counted: they are the same
    /// ones again and again.
    fn wanted_shards(&self, blocks: &[&Block]) -> u32 {
        let sum = |of: fn(&Block) -> u64| {
            let (mut cut, mut merged) = (0_u64, 0_u64);
            for block in blocks {
                let sum = if block.level > 1 { &mut merged } else { &mut cut };
                *sum = sum.saturating_add(of(block));
            }
            merged.saturating_add(cut / u64::from(self.rules.replicas.max(1)))
        };
        let by_bytes = sum(|block| block.bytes).div_ceil(self.rules.max_bytes.max(1));
        let by_series = match self.shorter_ms {
            None => sum(|block| block.series).div_ceil(self.rules.max_series.max(1)),
            Some(_) => 1,
        };
        let wanted = by_bytes.max(by_series).clamp(1, u64::from(MAX_SHARDS));
        u32::try_from(wanted).unwrap_or(MAX_SHARDS).next_power_of_two()
    }
}

/// Into how many parts all series are to be divided, so that those of every block can be.
fn output_count(blocks: &[&Block], wanted: u32) -> u32 {
    let counts: BTreeSet<u32> = blocks.iter().map(|block| block.shard.count()).collect();
    let most = counts.last().copied().unwrap_or(1);
    match counts.len() {
        1 if wanted <= most => most,
        _ => most.max(wanted).next_power_of_two().min(MAX_SHARDS),
    }
}

/// Blocks in sets whose shards hang together: no series is in blocks of two sets.
fn meeting<'a>(blocks: &[&'a Block]) -> Vec<Vec<&'a Block>> {
    let mut by_shard: BTreeMap<Shard, Vec<&Block>> = BTreeMap::new();
    for block in blocks {
        by_shard.entry(block.shard).or_default().push(block);
    }
    let mut sets: Vec<(Vec<Shard>, Vec<&Block>)> = Vec::new();
    for (shard, blocks) in by_shard {
        let (mut together, mut others) = ((vec![shard], blocks), Vec::new());
        for set in sets {
            match set.0.iter().any(|known| known.meets(shard)) {
                true => {
                    together.0.extend(set.0);
                    together.1.extend(set.1);
                }
                false => others.push(set),
            }
        }
        others.push(together);
        sets = others;
    }
    sets.into_iter().map(|(_, blocks)| blocks).collect()
}
