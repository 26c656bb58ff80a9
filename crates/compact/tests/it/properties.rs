//! Whatever blocks there are.

use std::collections::BTreeSet;

use compact::{Block, Rules, Shard, plan};
use proptest::prelude::*;
use ulid::Ulid;

use crate::model::{Bucket, HOUR, block, rules};

fn shards() -> impl Strategy<Value = Shard> {
    let one = |count: u32| (0..count as usize).prop_map(move |n| Shard::all(count).nth(n).expect("a part"));
    prop_oneof![4 => Just(Shard::WHOLE), 1 => one(2), 1 => one(4), 1 => one(3)]
}

fn blocks() -> impl Strategy<Value = Vec<Block>> {
    let one = (0..200_i64, prop_oneof![5 => Just(2_i64), 1 => 1..30_i64], shards(), 1..9_000_u64, 0..20_i64);
    let one = (one, any::<(bool, bool, bool, bool, bool, bool)>());
    prop::collection::vec(one, 0..40).prop_map(|all| {
        let make = |(i, ((from, hours, shard, series, late), (a, b, c, d, e, f)))| {
            let mut block = block(i as u64 + 1, from, hours);
            block.shard = shard;
            block.series = series;
            block.bytes = series * 300;
            block.uploaded_ms += late * HOUR;
            block.is_excluded = a && b && c && d;
            if e && f {
                block.labels.insert("cluster".to_owned(), "b".to_owned());
            }
            block
        };
        all.into_iter().enumerate().map(make).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn nothing_is_lost_and_it_comes_to_an_end(blocks in blocks(), replicas in 1..4_u32) {
        let rules = Rules { replicas, ..rules() };
        let mut bucket = Bucket::new(blocks);
        let before = bucket.samples();
        bucket.settle(&rules, 1_000 * HOUR);
        prop_assert_eq!(bucket.samples(), before);
        // Each sample is there once, but for blocks that are left alone.
        let plan = bucket.plan(&rules, 100_000 * HOUR);
        let left: BTreeSet<Ulid> = plan.left.iter().map(|left| left.block).collect();
        let all: Vec<_> = bucket.blocks.iter().filter(|(id, _)| !left.contains(id)).flat_map(|(_, (_, s))| s).collect();
        prop_assert_eq!(all.len(), all.iter().collect::<BTreeSet<_>>().len());
    }

    #[test]
    fn a_crash_in_any_job_loses_nothing(blocks in blocks(), dies in prop::collection::vec(any::<bool>(), 40)) {
        let mut bucket = Bucket::new(blocks);
        let before = bucket.samples();
        let jobs = bucket.plan(&rules(), 1_000 * HOUR).jobs;
        for (job, dies) in jobs.iter().zip(dies) {
            bucket.run(job, 1_000 * HOUR, dies);
        }
        bucket.settle(&rules(), 1_001 * HOUR);
        prop_assert_eq!(bucket.samples(), before);
    }

    #[test]
    fn plans_are_sound(blocks in blocks(), now_hours in 0..260_i64, seed: u64) {
        let (rules, now) = (rules(), now_hours * HOUR);
        let planned = plan(&blocks, &rules, now);
        let mut seen = BTreeSet::new();
        for job in &planned.jobs {
            prop_assert!(job.window.end_ms + rules.wait_ms <= now);
            for input in &job.inputs {
                prop_assert!(seen.insert(*input), "{input} is in two jobs");
                let block = blocks.iter().find(|block| block.id == *input).expect("a block");
                prop_assert!(block.uploaded_ms + rules.settle_ms <= now);
                prop_assert!(!block.is_excluded && block.labels == job.labels);
                prop_assert!(job.window.start_ms <= block.min_ms && block.max_ms <= job.window.end_ms);
                // Every series of it has a place.
                for slot in (0..240).filter(|slot| block.shard.has(*slot)) {
                    prop_assert_eq!(job.outputs.iter().filter(|output| output.has(slot)).count(), 1);
                }
            }
        }
        let mut others = blocks;
        others.sort_by_key(|block| block.id.0.wrapping_mul(u128::from(seed | 1)) % 1_000_003);
        prop_assert_eq!(plan(&others, &rules, now), planned);
    }
}

/// A million blocks of a tenant: three replicas of each two hours of many sets of labels.
#[test]
fn a_million_blocks_are_planned() {
    let mut blocks = Vec::new();
    for i in 0..1_000_000_u64 {
        let mut one = block(i + 1, 2 * (i as i64 / 3 % 4_000), 2);
        one.labels.insert("replica".to_owned(), (i / 12_000).to_string());
        blocks.push(one);
    }
    let jobs = plan(&blocks, &rules(), 9_000 * HOUR).jobs;
    let inputs: usize = jobs.iter().map(|job| job.inputs.len()).sum();
    assert!(inputs > 990_000, "{inputs} in {} jobs", jobs.len());
    assert!(jobs.iter().all(|job| job.inputs.len() == 3));
}
