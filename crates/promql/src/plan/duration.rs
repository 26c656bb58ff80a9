//! Lengths of time that depend on the query's step and range.

use crate::ast::{BinaryOp, Duration, DurationExpr};
use crate::engine::error::QueryError;

use super::Times;

/// The longest duration, in seconds.
const MAX_SECONDS: f64 = (1u64 << 63) as f64 / 1e9;

/// The length of a range or step, in milliseconds.
pub(super) fn positive_ms(duration: &Duration, times: &Times) -> Result<i64, QueryError> {
    match duration {
        Duration::Fixed(ms) => Ok(*ms),
        Duration::Expr(expr) => {
            let seconds = checked_seconds(expr, times)?;
            if seconds <= 0.0 {
                return Err(failure(expr, "duration must be greater than 0"));
            }
            Ok((seconds * 1000.0) as i64)
        }
    }
}

/// An offset, in milliseconds.
pub(super) fn offset_ms(duration: &Duration, times: &Times) -> Result<i64, QueryError> {
    match duration {
        Duration::Fixed(ms) => Ok(*ms),
        Duration::Expr(expr) => Ok((checked_seconds(expr, times)? * 1000.0) as i64),
    }
}

fn checked_seconds(expr: &DurationExpr, times: &Times) -> Result<f64, QueryError> {
    let seconds = seconds(expr, times)?;
    if !seconds.is_finite() {
        return Err(failure(expr, "duration is NaN or infinite"));
    }
    if seconds.abs() > MAX_SECONDS {
        return Err(failure(expr, "duration is out of range"));
    }
    Ok(seconds)
}

fn failure(expr: &DurationExpr, what: &str) -> QueryError {
    let span = expr.span();
    QueryError::bad_data(format!("{}:{}: {what}", span.start, span.end))
}

fn seconds(expr: &DurationExpr, times: &Times) -> Result<f64, QueryError> {
    Ok(match expr {
        DurationExpr::Literal(number) => number.value,
        DurationExpr::Step(_) => times.step_ms as f64 / 1000.0,
        DurationExpr::Range(_) => (times.end_ms - times.start_ms) as f64 / 1000.0,
        DurationExpr::Negate(inner, _) => -seconds(inner, times)?,
        DurationExpr::Paren(inner, _) => seconds(inner, times)?,
        DurationExpr::MinOf(a, b, _) => {
            crate::functions::float::go_min(seconds(a, times)?, seconds(b, times)?)
        }
        DurationExpr::MaxOf(a, b, _) => {
            crate::functions::float::go_max(seconds(a, times)?, seconds(b, times)?)
        }
        DurationExpr::Binary(op, lhs, rhs) => {
            let (l, r) = (seconds(lhs, times)?, seconds(rhs, times)?);
            match op {
                BinaryOp::Div if r == 0.0 => return Err(failure(expr, "division by zero")),
                BinaryOp::Mod if r == 0.0 => return Err(failure(expr, "modulo by zero")),
                op => crate::functions::float::arithmetic(*op, l, r),
            }
        }
    })
}
