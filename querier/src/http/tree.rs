//! `parse_query`: a query's syntax tree as the JSON that Prometheus' own interface draws.

use promql::ast::{
    Aggregate, At, Binary, BinaryOp, Call, Duration, DurationExpr, Expr, MatrixSelector, Number, RangeMode,
    Subquery, VectorMatching, VectorSelector,
};
use promql::syntax::signature::Variadic;
use promql::text::number::plain;
use serde_json::{Value, json};

use super::json::{push_array, push_text};

/// Appends the tree of `expr`. Its depth is bounded by the parser.
pub(crate) fn push_tree(out: &mut Vec<u8>, expr: &Expr) {
    push_value(out, &tree(expr));
}

/// Appends a value with keys in order and strings as the rest of the API has them.
fn push_value(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::String(text) => push_text(out, text),
        Value::Array(items) => push_array(out, items, push_value),
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_by_key(|(key, _)| *key);
            out.push(b'{');
            for (i, (key, value)) in fields.into_iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                push_text(out, key);
                out.push(b':');
                push_value(out, value);
            }
            out.push(b'}');
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {
            out.extend_from_slice(value.to_string().as_bytes());
        }
    }
}

fn tree(expr: &Expr) -> Value {
    match expr {
        Expr::Aggregate(e) => aggregate(e),
        Expr::Binary(e) => binary(e),
        Expr::Call(e) => call(e),
        Expr::Matrix(e) => matrix(e),
        Expr::Number(e) => json!({"type": "numberLiteral", "val": plain(e.value)}),
        Expr::Paren(e) => json!({"type": "parenExpr", "expr": tree(&e.expr)}),
        Expr::String(e) => json!({"type": "stringLiteral", "val": e.to_str_lossy()}),
        Expr::Subquery(e) => subquery(e),
        Expr::Unary(e) => {
            json!({"type": "unaryExpr", "op": if e.negate { "-" } else { "+" }, "expr": tree(&e.expr)})
        }
        Expr::Vector(e) => selector("vectorSelector", e),
    }
}

fn aggregate(e: &Aggregate) -> Value {
    json!({
        "type": "aggregation",
        "op": e.op.as_str(),
        "expr": tree(&e.expr),
        "param": e.param.as_ref().map(tree),
        "grouping": e.grouping,
        "without": e.without,
    })
}

fn binary(e: &Binary) -> Value {
    json!({
        "type": "binaryExpr",
        "op": e.op.as_str(),
        "lhs": tree(&e.lhs),
        "rhs": tree(&e.rhs),
        "matching": e.matching.as_ref().map(matching),
        "bool": e.return_bool,
    })
}

fn matching(m: &VectorMatching) -> Value {
    json!({
        "card": m.card.as_str(),
        "labels": m.labels,
        "on": m.on,
        "include": m.include,
        "fillValues": {"lhs": m.fill_left, "rhs": m.fill_right},
    })
}

fn call(e: &Call) -> Value {
    let variadic = match e.func.variadic {
        Variadic::No => 0,
        Variadic::UpTo(n) => n as i64,
        Variadic::Any => -1,
    };
    json!({
        "type": "call",
        "func": {
            "name": e.func.name,
            "argTypes": e.func.args.iter().map(|t| t.as_str()).collect::<Vec<_>>(),
            "variadic": variadic,
            "returnType": e.func.returns.as_str(),
        },
        "args": e.args.iter().map(tree).collect::<Vec<_>>(),
    })
}

fn selector(kind: &str, e: &VectorSelector) -> Value {
    let matchers =
        e.matchers.iter().map(|m| json!({"name": m.name(), "value": m.value(), "type": m.op().as_str()}));
    json!({
        "type": kind,
        "name": e.name.as_deref().unwrap_or(""),
        "offset": fixed_ms(&e.offset),
        "offsetExpr": expression(&e.offset),
        "matchers": matchers.collect::<Vec<_>>(),
        "timestamp": timestamp(e.at),
        "startOrEnd": start_or_end(e.at),
        "anchored": e.mode == RangeMode::Anchored,
        "smoothed": e.mode == RangeMode::Smoothed,
    })
}

fn matrix(e: &MatrixSelector) -> Value {
    let mut value = selector("matrixSelector", &e.selector);
    value["range"] = fixed_ms(&e.range).into();
    value["rangeExpr"] = expression(&e.range);
    value
}

fn subquery(e: &Subquery) -> Value {
    let step = e.step.as_ref().unwrap_or(&Duration::ZERO);
    json!({
        "type": "subquery",
        "expr": tree(&e.expr),
        "range": fixed_ms(&e.range),
        "rangeExpr": expression(&e.range),
        "offset": fixed_ms(&e.offset),
        "offsetExpr": expression(&e.offset),
        "step": fixed_ms(step),
        "stepExpr": expression(step),
        "timestamp": timestamp(e.at),
        "startOrEnd": start_or_end(e.at),
    })
}

fn timestamp(at: Option<At>) -> Option<i64> {
    match at {
        Some(At::Timestamp(ms)) => Some(ms),
        Some(At::Start | At::End) | None => None,
    }
}

fn start_or_end(at: Option<At>) -> Option<&'static str> {
    match at {
        Some(At::Start) => Some("start"),
        Some(At::End) => Some("end"),
        Some(At::Timestamp(_)) | None => None,
    }
}

fn fixed_ms(duration: &Duration) -> i64 {
    match duration {
        Duration::Fixed(ms) => *ms,
        Duration::Expr(_) => 0,
    }
}

fn expression(duration: &Duration) -> Value {
    match duration {
        Duration::Fixed(_) => Value::Null,
        Duration::Expr(e) => duration_tree(e),
    }
}

fn duration_tree(e: &DurationExpr) -> Value {
    let operation = |op: &str, lhs: Option<&DurationExpr>, rhs: Option<&DurationExpr>| {
        json!({
            "type": "durationExpr",
            "op": op,
            "lhs": lhs.map(duration_tree),
            "rhs": rhs.map(duration_tree),
            "wrapped": false,
        })
    };
    match e {
        DurationExpr::Literal(Number { value, is_duration, .. }) => {
            json!({"type": "numberLiteral", "val": plain(*value), "duration": is_duration})
        }
        DurationExpr::Step(_) => operation("step", None, None),
        DurationExpr::Range(_) => operation("range", None, None),
        DurationExpr::Negate(inner, _) => operation(BinaryOp::Sub.as_str(), None, Some(inner)),
        DurationExpr::MinOf(lhs, rhs, _) => operation("min_of", Some(lhs), Some(rhs)),
        DurationExpr::MaxOf(lhs, rhs, _) => operation("max_of", Some(lhs), Some(rhs)),
        DurationExpr::Binary(op, lhs, rhs) => operation(op.as_str(), Some(lhs), Some(rhs)),
        DurationExpr::Paren(inner, _) => {
            let mut value = duration_tree(inner);
            if value["type"] == "durationExpr" {
                value["wrapped"] = true.into();
            }
            value
        }
    }
}
