//! The same query pinned to one time, which has to give the same result whenever it is evaluated.

use promql::ast::{At, Expr};

/// The functions whose results depend on the time of evaluation.
const TIME_DEPENDENT: [&str; 15] = [
    "day_of_month",
    "day_of_week",
    "day_of_year",
    "days_in_month",
    "end",
    "hour",
    "minute",
    "month",
    "predict_linear",
    "range",
    "start",
    "step",
    "time",
    "timestamp",
    "year",
];

/// Adds `@ time_ms` to everything that has none yet; nothing if the result depends on the time of evaluation even so.
pub(crate) fn pinned(expr: &Expr, time_ms: i64) -> Option<Expr> {
    let mut out = expr.clone();
    pin(&mut out, time_ms).then_some(out)
}

/// True unless something depends on the time of evaluation. Behind a pinned subquery nothing does.
fn pin(expr: &mut Expr, time_ms: i64) -> bool {
    let set = |at: &mut Option<At>| {
        if !matches!(at, Some(At::Timestamp(_))) {
            *at = Some(At::Timestamp(time_ms));
        }
    };
    match expr {
        Expr::Vector(e) => set(&mut e.at),
        Expr::Matrix(e) => set(&mut e.selector.at),
        Expr::Subquery(e) => set(&mut e.at),
        Expr::Aggregate(e) => {
            let param = e.param.as_mut().is_none_or(|p| pin(p, time_ms));
            return pin(&mut e.expr, time_ms) && param;
        }
        Expr::Binary(e) => {
            let left = pin(&mut e.lhs, time_ms);
            return pin(&mut e.rhs, time_ms) && left;
        }
        Expr::Call(e) => {
            let mut independent = !TIME_DEPENDENT.contains(&e.func.name);
            for arg in &mut e.args {
                independent &= pin(arg, time_ms);
            }
            return independent;
        }
        Expr::Paren(e) => return pin(&mut e.expr, time_ms),
        Expr::Unary(e) => return pin(&mut e.expr, time_ms),
        Expr::Number(_) | Expr::String(_) => {}
    }
    true
}

/// Whether a query asks for its own times, so that as a range query it means something else.
pub(crate) fn asks_for_query_times(expr: &Expr) -> bool {
    let text = expr.to_string();
    ["start()", "end()", "range()", "step()"].iter().any(|call| text.contains(call))
}
