//! Plans that people would expect.

use compact::{Block, Reason, Rules, Shard, plan};

use crate::model::{Bucket, HOUR, block, rules, ulid};

fn inputs(blocks: &[Block], rules: &Rules, now_hours: i64) -> Vec<Vec<u64>> {
    let jobs = plan(blocks, rules, now_hours * HOUR).jobs;
    jobs.iter().map(|job| job.inputs.iter().map(|id| id.0 as u64).collect()).collect()
}

fn shard(text: &str) -> Shard {
    text.parse().expect("a shard")
}

#[test]
fn replicas_of_a_window_are_merged_once_it_is_over_and_they_have_settled() {
    let mut blocks = vec![block(1, 0, 2), block(2, 0, 2), block(3, 0, 2), block(4, 2, 2)];
    assert_eq!(inputs(&blocks, &rules(), 3), [[0; 0]; 0]);
    assert_eq!(inputs(&blocks, &rules(), 4), [[1, 2, 3]]);
    // One that has come just now is not touched, and does not keep the others from being merged.
    blocks[2].uploaded_ms = 4 * HOUR;
    assert_eq!(inputs(&blocks, &rules(), 4), [[1, 2]]);
}

#[test]
fn windows_grow_and_the_shorter_ones_come_first() {
    let blocks: Vec<Block> = (0..6).map(|i| block(i as u64 + 1, 2 * i, 2)).collect();
    assert_eq!(inputs(&blocks, &rules(), 13), [[0; 0]; 0]);
    assert_eq!(inputs(&blocks, &rules(), 14), [[1, 2, 3, 4, 5, 6]]);
    // While a window of it has replicas, the longer one waits.
    let replica = block(9, 4, 2);
    let with: Vec<Block> = blocks.iter().cloned().chain([replica]).collect();
    assert_eq!(inputs(&with, &rules(), 14), [[3, 9]]);
}

#[test]
fn what_has_other_labels_is_another_matter() {
    let mut other = block(2, 0, 2);
    other.labels.insert("cluster".to_owned(), "b".to_owned());
    let blocks = [block(1, 0, 2), other.clone(), block(3, 0, 2), Block { id: ulid(4), ..other }];
    assert_eq!(inputs(&blocks, &rules(), 100), [[1, 3], [2, 4]]);
}

#[test]
fn large_tenants_are_split() {
    let big = |id| Block { series: 3_000, ..block(id, 0, 2) };
    let outputs = |blocks: &[Block], rules: &Rules| -> Vec<String> {
        let jobs = plan(blocks, rules, 100 * HOUR).jobs;
        jobs.iter().flat_map(|job| &job.outputs).map(ToString::to_string).collect()
    };
    assert_eq!(outputs(&[big(1)], &rules()), ["1_of_4", "2_of_4", "3_of_4", "4_of_4"]);
    // Three replicas have about as many series as one.
    let rf3 = Rules { replicas: 3, max_series: 3_000, ..rules() };
    assert_eq!(outputs(&[big(1), big(2), big(3)], &rf3), ["1_of_1"]);
    // Blocks of another division go into the finer one; what does not meet is left apart.
    let parts = |id, text| Block { shard: shard(text), level: 2, ..block(id, 0, 2) };
    let blocks = [parts(1, "1_of_2"), parts(2, "2_of_2"), parts(3, "1_of_4"), parts(4, "3_of_4")];
    assert_eq!(inputs(&blocks, &rules(), 100), [[1, 3, 4]]);
    assert_eq!(outputs(&blocks, &rules()), ["1_of_4", "3_of_4"]);
}

#[test]
fn late_blocks_are_gathered_before_a_large_one_is_written_anew() {
    let day = Block { level: 3, ..block(1, 0, 24) };
    let late = |id, at_hour| Block { uploaded_ms: at_hour * HOUR, ..block(id, 3, 1) };
    let blocks = [day, late(2, 40), late(3, 43)];
    // The late ones are merged with each other at once, and with the day's a quarter of it after the first.
    assert_eq!(inputs(&blocks, &rules(), 44), [[2, 3]]);
    assert_eq!(inputs(&blocks[..2], &rules(), 44), [[0; 0]; 0]);
    assert_eq!(inputs(&blocks[..2], &rules(), 46), [[1, 2]]);
}

#[test]
fn what_is_too_old_goes_and_what_must_not_be_touched_stays() {
    let week = Block { is_downsampled: true, ..block(1, 0, 2) };
    let broken = Block { is_excluded: true, ..block(2, 0, 2) };
    let odd = block(3, 100, 100);
    let old = block(4, -20, 2);
    let rules = Rules { retention_ms: Some(100 * HOUR), ..rules() };
    let plan = plan(&[week, broken, odd, old, block(5, 0, 2)], &rules, 82 * HOUR);
    assert_eq!(plan.expired, [ulid(4)]);
    assert!(plan.jobs.is_empty());
    let reasons: Vec<_> = plan.left.iter().map(|left| (left.block.0, left.reason)).collect();
    assert_eq!(reasons, [(1, Reason::Downsampled), (2, Reason::Excluded), (3, Reason::Unaligned)]);
}

#[test]
fn what_a_crash_left_is_seen_to_be_contained() {
    let mut bucket = Bucket::new(vec![
        Block { series: 3_000, ..block(1, 0, 2) },
        Block { series: 1_000, ..block(2, 0, 2) },
    ]);
    let all = bucket.samples();
    let job = bucket.plan(&rules(), 50 * HOUR).jobs.remove(0);
    assert_eq!(job.outputs.len(), 4);
    bucket.run(&job, 50 * HOUR, true);
    let gone: Vec<_> = bucket.plan(&rules(), 60 * HOUR).contained;
    assert_eq!(gone.iter().map(|gone| (gone.block.0, gone.by.len())).collect::<Vec<_>>(), [(1, 4), (2, 4)]);
    // Without one of the parts nothing is dropped.
    let part = gone[0].by[2];
    let (part_block, samples) = bucket.blocks.remove(&part).expect("it was written");
    assert!(bucket.plan(&rules(), 60 * HOUR).contained.is_empty());
    bucket.blocks.insert(part, (part_block, samples));
    bucket.settle(&rules(), 60 * HOUR);
    assert_eq!(bucket.samples(), all);
    assert_eq!(bucket.blocks.len(), 4);
}
