//! Blocks merged, against a plain map; what several levels of merging come to; and what promtool says of the result.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use block::merge::{Input, Merge, MergeError, SeriesLabels, WriteError, write};
use block::meta::Compaction;
use block::tombstones::Tombstone;
use block::{BlockWriter, Description, NewChunk, SeriesList, WriteOptions, verify_copy};
use chunk::{Incoming, OpenChunk, Push, precedence};
use env::{RealFs, Scope};
use model::{BucketSpan, FloatHistogram, Histogram, Labels, TimeRange, Value};
use proptest::prelude::*;
use ulid::Ulid;

use crate::random::run;
use crate::support::{copies, file, open};

/// Samples by time, each with its start timestamp, 0 where that is unknown.
type Samples = BTreeMap<i64, (i64, Value)>;

/// Series by labels.
type Plain = BTreeMap<Labels, Samples>;

fn labels(number: u8) -> Labels {
    let (name, instance) = (format!("metric_{}", number % 3), format!("i{number}"));
    Labels::from_pairs([("__name__", name.as_str()), ("instance", &instance)])
}

fn histogram(low: u64, high: u64) -> Histogram {
    Histogram {
        count: low + high,
        sum: low as f64,
        positive_spans: vec![BucketSpan { offset: (low % 2) as i32, length: 2 }],
        positive_buckets: vec![low as i64, high as i64 - low as i64],
        ..Histogram::default()
    }
}

fn value() -> impl Strategy<Value = Value> {
    let numbers = (0..4_u64, 0..4_u64);
    prop_oneof![
        6 => (0..5_i32).prop_map(|v| Value::Float(f64::from(v))),
        1 => Just(Value::Float(model::stale_nan())),
        1 => any::<u64>().prop_map(|bits| Value::Float(f64::from_bits(bits))),
        2 => numbers.clone().prop_map(|(a, b)| Value::Histogram(Arc::new(histogram(a, b)))),
        1 => numbers.prop_map(|(a, b)| {
            let h: FloatHistogram = histogram(a, b).to_float();
            Value::FloatHistogram(Arc::new(h))
        }),
    ]
}

fn samples() -> impl Strategy<Value = Samples> {
    // Times and values that meet those of other blocks, as replicas have them.
    let sample = (prop_oneof![3 => Just(0_i64), 1 => 1..9_i64], value());
    prop::collection::btree_map((0..60_i64).prop_map(|at| at * 1000), sample, 1..40)
}

fn plain() -> impl Strategy<Value = Plain> {
    prop::collection::btree_map((0..7_u8).prop_map(labels), samples(), 1..6)
}

fn rank(a: &(i64, Value), b: &(i64, Value)) -> std::cmp::Ordering {
    precedence(&a.1, &b.1).then(a.0.cmp(&b.0))
}

/// All blocks as one map.
fn union<'a>(blocks: impl IntoIterator<Item = &'a Plain>) -> Plain {
    let mut all = Plain::new();
    for (labels, samples) in blocks.into_iter().flatten() {
        let series = all.entry(labels.clone()).or_default();
        for (at, sample) in samples {
            let kept = series.entry(*at).or_insert_with(|| sample.clone());
            if rank(sample, kept).is_gt() {
                *kept = sample.clone();
            }
        }
    }
    all
}

/// Writes a block whose chunks have `per_chunk` samples at most.
fn save(block: &Plain, folder: &Path, ulid: Ulid, per_chunk: u16) -> PathBuf {
    let mut writer = BlockWriter::create(Arc::new(RealFs), folder, ulid, WriteOptions::default())
        .expect("what the test has made is whole");
    for (labels, samples) in block {
        let has_starts = samples.values().any(|(start, _)| *start != 0);
        let mut done: Vec<(OpenChunk, TimeRange)> = Vec::new();
        for (at, (start, value)) in samples {
            let sample = Incoming { timestamp_ms: *at, start_ms: has_starts.then_some(*start), value };
            if let Some((chunk, range)) = done.last_mut()
                && chunk.num_samples() < per_chunk
                && chunk.append(sample) == Push::Done
            {
                *range = TimeRange::new(range.start_ms(), *at).expect("what the test has made is whole");
                continue;
            }
            let next = match done.last() {
                Some((before, _)) => before.next(sample),
                None => OpenChunk::start(sample),
            };
            done.push((
                next.expect("what the test has made is whole"),
                TimeRange::new(*at, *at).expect("what the test has made is whole"),
            ));
        }
        let chunks = done.iter().map(|(chunk, range)| NewChunk {
            range: *range,
            encoding: chunk.encoding(),
            data: chunk.bytes(),
        });
        writer.add(labels, chunks).expect("what the test has made is whole");
    }
    let description =
        Description { min_time: None, max_time: None, compaction: Compaction::of_head(ulid), thanos: None };
    writer.finish(description).expect("what the test has made is whole").0
}

async fn input(folder: &Path, tombstones: &[Tombstone]) -> Input {
    let opened = open(folder).await;
    let series =
        SeriesList::open(file(folder, "index"), None).await.expect("what the test has made is whole");
    Input::new(series, opened.chunks, tombstones)
}

/// Merges blocks into as many as there are names.
async fn merge(folders: &[PathBuf], parent: &Path, ulids: &[Ulid]) -> Result<Vec<PathBuf>, WriteError> {
    let mut inputs = Vec::new();
    for folder in folders {
        inputs.push(input(folder, &[]).await);
    }
    merge_inputs(inputs, parent, ulids).await
}

async fn merge_inputs(inputs: Vec<Input>, parent: &Path, ulids: &[Ulid]) -> Result<Vec<PathBuf>, WriteError> {
    let merge = Merge::new(inputs).expect("what the test has made is whole");
    let options = WriteOptions::default();
    let create =
        |ulid: &Ulid| BlockWriter::create_merged(Arc::new(RealFs), parent, *ulid, options, merge.symbols());
    let writers = ulids.iter().map(|ulid| create(ulid).expect("what the test has made is whole")).collect();
    let parts = ulids.len() as u64;
    let route = move |labels: SeriesLabels<'_>| (labels.to_labels().key_hash() % parts) as usize;
    let writers = write(merge, writers, route, &Scope::simulated("test")).await?;
    let mut done = Vec::new();
    for writer in writers.into_iter().filter(|writer| writer.range().is_some()) {
        let description = Description {
            min_time: None,
            max_time: None,
            compaction: Compaction { level: 2, ..Compaction::default() },
            thanos: None,
        };
        let finished = writer.finish_listed(description).expect("what the test has made is whole");
        verify_copy(&finished.files, &copies(&finished), finished.meta.stats)
            .await
            .expect("it is as written");
        done.push(finished.folder);
    }
    Ok(done)
}

/// What a block has, after all of it has been verified.
async fn load(folder: &Path) -> Plain {
    let block = open(folder).await;
    let verified = block.verify().await.expect("what the test has made is whole");
    assert_eq!(verified.stats.num_samples, block.meta.stats.num_samples);
    let mut all = Plain::new();
    let mut scan = block.index.scan();
    while let Some((_, series)) = scan.next().await.expect("what the test has made is whole") {
        let mut samples = Samples::new();
        for chunk in block.chunks.read_all(&series.chunks).await.expect("what the test has made is whole") {
            let mut cursor =
                chunk::cursor(chunk.encoding, &chunk.data).expect("what the test has made is whole");
            assert!(cursor.num_samples() <= 120);
            while let Some((at, start, value)) =
                cursor.next_with_start().expect("what the test has made is whole")
            {
                assert!(samples.insert(at, (start, value.to_value())).is_none(), "{at} is there twice");
            }
        }
        all.insert(series.labels, samples);
    }
    all
}

/// Whether both have the same samples, as far as anybody can tell.
fn assert_same(found: &Plain, expected: &Plain) {
    assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    for (labels, samples) in expected {
        let own = &found[labels];
        assert_eq!(own.keys().collect::<Vec<_>>(), samples.keys().collect::<Vec<_>>(), "{labels}");
        for (at, sample) in samples {
            assert!(rank(&own[at], sample).is_eq(), "{labels} at {at}: {:?}, not {sample:?}", own[at]);
        }
    }
}

fn ulid(number: u64) -> Ulid {
    Ulid::from_parts(1_700_000_000_000, u128::from(number))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn a_merge_has_what_the_blocks_have(
        blocks in prop::collection::vec((plain(), prop_oneof![Just(3_u16), Just(120)]), 1..6),
        parts in 1..4_u64,
    ) {
        let folder = tempfile::tempdir().expect("what the test has made is whole");
        let save = |(number, (block, per_chunk)): (usize, &(Plain, u16))| {
            save(block, folder.path(), ulid(number as u64), *per_chunk)
        };
        let saved: Vec<PathBuf> = blocks.iter().enumerate().map(save).collect();
        let expected = union(blocks.iter().map(|(block, _)| block));
        run(async {
            let names: Vec<Ulid> = (0..parts).map(|part| ulid(100 + part)).collect();
            let mut merged = Plain::new();
            for part in merge(&saved, folder.path(), &names).await.expect("what the test has made is whole") {
                for (labels, samples) in load(&part).await {
                    assert!(merged.insert(labels, samples).is_none(), "a series is in two parts");
                }
            }
            assert_same(&merged, &expected);
            // In another order, level by level, and with some of them twice: the same.
            let (first, rest) = saved.split_at(saved.len() / 2);
            let mut level = merge(rest, folder.path(), &[ulid(200)]).await.expect("what the test has made is whole");
            level.extend(first.iter().rev().cloned());
            level.extend(saved.first().cloned());
            let again = merge(&level, folder.path(), &[ulid(201)]).await.expect("what the test has made is whole");
            assert_same(&load(&again[0]).await, &expected);
        });
    }

    #[test]
    fn what_was_deleted_is_left_out(
        block in plain(),
        gone in prop::collection::vec((0..7_usize, 0..60_000_i64, 0..40_000_i64), 0..6),
    ) {
        let folder = tempfile::tempdir().expect("what the test has made is whole");
        let saved = save(&block, folder.path(), ulid(1), 10);
        run(async {
            let opened = open(&saved).await;
            let mut references = Vec::new();
            let mut scan = opened.index.scan();
            while let Some((reference, series)) = scan.next().await.expect("what the test has made is whole") {
                references.push((reference, series.labels));
            }
            let mut expected = block.clone();
            let mut tombstones = Vec::new();
            for (series, start, length) in &gone {
                let Some((reference, labels)) = references.get(*series) else { continue };
                let range = TimeRange::new(*start, start + length).expect("what the test has made is whole");
                tombstones.push(Tombstone { series: u64::from(reference.as_u32()), range });
                expected.get_mut(labels).expect("what the test has made is whole").retain(|at, _| !range.contains(*at));
            }
            expected.retain(|_, samples| !samples.is_empty());
            let inputs = [input(&saved, &tombstones).await];
            let mut found = Plain::new();
            for merged in merge_inputs(inputs.into(), folder.path(), &[ulid(9)]).await.expect("what the test has made is whole") {
                found.extend(load(&merged).await);
            }
            assert_same(&found, &expected);
        });
    }
}

#[test]
fn chunks_that_stand_alone_or_repeat_each_other_are_handed_on_as_they_are() {
    let folder = tempfile::tempdir().expect("what the test has made is whole");
    let series = |range: std::ops::Range<i64>| -> Plain {
        let samples = range.map(|i| (i * 15_000, (0, Value::Float((i % 17) as f64))));
        Plain::from([(labels(1), samples.collect())])
    };
    let replica = |number| save(&series(0..480), folder.path(), ulid(number), 120);
    let saved = [replica(1), replica(2), replica(3), save(&series(480..960), folder.path(), ulid(4), 120)];
    run(async {
        let merged = merge(&saved, folder.path(), &[ulid(9)]).await.expect("what the test has made is whole");
        let segment = |folder: &Path| {
            std::fs::read(folder.join("chunks/000001")).expect("what the test has made is whole")
        };
        let expected = [segment(&saved[0]), segment(&saved[3])[8..].to_vec()].concat();
        assert_eq!(segment(&merged[0]), expected);
    });
}

/// Its symbols are neither sorted nor numbered.
#[tokio::test]
async fn an_index_of_the_first_version_is_merged_with_others() {
    let Some(fixtures) = testkit::conformance("tsdb_blocks") else { return };
    let first = fixtures.join("prometheus_index_format_v1");
    let folder = tempfile::tempdir().expect("what the test has made is whole");
    let samples = (0..10).map(|i| (i * 1000, (0, Value::Float(i as f64))));
    let own = Plain::from([(labels(1), samples.collect())]);
    let saved = save(&own, folder.path(), ulid(1), 120);
    let old = load(&first).await;
    assert!(!old.is_empty());
    let merged = merge(&[saved, first], folder.path(), &[ulid(9)]).await.expect("both are whole");
    assert_same(&load(&merged[0]).await, &union([&own, &old]));
}

#[tokio::test]
async fn the_broken_one_is_named() {
    let folder = tempfile::tempdir().expect("what the test has made is whole");
    let block = |offset: i64| -> Plain {
        let samples = (0..500).map(|i| (i * 1000 + offset, (0, Value::Float(i as f64))));
        Plain::from([(labels(1), samples.collect())])
    };
    let save = |number: u64| save(&block(number as i64), folder.path(), ulid(number), 120);
    let saved: Vec<PathBuf> = (1..4).map(save).collect();
    let segment = saved[1].join("chunks/000001");
    let mut bytes = std::fs::read(&segment).expect("what the test has made is whole");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&segment, bytes).expect("what the test has made is whole");
    let error = merge(&saved, folder.path(), &[ulid(9)]).await.unwrap_err();
    let WriteError::Input(MergeError { input, source }) = error else { panic!("{error}") };
    assert_eq!(input, 1);
    assert!(source.to_string().contains("chunks/000001: offset "), "{source}");
}

/// promtool lists, analyses and dumps what comes of a merge of replicas.
#[test]
fn promtool_reads_what_was_merged() {
    let folder = tempfile::tempdir().expect("what the test has made is whole");
    let replica = |missing: i64| -> Plain {
        let series = |number: u8| {
            let times = (0..700_i64).filter(|i| i % 10 != missing);
            let samples = times.map(|i| (i * 15_000, (0, Value::Float((i * i64::from(number)) as f64))));
            (labels(number), samples.collect())
        };
        (0..7).map(series).collect()
    };
    let blocks: Vec<Plain> = (0..3).map(replica).collect();
    let saved: Vec<PathBuf> =
        blocks.iter().zip(1..).map(|(block, number)| save(block, folder.path(), ulid(number), 120)).collect();
    let out = folder.path().join("out");
    run(async { merge(&saved, &out, &[ulid(9)]).await.expect("what the test has made is whole") });
    std::fs::create_dir(out.join("wal")).expect("what the test has made is whole");
    let path = out.to_str().expect("what the test has made is whole");
    let listed = crate::promtool::promtool(&["tsdb", "list", path]);
    assert!(listed.contains(" 4900 "), "{listed}");
    assert!(crate::promtool::promtool(&["tsdb", "analyze", path]).contains("Total Series: 7"));
    let dumped = crate::promtool::promtool(&["tsdb", "dump", path]);
    assert_eq!(dumped.lines().count(), 4_900);
    for (labels, samples) in union(&blocks) {
        for (at, (_, value)) in samples {
            let Value::Float(value) = value else { continue };
            let line = format!("{labels} {value} {at}");
            assert!(at % 150_000 != 0 || dumped.lines().any(|dumped| dumped == line), "{line}");
        }
    }
}
