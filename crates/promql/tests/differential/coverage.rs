//! What queries are made of: how often each construct of the language has had an answer that is not empty.

use std::collections::BTreeMap;

use promql::ast::{Aggregate, At, Binary, Cardinality, Duration, Expr, RangeMode, ValueType, VectorSelector};
use promql::syntax::signature::FUNCTIONS;

use super::case::Case;

/// Constructs that are neither functions, aggregations nor operators.
const OTHERS: [&str; 42] = [
    "range alone",
    "=",
    "!=  of labels",
    "=~",
    "!~",
    "UTF-8 names",
    "offset",
    "negative offset",
    "duration expression",
    "@ time",
    "@ start()",
    "@ end()",
    "anchored",
    "smoothed",
    "smoothed instant",
    "subquery",
    "subquery step",
    "subquery @",
    "subquery offset",
    "unary -",
    "by",
    "without",
    "bool",
    "on",
    "ignoring",
    "group_left",
    "group_left labels",
    "group_right",
    "group_right labels",
    "fill left",
    "fill right",
    "fill with group",
    "vector op scalar",
    "scalar op vector",
    "scalar op scalar",
    "vector op vector",
    "instant query",
    "range query",
    "delayed name removal",
    "start timestamps",
    "type and unit labels",
    "short lookback",
];
const AGGREGATIONS: [&str; 14] = [
    "avg",
    "bottomk",
    "count",
    "count_values",
    "group",
    "limitk",
    "limit_ratio",
    "max",
    "min",
    "quantile",
    "stddev",
    "stdvar",
    "sum",
    "topk",
];
const OPERATORS: [&str; 18] = [
    "+", "-", "*", "/", "%", "^", "atan2", "==", "!=", "<", "<=", ">", ">=", "</", ">/", "and", "or",
    "unless",
];

/// How often each construct has come up.
#[derive(Default)]
pub(crate) struct Coverage(BTreeMap<String, u64>);

impl Coverage {
    pub(crate) fn merge(&mut self, other: Self) {
        for (what, times) in other.0 {
            *self.0.entry(what).or_insert(0) += times;
        }
    }

    /// The constructs that have come up less than so often, of all there are.
    pub(crate) fn rarer_than(&self, times: u64) -> Vec<(String, u64)> {
        let functions = FUNCTIONS.iter().map(|f| format!("{}()", f.name));
        let aggregations = AGGREGATIONS.iter().map(|a| format!("{a} of"));
        let operators = OPERATORS.iter().map(|o| format!("operator {o}"));
        let all = functions.chain(aggregations).chain(operators).chain(OTHERS.map(str::to_owned));
        let counted = all.map(|what| (self.0.get(&what).copied().unwrap_or(0), what));
        counted.filter(|(n, _)| *n < times).map(|(n, what)| (what, n)).collect()
    }

    /// The construct that has come up least often, and how often.
    pub(crate) fn rarest(&self) -> (String, u64) {
        let mut all = self.rarer_than(u64::MAX);
        all.sort_by_key(|(_, times)| *times);
        all.into_iter().next().unwrap_or_default()
    }

    pub(crate) fn add(&mut self, case: &Case) {
        let mut found: Vec<String> = Vec::new();
        case.expr().walk(&mut |e| constructs(e, &mut found));
        let is_range = case.expr().value_type() == ValueType::Matrix;
        let mut note = |yes: bool, what: &str| {
            if yes {
                found.push(what.to_owned());
            }
        };
        note(is_range, "range alone");
        note(case.times.step_ms == 0, "instant query");
        note(case.times.step_ms > 0, "range query");
        note(case.options.delayed_name_removal, "delayed name removal");
        note(case.options.start_timestamps, "start timestamps");
        note(case.options.type_and_unit_labels, "type and unit labels");
        note(case.options.lookback_ms < 100_000, "short lookback");
        found.sort_unstable();
        found.dedup();
        for what in found {
            *self.0.entry(what).or_insert(0) += 1;
        }
    }
}

fn constructs(e: &Expr, out: &mut Vec<String>) {
    let mut note = |yes: bool, what: &str| {
        if yes {
            out.push(what.to_owned());
        }
    };
    match e {
        Expr::Unary(e) => note(e.negate, "unary -"),
        Expr::Vector(e) => {
            note(e.mode == RangeMode::Smoothed, "smoothed instant");
            selector(e, &mut note);
        }
        Expr::Matrix(e) => {
            note(e.selector.mode == RangeMode::Anchored, "anchored");
            note(e.selector.mode == RangeMode::Smoothed, "smoothed");
            note(matches!(e.range, Duration::Expr(_)), "duration expression");
            selector(&e.selector, &mut note);
        }
        Expr::Subquery(e) => {
            note(true, "subquery");
            note(e.step.is_some(), "subquery step");
            note(e.at.is_some(), "subquery @");
            note(!e.offset.is_zero(), "subquery offset");
        }
        Expr::Aggregate(e) => aggregate(e, &mut note),
        Expr::Binary(e) => binary(e, &mut note),
        Expr::Call(e) => note(true, &format!("{}()", e.func.name)),
        Expr::Number(_) | Expr::Paren(_) | Expr::String(_) => {}
    }
}

fn aggregate(e: &Aggregate, note: &mut impl FnMut(bool, &str)) {
    note(true, &format!("{} of", e.op.as_str()));
    note(!e.without && !e.grouping.is_empty(), "by");
    note(e.without, "without");
}

fn binary(e: &Binary, note: &mut impl FnMut(bool, &str)) {
    use ValueType::Scalar;
    note(true, &format!("operator {}", e.op.as_str()));
    note(e.return_bool, "bool");
    let Some(m) = &e.matching else {
        let (left, right) = (e.lhs.value_type() == Scalar, e.rhs.value_type() == Scalar);
        note(left && right, "scalar op scalar");
        note(!left && right, "vector op scalar");
        note(left && !right, "scalar op vector");
        return;
    };
    let grouped = matches!(m.card, Cardinality::ManyToOne | Cardinality::OneToMany);
    note(true, "vector op vector");
    note(m.on, "on");
    note(!m.on && !m.labels.is_empty(), "ignoring");
    note(m.card == Cardinality::ManyToOne, "group_left");
    note(m.card == Cardinality::OneToMany, "group_right");
    note(m.card == Cardinality::ManyToOne && !m.include.is_empty(), "group_left labels");
    note(m.card == Cardinality::OneToMany && !m.include.is_empty(), "group_right labels");
    note(m.fill_left.is_some(), "fill left");
    note(m.fill_right.is_some(), "fill right");
    note(grouped && (m.fill_left.is_some() || m.fill_right.is_some()), "fill with group");
}

fn selector(e: &VectorSelector, note: &mut impl FnMut(bool, &str)) {
    for m in &e.matchers {
        note(m.op() == model::MatchOp::Equal, "=");
        note(m.op() == model::MatchOp::NotEqual, "!=  of labels");
        note(m.op() == model::MatchOp::Regex, "=~");
        note(m.op() == model::MatchOp::NotRegex, "!~");
        note(!m.name().is_ascii() || !m.value().is_ascii(), "UTF-8 names");
    }
    note(matches!(e.offset, Duration::Fixed(ms) if ms > 0), "offset");
    note(matches!(e.offset, Duration::Fixed(ms) if ms < 0), "negative offset");
    note(matches!(e.offset, Duration::Expr(_)), "duration expression");
    note(matches!(e.at, Some(At::Timestamp(_))), "@ time");
    note(e.at == Some(At::Start), "@ start()");
    note(e.at == Some(At::End), "@ end()");
}
