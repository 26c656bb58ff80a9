//! The expressions of real rules and dashboards, over series that are made to match their selectors.

use std::collections::{BTreeMap, BTreeSet};

use model::{MatchOp, Matcher, Value};
use promql::ast::Expr;
use promql::{ParseOptions, parse};

use super::data::{START_MS, Series};
use super::pair::Query;

/// How many samples each series has, one a minute.
const SAMPLES: i64 = 10;
const MINUTE_MS: i64 = 60_000;

/// Labels by which expressions join, which every series has unless a selector wants another value.
const JOINED: [&str; 10] =
    ["cluster", "container", "device", "env", "host", "instance", "job", "namespace", "node", "pod"];

/// What dashboards' variables were replaced by.
const VARIABLE: &str = "VAR";

/// The expressions that Prometheus accepts; `None` where the conformance data is absent.
pub(super) fn expressions() -> Option<Vec<String>> {
    let folder = testkit::conformance("rules_dashboards")?;
    let lines = std::fs::read_to_string(folder.join("expressions.jsonl")).expect("readable");
    let entries = lines.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON"));
    let accepted = entries.filter(|entry| entry["prometheus_2_42"] == "ok");
    Some(accepted.map(|entry| entry["expr"].as_str().expect("a text").to_owned()).collect())
}

/// An instant query at the end of the data, and a range query over some of it.
pub(super) fn queries(expressions: &[String]) -> Vec<Query> {
    let end_ms = START_MS + (SAMPLES - 1) * MINUTE_MS;
    let both = |e: &String| {
        [Query::instant(e, end_ms), Query::range(e, end_ms - 4 * MINUTE_MS, end_ms, 2 * MINUTE_MS)]
    };
    expressions.iter().flat_map(both).collect()
}

/// Series for every selector, in order of labels, and how many selectors none could be made for.
pub(super) fn series(expressions: &[String]) -> (Vec<Series>, usize) {
    let mut selectors = BTreeMap::new();
    for expression in expressions {
        let expr = parse(expression, &ParseOptions::ALL).expect("expressions parse");
        each_selector(&expr, &mut |matchers| {
            selectors.entry(format!("{matchers:?}")).or_insert_with(|| matchers.to_vec());
        });
    }
    let mut all = BTreeSet::new();
    let mut without = 0;
    for matchers in selectors.values() {
        match labels(matchers) {
            Some(labels) => all.extend(with_bounds(labels)),
            None => without += 1,
        }
    }
    (all.into_iter().enumerate().map(|(n, labels)| samples(n, labels)).collect(), without)
}

fn each_selector(expr: &Expr, f: &mut impl FnMut(&[Matcher])) {
    match expr {
        Expr::Vector(e) => f(&e.matchers),
        Expr::Matrix(e) => f(&e.selector.matchers),
        Expr::Aggregate(e) => {
            each_selector(&e.expr, f);
            e.param.iter().for_each(|param| each_selector(param, f));
        }
        Expr::Binary(e) => {
            each_selector(&e.lhs, f);
            each_selector(&e.rhs, f);
        }
        Expr::Call(e) => e.args.iter().for_each(|arg| each_selector(arg, f)),
        Expr::Paren(e) => each_selector(&e.expr, f),
        Expr::Subquery(e) => each_selector(&e.expr, f),
        Expr::Unary(e) => each_selector(&e.expr, f),
        Expr::Number(_) | Expr::String(_) => {}
    }
}

type Labels = BTreeMap<String, String>;

/// Labels that pass all matchers.
fn labels(matchers: &[Matcher]) -> Option<Labels> {
    let mut labels: Labels = JOINED.iter().map(|name| ((*name).to_owned(), VARIABLE.to_owned())).collect();
    labels.insert("__name__".to_owned(), "unnamed".to_owned());
    let names: BTreeSet<&str> = matchers.iter().map(Matcher::name).collect();
    for name in names {
        let of_name: Vec<_> = matchers.iter().filter(|m| m.name() == name).collect();
        let known = labels.get(name).map(String::as_str).unwrap_or_default().to_owned();
        let examples = of_name.iter().flat_map(|matcher| examples(matcher));
        let candidates = [known].into_iter().chain(examples).chain(["other".to_owned(), String::new()]);
        let value = candidates.into_iter().find(|value| of_name.iter().all(|m| m.matches(value)))?;
        if value.is_empty() {
            labels.remove(name);
        } else {
            labels.insert(name.to_owned(), value);
        }
    }
    Some(labels)
}

/// Values that could match: of a regular expression its alternatives, with what is no literal replaced.
fn examples(matcher: &Matcher) -> Vec<String> {
    if matcher.op() == MatchOp::Equal {
        return vec![matcher.value().to_owned()];
    }
    if let Some(set) = matcher.set_matches() {
        return set.iter().map(ToString::to_string).collect();
    }
    let mut pattern = matcher.value().to_owned();
    for (from, to) in [
        ("(?i)", ""),
        ("(?i:", "("),
        ("(?:", "("),
        ("^", ""),
        ("$", ""),
        (".*", "x"),
        (".+", "x"),
        ("\\\\", "\\"),
        ("\\.", "."),
        ("\\d", "1"),
        ("\\w", "w"),
        ("[0-9]", "1"),
        ("[a-z]", "a"),
        ("[A-Z]", "A"),
        ("[a-z0-9]", "a"),
        ("[0-9a-z]", "a"),
        ("[1-9]", "1"),
        ("[^/]", "a"),
        ("[45]", "5"),
        ("[3-5]", "5"),
        ("[4-5]", "5"),
    ] {
        pattern = pattern.replace(from, to);
    }
    let plain = |text: &str| text.replace(['(', ')', '+', '*', '?', '\\', '[', ']'], "");
    let mut examples: Vec<_> = pattern.split('|').map(plain).collect();
    // A group in the middle of a pattern: its first alternative between what is around it.
    if let (Some(open), Some(close)) = (pattern.find('('), pattern.rfind(')'))
        && open < close
    {
        let first = pattern[open + 1..close].split('|').next().unwrap_or_default();
        examples.push(plain(&format!("{}{first}{}", &pattern[..open], &pattern[close + 1..])));
    }
    examples.extend(["5xx", "500", "a1", "x", "1", VARIABLE].map(str::to_owned));
    examples
}

/// Buckets of classic histograms come with several bounds.
fn with_bounds(labels: Labels) -> Vec<Labels> {
    let bucket = labels.get("__name__").is_some_and(|name| name.ends_with("_bucket"));
    if !bucket || labels.contains_key("le") {
        return vec![labels];
    }
    let with = |le: &str| {
        let mut labels = labels.clone();
        labels.insert("le".to_owned(), le.to_owned());
        labels
    };
    ["0.1", "1", "+Inf"].map(with).to_vec()
}

/// Counters of different paces; buckets hold more the higher they are.
fn samples(n: usize, labels: Labels) -> Series {
    let pace = match labels.get("le").map(String::as_str) {
        Some("+Inf") => 64.0,
        Some("1") => 32.0,
        Some(_) => 16.0,
        None => (1 + n % 13) as f64 * 0.25,
    };
    let sample = |i: i64| (START_MS + i * MINUTE_MS, Value::Float(pace * (i + 1) as f64));
    Series { labels: labels.into_iter().collect(), samples: (0..SAMPLES).map(sample).collect() }
}
