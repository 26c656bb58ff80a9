//! PromQL as plainly as possible, written from the language's definition and sharing no evaluation with the engine:
//! an expression is a vector at each of a list of times, and each vector is made from those of its operands at the same
//! time. Nothing is kept, folded or shared; everything is copied.
//!
//! Two things are not settled by the definition: how sums are rounded, and in which order histograms are added. By
//! default sums are exact. A *shaken* evaluator ([`Naive::shaken`]) rounds inexact results a few last places off and
//! takes histograms in random order: where its answers scatter, the question is ill-conditioned.

mod aggregate;
mod binary;
mod calls;
mod changes;
mod extended;
mod histogram;
mod histogram_calls;
mod inside;
mod labels;
mod notes;
mod numbers;
mod over_time;
mod ranges;
mod select;
mod target;

use model::Labels;
use promql::EngineOptions;
use promql::ast::{At, Call, Duration, Expr, Subquery, ValueType};

use super::data::Data;
use notes::Notes;
use numbers::Rounding;

pub(crate) use aggregate::has_order;
pub(crate) use histogram::Hist;
pub(crate) use notes::Note;

/// The value of a sample.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    Float(f64),
    Histogram(Hist),
}

/// A series at one time.
#[derive(Debug, Clone)]
pub(crate) struct Sample {
    pub(crate) labels: Labels,
    pub(crate) value: Value,
    /// The metric's name is to be dropped at the end of the query.
    drop_name: bool,
}

pub(crate) type Vector = Vec<Sample>;

/// Times and what there is then.
pub(crate) type Answer = Vec<(i64, Vector)>;

/// Why there is no answer.
pub(crate) type Failure = String;
pub(crate) type Outcome<T> = Result<T, Failure>;

/// The times of a query: those of its steps, its start, end and step.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    pub(crate) start_ms: i64,
    pub(crate) end_ms: i64,
    /// 0 for an instant query.
    pub(crate) step_ms: i64,
}

impl Times {
    pub(crate) fn all(&self) -> Vec<i64> {
        let step = usize::try_from(self.step_ms.max(1)).expect("a positive step");
        (self.start_ms..=self.end_ms).step_by(step).collect()
    }
}

pub(crate) struct Naive<'d> {
    data: &'d Data,
    options: &'d EngineOptions,
    times: Times,
    rounding: Rounding,
    notes: Notes,
    arbitrary: std::cell::Cell<bool>,
    /// Where selectors stand whose histograms are needed without their buckets.
    without_buckets: Vec<promql::ast::Span>,
}

impl<'d> Naive<'d> {
    pub(crate) fn new(data: &'d Data, options: &'d EngineOptions, times: Times) -> Self {
        Self {
            data,
            options,
            times,
            rounding: Rounding::exact(),
            notes: Notes::default(),
            arbitrary: std::cell::Cell::new(false),
            without_buckets: Vec::new(),
        }
    }

    /// One whose rounding and order are random.
    pub(crate) fn shaken(data: &'d Data, options: &'d EngineOptions, times: Times, seed: u64) -> Self {
        Self { rounding: Rounding::shaken(seed), ..Self::new(data, options, times) }
    }

    /// The answer: a vector per step, in the order of the sort that an instant query asks for; of a range, a vector per
    /// time of any sample.
    pub(crate) fn answer(&mut self, expr: &Expr) -> Outcome<Answer> {
        histogram::find_needless_buckets(expr, false, false, &mut self.without_buckets);
        let times = self.times.all();
        let mut out: Answer = match expr.value_type() {
            ValueType::Matrix => self.range_alone(expr, times[0])?,
            _ => times.iter().copied().zip(self.vectors_or_scalars(expr, &times)?).collect(),
        };
        if self.options.delayed_name_removal {
            for sample in out.iter_mut().flat_map(|(_, vector)| vector).filter(|s| s.drop_name) {
                sample.labels = labels::unnamed(&sample.labels);
            }
        }
        for (_, vector) in &out {
            let of_kind =
                |float: bool| vector.iter().filter(|s| s.float().is_some() == float).cloned().collect();
            // A float and a histogram of the same labels: upstream returns both of a range query, and fails otherwise.
            if unique(vector).is_err() && [true, false].iter().all(|kind| unique(&of_kind(*kind)).is_ok()) {
                self.arbitrary.set(true);
            }
            unique(vector)?;
        }
        Ok(out)
    }

    pub(crate) fn notes(&self) -> &Notes {
        &self.notes
    }

    /// Whether an answer depends on what is not defined: sums beyond what floats can say, or which sample of a
    /// histogram without buckets was the first to be read.
    pub(crate) fn is_arbitrary(&self) -> bool {
        self.rounding.overflowed() || self.arbitrary.get()
    }

    fn vectors_or_scalars(&self, expr: &Expr, times: &[i64]) -> Outcome<Vec<Vector>> {
        if expr.value_type() != ValueType::Scalar {
            return self.vectors(expr, times);
        }
        let scalars = self.scalars(expr, times)?.into_iter();
        Ok(scalars.map(|v| vec![Sample::new(Labels::empty(), Value::Float(v))]).collect())
    }

    /// The vectors of an expression at some times.
    fn vectors(&self, expr: &Expr, times: &[i64]) -> Outcome<Vec<Vector>> {
        if times.len() > 1 && self.is_the_same_at_all_times(expr) {
            let once = self.vectors(expr, &times[..1])?;
            return Ok(vec![once[0].clone(); times.len()]);
        }
        let mut out = match expr {
            Expr::Paren(e) => return self.vectors(&e.expr, times),
            Expr::Vector(e) => self.selector(e, times),
            Expr::Unary(e) if e.negate => self.negated(&e.expr, times),
            Expr::Unary(e) => self.vectors(&e.expr, times),
            Expr::Aggregate(e) => self.aggregate(e, times),
            Expr::Binary(e) => self.binary(e, times),
            Expr::Call(e) => self.call(e, times),
            other => panic!("not a vector: {other}"),
        }?;
        // A series drops its name throughout or not at all: as its first sample says.
        let mut first: std::collections::HashMap<Labels, bool> = std::collections::HashMap::new();
        for sample in out.iter_mut().flatten() {
            sample.drop_name = *first.entry(sample.labels.clone()).or_insert(sample.drop_name);
        }
        Ok(std::mem::take(&mut out))
    }

    /// The numbers of an expression at some times.
    fn scalars(&self, expr: &Expr, times: &[i64]) -> Outcome<Vec<f64>> {
        let each = |f: &dyn Fn(i64) -> f64| Ok(times.iter().map(|t| f(*t)).collect());
        match expr {
            Expr::Number(e) => each(&|_| e.value),
            Expr::Paren(e) => self.scalars(&e.expr, times),
            Expr::Unary(e) => {
                let sign = if e.negate { -1.0 } else { 1.0 };
                Ok(self.scalars(&e.expr, times)?.into_iter().map(|v| v * sign).collect())
            }
            Expr::Binary(e) => {
                let (a, b) = (self.scalars(&e.lhs, times)?, self.scalars(&e.rhs, times)?);
                Ok(a.into_iter().zip(b).map(|(a, b)| numbers::operator(e.op, a, b)).collect())
            }
            Expr::Call(e) => self.scalar_call(e, times),
            other => panic!("not a scalar: {other}"),
        }
    }

    fn scalar_call(&self, e: &Call, times: &[i64]) -> Outcome<Vec<f64>> {
        let Times { start_ms, end_ms, step_ms } = self.times;
        let seconds = |ms: i64| Ok(vec![ms as f64 / 1000.0; times.len()]);
        let two = |f: fn(f64, f64) -> f64| {
            let (a, b) = (self.scalars(&e.args[0], times)?, self.scalars(&e.args[1], times)?);
            Ok(a.into_iter().zip(b).map(|(a, b)| f(a, b)).collect())
        };
        match e.func.name {
            "time" => Ok(times.iter().map(|t| *t as f64 / 1000.0).collect()),
            "pi" => Ok(vec![std::f64::consts::PI; times.len()]),
            "start" => seconds(start_ms),
            "end" => seconds(end_ms),
            "range" => seconds(end_ms - start_ms),
            "step" => seconds(if start_ms == end_ms { 0 } else { step_ms }),
            "min_of" => two(numbers::min),
            "max_of" => two(numbers::max),
            "scalar" => {
                let vectors = self.vectors(&e.args[0], times)?.into_iter();
                let only = vectors.map(|vector| {
                    let floats: Vec<f64> = vector.iter().filter_map(Sample::float).collect();
                    if let [only] = floats[..] { only } else { f64::NAN }
                });
                Ok(only.collect())
            }
            other => panic!("not a scalar: {other}"),
        }
    }

    fn negated(&self, expr: &Expr, times: &[i64]) -> Outcome<Vec<Vector>> {
        let mut vectors = self.vectors(expr, times)?;
        for sample in vectors.iter_mut().flatten() {
            match &mut sample.value {
                Value::Float(v) => *v = -*v,
                Value::Histogram(h) => h.scale(-1.0),
            }
            self.drop_name(sample);
        }
        self.all_unique(vectors)
    }

    /// Drops the metric's name: now, or at the end.
    fn drop_name(&self, sample: &mut Sample) {
        sample.drop_name = true;
        if !self.options.delayed_name_removal {
            sample.labels = labels::unnamed(&sample.labels);
        }
    }

    fn all_unique(&self, vectors: Vec<Vector>) -> Outcome<Vec<Vector>> {
        vectors.iter().try_for_each(unique)?;
        Ok(vectors)
    }

    /// Milliseconds of a length of time that has to be positive.
    fn positive_ms(&self, duration: &Duration) -> Outcome<i64> {
        let ms = self.duration_ms(duration)?;
        if ms <= 0 { Err("duration must be greater than 0".to_owned()) } else { Ok(ms) }
    }

    fn duration_ms(&self, duration: &Duration) -> Outcome<i64> {
        match duration {
            Duration::Fixed(ms) => Ok(*ms),
            Duration::Expr(expr) => {
                let seconds = select::duration_seconds(expr, self.times)?;
                if seconds.is_finite() {
                    Ok((seconds * 1000.0) as i64)
                } else {
                    Err("duration is NaN".to_owned())
                }
            }
        }
    }

    fn at_ms(&self, at: Option<At>) -> Option<i64> {
        at.map(|at| match at {
            At::Timestamp(ms) => ms,
            At::Start => self.times.start_ms,
            At::End => self.times.end_ms,
        })
    }

    /// The time that a selector or subquery with these modifiers looks at, evaluated at `t`.
    fn reference(&self, at: Option<At>, offset: &Duration, t: i64) -> Outcome<i64> {
        Ok(self.at_ms(at).unwrap_or(t) - self.duration_ms(offset)?)
    }

    /// The times at which a subquery evaluates its expression: all multiples of its step inside the ranges that it is
    /// asked for, and between them.
    fn inner_times(&self, e: &Subquery, times: &[i64]) -> Outcome<Vec<i64>> {
        let step = match &e.step {
            Some(step) => self.positive_ms(step)?,
            None => self.options.default_subquery_step_ms,
        };
        let first = self.reference(e.at, &e.offset, times[0])? - self.positive_ms(&e.range)?;
        let last = self.reference(e.at, &e.offset, times[times.len() - 1])?;
        let aligned = (first.div_euclid(step) + 1) * step;
        Ok((aligned..=last).step_by(usize::try_from(step).expect("a positive step")).collect())
    }

    /// Whether an expression says itself what time it is about.
    fn is_the_same_at_all_times(&self, expr: &Expr) -> bool {
        let same = |e: &Expr| self.is_the_same_at_all_times(e);
        match expr {
            Expr::Number(_) | Expr::String(_) => true,
            Expr::Vector(e) => e.at.is_some(),
            Expr::Matrix(e) => e.selector.at.is_some(),
            Expr::Subquery(e) => e.at.is_some(),
            Expr::Paren(e) => same(&e.expr),
            Expr::Unary(e) => same(&e.expr),
            Expr::Binary(e) => same(&e.lhs) && same(&e.rhs),
            Expr::Aggregate(e) => same(&e.expr) && e.param.as_ref().is_none_or(same),
            Expr::Call(e) => {
                let all = e.args.iter().all(same);
                match e.func.name {
                    "timestamp" => all && matches!(e.args[0].without_parens(), Expr::Vector(_)),
                    "days_in_month" | "day_of_month" | "day_of_week" | "day_of_year" | "hour" | "minute"
                    | "month" | "year" | "predict_linear" | "time" => false,
                    _ => all,
                }
            }
        }
    }
}

impl Sample {
    fn new(labels: Labels, value: Value) -> Self {
        Self { labels, value, drop_name: false }
    }

    fn float(&self) -> Option<f64> {
        match self.value {
            Value::Float(v) => Some(v),
            Value::Histogram(_) => None,
        }
    }

    fn histogram(&self) -> Option<&Hist> {
        match &self.value {
            Value::Float(_) => None,
            Value::Histogram(h) => Some(h),
        }
    }
}

/// A vector has each set of labels once.
fn unique(vector: &Vector) -> Outcome<()> {
    let mut seen = std::collections::HashSet::new();
    if vector.iter().all(|s| seen.insert(&s.labels)) {
        return Ok(());
    }
    Err("vector cannot contain metrics with the same labelset".to_owned())
}
