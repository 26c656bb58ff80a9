//! Blocks of Prometheus and Thanos, served where they are.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::support::{NOW_MS, World, escape, tenant};
use bucket::TenantBucket;

/// Copies a block's folder into the bucket, as it is.
async fn copy(world: &World, name: &str, folder: &Path) {
    let bucket = TenantBucket::new(&world.bucket, &tenant(name)).expect("it is this tenant's");
    let ulid = folder.file_name().and_then(|name| name.to_str()).expect("a folder").parse().expect("a ULID");
    for file in ["meta.json", "index", "tombstones", "chunks/000001"] {
        if let Ok(bytes) = std::fs::read(folder.join(file)) {
            world.bucket.put(&bucket.file(ulid, file), bytes.into()).await.expect("memory takes it");
        }
    }
}

fn sorted(result: &Value) -> Vec<String> {
    let mut all: Vec<String> = result.as_array().expect("series").iter().map(Value::to_string).collect();
    all.sort();
    all
}

/// The only folder in a folder.
fn only(folder: &Path) -> PathBuf {
    let mut folders =
        std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    folders.find(|path| path.is_dir()).expect("there is one")
}

#[tokio::test]
async fn a_snapshot_of_prometheus_is_answered_from() {
    let Some(folder) = testkit::conformance("tsdb_blocks/vm_prometheus_snapshot") else { return };
    let world = World::new();
    copy(&world, "anonymous", &only(&only(&folder.join("snapshots")))).await;
    let api = world.api(Vec::new(), &[]);
    let expected: Value =
        serde_json::from_slice(&std::fs::read(folder.join("expected_response.json")).unwrap()).unwrap();
    let location = "VictoriaMetrics/lib/ingestserver/opentsdb/server.go:(48|59)";
    let query = escape(&format!("vm_log_messages_total{{location=~\"{location}\"}}[1h]"));
    let found = api.data(&format!("query?query={query}&time=1748898000")).await;
    assert_eq!(sorted(&found["result"]), sorted(&expected["data"]["result"]));
    // All of its series, once.
    let all = api
        .data(&format!(
            "query?query={}&time=1748898000",
            escape("count(last_over_time({__name__=~\".+\"}[1h]))")
        ))
        .await;
    assert_eq!(all["result"][0]["value"][1], "2434");
}

#[tokio::test]
async fn a_bucket_of_thanos_is_answered_from() {
    let Some(folder) = testkit::conformance("tsdb_blocks/vm_thanos_snapshot") else { return };
    let world = World::with(&[("layout", "thanos"), ("thanos_tenant", "anonymous")]);
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            copy(&world, "anonymous", &path).await;
        }
    }
    let expected: Value =
        serde_json::from_slice(&std::fs::read(folder.join("expected_all_aggr_response.json")).unwrap())
            .unwrap();
    let api = world.api(Vec::new(), &[]);
    let names: Vec<Value> = api.data("label/__name__/values").await.as_array().unwrap().clone();
    assert_eq!(names, [json!("thanos_test_counter_total"), json!("thanos_test_gauge")]);
    assert_eq!(api.data("label/prometheus/values").await, json!(["test"]));
    // Every sample of the block that is not downsampled, with the labels from outside.
    let query = escape("{prometheus=\"test\",job=\"test\"}[3h]");
    let found = api.data(&format!("query?query={query}&time=1735696800")).await;
    let found = found["result"].as_array().unwrap();
    assert_eq!(found.len(), 4);
    for series in found {
        assert_eq!(series["metric"]["replica"], "0");
        let same = |other: &&Value| {
            ["__name__", "instance"].iter().all(|name| other["metric"][name] == series["metric"][name])
        };
        let all = expected["data"]["result"].as_array().unwrap().iter().filter(same);
        let expected = all.max_by_key(|series| series["values"].as_array().unwrap().len()).unwrap();
        assert_eq!(series["values"], expected["values"], "{}", series["metric"]);
    }
    let other =
        api.data(&format!("query?query={}&time=1735696800", escape("{prometheus=\"other\"}[3h]"))).await;
    assert_eq!(other["result"], json!([]));
}

fn promtool(arguments: &[&str]) {
    let output = Command::new(testkit::peer("promtool")).args(arguments).output().expect("promtool runs");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Blocks that promtool made of OpenMetrics text are answered from as the text says, by every API that answers from
/// blocks.
#[tokio::test]
async fn blocks_of_promtool_are_answered_from() {
    let folder = tempfile::tempdir().unwrap();
    let (text_path, blocks_path) = (folder.path().join("text"), folder.path().join("blocks"));
    let start = NOW_MS / 1000 - 86_400;
    let mut text = String::from("# TYPE requests counter\n");
    for host in 0..20 {
        for i in 0..480_i64 {
            text += &format!(
                "requests_total{{host=\"h{host:02}\",job=\"api\"}} {} {}\n",
                i * (host + 1),
                start + i * 60
            );
        }
    }
    text += "# EOF\n";
    std::fs::write(&text_path, text).unwrap();
    promtool(&[
        "tsdb",
        "create-blocks-from",
        "openmetrics",
        text_path.to_str().unwrap(),
        blocks_path.to_str().unwrap(),
    ]);
    let world = World::new();
    for entry in std::fs::read_dir(&blocks_path).unwrap() {
        copy(&world, "anonymous", &entry.unwrap().path()).await;
    }
    let api = world.api(Vec::new(), &[]);
    let end = start + 479 * 60;
    let at = |query: &str| format!("query?query={}&time={end}", escape(query));
    let matrix = api.data(&at("requests_total{host=\"h07\"}[10h]")).await;
    let expected: Vec<Value> = (0..480).map(|i| json!([start + i * 60, (i * 8).to_string()])).collect();
    assert_eq!(matrix["result"][0]["values"], json!(expected));
    assert_eq!(
        api.data(&at("count(count_over_time(requests_total[10h]) == 480)")).await["result"][0]["value"][1],
        "20"
    );
    let ranged =
        format!("query_range?query={}&start={start}&end={end}&step=60", escape("sum(requests_total)"));
    let sums: Vec<Value> = (0..480).map(|i| json!([start + i * 60, (i * 210).to_string()])).collect();
    assert_eq!(api.data(&ranged).await["result"][0]["values"], json!(sums));
    assert_eq!(api.data("labels").await, json!(["__name__", "host", "job"]));
    let hosts: Vec<String> = (0..20).map(|host| format!("h{host:02}")).collect();
    assert_eq!(api.data("label/host/values").await, json!(hosts));
    let matched = format!("label/host/values?match[]={}", escape("requests_total{host=~\"h1.\"}"));
    assert_eq!(api.data(&matched).await, json!(hosts[10..]));
    let series = api.data(&format!("series?match[]={}", escape("{host=\"h03\"}"))).await;
    assert_eq!(series, json!([{"__name__": "requests_total", "host": "h03", "job": "api"}]));
}
