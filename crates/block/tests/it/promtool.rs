//! Our blocks in the hands of Prometheus' own tool, and its blocks in ours.

use std::path::Path;
use std::process::Command;

use block::Meta;
use block::meta::{Compaction, Stats};
use model::Labels;

use crate::support::{Data, open, write};

pub(crate) fn promtool(arguments: &[&str]) -> String {
    let output = Command::new(testkit::peer("promtool")).args(arguments).output().expect("promtool runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

/// Series of a few metrics with whole values, which are printed as they are.
fn data() -> Data {
    let series = |i: i64| {
        let instance = format!("host-{i}");
        let labels =
            Labels::from_pairs([("__name__", "requests_total"), ("instance", &instance), ("job", "api")]);
        let chunk =
            |c: i64| (0..100).map(|s| ((c * 100 + s) * 15_000, (i * 1000 + c * 100 + s) as f64)).collect();
        (labels, (0..4).map(chunk).collect())
    };
    (0..9).map(series).collect()
}

fn save(data: &Data, folder: &Path) {
    let ulid = ulid::Ulid::from_parts(1_700_000_000_000, 7);
    let files = write(data, 4 << 10, 10);
    let samples = data.iter().flat_map(|(_, chunks)| chunks).map(|chunk| chunk.len() as u64).sum();
    let chunks = data.iter().map(|(_, chunks)| chunks.len() as u64).sum();
    let stats =
        Stats { num_samples: samples, num_series: data.len() as u64, num_chunks: chunks, ..Stats::default() };
    let meta = Meta {
        ulid,
        min_time: 0,
        max_time: 7_200_000,
        stats,
        compaction: Compaction { level: 1, sources: vec![ulid], ..Compaction::default() },
        version: 1,
        thanos: None,
        others: Default::default(),
    };
    let block = folder.join(ulid.to_string());
    std::fs::create_dir_all(block.join("chunks")).expect("it is as written");
    std::fs::write(block.join("meta.json"), meta.encode()).expect("it is as written");
    std::fs::write(block.join("index"), files.index).expect("it is as written");
    assert!(files.segments.len() > 1);
    for (segment, bytes) in (0..).zip(files.segments) {
        std::fs::write(block.join(block::chunks::segment_name(segment)), bytes).expect("it is as written");
    }
}

#[test]
fn promtool_reads_what_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let (path, data) = (folder.path().to_str().unwrap(), data());
    save(&data, folder.path());
    // It looks into the log, too.
    std::fs::create_dir(folder.path().join("wal")).unwrap();
    let listed = promtool(&["tsdb", "list", path]);
    assert!(listed.contains("3600") && listed.contains(" 9 "), "{listed}");
    let analyzed = promtool(&["tsdb", "analyze", path]);
    assert!(analyzed.contains("Total Series: 9") && analyzed.contains("requests_total"), "{analyzed}");
    let mut dumped: Vec<String> = promtool(&["tsdb", "dump", path]).lines().map(str::to_owned).collect();
    let mut expected: Vec<String> = Vec::new();
    for (labels, chunks) in &data {
        expected.extend(chunks.iter().flatten().map(|(at, value)| format!("{labels} {value} {at}")));
    }
    dumped.sort_unstable();
    expected.sort_unstable();
    assert_eq!(dumped, expected);
}

#[tokio::test]
async fn what_promtool_writes_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let (text, blocks) = (folder.path().join("text"), folder.path().join("blocks"));
    let mut lines = String::from("# TYPE up gauge\n");
    for i in 0..300 {
        for at in 0..40 {
            lines.push_str(&format!(
                "up{{instance=\"i{i:03}\",job=\"j{}\"}} {} {}\n",
                i % 7,
                i * at,
                1000 + 15 * at
            ));
        }
    }
    lines.push_str("# EOF\n");
    std::fs::write(&text, lines).unwrap();
    let path = |path: &Path| path.to_str().unwrap().to_owned();
    promtool(&["tsdb", "create-blocks-from", "openmetrics", &path(&text), &path(&blocks)]);
    let mut samples = 0;
    for entry in std::fs::read_dir(&blocks).unwrap() {
        let block = open(&entry.unwrap().path()).await;
        let verified = block.verify().await.unwrap();
        assert_eq!(verified.stats.num_series, block.meta.stats.num_series);
        assert_eq!(block.index.label_values("instance").count(), 300);
        samples += verified.stats.num_samples;
    }
    assert_eq!(samples, 300 * 40);
}
