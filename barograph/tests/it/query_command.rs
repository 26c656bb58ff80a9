//! `barograph query` against a process that watches itself.

use std::io::Write;
use std::process::{Output, Stdio};

use crate::http::get;
use testkit::free_address;

use crate::support::{Barograph, wait_for};

fn started(data: &std::path::Path) -> Barograph {
    let arguments = ["--self-monitoring.interval", "1s"];
    let barograph = Barograph::start(data, &arguments);
    wait_for("metrics of its own", || {
        let (status, body) = get(barograph.addr, "/api/v1/query?query=barograph_querier_queries_running");
        (status == 200 && body.contains("barograph_querier")).then_some(())
    });
    barograph
}

fn ask(url: &str, arguments: &[&str], input: &str) -> Output {
    let mut command = Barograph::command(&["query"]);
    command.args(arguments).args(["--url", url]).env("COLUMNS", "100").env_remove("NO_COLOR");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program is built");
    let mut stdin = child.stdin.take().expect("piped");
    // Where nobody reads it, it is closed already.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    child.wait_with_output().expect("a child of ours")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("it is UTF-8")
}

#[track_caller]
fn answer(url: &str, arguments: &[&str]) -> String {
    let output = ask(url, arguments, "");
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    text(&output.stdout)
}

#[test]
fn answers_in_every_form() {
    let folder = tempfile::tempdir().expect("a folder");
    let barograph = started(folder.path());
    let url = format!("http://{}/prometheus", barograph.addr);
    let metric = "barograph_querier_queries_running";

    let table = answer(&url, &["instant", metric]);
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines.len(), 2, "{table}");
    assert!(lines[0].starts_with("metric") && lines[0].ends_with("value"), "{table}");
    assert!(lines[1].starts_with(metric), "{table}");

    let csv = answer(&url, &["instant", metric, "--format", "csv"]);
    assert!(csv.starts_with("time,timestamp,__name__,") && csv.lines().count() == 2, "{csv}");
    let json = answer(&url, &["instant", "1 + 1", "-f", "json", "--time", "2026-03-01"]);
    assert_eq!(
        json,
        "{\"status\":\"success\",\"data\":{\"resultType\":\"scalar\",\"result\":[1772323200,\"2\"]}}\n"
    );
    assert_eq!(answer(&url, &["instant", "-1"]), "-1\n");

    let range = ["range", metric, "--start", "-1m", "--step", "1s"];
    let table = answer(&url, &range);
    assert!(table.starts_with(&format!("[1] {metric}{{")) && table.contains("\ntime "), "{table}");
    let plot = answer(&url, &[&range[..], &["--format", "plot", "--height", "8"]].concat());
    assert!(plot.contains('┤') && plot.contains(" UTC\n") && plot.contains("⣿ "), "{plot}");
    assert!(plot.lines().all(|line| line.chars().count() <= 100) && !plot.contains('\u{1b}'), "{plot}");
    let bars = answer(&url, &["instant", "vector(3)", "--format", "plot"]);
    assert!(bars.contains("3  █"), "{bars}");

    let series = answer(&url, &["series", metric]);
    assert!(series.contains(metric) && series.contains("job"), "{series}");
    assert!(answer(&url, &["labels"]).lines().any(|line| line == "job"));
    assert_eq!(answer(&url, &["labels", "--values", "job"]), "barograph\n");
    assert_eq!(answer(&url, &["labels", "--values", "no.such"]), "");
}

#[test]
fn what_is_wrong_is_shown_where_it_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let barograph = started(folder.path());
    let url = format!("http://{}", barograph.addr);
    let output = ask(&url, &["instant", "-"], "sum(\n  rate(up[5m]\n)\n");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let error = text(&output.stderr);
    let lines: Vec<&str> = error.lines().collect();
    assert!(lines[0].starts_with("error (bad_data): ") && lines[0].contains("parse error"), "{error}");
    assert_eq!(lines.len(), 3, "{error}");
    assert!(lines[2].trim() == "^", "{error}");
    assert!(output.stdout.is_empty());

    // An info comes with a result, on standard error; there is none before there are two samples.
    let info = wait_for("a result", || {
        let output = ask(&url, &["instant", "rate(barograph_querier_queries_running[5m])"], "");
        assert!(output.status.success(), "{output:?}");
        Some(text(&output.stderr)).filter(|info| !info.is_empty())
    });
    assert!(info.starts_with("info: PromQL info: metric might not be a counter"), "{info}");
    assert!(info.ends_with("  rate(barograph_querier_queries_running[5m])\n       ^\n"), "{info}");

    let nowhere = free_address();
    let (nobody, at) = (format!("http://{nowhere}"), nowhere.to_string());
    for (url, arguments, code, words) in [
        (nobody.as_str(), vec!["instant", "1"], 1, at.as_str()),
        ("https://example.org", vec!["instant", "1"], 1, "plain HTTP only"),
        ("example", vec!["instant", "1"], 1, "--url"),
        (&url, vec!["instant", "1", "--time", "noon"], 1, "--time: \"noon\" is no time"),
        (&url, vec!["instant"], 2, "EXPR"),
        (&url, vec!["instant", "1", "--format", "xml"], 2, "xml"),
        (&format!("{url}/nothing"), vec!["instant", "1"], 1, "404"),
    ] {
        let output = ask(url, &arguments, "");
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {error}");
        assert!(error.contains(words), "{arguments:?}: {error}");
        assert!(!error.contains("panicked"), "{error}");
    }
}

#[test]
fn help_teaches_by_examples() {
    let output = Barograph::command(&["query", "--help"]).output().expect("the program is built");
    let help = text(&output.stdout);
    assert!(output.status.success());
    for words in ["Examples:", "barograph query range", "now-1h30m", "labels --values job"] {
        assert!(help.contains(words), "{words}: {help}");
    }
}
