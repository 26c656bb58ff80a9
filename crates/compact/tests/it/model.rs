//! Blocks whose samples are known: sources in slots of the hash. Jobs are carried out on them.

use std::collections::{BTreeMap, BTreeSet};

use compact::{Block, Job, Ladder, Plan, Rules, Shard, plan};
use ulid::Ulid;

pub(crate) const HOUR: i64 = 3_600_000;

/// Hashes that stand for all.
pub(crate) const SLOTS: u64 = 24;

pub(crate) fn ulid(number: u64) -> Ulid {
    Ulid(u128::from(number))
}

pub(crate) fn rules() -> Rules {
    Rules {
        ladder: Ladder::new([2 * HOUR, 12 * HOUR, 24 * HOUR, 168 * HOUR]).expect("a ladder"),
        wait_ms: 2 * HOUR,
        settle_ms: HOUR / 2,
        retention_ms: None,
        max_series: 1_000,
        max_bytes: 1_000_000,
        replicas: 1,
    }
}

pub(crate) fn block(id: u64, from_hour: i64, hours: i64) -> Block {
    Block {
        id: ulid(id),
        min_ms: from_hour * HOUR,
        max_ms: (from_hour + hours) * HOUR,
        level: 1,
        sources: vec![ulid(id)],
        labels: BTreeMap::new(),
        shard: Shard::WHOLE,
        series: 10,
        bytes: 1_000,
        uploaded_ms: (from_hour + hours + 1) * HOUR,
        is_downsampled: false,
        is_excluded: false,
    }
}

/// A sample: what it came from, and its slot.
type Sample = (Ulid, u64);

/// Blocks with their samples.
pub(crate) struct Bucket {
    pub(crate) blocks: BTreeMap<Ulid, (Block, BTreeSet<Sample>)>,
    next: u64,
}

impl Bucket {
    pub(crate) fn new(blocks: Vec<Block>) -> Self {
        let with_samples = blocks.into_iter().map(|block| {
            let slots = (0..SLOTS).filter(|slot| block.shard.has(*slot));
            let samples = block.sources.iter().flat_map(|s| slots.clone().map(|slot| (*s, slot))).collect();
            (block.id, (block, samples))
        });
        Self { blocks: with_samples.collect(), next: 1 << 40 }
    }

    pub(crate) fn list(&self) -> Vec<Block> {
        self.blocks.values().map(|(block, _)| block.clone()).collect()
    }

    pub(crate) fn samples(&self) -> BTreeSet<Sample> {
        self.blocks.values().flat_map(|(_, samples)| samples).copied().collect()
    }

    /// Carries a job out; its inputs stay where `keep` says so, as they do when whoever did it died.
    pub(crate) fn run(&mut self, job: &Job, now_ms: i64, keep: bool) {
        let inputs: Vec<(Block, BTreeSet<Sample>)> =
            job.inputs.iter().map(|id| self.blocks.get(id).expect("an input is there").clone()).collect();
        for shard in &job.outputs {
            let of_inputs = inputs.iter().flat_map(|(_, samples)| samples).copied();
            let samples: BTreeSet<Sample> = of_inputs.filter(|(_, slot)| shard.has(*slot)).collect();
            if samples.is_empty() {
                continue;
            }
            let sources: BTreeSet<Ulid> =
                inputs.iter().flat_map(|(block, _)| block.sources.clone()).collect();
            let of = |by: fn(&Block) -> u64| inputs.iter().map(|(block, _)| by(block)).sum::<u64>();
            let count = u64::from(shard.count());
            let block = Block {
                id: ulid(self.next),
                min_ms: inputs.iter().map(|(block, _)| block.min_ms).min().expect("inputs"),
                max_ms: inputs.iter().map(|(block, _)| block.max_ms).max().expect("inputs"),
                level: 1 + inputs.iter().map(|(block, _)| block.level).max().expect("inputs"),
                sources: sources.into_iter().collect(),
                labels: job.labels.clone(),
                shard: *shard,
                series: of(|block| block.series) / count,
                bytes: of(|block| block.bytes) / count,
                uploaded_ms: now_ms,
                is_downsampled: false,
                is_excluded: false,
            };
            self.next += 1;
            self.blocks.insert(block.id, (block, samples));
        }
        if !keep {
            for input in &job.inputs {
                self.blocks.remove(input);
            }
        }
    }

    pub(crate) fn plan(&self, rules: &Rules, now_ms: i64) -> Plan {
        plan(&self.list(), rules, now_ms)
    }

    /// Carries out plans until nothing is left to do; time goes on meanwhile. How many rounds it took.
    pub(crate) fn settle(&mut self, rules: &Rules, mut now_ms: i64) -> usize {
        for round in 0..200 {
            let plan = self.plan(rules, now_ms);
            if plan.jobs.is_empty() && plan.contained.is_empty() {
                return round;
            }
            for job in &plan.jobs {
                self.run(job, now_ms, false);
            }
            for contained in &plan.contained {
                self.blocks.remove(&contained.block);
            }
            now_ms += 200 * HOUR;
        }
        panic!("there is always something to do: {:?}", self.plan(rules, now_ms));
    }
}
