//! Files of unit tests, read strictly.

use std::collections::{BTreeMap, BTreeSet};

use gotemplate::time::GoTime;
use yaml::Node;

use super::{AlertCase, ExpectedSample, QueryCase, RuleTest, TestFile};
use crate::file::FileError;
use crate::file::reader::{Reader, Texts, place};

/// How often rules are evaluated where a file does not say, in milliseconds.
const DEFAULT_INTERVAL_MS: i64 = 60_000;

/// Reads a file.
pub(super) fn file(text: &str) -> Result<TestFile, Vec<FileError>> {
    let root = yaml::parse(text).map_err(|problem| vec![FileError::of_yaml(problem)])?;
    let mut reader = Reader::new(false);
    let mut file = TestFile {
        rule_files: Vec::new(),
        evaluation_interval_ms: DEFAULT_INTERVAL_MS,
        group_order: Vec::new(),
        tests: Vec::new(),
        fuzzy: false,
    };
    let Some(root) = root else { return Ok(file) };
    const KNOWN: [&str; 5] =
        ["rule_files", "evaluation_interval", "group_eval_order", "tests", "fuzzy_compare"];
    let fields = reader.mapping(&root, "main.unitTestFile", &KNOWN);
    let texts = |reader: &mut Reader, node: &Node| reader.text(node).text;
    file.rule_files = reader.list(fields.get("rule_files"), "[]string", texts);
    if let Some(interval) = fields.get("evaluation_interval").and_then(|node| reader.duration(node))
        && interval > 0
    {
        file.evaluation_interval_ms = interval;
    }
    file.group_order = reader.list(fields.get("group_eval_order"), "[]string", texts);
    let mut names = BTreeSet::new();
    if let Some(twice) = file.group_order.iter().find(|name| !names.insert(name.as_str()))
        && let Some(node) = fields.get("group_eval_order")
    {
        let message = format!("group name repeated in evaluation order: {twice}");
        reader.errors.push(FileError::new(place(node), message));
    }
    file.tests = reader.list(fields.get("tests"), "[]main.testGroup", test);
    for (index, test) in file.tests.iter_mut().enumerate().filter(|(_, test)| !test.is_named) {
        test.name = format!("unnamed#{index}");
    }
    file.fuzzy = fields.get("fuzzy_compare").is_some_and(|node| reader.bool(node));
    reader.finish(file)
}

fn test(reader: &mut Reader, node: &Node) -> RuleTest {
    const KNOWN: [&str; 8] = [
        "interval",
        "input_series",
        "alert_rule_test",
        "promql_expr_test",
        "external_labels",
        "external_url",
        "name",
        "start_timestamp",
    ];
    let fields = reader.mapping(node, "main.testGroup", &KNOWN);
    let name = fields.get("name").map(|node| reader.text(node).text).unwrap_or_default();
    let interval_ms = fields.get("interval").and_then(|node| reader.duration(node));
    RuleTest {
        is_named: !name.is_empty(),
        name,
        interval_ms: interval_ms.filter(|interval| *interval > 0),
        series: reader.list(fields.get("input_series"), "[]main.series", series),
        alerts: reader.list(fields.get("alert_rule_test"), "[]main.alertTestCase", alert_case),
        queries: reader.list(fields.get("promql_expr_test"), "[]main.promqlTestCase", query_case),
        external_labels: plain(fields.get("external_labels").map(|node| reader.texts(node))),
        external_url: fields.get("external_url").map(|node| reader.text(node).text).unwrap_or_default(),
        start_ms: fields.get("start_timestamp").map_or(0, |node| start(reader, node)),
    }
}

fn plain(texts: Option<Texts>) -> BTreeMap<String, String> {
    texts.unwrap_or_default().into_iter().map(|(name, text)| (name, text.text)).collect()
}

/// Seconds since 1970, or a time in RFC 3339.
fn start(reader: &mut Reader, node: &Node) -> i64 {
    let text = reader.text(node).text;
    if let Ok(seconds) = text.parse::<f64>()
        && seconds.is_finite()
    {
        return (seconds * 1_000.0) as i64;
    }
    match GoTime::parse("2006-01-02T15:04:05.999999999Z07:00", &text) {
        Ok(time) => time.unix_millis(),
        Err(_) => {
            let message = format!("cannot parse {} to a valid timestamp", gotemplate::quote(&text));
            reader.errors.push(FileError::new(place(node), message));
            0
        }
    }
}

fn series(reader: &mut Reader, node: &Node) -> (String, String) {
    let fields = reader.mapping(node, "main.series", &["series", "values"]);
    let mut text = |name: &str| fields.get(name).map(|node| reader.text(node).text).unwrap_or_default();
    (text("series"), text("values"))
}

fn alert_case(reader: &mut Reader, node: &Node) -> AlertCase {
    let fields = reader.mapping(node, "main.alertTestCase", &["eval_time", "alertname", "exp_alerts"]);
    let at_ms = fields.get("eval_time").and_then(|node| reader.duration(node)).unwrap_or(0);
    let name = fields.get("alertname").map(|node| reader.text(node).text).unwrap_or_default();
    let expected = reader.list(fields.get("exp_alerts"), "[]main.alert", |reader, node| {
        let fields = reader.mapping(node, "main.alert", &["exp_labels", "exp_annotations"]);
        let mut texts = |name: &str| plain(fields.get(name).map(|node| reader.texts(node)));
        (texts("exp_labels"), texts("exp_annotations"))
    });
    AlertCase { at_ms, name, expected }
}

fn query_case(reader: &mut Reader, node: &Node) -> QueryCase {
    let fields = reader.mapping(node, "main.promqlTestCase", &["expr", "eval_time", "exp_samples"]);
    QueryCase {
        query: fields.get("expr").map(|node| reader.text(node).text).unwrap_or_default(),
        at_ms: fields.get("eval_time").and_then(|node| reader.duration(node)).unwrap_or(0),
        expected: reader.list(fields.get("exp_samples"), "[]main.sample", |reader, node| {
            let fields = reader.mapping(node, "main.sample", &["labels", "value", "histogram"]);
            let mut text =
                |name: &str| fields.get(name).map(|node| reader.text(node).text).unwrap_or_default();
            let (labels, histogram) = (text("labels"), text("histogram"));
            let value = fields.get("value").map_or(0.0, |node| reader.float(node));
            ExpectedSample { labels, value, histogram }
        }),
    }
}
