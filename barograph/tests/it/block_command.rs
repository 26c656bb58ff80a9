//! `barograph block …` against blocks that promtool has made.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use testkit::peer;

use crate::http::get;
use crate::support::Barograph;

fn block(arguments: &[&str]) -> Output {
    let all: Vec<&str> = std::iter::once("block").chain(arguments.iter().copied()).collect();
    Barograph::command(&all).output().expect("the program runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("output is text")
}

fn path(path: &Path) -> &str {
    path.to_str().expect("the path is text")
}

/// Samples of two metrics in several blocks, as promtool cuts them; lines as they are dumped.
fn make(folder: &Path) -> Vec<String> {
    let (mut exposition, mut lines) = (String::new(), Vec::new());
    for metric in ["cpu", "load"] {
        exposition.push_str(&format!("# TYPE {metric} gauge\n"));
        for host in 0..7 {
            for step in 0..200_i64 {
                let (value, at) = (f64::from(host) / 8.0 + step as f64, 1_600_000_000 + 60 * step);
                exposition.push_str(&format!("{metric}{{host=\"h{host}\"}} {value} {at}\n"));
                lines.push(format!("{{__name__=\"{metric}\", host=\"h{host}\"}} {value} {}", at * 1000));
            }
        }
    }
    exposition.push_str("# EOF\n");
    let file = folder.join("text");
    std::fs::write(&file, exposition).expect("the file is written");
    let blocks = folder.join("blocks");
    let arguments = ["tsdb", "create-blocks-from", "openmetrics", path(&file), path(&blocks)];
    let made = Command::new(peer("promtool")).args(arguments).output().expect("promtool runs");
    assert!(made.status.success(), "{made:?}");
    lines
}

/// Rewrites `meta.json` of a block as Mimir writes it that has not counted what is in the block; without the file of tombstones.
fn as_mimir_writes_it(block: &Path) {
    let file = block.join("meta.json");
    let mut meta: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&file).expect("meta.json is there")).expect("it is JSON");
    meta["stats"] = serde_json::json!({});
    meta["out_of_order"] = false.into();
    meta["thanos"] =
        serde_json::json!({"version": 1, "labels": null, "downsample": {"resolution": 0}, "source": ""});
    std::fs::write(&file, meta.to_string()).expect("it is written");
    std::fs::remove_file(block.join("tombstones")).expect("upstream writes one");
}

#[test]
fn blocks_are_listed_inspected_verified_and_dumped() {
    let folder = tempfile::tempdir().unwrap();
    let mut expected = make(folder.path());
    let blocks = folder.path().join("blocks");
    let listed = text(&block(&["list", path(&blocks)]).stdout);
    let names: Vec<&str> = listed.lines().skip(1).filter_map(|line| line.split(' ').next()).collect();
    assert!(names.len() > 1 && listed.starts_with("BLOCK "), "{listed}");
    let json = block(&["list", path(&blocks), "--format", "json"]).stdout;
    let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
    let samples: u64 = json.as_array().unwrap().iter().map(|block| block["samples"].as_u64().unwrap()).sum();
    assert_eq!((json[0]["ulid"].as_str(), samples), (names.first().copied(), expected.len() as u64));

    let folders: Vec<PathBuf> = names.iter().map(|name| blocks.join(name)).collect();
    let inspected = text(&block(&["inspect", path(&folders[0])]).stdout);
    assert!(inspected.contains("host") && inspected.contains("cpu"), "{inspected}");
    let arguments: Vec<&str> = std::iter::once("verify").chain(folders.iter().map(|f| path(f))).collect();
    let verified = block(&arguments);
    assert!(verified.status.success(), "{verified:?}");
    assert_eq!(text(&verified.stdout).matches(": good: 14 series").count(), folders.len());

    as_mimir_writes_it(&folders[0]);
    let verified = block(&["verify", path(&folders[0])]);
    assert!(text(&verified.stdout).contains(": good: 14 series"), "{verified:?}");
    let inspected = text(&block(&["inspect", path(&folders[0])]).stdout);
    assert!(inspected.contains("not said"), "{inspected}");

    let mut dumped = Vec::new();
    for folder in &folders {
        dumped.extend(text(&block(&["dump", path(folder)]).stdout).lines().map(str::to_owned));
    }
    dumped.sort_unstable();
    expected.sort_unstable();
    assert_eq!(dumped, expected);
    let chosen = ["dump", path(&folders[0]), "--match", "load{host=~\"h[12]\"}", "--end", "1600000060"];
    let chosen = text(&block(&chosen).stdout);
    assert_eq!(chosen.lines().count(), 4, "{chosen}");
    assert!(chosen.lines().all(|line| line.starts_with("{__name__=\"load\"")), "{chosen}");
}

#[test]
fn a_damaged_block_is_named_with_the_place() {
    let folder = tempfile::tempdir().unwrap();
    make(folder.path());
    let blocks = folder.path().join("blocks");
    let first = std::fs::read_dir(&blocks).unwrap().next().unwrap().unwrap().path();
    let segment = first.join("chunks/000001");
    let mut bytes = std::fs::read(&segment).unwrap();
    bytes[100] ^= 1;
    std::fs::write(&segment, bytes).unwrap();
    let verified = block(&["verify", path(&first)]);
    let error = text(&verified.stderr);
    assert!(!verified.status.success() && verified.stdout.is_empty());
    assert!(
        error.contains("chunks/000001: offset ") && error.contains("checksum mismatch in chunk"),
        "{error}"
    );
    let other =
        std::fs::read_dir(&blocks).unwrap().map(|entry| entry.unwrap().path()).find(|path| *path != first);
    let other = other.expect("there are several");
    let meta = std::fs::read_to_string(other.join("meta.json")).unwrap();
    std::fs::write(
        other.join("meta.json"),
        meta.replacen("\"stats\": {", "\"stats\": {\"numTombstones\": 1,", 1),
    )
    .unwrap();
    std::fs::remove_file(other.join("tombstones")).unwrap();
    let error = text(&block(&["verify", path(&other)]).stderr);
    assert!(error.contains("numTombstones is 1, but there is no file tombstones"), "{error}");
    let nothing = block(&["list", path(&folder.path().join("nothing"))]);
    assert!(text(&nothing.stderr).contains("nothing: "), "{nothing:?}");
    let wrong = block(&["dump", path(&first), "--match", "{"]);
    assert!(text(&wrong.stderr).contains("--match: \"{\""), "{wrong:?}");
}

/// Blocks and text are imported into a bucket of files, and a process that has that bucket answers from them.
#[test]
fn what_is_imported_is_answered_from() {
    let folder = tempfile::tempdir().unwrap();
    make(folder.path());
    let (data, blocks, text_file) =
        (folder.path().join("data"), folder.path().join("blocks"), folder.path().join("more"));
    as_mimir_writes_it(&std::fs::read_dir(&blocks).unwrap().next().unwrap().unwrap().path());
    std::fs::write(&text_file, "late{host=\"h1\"} 2 1600000060\nlate{host=\"h1\"} 1 1600000000\n# EOF\n")
        .unwrap();
    let bucket = ["--bucket.backend", "filesystem"];
    let import =
        |source: &Path| block(&[&["import", "--data", path(&data), path(source)][..], &bucket].concat());
    let imported = import(&blocks);
    assert!(imported.status.success(), "{imported:?}");
    assert!(text(&imported.stdout).contains("blocks imported into tenant anonymous"), "{imported:?}");
    assert!(text(&imported.stderr).contains("14 series with"), "{imported:?}");
    let again = import(&blocks);
    assert!(text(&again.stdout).starts_with("0 blocks") && text(&again.stderr).contains("the tenant has it"));
    let imported = import(&text_file);
    assert!(text(&imported.stdout).starts_with("1 blocks imported"), "{imported:?}");

    let barograph = Barograph::start(&data, &bucket);
    let answer = |query: &str| {
        let query = query.replace('{', "%7B").replace('}', "%7D").replace('"', "%22");
        let (status, body) = get(barograph.addr, &format!("/prometheus/api/v1/{query}"));
        assert_eq!(status, 200, "{query}: {body}");
        serde_json::from_str::<serde_json::Value>(&body).unwrap()["data"].clone()
    };
    let sum = answer("query?query=sum(count_over_time(cpu{host=~\"h.\"}[4h]))&time=1600012000");
    assert_eq!(sum["result"][0]["value"][1], "1400");
    let late = answer("query?query=late[1h]&time=1600000600");
    assert_eq!(late["result"][0]["values"], serde_json::json!([[1_600_000_000, "1"], [1_600_000_060, "2"]]));
    let hosts = serde_json::json!(["h0", "h1", "h2", "h3", "h4", "h5", "h6"]);
    assert_eq!(answer("label/host/values"), hosts);
}

#[test]
fn what_cannot_be_imported_is_named_with_file_and_line() {
    let folder = tempfile::tempdir().unwrap();
    let (data, file) = (folder.path().join("data"), folder.path().join("text"));
    let check = |content: &str, words: &str| {
        std::fs::write(&file, content).unwrap();
        let bucket = ["--data", path(&data), "--bucket.backend", "filesystem"];
        let refused = block(&[&["import", path(&file)][..], &bucket].concat());
        let said = text(&refused.stderr);
        assert!(!refused.status.success() && said.contains(words) && said.contains(path(&file)), "{said}");
    };
    check("a 1 1\nb x 1\n# EOF\n", "line 2: column 3: a value is expected");
    check("a 1\n# EOF\n", "line 1: the sample has no timestamp");
    check("a 1 1\n", "it does not end with # EOF");
    check("# EOF\n", "no samples are there");
    check("a 1 1\na 1 1\na 2 1\n# EOF\n", "line 3: series {__name__=\"a\"} has the value 2");
    check("# EOF\nx\n", "something follows # EOF");
    let empty = folder.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    let refused = block(&["import", "--bucket.backend", "memory", path(&empty)]);
    assert!(text(&refused.stderr).contains("no blocks are there"), "{refused:?}");
    let refused = block(&["import", path(&file)]);
    assert!(text(&refused.stderr).contains("no bucket is named"), "{refused:?}");
}
