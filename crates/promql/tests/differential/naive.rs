//! PromQL as plainly as possible: one time at a time, nothing kept, everything copied. Floats only, names dropped at
//! once.

use model::{Labels, METRIC_NAME};
use promql::ast::{At, Binary, BinaryOp, Call, Duration, Expr, Subquery, ValueType, VectorSelector};

use super::data::{Data, not_stale};
use super::naive_ops::{self as ops, aggregate, over_range};

pub(crate) type Vector = Vec<(Labels, f64)>;
/// Samples of a range per series.
pub(crate) type Matrix = Vec<(Labels, Vec<(i64, f64)>)>;
type Outcome<T> = Result<T, String>;

pub(crate) struct Naive<'d> {
    data: &'d Data,
    lookback_ms: i64,
    range: (i64, i64, i64),
}

/// The range that a function over ranges sees: after the first time up to the second.
pub(crate) struct Window<'w> {
    pub(crate) start_ms: i64,
    pub(crate) end_ms: i64,
    pub(crate) time_ms: i64,
    pub(crate) samples: &'w [(i64, f64)],
    pub(crate) scalar: f64,
}

impl<'d> Naive<'d> {
    pub(crate) fn new(data: &'d Data, lookback_ms: i64, range: (i64, i64, i64)) -> Self {
        Self { data, lookback_ms, range }
    }

    /// The value of an expression at a time, as a vector sorted by labels; a number has no labels.
    pub(crate) fn vector(&self, expr: &Expr, t: i64) -> Outcome<Vector> {
        let mut out = if expr.value_type() == ValueType::Scalar {
            vec![(Labels::empty(), self.scalar(expr, t)?)]
        } else {
            self.eval(expr, t)?
        };
        out.sort_by(|a, b| a.0.cmp(&b.0));
        if out.windows(2).any(|w| w[0].0 == w[1].0) {
            return Err("the same labels twice".to_owned());
        }
        Ok(out)
    }

    fn scalar(&self, expr: &Expr, t: i64) -> Outcome<f64> {
        Ok(match expr {
            Expr::Number(e) => e.value,
            Expr::Paren(e) => self.scalar(&e.expr, t)?,
            Expr::Unary(e) => -self.scalar(&e.expr, t)?,
            Expr::Binary(e) => ops::number(e.op, self.scalar(&e.lhs, t)?, self.scalar(&e.rhs, t)?),
            Expr::Call(e) if e.func.name == "time" => t as f64 / 1000.0,
            Expr::Call(e) if e.func.name == "scalar" => match self.vector(&e.args[0], t)?.as_slice() {
                [(_, v)] => *v,
                _ => f64::NAN,
            },
            other => panic!("not a scalar: {other}"),
        })
    }

    fn reference(&self, at: Option<At>, offset: &Duration, t: i64) -> i64 {
        let base = match at {
            None => t,
            Some(At::Timestamp(ms)) => ms,
            Some(At::Start) => self.range.0,
            Some(At::End) => self.range.1,
        };
        let Duration::Fixed(offset) = offset else { panic!("no expressions for durations here") };
        base - offset
    }

    fn matching(&self, selector: &VectorSelector) -> impl Iterator<Item = &'d (Labels, Vec<(i64, f64)>)> {
        let matchers = selector.matchers.clone();
        let series = self.data.series.iter();
        series.filter(move |(l, _)| matchers.iter().all(|m| m.matches(l.get_or_empty(m.name()))))
    }

    /// The latest samples, with their times.
    fn latest(&self, selector: &VectorSelector, t: i64) -> Vec<(Labels, i64, f64)> {
        let at = self.reference(selector.at, &selector.offset, t);
        let series = self.matching(selector);
        series
            .filter_map(|(labels, samples)| {
                let (time, value) = samples.iter().rfind(|(time, _)| *time <= at)?;
                let fresh = *time > at - self.lookback_ms && !model::is_stale_nan(*value);
                fresh.then(|| (labels.clone(), *time, *value))
            })
            .collect()
    }

    fn eval(&self, expr: &Expr, t: i64) -> Outcome<Vector> {
        match expr {
            Expr::Paren(e) => self.eval(&e.expr, t),
            Expr::Vector(e) => Ok(self.latest(e, t).into_iter().map(|(l, _, v)| (l, v)).collect()),
            Expr::Unary(e) => {
                let inner = self.vector(&e.expr, t)?;
                Ok(inner.into_iter().map(|(l, v)| (ops::unnamed(&l), -v)).collect())
            }
            Expr::Aggregate(e) => {
                let param = match &e.param {
                    Some(param) => self.scalar(param, t)?,
                    None => 0.0,
                };
                Ok(aggregate(e, param, self.vector(&e.expr, t)?))
            }
            Expr::Binary(e) => self.binary(e, t),
            Expr::Call(e) => self.call(e, t),
            other => panic!("not a vector: {other}"),
        }
    }

    fn binary(&self, e: &Binary, t: i64) -> Outcome<Vector> {
        let scalar = |e: &Expr| e.value_type() == ValueType::Scalar;
        if !scalar(&e.lhs) && !scalar(&e.rhs) {
            return ops::between_vectors(e, self.vector(&e.lhs, t)?, self.vector(&e.rhs, t)?);
        }
        let number_left = scalar(&e.lhs);
        let number = self.scalar(if number_left { &e.lhs } else { &e.rhs }, t)?;
        let series = self.vector(if number_left { &e.rhs } else { &e.lhs }, t)?;
        let mut out = Vector::new();
        for (labels, v) in series {
            let (a, b) = if number_left { (number, v) } else { (v, number) };
            let result = ops::number(e.op, a, b);
            if e.return_bool || !e.op.is_comparison() {
                out.push((ops::unnamed(&labels), result));
            } else if result == 1.0 {
                out.push((labels, v));
            }
        }
        Ok(out)
    }

    fn matrix(&self, expr: &Expr, t: i64) -> Outcome<(i64, i64, Matrix)> {
        match expr {
            Expr::Paren(e) => self.matrix(&e.expr, t),
            Expr::Matrix(e) => {
                let end = self.reference(e.selector.at, &e.selector.offset, t);
                let Duration::Fixed(range) = e.range else { panic!("a fixed range") };
                let inside = |(time, _): &(i64, f64)| *time > end - range && *time <= end;
                let series = self.matching(&e.selector);
                let series = series.map(|(l, s)| (l.clone(), not_stale(s).filter(inside).collect()));
                Ok((end - range, end, series.collect()))
            }
            Expr::Subquery(e) => self.subquery(e, t),
            other => panic!("not a range: {other}"),
        }
    }

    fn subquery(&self, e: &Subquery, t: i64) -> Outcome<(i64, i64, Matrix)> {
        let end = self.reference(e.at, &e.offset, t);
        let Duration::Fixed(range) = e.range else { panic!("a fixed range") };
        let step = match e.step {
            Some(Duration::Fixed(step)) => step,
            _ => 60_000,
        };
        let mut out = Matrix::new();
        // A subquery evaluates its expression at every multiple of its step in the range.
        let mut time = (end - range).div_euclid(step) * step + step;
        while time <= end {
            for (labels, value) in self.vector(&e.expr, time)? {
                match out.iter_mut().find(|(l, _)| *l == labels) {
                    Some((_, samples)) => samples.push((time, value)),
                    None => out.push((labels, vec![(time, value)])),
                }
            }
            time += step;
        }
        Ok((end - range, end, out))
    }

    fn call(&self, e: &Call, t: i64) -> Outcome<Vector> {
        let name = e.func.name;
        let range_argument = e.args.iter().find(|a| a.value_type() == ValueType::Matrix);
        if let Some(argument) = range_argument {
            let other = e.args.iter().find(|a| a.value_type() == ValueType::Scalar);
            let scalar = other.map_or(Ok(0.0), |a| self.scalar(a, t))?;
            let (start_ms, end_ms, series) = self.matrix(argument, t)?;
            return Ok(self.call_over_range(name, argument, (start_ms, end_ms, scalar), series, t));
        }
        match name {
            "vector" => return Ok(vec![(Labels::empty(), self.scalar(&e.args[0], t)?)]),
            "timestamp" => {
                if let Expr::Vector(selector) = e.args[0].without_parens() {
                    let found = self.latest(selector, t).into_iter();
                    return Ok(found.map(|(l, time, _)| (ops::unnamed(&l), time as f64 / 1000.0)).collect());
                }
            }
            "histogram_quantile" => {
                let q = self.scalar(&e.args[0], t)?;
                return Ok(ops::histogram_quantile(q, self.vector(&e.args[1], t)?));
            }
            _ => {}
        }
        let argument = self.vector(&e.args[0], t)?;
        let number = |i: usize| e.args.get(i).map_or(Ok(1.0), |a| self.scalar(a, t));
        Ok(match name {
            "absent" if argument.is_empty() => vec![(ops::absent_labels(&e.args[0]), 1.0)],
            "absent" => Vector::new(),
            "label_replace" => ops::label_replace(e, argument),
            "clamp" => {
                let (low, high) = (number(1)?, number(2)?);
                let clamped = argument.into_iter().map(|(l, v)| {
                    let v = if v.is_nan() { v } else { v.min(high).max(low) };
                    (ops::unnamed(&l), v)
                });
                clamped.filter(|_| high >= low).collect()
            }
            "round" => {
                let inverse = 1.0 / number(1)?;
                let rounded = argument.into_iter();
                rounded.map(|(l, v)| (ops::unnamed(&l), (v * inverse + 0.5).floor() / inverse)).collect()
            }
            name => {
                argument.into_iter().map(|(l, v)| (ops::unnamed(&l), ops::function(name, v, t))).collect()
            }
        })
    }

    fn call_over_range(
        &self,
        name: &str,
        argument: &Expr,
        (start_ms, end_ms, scalar): (i64, i64, f64),
        series: Matrix,
        t: i64,
    ) -> Vector {
        if name == "absent_over_time" {
            let any = series.iter().any(|(_, samples)| !samples.is_empty());
            return if any { Vector::new() } else { vec![(ops::absent_labels(argument), 1.0)] };
        }
        let mut out = Vector::new();
        for (labels, samples) in series {
            if samples.is_empty() {
                continue;
            }
            let window = Window { start_ms, end_ms, time_ms: t, samples: &samples, scalar };
            if let Some(value) = over_range(name, &window) {
                let keeps_name = matches!(name, "last_over_time" | "first_over_time");
                out.push((if keeps_name { labels } else { ops::unnamed(&labels) }, value));
            }
        }
        out
    }
}

/// Whether an operator makes another metric.
pub(crate) fn drops_name(op: BinaryOp) -> bool {
    !op.is_comparison() && !op.is_set()
}

/// Labels without the metric's name.
pub(crate) fn without_name(labels: &Labels) -> Labels {
    labels.without(METRIC_NAME)
}
