//! Merged blocks of the population beside those that Prometheus merges of the same.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use env::{FileSystem, RealFs};
use loadtest::blocks::{BlocksConfig, write};
use loadtest::population::PopulationConfig;
use serde_json::Value;

use crate::support::barograph;

const HOUR_MS: i64 = 3_600_000;
/// At an edge of every window.
const BEGIN_MS: i64 = 168 * HOUR_MS * 2_700;
/// How many series there are, and how many samples each of them has: nearly eight hours of them, since series begin a little after
/// each other.
const SERIES: u32 = 500;
const SAMPLES: u32 = 4 * 480 - 8;
/// How often it is looked for what Prometheus has merged, and how often at most: it looks for something to merge once a minute.
const LOOK: Duration = Duration::from_millis(500);
const LOOKS: usize = 1_000;

/// A program that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The bytes of a block's index and segments.
fn bytes_of(block: &Path) -> u64 {
    let length = |path: &Path| std::fs::metadata(path).expect("the file is there").len();
    let segments = std::fs::read_dir(block.join("chunks")).expect("a block has segments");
    let segments: u64 = segments.map(|entry| length(&entry.expect("an entry").path())).sum();
    segments + length(&block.join("index"))
}

/// The blocks of a folder that were merged from three, with what their `meta.json` says.
fn merged_from_three(folder: &Path) -> Vec<(PathBuf, Value)> {
    let entries = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    let metas = entries.filter_map(|block| {
        // A block that is being written has none yet.
        let meta = std::fs::read(block.join("meta.json")).ok()?;
        let meta: Value = serde_json::from_slice(&meta).ok()?;
        (meta["compaction"]["sources"].as_array()?.len() == 3).then_some((block, meta))
    });
    metas.collect()
}

fn run(arguments: &[&str]) {
    let output = Command::new(barograph()).args(arguments).output().expect("the program runs");
    assert!(output.status.success(), "{arguments:?}: {output:?}");
}

/// Four blocks of two hours: Prometheus merges three, and leaves the newest alone.
#[test]
fn merged_blocks_are_at_most_as_large_as_those_of_prometheus() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).to_str().expect("the path is text").to_owned();
    let (blocks, data, config) = (path("blocks"), path("data"), path("prometheus.yml"));
    std::fs::create_dir(&blocks).expect("made");
    let population = PopulationConfig {
        seed: 1,
        series: SERIES,
        tenants: 0,
        tenant_name: String::new(),
        interval_ms: 15_000,
        start_ms: BEGIN_MS,
        churn_per_hour: 0.0,
        native_histograms: false,
        exemplars: false,
    };
    let written =
        BlocksConfig { population, samples: SAMPLES, length_ms: 2 * HOUR_MS, folder: (&blocks).into() };
    let fs: Arc<dyn FileSystem> = Arc::new(RealFs);
    let written = write(&written, &fs, |_| {}).expect("blocks are written");
    assert_eq!((written.blocks, written.samples), (4, u64::from(SERIES * SAMPLES)));
    let bucket = ["--data", &data, "--bucket.backend", "filesystem"];
    run(&[&["block", "import", &blocks][..], &bucket].concat());
    let ranges = ["--compactor.settle", "0s", "--compactor.ranges", "2h,6h"];
    run(&[&["compact", "run"][..], &ranges, &bucket].concat());

    std::fs::write(&config, "global: {scrape_interval: 1h}\n").expect("written");
    let mut command = Command::new(testkit::peer("prometheus"));
    command
        .arg(format!("--config.file={config}"))
        .arg(format!("--storage.tsdb.path={blocks}"))
        .arg(format!("--web.listen-address={}", testkit::free_address()))
        .args([
            "--storage.tsdb.retention.time=100y",
            "--storage.tsdb.min-block-duration=2h",
            "--storage.tsdb.max-block-duration=6h",
        ]);
    let program = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("Prometheus runs");
    let _prometheus = Running(program);
    let looks = std::iter::repeat_with(|| {
        std::thread::sleep(LOOK);
        merged_from_three(Path::new(&blocks)).pop()
    });
    let (theirs, meta) = looks.take(LOOKS).flatten().next().expect("Prometheus merges its blocks");
    let ours = merged_from_three(&Path::new(&data).join("bucket/anonymous"));
    let same = |own: &&(PathBuf, Value)| own.1["minTime"] == meta["minTime"];
    let (own, own_meta) = ours.iter().find(same).expect("we have merged the same");
    assert_eq!(own_meta["stats"]["numSamples"], meta["stats"]["numSamples"]);
    let (own, theirs) = (bytes_of(own), bytes_of(&theirs));
    println!("merged: {own} bytes, Prometheus {theirs}");
    assert!(own <= theirs, "{own} bytes, Prometheus has {theirs}");
}
