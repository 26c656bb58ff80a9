//! Unit tests in promtool's format: they pass where rules do what they should, and say what is wrong where they do not.

use std::path::{Path, PathBuf};

use rules::unit_test::{FileReport, NamedText, TestFile, TestOptions, junit};

use crate::support::{conformance, read, yaml_files};

const RULES: &str = "
groups:
  - name: second
    rules:
      - alert: Many
        expr: total > 5
        for: 1m
        labels: {severity: page}
        annotations: {summary: 'there are {{ $value }} in {{ $externalLabels.region }}'}
  - name: first
    rules:
      - record: total
        expr: sum(items)
";

fn run(tests: &str) -> Vec<String> {
    let file = TestFile::parse(tests).expect("a good file");
    let rules = [NamedText { name: "rules.yml", text: RULES }];
    let reports = file.run(&rules, &TestOptions::default(), &|_| true);
    reports.into_iter().flat_map(|report| report.failures).collect()
}

const GOOD: &str = "
evaluation_interval: 1m
group_eval_order: [first, second]
tests:
  - name: good
    interval: 30s
    external_labels: {region: eu}
    input_series:
      - {series: 'items{a=\"1\"}', values: '1+1x10'}
      - {series: 'items{a=\"2\"}', values: '1 _ 2x8'}
    alert_rule_test:
      - {eval_time: 2m, alertname: Many, exp_alerts: []}
      - eval_time: 3m30s
        alertname: Many
        exp_alerts:
          - exp_labels: {severity: page}
            exp_annotations: {summary: there are 9 in eu}
    promql_expr_test:
      - expr: total
        eval_time: 3m
        exp_samples: [{labels: total, value: 9}]
      - expr: ALERTS
        eval_time: 2m
        exp_samples: [{labels: 'ALERTS{alertname=\"Many\",alertstate=\"pending\",severity=\"page\"}', value: 1}]
      - {expr: vector(1) > 2, eval_time: 0}
";

#[test]
fn rules_that_do_what_they_should_pass() {
    assert_eq!(run(GOOD), Vec::<String>::new());
}

#[test]
fn every_deviation_is_told() {
    for (from, to, told) in [
        (
            "value: 9}",
            "value: 9.1}",
            "    expr: \"total\", time: 3m,\n        exp: {__name__=\"total\"} 9.1E+00\n        got: {__name__=\"total\"} 9E+00",
        ),
        (
            "there are 9",
            "there are 8",
            "    name: good,\n    alertname: Many, time: 3m30s, \n        exp:[\n            0:\n              Labels:{alertname=\"Many\", severity=\"page\"}\n              Annotations:{summary=\"there are 8 in eu\"}\n            ], \n        got:[\n            0:\n              Labels:{alertname=\"Many\", severity=\"page\"}\n              Annotations:{summary=\"there are 9 in eu\"}\n            ]",
        ),
        (
            "labels: total, value: 9",
            "labels: 'total{x=\"y\"}', value: 9",
            "    expr: \"total\", time: 3m,\n        exp: {__name__=\"total\", x=\"y\"} 9E+00\n        got: {__name__=\"total\"} 9E+00",
        ),
        (
            "expr: vector(1) > 2",
            "expr: vector(1) > 0",
            "    expr: \"vector(1) > 0\", time: 0s,\n        exp: nil\n        got: {} 1E+00",
        ),
        (
            "expr: vector(1) > 2",
            "expr: 'up[1m]'",
            "    expr: \"up[1m]\", time: 0s, err: rule result is not a vector or scalar",
        ),
        ("items{a=\"2\"}", "items{a=\"2\"", "series \"items{a=\\\"2\\\"\": "),
    ] {
        let failures = run(&GOOD.replace(from, to));
        let [failure] = failures.as_slice() else { panic!("{from}: {failures:#?}") };
        assert!(failure.starts_with(told), "{failure}\n{told}");
    }
    let nameless = run("tests: [{alert_rule_test: [{eval_time: 1m}]}]");
    assert_eq!(
        nameless,
        ["an item under alert_rule_test misses required attribute alertname at eval_time 1m"]
    );
}

#[test]
fn the_order_of_groups_is_the_one_asked_for() {
    // The other way round, the alert sees the total of the evaluation before and fires a minute later.
    let failures = run(&GOOD.replace("[first, second]", "[second, first]"));
    assert_eq!(failures.len(), 2, "{failures:#?}");
}

#[test]
fn files_are_read_strictly() {
    let errors = |text: &str| -> Vec<String> {
        TestFile::parse(text)
            .map_or_else(|errors| errors.iter().map(ToString::to_string).collect(), |_| Vec::new())
    };
    assert_eq!(errors("test: []"), ["1:1: field test not found in type main.unitTestFile"]);
    assert_eq!(
        errors("tests: [{input_series: [{serie: a}]}]"),
        ["1:26: field serie not found in type main.series"]
    );
    assert_eq!(errors("tests: [{interval: soon}]"), ["1:20: not a valid duration string: \"soon\""]);
    assert_eq!(errors("group_eval_order: [a, a]"), ["1:19: group name repeated in evaluation order: a"]);
    assert_eq!(
        errors("tests: [{start_timestamp: never}]"),
        ["1:27: cannot parse \"never\" to a valid timestamp"]
    );
    let file = TestFile::parse("tests: [{start_timestamp: '2020-01-01T00:00:00Z'}, {start_timestamp: 12.5}]")
        .unwrap();
    assert_eq!((file.tests[0].start_ms, file.tests[1].start_ms), (1_577_836_800_000, 12_500));
    assert_eq!((file.tests[0].name.as_str(), file.tests[1].is_named), ("unnamed#0", false));
}

#[test]
fn reports_are_junit() {
    let reports = [
        FileReport {
            file: "a<b".into(),
            errors: Vec::new(),
            tests: vec![rules::unit_test::TestReport { name: "t".into(), failures: vec!["x & y".into()] }],
        },
        FileReport { file: "c".into(), errors: vec!["gone".into()], tests: Vec::new() },
    ];
    let text = junit(&reports, "2020-01-01T00:00:00");
    assert!(text.contains("<testsuite name=\"a&lt;b\" tests=\"1\" failures=\"1\" errors=\"0\""), "{text}");
    assert!(text.contains("<testcase name=\"t\"><failure>x &amp; y</failure></testcase>"), "{text}");
    assert!(text.contains("errors=\"1\"") && text.contains("<error>gone</error>"), "{text}");
}

/// Runs a file with the rule files that it names, which have no patterns.
fn run_file(path: &Path, wanted: &dyn Fn(&str) -> bool) -> Result<usize, Vec<String>> {
    let text = read(path);
    let file = TestFile::parse(&text)
        .map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>())?;
    let folder = path.parent().expect("a folder");
    let paths: Vec<PathBuf> = file.rule_files.iter().map(|name| folder.join(name)).collect();
    let texts: Vec<(String, String)> =
        paths.iter().map(|path| (path.display().to_string(), read(path))).collect();
    let rules: Vec<NamedText<'_>> = texts.iter().map(|(name, text)| NamedText { name, text }).collect();
    let reports = file.run(&rules, &TestOptions::default(), wanted);
    let asserts = file.tests.iter().map(|test| test.alerts.len() + test.queries.len()).sum();
    let failures: Vec<String> = reports.into_iter().flat_map(|report| report.failures).collect();
    if failures.is_empty() { Ok(asserts) } else { Err(failures) }
}

#[test]
fn unit_tests_of_real_rules_pass() {
    let Some(folder) = conformance("rule_unit_tests") else { return };
    let mut asserts = run_file(&folder.join("thanos/tests.yaml"), &|_| true).expect("thanos passes");
    let mixin = yaml_files(&folder.join("kubernetes-mixin/tests"));
    assert_eq!(mixin.len(), 5);
    for path in mixin {
        asserts += run_file(&path, &|_| true)
            .unwrap_or_else(|failures| panic!("{}:\n{}", path.display(), failures.join("\n")));
    }
    assert_eq!(asserts, 11 + 132);
}

#[test]
fn promtools_own_unit_tests_go_as_with_promtool() {
    let Some(folder) = conformance("rule_unit_tests/promtool") else { return };
    let expectations = read(&folder.join("expectations.tsv"));
    let mut wrong = Vec::new();
    for line in expectations.lines().skip(1) {
        let (name, expected) = line.split_once('\t').expect("two columns");
        // Of this file promtool runs the tests that are to pass and the one that is not each for itself.
        let fuzzy = name == "rules_run_fuzzy.yml";
        let result = run_file(&folder.join(name), &|test| !fuzzy || test.contains("correct"));
        assert!(!fuzzy || run_file(&folder.join(name), &|test| test.contains("wrong")).is_err());
        if result.is_ok() != (expected.trim() == "pass") {
            wrong.push(format!("{name}, expected {expected}: {result:#?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Series for two groups of the alert generator's rules, as their names tell what they are to do.
const ALERT_GENERATOR: &str = r#"
evaluation_interval: 30s
tests:
  - interval: 30s
    input_series:
      - series: 'alert_generator_test_suite{alertname="ZeroFor_SmallFor_ZeroFor",rulegroup="ZeroFor_SmallFor"}'
        values: '5 15 5'
      - series: 'alert_generator_test_suite{alertname="ZeroFor_SmallFor_SmallFor",rulegroup="ZeroFor_SmallFor"}'
        values: '5 15 15 5'
      - {series: 'alert_generator_test_suite{rulegroup="ZeroFor_SmallFor",for="template",id="b"}', values: '2x9'}
      - {series: 'alert_generator_test_suite{rulegroup="ZeroFor_SmallFor",for="template",id="a"}', values: '1x9'}
      - series: 'alert_generator_test_suite{alertname="NewAlerts_OrderCheck_Rule1",rulegroup="NewAlerts_OrderCheck",variant="one"}'
        values: '11x20'
      - series: 'alert_generator_test_suite{alertname="NewAlerts_OrderCheck_Rule1",rulegroup="NewAlerts_OrderCheck",variant="two"}'
        values: '5 5 5 11x17'
    alert_rule_test:
      - {eval_time: 0s, alertname: ZeroFor_SmallFor_ZeroFor}
      - eval_time: 30s
        alertname: ZeroFor_SmallFor_ZeroFor
        exp_alerts:
          - exp_labels: {foo: bar, rulegroup: ZeroFor_SmallFor}
            exp_annotations:
              description: This should immediately fire
              template_query_test: 'Args are: foo bar 99. first_id:a,a:1,b:2,'
              template_test: '1.049M 1Mi 2m 15s 95.9% 2022-01-25 12:36:43 +0000 UTC'
      - {eval_time: 1m, alertname: ZeroFor_SmallFor_ZeroFor}
      - {eval_time: 45s, alertname: ZeroFor_SmallFor_SmallFor}
      - eval_time: 1m
        alertname: ZeroFor_SmallFor_SmallFor
        exp_alerts:
          - exp_labels: {ba_dum: tss, rulegroup: ZeroFor_SmallFor}
            exp_annotations:
              description: This should fire after an interval
              template_test: 'This Part IS TESTING the strings. ::1 127.0.0.1. 7815. replaced text. .'
      - {eval_time: 4m, alertname: NewAlerts_OrderCheck_Rule2}
      - eval_time: 4m30s
        alertname: NewAlerts_OrderCheck_Rule2
        exp_alerts:
          - exp_labels: {alertstate: firing, ba_dum: tss, foo: baz, rulegroup: NewAlerts_OrderCheck}
            exp_annotations:
              description: Based on ALERTS. Old alertname was NewAlerts_OrderCheck_Rule1. foo was bar.
"#;

#[test]
fn rules_of_the_alert_generator_do_what_their_names_say() {
    let Some(folder) = conformance("alert_generator") else { return };
    let text = read(&folder.join("rules.yaml"));
    let file = TestFile::parse(ALERT_GENERATOR).expect("a good file");
    let reports =
        file.run(&[NamedText { name: "rules.yaml", text: &text }], &TestOptions::default(), &|_| true);
    assert_eq!(reports[0].failures.join("\n"), "");
}
