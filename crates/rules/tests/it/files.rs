//! Rule files: what is accepted, and what is said of what is not.

use proptest::prelude::*;
use rules::file::duplicates;
use rules::{FileOptions, RuleFile, RuleGroup, RuleKind, Tree};

use crate::support::{conformance, errors, read, yaml_files};

fn rule(body: &str) -> Vec<String> {
    errors(&format!("groups:\n  - name: g\n    rules:\n      - {}\n", body.replace('\n', "\n        ")))
}

#[test]
fn everything_of_a_file_is_read() {
    let text = "
groups:
  - name: g
    interval: 1m30s
    query_offset: 5s
    limit: 10
    labels: {team: a, env: b}
    rules:
      - record: job:up:sum
        expr: sum by (job) (up)
        labels: {env: c}
      - alert: Down
        expr: up == 0
        for: 5m
        keep_firing_for: 1m
        labels: {severity: page}
        annotations: {summary: '{{ $labels.instance }} is down'}
  - name: empty
";
    let file = RuleFile::parse(text, &FileOptions::default()).expect("a good file");
    assert_eq!((file.groups.len(), file.rule_count(), file.second_document), (2, 2, None));
    let group = &file.groups[0];
    assert_eq!((group.interval_ms, group.query_offset_ms, group.limit), (Some(90_000), Some(5_000), 10));
    assert_eq!(group.labels.len(), 2);
    assert_eq!((group.place.line, group.place.column), (3, 5));
    let [record, alert] = group.rules.as_slice() else { panic!("two rules") };
    assert_eq!((record.kind, record.name.as_str()), (RuleKind::Recording, "job:up:sum"));
    assert_eq!((alert.kind, alert.hold_ms, alert.keep_firing_ms), (RuleKind::Alerting, 300_000, 60_000));
    assert_eq!(alert.annotations["summary"], "{{ $labels.instance }} is down");
    assert_eq!(file.groups[1].interval_ms, None);
    assert!(RuleFile::parse("", &FileOptions::default()).expect("nothing is a good file").groups.is_empty());
}

#[test]
fn errors_stand_at_their_places_in_upstreams_words() {
    let one = |body: &str, expected: &str| assert_eq!(rule(body), [expected], "{body}");
    one(
        "record: a\nexpr: rate(hi)",
        "5:15: group \"g\", rule 1, \"a\": could not parse expression: 1:6: parse error: expected type range vector in call to function \"rate\", got instant vector",
    );
    one("record: a\nexpr: 1\nannotation: {}", "6:9: field annotation not found in type rulefmt.Rule");
    one("expr: 1", "4:9: group \"g\", rule 1, \"\": one of 'record' or 'alert' must be set");
    one(
        "record: a\nalert: b\nexpr: 1",
        "4:17: 5:16: group \"g\", rule 1, \"b\": only one of 'record' and 'alert' must be set",
    );
    one("record: a", "4:9: group \"g\", rule 1, \"a\": field 'expr' must be set in rule");
    one("record: a\nexpr: ''", "5:15: group \"g\", rule 1, \"a\": field 'expr' must be set in rule");
    one(
        "record: a\nexpr: 1\nfor: 1m",
        "4:17: group \"g\", rule 1, \"a\": invalid field 'for' in recording rule",
    );
    one(
        "record: a\nexpr: 1\nkeep_firing_for: 1m",
        "4:17: group \"g\", rule 1, \"a\": invalid field 'keep_firing_for' in recording rule",
    );
    one(
        "record: a\nexpr: 1\nannotations: {a: b}",
        "4:17: group \"g\", rule 1, \"a\": invalid field 'annotations' in recording rule",
    );
    one(
        "record: 'a{b=\"c\"}'\nexpr: 1",
        "4:17: group \"g\", rule 1, \"a{b=\\\"c\\\"}\": braces present in the recording rule name; should it be in expr?: a{b=\"c\"}",
    );
    one(
        "record: a\nexpr: 1\nlabels: {__name__: b}",
        "6:28: group \"g\", rule 1, \"a\": invalid label name: __name__",
    );
    one(
        "alert: a\nexpr: 1\nannotations: {s: '{{ $label.x }}'}",
        "6:26: group \"g\", rule 1, \"a\": annotation \"s\": template: __alert_a:1: undefined variable \"$label\"",
    );
    one(
        "alert: a\nexpr: 1\nlabels: {s: '{{ nothing }}'}",
        "6:21: group \"g\", rule 1, \"a\": label \"s\": template: __alert_a:1: function \"nothing\" not defined",
    );
    one("alert: a\nexpr: 1\nfor: 5x", "6:14: unknown unit \"x\" in duration \"5x\"");
    one("alert: a\nexpr: 1\nfor: ''", "6:14: empty duration string");
    one("alert: a\nexpr: [1]", "5:15: cannot unmarshal !!seq into string");
    one("alert: a\nexpr: 1\nlabels: what", "6:17: cannot unmarshal !!str `what` into map[string]string");
    assert_eq!(rule("alert: a\nexpr: 1\nfor: 0\nkeep_firing_for:\nlabels:"), Vec::<String>::new());
    assert_eq!(
        rule("alert: a\nexpr: 1\nlabels: {'a b-c': x}\nannotations: {__name__: x}"),
        Vec::<String>::new()
    );
}

#[test]
fn errors_of_groups_and_files() {
    assert_eq!(
        errors("groups:\n  - name: yolo\n  - name: yolo\n"),
        ["3:5: groupname: \"yolo\" is repeated in the same file"]
    );
    assert_eq!(errors("groups:\n  - rules: []\n"), ["2:5: Groupname must not be empty"]);
    assert_eq!(
        errors("groups:\n  - name: a\n    limit: many\n"),
        ["3:12: cannot unmarshal !!str `many` into int"]
    );
    assert_eq!(errors("groups: {}\n"), ["1:9: cannot unmarshal !!map into []rulefmt.RuleGroup"]);
    assert_eq!(errors("group: []\n"), ["1:1: field group not found in type rulefmt.RuleGroups"]);
    assert_eq!(errors("just text\n"), ["1:1: cannot unmarshal !!str `just text` into rulefmt.RuleGroups"]);
    assert_eq!(
        errors("groups:\n  - name: g\n    labels: {__name__: x}\n"),
        ["3:24: invalid label name: __name__"]
    );
    assert_eq!(errors("groups:\n  - name: [\n").len(), 1, "no YAML at all");
    // All that is wrong is said at once.
    assert_eq!(errors("groups:\n  - name: a\n    rules: [{expr: up}, {record: b}]\n").len(), 2);
    let options = FileOptions { ignore_unknown_fields: true, ..FileOptions::default() };
    assert!(RuleFile::parse("groups: []\nother: 1\n", &options).is_ok());
}

#[test]
fn second_documents_are_passed_over_and_manifests_are_looked_into() {
    let file =
        RuleFile::parse("groups:\n  - name: a\n---\ngroups: {}\n", &FileOptions::default()).expect("good");
    assert_eq!((file.groups.len(), file.second_document.map(|place| place.line)), (1, Some(3)));
    let manifest =
        "apiVersion: monitoring.coreos.com/v1\nkind: PrometheusRule\nspec:\n  groups:\n    - name: a\n";
    assert_eq!(RuleFile::parse(manifest, &FileOptions::default()).expect("good").groups.len(), 1);
    assert_eq!(
        errors(&manifest.replace("groups:", "group:")),
        ["4:3: field group not found in type rulefmt.RuleGroups"]
    );
}

#[test]
fn rules_that_stand_twice_are_found() {
    let text = "
groups:
  - name: a
    labels: {x: '1'}
    rules: [{record: r, expr: a}, {record: r, expr: b, labels: {x: '2'}}]
  - name: b
    rules: [{record: r, expr: c, labels: {x: '1'}}, {record: r, expr: c}]
";
    let file = RuleFile::parse(text, &FileOptions::default()).expect("a good file");
    let found = duplicates(&file.groups);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((found[0].name.as_str(), found[0].count, found[0].labels["x"].as_str()), ("r", 2, "1"));
}

#[test]
fn upstreams_rule_files_are_judged_as_upstream_judges_them() {
    let Some(folder) = conformance("rule_files") else { return };
    let expectations = read(&folder.join("expectations.tsv"));
    let mut wrong = Vec::new();
    let mut count = 0;
    for line in expectations.lines().skip(1) {
        let mut columns = line.split('\t');
        let (Some(name), Some(expected)) = (columns.next(), columns.next()) else { panic!("{line}") };
        let errors = errors(&read(&folder.join(name)));
        count += 1;
        if errors.is_empty() != (expected == "ok") {
            wrong.push(format!("{name}: {errors:?}"));
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
    assert_eq!(count, 29);
}

#[test]
fn real_rule_files_are_accepted_and_can_be_evaluated() {
    let Some(folder) = conformance("rules_dashboards/rules") else { return };
    let files = yaml_files(&folder);
    let (engine, nothing) = (promql::Engine::default(), testseries::Storage::default());
    let mut wrong = Vec::new();
    let mut rules = 0;
    for path in &files {
        match RuleFile::parse(&read(path), &FileOptions::default()) {
            Ok(file) => {
                rules += file.rule_count();
                for rule in file.groups.iter().flat_map(|group| &group.rules) {
                    // As it is evaluated: written in one way.
                    if let Err(error) = engine.instant(&rule.expr.to_string(), 1_000_000, &nothing) {
                        wrong.push(format!("{}: {}: {error}", path.display(), rule.name));
                    }
                }
            }
            Err(errors) => wrong.extend(errors.iter().map(|error| format!("{}: {error}", path.display()))),
        }
    }
    // Two rules of one file are MetricsQL. Upstream refuses them, with these words.
    let wrong: Vec<&str> =
        wrong.iter().filter_map(|wrong| wrong.rsplit_once("/").map(|(_, wrong)| wrong)).collect();
    assert_eq!(
        wrong,
        [
            "alerts-vmanomaly.yml: 64:15: group \"vmanomaly-health\", rule 5, \"NoSelfMonitoringMetrics\": could not parse expression: 1:1: parse error: unknown function with name \"lag\"",
            "alerts-vmanomaly.yml: 86:15: group \"vmanomaly-health\", rule 7, \"TooHighCPUUsage\": could not parse expression: 1:89: parse error: expected type instant vector in aggregation expression, got range vector",
        ]
    );
    assert_eq!(files.len(), 141);
    assert!(rules > 2_000, "{rules}");
}

fn group(text: &str) -> RuleGroup {
    RuleFile::parse_group(text, &FileOptions::default()).expect("a good group").expect("a group")
}

#[test]
fn a_group_is_read_by_itself() {
    let parsed = group("name: g\nrules:\n  - {record: r, expr: sum(up)}\n");
    assert_eq!((parsed.name.as_str(), parsed.rules.len(), parsed.rules[0].place.line), ("g", 1, 3));
    let errors = |text: &str| match RuleFile::parse_group(text, &FileOptions::default()) {
        Ok(found) => vec![format!("{found:?}")],
        Err(errors) => errors.iter().map(ToString::to_string).collect(),
    };
    assert_eq!(errors("# nothing"), ["None"]);
    assert_eq!(errors("rules: []"), ["1:1: Groupname must not be empty"]);
    assert_eq!(errors("[g]"), ["1:1: cannot unmarshal !!seq into rulefmt.RuleGroup"]);
    let wrong = errors("name: g\nrules:\n  - record: r\n    expr: sum(\n");
    assert!(
        wrong[0].starts_with("4:11: group \"g\", rule 1, \"r\": could not parse expression"),
        "{wrong:?}"
    );
    assert_eq!(errors("name: g\n---\nname: h\n").len(), 1);
}

#[test]
fn what_groups_mean_does_not_depend_on_how_they_are_written() {
    let one = group("name: g\ninterval: 60s\nrules: [{record: r, expr: 'sum  by(job)(up)'}]");
    let same = group(
        "interval: 1m\nname: g\n\nrules:\n  - expr: sum by (job) (up)\n    record: r\n    labels: {}\n",
    );
    assert!(one.means(&same) && same.means(&one));
    for other in [
        "name: h\ninterval: 1m\nrules: [{record: r, expr: sum by (job) (up)}]",
        "name: g\nrules: [{record: r, expr: sum by (job) (up)}]",
        "name: g\ninterval: 1m\nlimit: 1\nrules: [{record: r, expr: sum by (job) (up)}]",
        "name: g\ninterval: 1m\nrules: [{record: r, expr: sum by (job) (up), labels: {a: b}}]",
        "name: g\ninterval: 1m\nrules: [{alert: r, expr: sum by (job) (up)}]",
        "name: g\ninterval: 1m\nrules: []",
    ] {
        assert!(!one.means(&group(other)), "{other}");
    }
}

#[test]
fn groups_of_real_files_mean_the_same_when_they_are_written_again() {
    let Some(folder) = conformance("rules_dashboards/rules") else { return };
    let mut count = 0;
    for path in yaml_files(&folder) {
        let (Ok(file), Ok(Some(tree))) =
            (RuleFile::parse(&read(&path), &FileOptions::default()), Tree::parse(&read(&path)))
        else {
            continue;
        };
        let root = tree.get("groups").or_else(|| tree.get("spec")?.get("groups"));
        let written = root.map(Tree::items).unwrap_or_default();
        assert_eq!(written.len(), file.groups.len(), "{}", path.display());
        for (tree, expected) in written.iter().zip(&file.groups) {
            let text = tree.to_yaml();
            assert!(group(&text).means(expected), "{}: {text}", path.display());
            assert_eq!(Tree::parse(&text).expect("YAML").as_ref(), Some(tree));
            count += 1;
        }
    }
    assert!(count > 300, "{count}");
}

proptest! {
    #[test]
    fn no_text_makes_reading_panic(
        words in prop::collection::vec(
            prop::sample::select(vec![
                "groups:", "- ", "name: a", "rules:", "record: r", "alert: A", "expr: up", "for: 1m", "labels: {a: '{{ .x }}'}",
                "\n", "\n  ", "\n    ", "{", "}", "[", "]", "*a", "&a", "<<: *a", "---", "null", "'", "\"", "| ", "é", "limit: 9e99",
            ]),
            0..40,
        )
    ) {
        let text = words.concat();
        let _ = RuleFile::parse(&text, &FileOptions::default());
        let _ = rules::unit_test::TestFile::parse(&text);
    }
}
