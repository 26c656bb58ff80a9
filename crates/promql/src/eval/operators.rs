//! Binary operators between two samples.

use std::sync::Arc;

use model::histogram::Keep;
use model::{CounterResetHint, FloatHistogram};

use crate::ast::{BinaryOp, Span};
use crate::engine::annotations::Annotations;
use crate::engine::value::SampleValue;
use crate::functions::float::{arithmetic, compare};
use crate::functions::histogram_rate::{Operation, note_reconciled};

/// A sample without its ownership.
#[derive(Clone, Copy)]
pub(super) enum Operand<'a> {
    Float(f64),
    Histogram(&'a Arc<FloatHistogram>),
}

/// What an operator makes of two samples.
pub(super) enum Outcome {
    /// The result; of a comparison, the left operand and whether it holds.
    Value(SampleValue, bool),
    /// The operator does not apply to these.
    Nothing,
}

/// Whether the result of an operator is another metric than its operands.
pub(super) fn changes_metric(op: BinaryOp) -> bool {
    matches!(
        op,
        BinaryOp::Add
            | BinaryOp::Sub
            | BinaryOp::Mul
            | BinaryOp::Div
            | BinaryOp::Mod
            | BinaryOp::Pow
            | BinaryOp::Atan2
    )
}

fn kept(value: f64) -> Outcome {
    Outcome::Value(SampleValue::Float(value), true)
}

fn histogram(histogram: FloatHistogram) -> Outcome {
    Outcome::Value(SampleValue::Histogram(Arc::new(histogram)), true)
}

/// Applies an operator that is not a set operator.
pub(super) fn apply(
    op: BinaryOp,
    lhs: Operand<'_>,
    rhs: Operand<'_>,
    span: Span,
    annotations: &mut Annotations,
) -> Outcome {
    let (left, right) = match (lhs, rhs) {
        (Operand::Float(a), Operand::Float(b)) => match op {
            op if op.is_comparison() => return Outcome::Value(SampleValue::Float(a), compare(op, a, b)),
            BinaryOp::TrimUpper | BinaryOp::TrimLower => ("float", "float"),
            op => return kept(arithmetic(op, a, b)),
        },
        (Operand::Float(a), Operand::Histogram(b)) => match op {
            BinaryOp::Mul => return histogram(scaled(b, |h| h.scale(a))),
            _ => ("float", "histogram"),
        },
        (Operand::Histogram(a), Operand::Float(b)) => match op {
            BinaryOp::Mul => return histogram(scaled(a, |h| h.scale(b))),
            BinaryOp::Div => return histogram(scaled(a, |h| h.divide(b))),
            BinaryOp::TrimUpper | BinaryOp::TrimLower => {
                let keep = if op == BinaryOp::TrimUpper { Keep::Below } else { Keep::Above };
                let mut trimmed = (**a).clone();
                trimmed.trim(b, keep);
                return histogram(trimmed);
            }
            _ => ("histogram", "float"),
        },
        (Operand::Histogram(a), Operand::Histogram(b)) => match op {
            BinaryOp::Add | BinaryOp::Sub => return add(op, a, b, span, annotations),
            BinaryOp::Eq | BinaryOp::Ne => {
                let holds = a.same_data(b) == (op == BinaryOp::Eq);
                return Outcome::Value(SampleValue::Histogram(Arc::clone(a)), holds);
            }
            _ => ("histogram", "histogram"),
        },
    };
    let op = op.as_str();
    annotations.info(
        span,
        format!("incompatible sample types encountered for binary operator \"{op}\": {left} {op} {right}"),
    );
    Outcome::Nothing
}

fn scaled(h: &FloatHistogram, change: impl FnOnce(&mut FloatHistogram)) -> FloatHistogram {
    let mut out = h.clone();
    change(&mut out);
    out.compacted()
}

fn add(
    op: BinaryOp,
    a: &FloatHistogram,
    b: &FloatHistogram,
    span: Span,
    annotations: &mut Annotations,
) -> Outcome {
    let mut result = a.clone();
    let (outcome, operation) = if op == BinaryOp::Add {
        (result.add(b), Operation::Addition)
    } else {
        (result.sub(b), Operation::Subtraction)
    };
    let Ok(done) = outcome else {
        annotations.warn(
            span,
            format!("incompatible bucket layout encountered for binary operator {}", op.as_str()),
        );
        return Outcome::Nothing;
    };
    if done.reset_collision {
        // Upstream leaves such a pair out, and says why.
        annotations.warn(span, format!("conflicting counter resets during histogram {}", operation.as_str()));
        return Outcome::Nothing;
    }
    if op == BinaryOp::Sub {
        result.counter_reset_hint = CounterResetHint::Gauge;
    }
    if done.bounds_reconciled {
        note_reconciled(operation, span, annotations);
    }
    histogram(result.compacted())
}
