//! The expressions of real rules and dashboards: all that Prometheus accepts parse, and print stably.

use std::path::{Path, PathBuf};

use promql::{ParseOptions, parse, pretty};

#[expect(clippy::print_stderr, reason = "a skipped corpus has to be seen")]
/// The conformance data beside the checkout, if it is there.
fn conformance(sub: &str) -> Option<PathBuf> {
    let found = Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .map(|folder| folder.join("shared/conformance").join(sub))
        .find(|path| path.exists());
    if found.is_none() {
        eprintln!("CONFORMANCE DATA ABSENT: shared/conformance/{sub}");
    }
    found
}

#[test]
fn expressions_of_rules_and_dashboards() {
    let Some(folder) = conformance("rules_dashboards") else {
        return;
    };
    let lines = std::fs::read_to_string(folder.join("expressions.jsonl")).unwrap();
    let (mut accepted, mut problems) = (0, Vec::new());
    for line in lines.lines() {
        let entry: serde_json::Value = serde_json::from_str(line).unwrap();
        let query = entry["expr"].as_str().unwrap();
        if entry["prometheus_2_42"] != "ok" {
            continue;
        }
        accepted += 1;
        match parse(query, &ParseOptions::default()) {
            Err(e) => problems.push(format!("{query}\n    {e}")),
            Ok(expr) => {
                let printed = expr.to_string();
                for text in [&printed, &pretty(&expr)] {
                    match parse(text, &ParseOptions::default()) {
                        Ok(again) if again.to_string() == printed => {}
                        other => problems.push(format!("{query}\n    {text}\n    {other:?}")),
                    }
                }
            }
        }
    }
    assert!(accepted > 6_000, "only {accepted} expressions");
    assert!(problems.is_empty(), "{} of {accepted}:\n{}", problems.len(), problems.join("\n"));
}

#[test]
fn expressions_of_promqltest() {
    let Some(folder) = conformance("promqltest") else {
        return;
    };
    let lines = std::fs::read_to_string(folder.join("cases.tsv")).unwrap();
    let mut problems = Vec::new();
    for line in lines.lines().skip(1) {
        let query = line.rsplit('\t').next().unwrap();
        let parsed = parse(query, &ParseOptions::ALL);
        let printed = parsed.as_ref().map(ToString::to_string).unwrap_or_default();
        let again = parse(&printed, &ParseOptions::ALL).map(|e| e.to_string());
        if again.as_ref() != Ok(&printed) {
            problems.push(format!("{query}\n    {parsed:?}\n    {again:?}"));
        }
    }
    assert!(problems.is_empty(), "{}:\n{}", problems.len(), problems.join("\n"));
}
