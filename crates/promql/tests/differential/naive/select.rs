//! Selectors, ranges and subqueries: which samples an expression sees.

use model::{CounterResetHint, Labels, is_stale_nan};
use promql::ast::{BinaryOp, DurationExpr, Expr, MatrixSelector, RangeMode, Span, Subquery, VectorSelector};

use super::histogram::Hist;
use super::{Naive, Outcome, Sample, Times, Value, Vector, numbers};
use crate::data::{Series, Stored};

/// A sample of a series in time.
#[derive(Debug, Clone)]
pub(super) struct Point {
    pub(super) t: i64,
    /// When its counter started; 0 if that is not known.
    pub(super) start: i64,
    pub(super) value: Value,
}

/// A series over a range of time.
pub(super) struct Ranged {
    pub(super) labels: Labels,
    pub(super) drop_name: bool,
    pub(super) points: Vec<Point>,
}

/// The span of a range: after the first time up to the second.
pub(super) type Between = (i64, i64);

impl Point {
    fn is_stale(&self) -> bool {
        match &self.value {
            Value::Float(v) => is_stale_nan(*v),
            Value::Histogram(h) => is_stale_nan(h.sum),
        }
    }
}

/// Seconds of an expression for a length of time.
pub(super) fn duration_seconds(expr: &DurationExpr, times: Times) -> Outcome<f64> {
    let seconds = |e| duration_seconds(e, times);
    Ok(match expr {
        DurationExpr::Literal(number) => number.value,
        DurationExpr::Step(_) => times.step_ms as f64 / 1000.0,
        DurationExpr::Range(_) => (times.end_ms - times.start_ms) as f64 / 1000.0,
        DurationExpr::Negate(e, _) => -seconds(e)?,
        DurationExpr::Paren(e, _) => seconds(e)?,
        DurationExpr::MinOf(a, b, _) => numbers::min(seconds(a)?, seconds(b)?),
        DurationExpr::MaxOf(a, b, _) => numbers::max(seconds(a)?, seconds(b)?),
        DurationExpr::Binary(op, a, b) => {
            let (a, b) = (seconds(a)?, seconds(b)?);
            if b == 0.0 && matches!(op, BinaryOp::Div | BinaryOp::Mod) {
                return Err("division by zero".to_owned());
            }
            numbers::operator(*op, a, b)
        }
    })
}

impl Naive<'_> {
    /// The stored series that a selector matches, with all their samples, stale ones included.
    pub(super) fn stored(&self, matchers: &[model::Matcher], span: Span) -> Vec<Ranged> {
        let matches = |s: &&Series| matchers.iter().all(|m| m.matches(s.labels.get_or_empty(m.name())));
        let mut out: Vec<Ranged> = self.data.series.iter().filter(matches).map(ranged).collect();
        if self.without_buckets.contains(&span) {
            out.iter_mut().for_each(|series| leave_out_buckets(&mut series.points));
        }
        out
    }

    /// The last sample at or before a time, unless it is too old or says that the series ended.
    pub(super) fn latest<'p>(&self, points: &'p [Point], t: i64) -> Option<&'p Point> {
        let point = points.iter().rfind(|p| p.t <= t)?;
        (point.t > t - self.options.lookback_ms && !point.is_stale()).then_some(point)
    }

    pub(super) fn selector(&self, e: &VectorSelector, times: &[i64]) -> Outcome<Vec<Vector>> {
        let series = self.stored(&e.matchers, e.span);
        let mut out = Vec::new();
        for t in times {
            let at = self.reference(e.at, &e.offset, *t)?;
            let mut vector = Vector::new();
            for s in &series {
                let value = if e.mode == RangeMode::Smoothed {
                    self.smoothed(e, s, at)
                } else {
                    self.latest(&s.points, at).map(|p| p.value.clone())
                };
                vector.extend(value.map(|value| Sample::new(s.labels.clone(), value)));
            }
            out.push(vector);
        }
        Ok(out)
    }

    /// Of a series, the samples after one time and up to another that are not stale.
    pub(super) fn between(points: &[Point], after: i64, until: i64) -> Vec<Point> {
        points.iter().filter(|p| p.t > after && p.t <= until && !p.is_stale()).cloned().collect()
    }

    /// The series of a range argument, and the span of the range at each time: after the first up to the second.
    pub(super) fn ranges(&self, expr: &Expr, times: &[i64]) -> Outcome<(Vec<Ranged>, Vec<Between>)> {
        match expr.without_parens() {
            Expr::Matrix(e) => {
                let MatrixSelector { selector, range, .. } = &**e;
                let range = self.positive_ms(range)?;
                let spans = times.iter().map(|t| {
                    let end = self.reference(selector.at, &selector.offset, *t)?;
                    Ok((end - range, end))
                });
                Ok((self.stored(&selector.matchers, selector.span), spans.collect::<Outcome<_>>()?))
            }
            Expr::Subquery(e) => {
                let range = self.positive_ms(&e.range)?;
                let spans = times.iter().map(|t| {
                    let end = self.reference(e.at, &e.offset, *t)?;
                    Ok((end - range, end))
                });
                Ok((self.subquery(e, times)?, spans.collect::<Outcome<_>>()?))
            }
            other => panic!("not a range: {other}"),
        }
    }

    fn subquery(&self, e: &Subquery, times: &[i64]) -> Outcome<Vec<Ranged>> {
        let inner = self.inner_times(e, times)?;
        let mut out: Vec<Ranged> = Vec::new();
        if inner.is_empty() {
            return Ok(out);
        }
        for (t, vector) in inner.iter().zip(self.vectors(&e.expr, &inner)?) {
            for sample in vector {
                let point = Point { t: *t, start: 0, value: sample.value };
                match out.iter_mut().find(|s| s.labels == sample.labels) {
                    Some(known) => known.points.push(point),
                    None => out.push(Ranged {
                        labels: sample.labels,
                        drop_name: sample.drop_name,
                        points: vec![point],
                    }),
                }
            }
        }
        Ok(out)
    }
}

fn ranged(series: &Series) -> Ranged {
    let points = series.samples.iter().map(|s| {
        let value = match &s.value {
            Stored::Float(v) => Value::Float(*v),
            Stored::Histogram(h) => Value::Histogram(Hist::of(h)),
        };
        Point { t: s.t, start: s.start, value }
    });
    Ranged { labels: series.labels.clone(), drop_name: false, points: points.collect() }
}

/// Leaves counts and sums of histograms, with hints that say what the buckets said.
fn leave_out_buckets(points: &mut [Point]) {
    let mut before: Option<Hist> = None;
    for point in points {
        let stale = point.is_stale();
        let Value::Histogram(h) = &mut point.value else { continue };
        let full = h.clone();
        let hint = match (&before, full.hint) {
            (Some(before), CounterResetHint::Unknown) if !stale => {
                if full.is_reset_since(before) {
                    CounterResetHint::Reset
                } else {
                    CounterResetHint::NotReset
                }
            }
            (_, hint) => hint,
        };
        *h = full.stats(hint);
        if !stale {
            before = Some(full);
        }
    }
}
