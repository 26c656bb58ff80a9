//! Whether two answers are equal, but for rounding.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::exclusions::comparable;
use super::pair::{Answer, Answers, Query};

/// How far numbers may be apart, relative to the larger one.
pub(super) const TOLERANCE: f64 = 1e-12;

/// What two answers differ in.
#[derive(Debug, Clone, Default)]
pub(super) struct Differences {
    /// What is not about values.
    pub(super) texts: Vec<String>,
    /// Values that are further apart than rounding explains: ours and theirs.
    pub(super) numbers: Vec<(String, f64, f64)>,
}

impl Differences {
    pub(super) fn is_empty(&self) -> bool {
        self.texts.is_empty() && self.numbers.is_empty()
    }

    /// The largest distance of values.
    pub(super) fn distance(&self) -> f64 {
        let distance = |(_, ours, theirs): &(String, f64, f64)| {
            let distance = (ours - theirs).abs();
            if distance.is_nan() { f64::INFINITY } else { distance }
        };
        self.numbers.iter().map(distance).fold(0.0, f64::max)
    }

    fn text(&mut self, what: &str, ours: impl std::fmt::Debug, theirs: impl std::fmt::Debug) {
        self.texts.push(format!("{what}: ours {ours:?}, Prometheus' {theirs:?}"));
    }
}

/// Compares everything that a client sees of two answers.
pub(super) fn differences(query: &Query, Answers { ours, theirs }: &Answers) -> Differences {
    let mut found = Differences::default();
    if ours.status != theirs.status {
        found.text("status", ours, theirs);
        return found;
    }
    for key in ["status", "errorType", "error"] {
        let [a, b] = [ours, theirs].map(|answer| answer.body[key].as_str().and_then(comparable));
        if a != b {
            found.text(key, &ours.body[key], &theirs.body[key]);
        }
    }
    for key in ["warnings", "infos"] {
        let [ours, theirs] = [ours, theirs].map(|answer| annotations(answer, key));
        if ours != theirs {
            found.text(key, ours, theirs);
        }
    }
    let [ours, theirs] = [ours, theirs].map(|answer| &answer.body["data"]);
    if ours["resultType"] != theirs["resultType"] {
        found.text("result type", &ours["resultType"], &theirs["resultType"]);
        return found;
    }
    results(query, &ours["result"], &theirs["result"], &mut found);
    found
}

/// Whether an answer has data.
pub(super) fn has_data(answer: &Answer) -> bool {
    match &answer.body["data"]["result"] {
        Value::Array(items) => !items.is_empty(),
        _ => false,
    }
}

/// The set of texts: their order is that of a hash map in Prometheus.
fn annotations(answer: &Answer, key: &str) -> BTreeSet<String> {
    let texts = answer.body[key].as_array().into_iter().flatten();
    texts.filter_map(Value::as_str).filter_map(comparable).collect()
}

fn results(query: &Query, ours: &Value, theirs: &Value, found: &mut Differences) {
    let (Value::Array(our_items), Value::Array(their_items)) = (ours, theirs) else {
        if ours != theirs {
            found.text("result", ours, theirs);
        }
        return;
    };
    // Scalars and strings have no series.
    if our_items.iter().chain(their_items).any(|item| item.get("metric").is_none()) {
        return values("scalar", ours, theirs, found);
    }
    let [our_series, their_series] = [our_items, their_items].map(|items| by_labels(items));
    let missing = |a: &BTreeMap<String, _>, b: &BTreeMap<String, _>| -> Vec<String> {
        a.keys().filter(|labels| !b.contains_key(*labels)).cloned().collect()
    };
    let (surplus, lacking) = (missing(&our_series, &their_series), missing(&their_series, &our_series));
    if !surplus.is_empty() || !lacking.is_empty() || our_items.len() != their_items.len() {
        return found.text("series that only one has", surplus, lacking);
    }
    for (labels, ours) in &our_series {
        for key in ["value", "values", "histogram", "histograms"] {
            values(labels, &ours[key], &their_series[labels][key], found);
        }
    }
    order(query, our_items, their_items, found);
}

fn by_labels(items: &[Value]) -> BTreeMap<String, &Value> {
    items.iter().map(|item| (item["metric"].to_string(), item)).collect()
}

/// The order of series, where there is one: in range queries that of labels, after `sort` that of values, after
/// `sort_by_label` that of the label.
fn order(query: &Query, ours: &[Value], theirs: &[Value], found: &mut Differences) {
    let keys: &[&str] = if query.endpoint == "query_range" || query.expression.starts_with("sort_by_label") {
        &["metric"]
    } else if query.expression.starts_with("sort") || query.expression.starts_with("topk") {
        // Equal values come in any order.
        &["value", "histogram"]
    } else {
        &[]
    };
    for key in keys {
        let ordered = |items: &[Value]| items.iter().map(|item| item[*key].clone()).collect::<Vec<_>>();
        let mut unordered = Differences::default();
        values("order", &ordered(ours).into(), &ordered(theirs).into(), &mut unordered);
        if !unordered.is_empty() && found.numbers.is_empty() {
            found.texts.push(format!("order by {key}: {unordered:?}"));
        }
    }
}

/// Values of any depth: numbers in texts may differ by rounding.
fn values(what: &str, ours: &Value, theirs: &Value, found: &mut Differences) {
    match (ours, theirs) {
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            a.iter().zip(b).for_each(|(a, b)| values(what, a, b, found));
        }
        (Value::Object(a), Value::Object(b)) if a.keys().eq(b.keys()) => {
            a.iter().zip(b).for_each(|((key, a), (_, b))| values(&format!("{what} {key}"), a, b, found));
        }
        (Value::String(a), Value::String(b)) if a != b => match (a.parse::<f64>(), b.parse::<f64>()) {
            (Ok(a), Ok(b)) if close(a, b) => {}
            (Ok(a), Ok(b)) if a.is_finite() && b.is_finite() => found.numbers.push((what.to_owned(), a, b)),
            _ => found.text(what, a, b),
        },
        (a, b) if a == b => {}
        (a, b) => found.text(what, a.to_string(), b.to_string()),
    }
}

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() <= TOLERANCE * a.abs().max(b.abs())
}
