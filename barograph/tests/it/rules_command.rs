//! `barograph rules …`: what it says, its exit codes, and that promtool says the same of the same files.

use std::path::Path;
use std::process::{Command, Output};

use testkit::peer;

use crate::support::Barograph;

fn rules(folder: &Path, arguments: &[&str]) -> Output {
    let all: Vec<&str> = std::iter::once("rules").chain(arguments.iter().copied()).collect();
    Barograph::command(&all).current_dir(folder).output().expect("the program runs")
}

fn promtool(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(peer("promtool")).args(arguments).current_dir(folder).output().expect("promtool runs")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("output is text")
}

const GOOD: &str = "
groups:
  - name: g
    rules:
      - record: total
        expr: sum by (job) (items)
      - alert: Many
        expr: total > 5
        for: 2m
        labels: {severity: page}
        annotations: {summary: '{{ $labels.job }} has {{ $value | humanize }}'}
";

const TESTS: &str = "
rule_files: [rules/*.yml]
tests:
  - name: items become many
    interval: 1m
    input_series:
      - {series: 'items{job=\"a\",i=\"1\"}', values: '1+1x10'}
      - {series: 'items{job=\"a\",i=\"2\"}', values: '3x10'}
    alert_rule_test:
      - {eval_time: 3m, alertname: Many}
      - eval_time: 5m
        alertname: Many
        exp_alerts:
          - exp_labels: {severity: page, job: a}
            exp_annotations: {summary: a has 9}
    promql_expr_test:
      - {expr: total, eval_time: 4m, exp_samples: [{labels: 'total{job=\"a\"}', value: 8}]}
";

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, text) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        std::fs::write(path, text).expect("a file");
    }
    folder
}

#[test]
fn files_are_judged_as_promtool_judges_them() {
    let twice = GOOD.replace("      - alert", "      - {record: total, expr: up}\n      - alert");
    let cases: [(&str, String); 8] = [
        ("good.yml", GOOD.to_owned()),
        ("syntax.yml", GOOD.replace("groups:", "groups")),
        ("expression.yml", GOOD.replace("total > 5", "total > ")),
        ("field.yml", GOOD.replace("record: total", "recorded: total")),
        ("template.yml", GOOD.replace("$value | humanize", "$values")),
        ("function.yml", GOOD.replace("| humanize", "| humanise")),
        ("duration.yml", GOOD.replace("for: 2m", "for: soon")),
        ("twice.yml", twice),
    ];
    let files: Vec<(&str, &str)> = cases.iter().map(|(name, text)| (*name, text.as_str())).collect();
    let folder = folder(&files);
    for (name, _) in &cases {
        let ours = rules(folder.path(), &["check", name]);
        let theirs = promtool(folder.path(), &["check", "rules", name]);
        assert_eq!(ours.status.code(), theirs.status.code(), "{name}: {ours:?}\n{theirs:?}");
        assert_eq!(text(&ours.stdout), text(&theirs.stdout), "{name}");
    }
    let fatal = rules(folder.path(), &["check", "--lint-fatal", "twice.yml"]);
    assert_eq!(fatal.status.code(), Some(3));
    assert_eq!(
        rules(folder.path(), &["check", "--lint-fatal", "--lint", "none", "twice.yml"]).status.code(),
        Some(0)
    );

    let wrong = rules(folder.path(), &["check", "good.yml", "expression.yml"]);
    let expected =
        "  FAILED:\nexpression.yml:8:15: group \"g\", rule 2, \"Many\": could not parse expression: ";
    assert!(text(&wrong.stderr).replace("yml: ", "yml:").starts_with(expected), "{}", text(&wrong.stderr));

    let json = rules(folder.path(), &["check", "--json", "duration.yml", "absent.yml"]);
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).expect("JSON");
    assert_eq!(json["files"][0]["errors"][0]["line"], 9);
    assert_eq!(json["files"][0]["errors"][0]["message"], "not a valid duration string: \"soon\"");
    assert_eq!(json["files"][1]["errors"].as_array().map(Vec::len), Some(1));
}

#[test]
fn unit_tests_go_as_with_promtool() {
    let wrong = TESTS.replace("a has 9", "a has 10").replace("value: 8", "value: 7");
    let folder = folder(&[("rules/a.yml", GOOD), ("good.yml", TESTS), ("wrong.yml", &wrong)]);
    let good = rules(folder.path(), &["test", "good.yml"]);
    assert_eq!((good.status.code(), text(&good.stderr)), (Some(0), ""));
    assert_eq!(text(&good.stdout), "Unit Testing:  good.yml\n  SUCCESS\n\n");

    let ours = rules(folder.path(), &["test", "--junit", "report.xml", "good.yml", "wrong.yml"]);
    let theirs = promtool(folder.path(), &["test", "rules", "good.yml", "wrong.yml"]);
    assert_eq!((ours.status.code(), theirs.status.code()), (Some(1), Some(1)));
    let lines = |bytes: &[u8]| -> Vec<String> {
        text(bytes).lines().map(|line| line.trim_end().to_owned()).filter(|line| !line.is_empty()).collect()
    };
    assert_eq!(lines(&ours.stderr), lines(&theirs.stderr), "what is wrong is said in the same words");
    let report = std::fs::read_to_string(folder.path().join("report.xml")).expect("a report");
    assert!(report.contains("<testsuite name=\"wrong.yml\" tests=\"1\" failures=\"2\""), "{report}");

    let none = rules(folder.path(), &["test", "--run", "nothing", "--json", "wrong.yml"]);
    let json: serde_json::Value = serde_json::from_slice(&none.stdout).expect("JSON");
    assert_eq!((none.status.code(), json["files"][0]["tests"].as_array().map(Vec::len)), (Some(0), Some(0)));
}
