//! Blocks of Prometheus, Thanos and VictoriaMetrics' tests, among them broken ones.

use std::path::{Path, PathBuf};

use block::index::Version;
use block::{Index, tombstones};
use model::TimeRange;

use crate::support::{Opened, file, meta, open};

fn fixture(name: &str) -> Option<PathBuf> {
    testkit::conformance("tsdb_blocks").map(|folder| folder.join(name))
}

/// The one folder in a folder.
fn only(folder: &Path) -> PathBuf {
    let mut folders = std::fs::read_dir(folder)
        .expect("it is as written")
        .map(|entry| entry.expect("it is as written").path());
    folders.find(|path| path.is_dir()).expect("there is one")
}

async fn assert_as_meta_says(block: &Opened) {
    let verified = block.verify().await.expect("it is as written");
    let said = block.meta.stats;
    assert_eq!(verified.stats.num_series, said.num_series);
    assert_eq!(verified.stats.num_chunks, said.num_chunks);
    assert_eq!(verified.stats.num_samples, said.num_samples);
    let range = verified.range.expect("it is as written");
    assert!(
        block.meta.min_time <= range.start_ms()
            && range.end_ms() < block.meta.max_time.max(range.end_ms() + 1)
    );
}

#[tokio::test]
async fn an_index_of_the_first_version_is_read() {
    let Some(folder) = fixture("prometheus_index_format_v1") else { return };
    let block = open(&folder).await;
    assert_eq!(block.index.version(), Version::V1);
    assert_as_meta_says(&block).await;
    let names: Vec<&str> = block.index.label_names().collect();
    assert_eq!(names, ["bar", "foo"]);
    let list = block.index.postings("foo", "bar").await.unwrap();
    let series = block.index.series_of(&list).await.unwrap();
    assert!(!series.is_empty() && series.iter().all(|series| series.labels.get("foo") == Some("bar")));
    let bytes = std::fs::read(folder.join("tombstones")).unwrap();
    assert!(tombstones::parse("tombstones", &bytes).unwrap().is_empty());
}

#[tokio::test]
async fn an_index_that_says_the_wrong_version_is_read_as_meta_json_says() {
    let Some(folder) = fixture("prometheus_repair_index_version") else { return };
    let folder = only(&folder);
    let meta = meta(&folder);
    assert_eq!(meta.index_version(), Some(Version::V2));
    let index = Index::open_as(file(&folder, "index"), meta.index_version()).await.unwrap();
    let (mut labels, mut scan) = (Vec::new(), index.scan());
    while let Some((_, series)) = scan.next().await.unwrap() {
        labels.push(series.labels.to_string());
    }
    assert_eq!(labels, [r#"{a="1", b="1"}"#, r#"{a="2", b="1"}"#]);
}

#[tokio::test]
async fn chunks_out_of_order_are_an_error_with_its_place() {
    let Some(folder) = fixture("thanos_out_of_order_chunks") else { return };
    let index = Index::open(file(&folder, "index")).await.unwrap();
    let mut scan = index.scan();
    let error = loop {
        match scan.next().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("nothing was found to be wrong"),
            Err(error) => break error.to_string(),
        }
    };
    assert!(error.starts_with("index: offset ") && error.contains("chunks are out of order"), "{error}");
}

#[tokio::test]
async fn a_snapshot_of_prometheus_three_is_read() {
    let Some(folder) = fixture("vm_prometheus_snapshot/snapshots") else { return };
    let block = open(&only(&only(&folder))).await;
    assert_as_meta_says(&block).await;
    assert!(block.index.label_values("__name__").count() > 100);
}

#[tokio::test]
async fn blocks_of_thanos_are_read_and_what_is_downsampled_is_told() {
    let Some(folder) = fixture("vm_thanos_snapshot") else { return };
    let raw = open(&folder.join("01KKS78P6B68DNJC87ZVPRGC3X")).await;
    assert_as_meta_says(&raw).await;
    assert!(!raw.meta.is_downsampled());
    assert_eq!(raw.meta.thanos.as_ref().unwrap().labels["replica"], "0");
    assert_eq!(raw.verify().await.unwrap().range, TimeRange::new(1_735_689_600_000, 1_735_696_740_000));
    for name in ["01KKS78PKKR6BQ0SQ5BARRTAKC", "01KKS78PXE91TK8YX406DERWV2"] {
        let coarse = open(&folder.join(name)).await;
        assert!(coarse.meta.is_downsampled());
        let error = coarse.verify().await.unwrap_err().to_string();
        assert!(error.starts_with("chunks/000001: offset ") && error.contains("encoding 255"), "{error}");
    }
}

#[test]
fn meta_json_alone_is_read() {
    let Some(folder) = fixture("thanos_index_format_v2") else { return };
    assert_eq!(meta(&folder).version, 1);
}
