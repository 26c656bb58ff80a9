//! Whether a difference of values comes from cancellation: from large numbers that nearly make each other vanish, whose
//! last digits depend on the order in which they were added up.
//!
//! A difference is explained if, somewhere in the expression, two things were subtracted, added, or averaged around their
//! mean, and the difference is within the tolerance of the largest thing that went into that. What went into it is
//! asked of Prometheus, as an expression of its own.

use promql::ast::{BinaryOp, Expr};
use promql::{ParseOptions, parse};
use serde_json::Value;

use super::compare::TOLERANCE;
use super::pair::{Connections, Query};

/// The functions whose results are differences.
const DIFFERENCES: &[&str] = &["rate", "increase", "irate", "delta", "idelta", "deriv", "predict_linear"];
/// The functions of ranges whose results are distances from a mean or sums of both signs.
const SPREADS: &[&str] = &[
    "stddev_over_time",
    "stdvar_over_time",
    "mad_over_time",
    "sum_over_time",
    "avg_over_time",
    "double_exponential_smoothing",
];

/// Whether a difference of `distance` is explained. The largest operand is asked for over the time of the query.
pub(super) fn explains(connections: &mut Connections, query: &Query, distance: f64) -> bool {
    let Ok(expr) = parse(&query.expression, &ParseOptions::ALL) else { return false };
    let mut operands = Vec::new();
    collect(&expr, &mut operands);
    operands.into_iter().any(|operand| {
        let answer = connections.ask_prometheus(&query.with_expression(operand));
        distance <= TOLERANCE * largest(&answer.body["data"]["result"])
    })
}

/// The operands of everything in an expression that can cancel.
fn collect(expr: &Expr, out: &mut Vec<String>) {
    match expr {
        Expr::Binary(e) => {
            // `%` subtracts a multiple of the right operand from the left one.
            if matches!(e.op, BinaryOp::Add | BinaryOp::Sub | BinaryOp::Mod) {
                out.extend([e.lhs.to_string(), e.rhs.to_string()]);
            }
            collect(&e.lhs, out);
            collect(&e.rhs, out);
        }
        Expr::Aggregate(e) => {
            if matches!(e.op.as_str(), "sum" | "avg" | "stddev" | "stdvar") {
                out.push(e.expr.to_string());
            }
            collect(&e.expr, out);
        }
        Expr::Call(e) => {
            if DIFFERENCES.contains(&e.func.name) || SPREADS.contains(&e.func.name) {
                let ranges = e.args.iter().filter(|a| matches!(a, Expr::Matrix(_) | Expr::Subquery(_)));
                for range in ranges {
                    out.extend(["max", "min"].map(|side| format!("{side}_over_time({range})")));
                }
            }
            e.args.iter().for_each(|arg| collect(arg, out));
        }
        Expr::Subquery(e) => collect(&e.expr, out),
        Expr::Paren(e) => collect(&e.expr, out),
        Expr::Unary(e) => collect(&e.expr, out),
        Expr::Number(_) | Expr::String(_) | Expr::Vector(_) | Expr::Matrix(_) => {}
    }
}

/// The largest finite value of a result.
fn largest(result: &Value) -> f64 {
    match result {
        Value::Array(items) => items.iter().map(largest).fold(0.0, f64::max),
        Value::Object(fields) => {
            let values = fields.iter().filter(|(name, _)| *name != "metric");
            values.map(|(_, value)| largest(value)).fold(0.0, f64::max)
        }
        Value::String(text) => text.parse::<f64>().ok().filter(|v| v.is_finite()).map_or(0.0, f64::abs),
        _ => 0.0,
    }
}
