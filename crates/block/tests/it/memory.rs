//! How much memory a block takes while it is written and verified: an ingester has it beside all of its series.

use std::sync::Arc;

use block::meta::Compaction;
use block::{BlockWriter, Description, NewChunk, WriteOptions, verify_folder};
use chunk::{Encoding, XorAppender};
use env::{FileSystem, RealFs};
use model::{Labels, TimeRange};
use ulid::Ulid;

const ULID: Ulid = Ulid::from_parts(1_700_000_000_000, 7);

/// A series as exporters have it: ten labels, most of them the target's; 400 series a target.
fn labels(number: usize, series: usize) -> Labels {
    let targets = series.div_ceil(400);
    let (metric, target) = (number / targets, number % targets);
    Labels::from_pairs([
        ("__name__", format!("node_metric_number_{:03}_total", metric / 4)),
        ("cluster", "eu-west-1".to_owned()),
        ("device", format!("device-{}", metric % 4)),
        ("instance", format!("10.0.{:03}.{:03}:9100", target / 250, target % 250)),
        ("job", format!("job-{}", target % 12)),
        ("namespace", format!("namespace-{}", target % 60)),
        ("node", format!("node-{}", target / 4)),
        ("pod", format!("application-{target}-{:x}", target * 7919)),
        ("region", "eu-west".to_owned()),
        ("zone", format!("zone-{}", target % 3)),
    ])
}

/// The most bytes that are allocated at a time while so many series are written, and while they are verified.
fn most_bytes(series: usize) -> (u64, u64) {
    let folder = tempfile::tempdir().expect("a folder");
    let fs: Arc<dyn FileSystem> = Arc::new(RealFs);
    let mut appender = XorAppender::new();
    (0..120).for_each(|i| appender.append(i * 60_000, i as f64).expect("there is room"));
    let range = TimeRange::new(0, 119 * 60_000).expect("it is one");
    let write = || {
        let mut writer =
            BlockWriter::create(fs.clone(), folder.path(), ULID, WriteOptions::default()).expect("a writer");
        for number in 0..series {
            let chunk = NewChunk { range, encoding: Encoding::Xor, data: appender.bytes() };
            writer.add(&labels(number, series), [chunk]).expect("it is added");
        }
        let description = Description {
            min_time: None,
            max_time: None,
            compaction: Compaction::of_head(ULID),
            thanos: None,
        };
        writer.finish(description).expect("it is written");
    };
    let written = allocation_counter::measure(write).bytes_max;
    let block = folder.path().join(ULID.to_string());
    let verify = || {
        let verified = verify_folder(&*fs, &block, None).expect("it is right");
        assert_eq!(verified.stats.num_series, series as u64);
    };
    (written, allocation_counter::measure(verify).bytes_max)
}

#[test]
fn a_block_takes_little_memory_for_each_series() {
    for (series, most_to_write, most_to_verify) in
        [(1_000, 512 << 10, 192 << 10), (100_000, 4 << 20, 2 << 20), (400_000, 12 << 20, 7 << 20)]
    {
        let (written, verified) = most_bytes(series);
        println!("{series} series: {written} bytes to write, {verified} to verify");
        assert!(written <= most_to_write, "{written} bytes to write {series} series");
        assert!(verified <= most_to_verify, "{verified} bytes to verify {series} series");
    }
}
