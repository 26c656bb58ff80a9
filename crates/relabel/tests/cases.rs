//! The conformance cases, and what configuration is refused.

use std::collections::BTreeMap;

use model::{Labels, LabelsBuilder};
use relabel::{Rule, Verdict, apply};
use serde::Deserialize;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    #[serde(default)]
    note: String,
    input: BTreeMap<String, String>,
    relabel_configs: Vec<Rule>,
    #[serde(default)]
    output: Option<BTreeMap<String, String>>,
    #[serde(default)]
    drop: bool,
}

#[test]
fn conformance_cases() {
    let Some(path) = testkit::conformance("config/relabel/cases.yml") else {
        return;
    };
    let text = std::fs::read_to_string(path).unwrap();
    let cases: Vec<Case> = serde_saphyr::from_str(&text).unwrap();
    assert!(cases.len() >= 20, "only {} cases", cases.len());
    for case in cases {
        let mut labels = builder(&case.input);
        let verdict = apply(&case.relabel_configs, &mut labels);
        let expected = if case.drop { Verdict::Drop } else { Verdict::Keep };
        assert_eq!(verdict, expected, "{case:?}");
        if let Some(output) = &case.output {
            assert_eq!(labels.build(), Labels::from_pairs(output), "{}: {:?}", case.note, case.input);
        }
    }
}

fn builder(labels: &BTreeMap<String, String>) -> LabelsBuilder {
    Labels::from_pairs(labels).to_builder()
}

fn rule(yaml: &str) -> Result<Rule, String> {
    serde_saphyr::from_str(yaml).map_err(|error| error.to_string())
}

fn check(yaml: &str, input: &[(&str, &str)], expected: Option<&[(&str, &str)]>) {
    let mut labels = Labels::from_pairs(input.iter().copied()).to_builder();
    let verdict = apply(&[rule(yaml).expect("the rule is a right one")], &mut labels);
    let result = (verdict == Verdict::Keep).then(|| labels.build());
    assert_eq!(result, expected.map(|pairs| Labels::from_pairs(pairs.iter().copied())), "{yaml}");
}

#[test]
fn every_action() {
    let input = [("a", "Foo"), ("b", "foo")];
    check(
        "{source_labels: [a], target_label: c, action: lowercase}",
        &input,
        Some(&[("a", "Foo"), ("b", "foo"), ("c", "foo")]),
    );
    check(
        "{source_labels: [a, b], target_label: c, action: Uppercase}",
        &input,
        Some(&[("a", "Foo"), ("b", "foo"), ("c", "FOO;FOO")]),
    );
    check("{source_labels: [a], target_label: b, action: keepequal}", &input, None);
    check("{source_labels: [b], target_label: b, action: keepequal}", &input, Some(&input));
    check("{source_labels: [a], target_label: b, action: dropequal}", &input, Some(&input));
    check("{source_labels: [gone], target_label: gone2, action: dropequal}", &input, None);
    check("{regex: a, action: labeldrop}", &input, Some(&[("b", "foo")]));
    check("{regex: a, action: labelkeep}", &input, Some(&[("a", "Foo")]));
    check(
        "{regex: '(.)', replacement: 'x${1}', action: labelmap}",
        &input,
        Some(&[("a", "Foo"), ("b", "foo"), ("xa", "Foo"), ("xb", "foo")]),
    );
    check("{target_label: c, replacement: d}", &input, Some(&[("a", "Foo"), ("b", "foo"), ("c", "d")]));
    check(
        "{source_labels: [a], regex: Foo, target_label: b, replacement: ''}",
        &input,
        Some(&[("a", "Foo")]),
    );
    check(
        "{source_labels: [b], modulus: 8, target_label: shard, action: hashmod}",
        &input,
        Some(&[("a", "Foo"), ("b", "foo"), ("shard", "0")]),
    );
}

#[test]
fn numbers_are_texts() {
    check("{source_labels: [code], regex: 200, action: keep}", &[("code", "200")], Some(&[("code", "200")]));
    check("{target_label: x, replacement: true}", &[], Some(&[("x", "true")]));
}

#[test]
fn wrong_rules_are_refused_with_what_is_wrong() {
    let check = |yaml: &str, part: &str| {
        let error = rule(yaml).unwrap_err();
        assert!(error.contains(part), "{yaml}: {error}");
    };
    check("{action: replace_all, target_label: a}", "unknown relabel action \"replace_all\"");
    check("{action: hashmod, target_label: a}", "modulus");
    check("{action: replace}", "needs a target_label");
    check("{action: lowercase, source_labels: [a]}", "needs a target_label");
    check("{action: lowercase, source_labels: [a], target_label: b, replacement: c}", "not replacement");
    check("{action: keepequal, source_labels: [a], target_label: b, regex: c}", "not regex");
    check("{action: labeldrop, regex: a, source_labels: [b]}", "not source_labels");
    check("{action: labelkeep, regex: a, target_label: b}", "not target_label");
    check("{action: labelmap, regex: a, replacement: ''}", "replacement");
    check("{action: keep, source_labels: [a], regex: '('}", "not a regular expression");
    check("{action: keep, source_labels: ['']}", "empty label name");
    check("{action: keep, sauce_labels: [a]}", "sauce_labels");
}

#[test]
fn defaults_may_be_given() {
    assert!(rule("{action: dropequal, source_labels: [a], target_label: b, separator: ';', regex: (.*), replacement: $1}").is_ok());
    assert!(rule("{action: labeldrop, regex: a, separator: ';'}").is_ok());
}
