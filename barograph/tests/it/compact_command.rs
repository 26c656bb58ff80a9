//! `barograph compact …`: blocks of promtool, twice over, become few; every answer is the same, byte for byte.

use std::path::Path;
use std::process::{Command, Output};

use testkit::peer;

use crate::http::get;
use crate::support::Barograph;

/// The first day, at an edge of every window.
const BEGIN_S: i64 = 168 * 3_600 * 2_700;

fn barograph(arguments: &[&str]) -> Output {
    Barograph::command(arguments).output().expect("the program runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("output is text")
}

fn path(path: &Path) -> &str {
    path.to_str().expect("the path is text")
}

/// Blocks of 26 hours, as promtool cuts them; a replica lacks some samples.
fn make(folder: &Path, replica: i64) {
    let mut exposition = String::from("# TYPE requests counter\n");
    for host in 0..12 {
        for step in (0..26 * 60_i64).filter(|step| (step + host) % 11 != replica) {
            let at = BEGIN_S + 60 * step;
            exposition.push_str(&format!("requests_total{{host=\"h{host}\"}} {} {at}\n", step * (host + 1)));
        }
    }
    exposition.push_str("# EOF\n");
    let file = folder.with_extension("text");
    std::fs::write(&file, exposition).expect("the file is written");
    let arguments = ["tsdb", "create-blocks-from", "openmetrics", path(&file), path(folder)];
    let made = Command::new(peer("promtool")).args(arguments).output().expect("promtool runs");
    assert!(made.status.success(), "{made:?}");
}

/// What a process on the bucket answers.
fn answers(data: &Path) -> Vec<String> {
    let barograph =
        Barograph::start(data, &["--bucket.backend", "filesystem", "--self-monitoring.enabled=false"]);
    let end = BEGIN_S + 26 * 3_600;
    let range = format!("start={BEGIN_S}&end={end}&step=300");
    let queries = [
        format!("query_range?query=sum(rate(requests_total[10m]))&{range}"),
        format!("query_range?query=requests_total&{range}"),
        format!("query?query=count_over_time(requests_total[26h])&time={end}"),
        format!("query?query=requests_total[1h]&time={end}"),
        format!("series?match[]=requests_total&start={BEGIN_S}&end={end}"),
    ];
    let ask = |query: &String| {
        let query = query.replace('[', "%5B").replace(']', "%5D");
        let (status, body) = get(barograph.addr, &format!("/prometheus/api/v1/{query}"));
        assert_eq!(status, 200, "{query}: {body}");
        assert!(body.len() > 200, "{body}");
        body
    };
    queries.iter().map(ask).collect()
}

#[test]
fn what_is_compacted_answers_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let bucket = ["--data", path(&data), "--bucket.backend", "filesystem"];
    for replica in 0..3 {
        let blocks = folder.path().join(format!("replica-{replica}"));
        make(&blocks, replica);
        let imported = barograph(&[&["block", "import", path(&blocks)][..], &bucket].concat());
        assert!(imported.status.success(), "{imported:?}");
    }
    let before = answers(&data);
    let plan = || {
        let settled = ["--compactor.settle", "0s", "--format", "json"];
        let planned = barograph(&[&["compact", "plan"][..], &settled, &bucket].concat());
        assert!(planned.status.success(), "{planned:?}");
        serde_json::from_slice::<serde_json::Value>(&planned.stdout).unwrap()["tenants"]["anonymous"].clone()
    };
    let planned = plan();
    assert_eq!(planned["blocks_by_level"]["1"], 39, "{planned}");
    assert_eq!(planned["jobs"].as_array().map(Vec::len), Some(13), "{planned}");
    let ran = barograph(&[&["compact", "run", "--compactor.settle", "0s"][..], &bucket].concat());
    assert!(ran.status.success(), "{ran:?}");
    assert!(text(&ran.stdout).contains("0 set aside, 0 jobs failed"), "{ran:?}");
    let planned = plan();
    assert_eq!(
        (&planned["jobs"], &planned["marked"]),
        (&serde_json::json!([]), &serde_json::json!(55)),
        "{planned}"
    );
    assert_eq!(answers(&data), before);

    // promtool reads what is left: one sample of each time.
    let left = folder.path().join("left");
    std::fs::create_dir_all(left.join("wal")).unwrap();
    let tenant = data.join("bucket/anonymous");
    for entry in std::fs::read_dir(&tenant).unwrap().map(Result::unwrap) {
        let own = entry.path();
        if own.join("meta.json").exists() && !own.join("deletion-mark.json").exists() {
            std::fs::rename(&own, left.join(entry.file_name())).unwrap();
        }
    }
    let promtool = |command: &str| {
        let output = Command::new(peer("promtool"))
            .args(["tsdb", command, path(&left)])
            .output()
            .expect("promtool runs");
        assert!(output.status.success(), "{output:?}");
        text(&output.stdout)
    };
    assert!(promtool("list").lines().count() == 2, "{}", promtool("list"));
    promtool("analyze");
    assert_eq!(promtool("dump").lines().count(), 12 * 26 * 60);
}

#[test]
fn what_is_wrong_is_said() {
    let refused = barograph(&["compact", "plan"]);
    assert!(text(&refused.stderr).contains("no bucket is named"), "{refused:?}");
    let refused = barograph(&["compact", "run", "--bucket.backend", "memory", "--compactor.ranges", "2h,3h"]);
    assert!(text(&refused.stderr).contains("compactor.ranges"), "{refused:?}");
    let refused = barograph(&["--target", "compactor"]);
    assert!(text(&refused.stderr).contains("needs a bucket"), "{refused:?}");
}
