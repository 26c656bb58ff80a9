//! Binary operators.

use std::collections::{BTreeMap, BTreeSet};

use model::{CounterResetHint, Labels, METRIC_NAME};
use promql::ast::{Binary, BinaryOp, Cardinality, ValueType, VectorMatching};

use super::{Naive, Outcome, Sample, Value, Vector, labels, numbers};

/// Whether the result is another metric.
fn makes_another_metric(op: BinaryOp) -> bool {
    use BinaryOp::{Add, Atan2, Div, Mod, Mul, Pow, Sub};
    matches!(op, Add | Sub | Mul | Div | Mod | Pow | Atan2)
}

/// The labels that have to be equal on both sides.
fn matched(matching: &VectorMatching, labels: &Labels) -> Labels {
    let mut builder = labels.to_builder();
    builder.retain(|name, _| {
        let named = matching.labels.iter().any(|l| l == name);
        if matching.on { named } else { !named && name != METRIC_NAME }
    });
    builder.build()
}

impl Naive<'_> {
    pub(super) fn binary(&self, e: &Binary, times: &[i64]) -> Outcome<Vec<Vector>> {
        let scalar = |expr: &promql::ast::Expr| expr.value_type() == ValueType::Scalar;
        let mut out = Vec::new();
        match (scalar(&e.lhs), scalar(&e.rhs)) {
            (false, false) => {
                let (left, right) = (self.vectors(&e.lhs, times)?, self.vectors(&e.rhs, times)?);
                for (left, right) in left.into_iter().zip(right) {
                    out.push(self.vector_and_vector(e, left, right)?);
                }
            }
            (false, true) => {
                let (left, right) = (self.vectors(&e.lhs, times)?, self.scalars(&e.rhs, times)?);
                for (vector, number) in left.into_iter().zip(right) {
                    out.push(self.vector_and_scalar(e, vector, number, false));
                }
            }
            _ => {
                let (left, right) = (self.scalars(&e.lhs, times)?, self.vectors(&e.rhs, times)?);
                for (number, vector) in left.into_iter().zip(right) {
                    out.push(self.vector_and_scalar(e, vector, number, true));
                }
            }
        }
        self.all_unique(out)
    }

    fn vector_and_scalar(&self, e: &Binary, vector: Vector, number: f64, number_left: bool) -> Vector {
        let mut out = Vector::new();
        for mut sample in vector {
            let (own, number) = (sample.value.clone(), Value::Float(number));
            let (a, b) = if number_left { (&number, &own) } else { (&own, &number) };
            let Some((value, holds)) = self.operate(e, a, b) else { continue };
            if e.return_bool {
                sample.value = Value::Float(f64::from(u8::from(holds)));
            } else if !holds {
                continue;
            } else {
                // A comparison keeps what the series has.
                sample.value = if e.op.is_comparison() { own } else { value };
            }
            if makes_another_metric(e.op) || e.return_bool {
                self.drop_name(&mut sample);
            }
            out.push(sample);
        }
        out
    }

    /// The value of an operator, and whether it is to be kept; none if it does not apply.
    fn operate(&self, e: &Binary, a: &Value, b: &Value) -> Option<(Value, bool)> {
        let span = e.span();
        let (left, right) = match (a, b) {
            (Value::Float(x), Value::Float(y)) => match e.op {
                BinaryOp::TrimUpper | BinaryOp::TrimLower => ("float", "float"),
                op if op.is_comparison() => return Some((a.clone(), numbers::holds(op, *x, *y))),
                op => return Some((Value::Float(numbers::operator(op, *x, *y)), true)),
            },
            (Value::Float(x), Value::Histogram(h)) | (Value::Histogram(h), Value::Float(x))
                if e.op == BinaryOp::Mul =>
            {
                let mut h = h.clone();
                h.scale(*x);
                return Some((Value::Histogram(h.compacted()), true));
            }
            (Value::Float(_), Value::Histogram(_)) => ("float", "histogram"),
            (Value::Histogram(h), Value::Float(x)) => match e.op {
                BinaryOp::Div => {
                    let mut h = h.clone();
                    h.divide(*x);
                    return Some((Value::Histogram(h.compacted()), true));
                }
                BinaryOp::TrimUpper | BinaryOp::TrimLower => {
                    let mut trimmed = h.clone().trimmed(*x, e.op == BinaryOp::TrimUpper);
                    trimmed.each_number(|v| if v.fract() == 0.0 { v } else { self.rounding.inexact(v) });
                    return Some((Value::Histogram(trimmed), true));
                }
                _ => ("histogram", "float"),
            },
            (Value::Histogram(x), Value::Histogram(y)) => match e.op {
                BinaryOp::Eq => return Some((a.clone(), x.is_same(y))),
                BinaryOp::Ne => return Some((a.clone(), !x.is_same(y))),
                BinaryOp::Add | BinaryOp::Sub => {
                    let add = e.op == BinaryOp::Add;
                    let mut sum = x.clone();
                    let done = if add { sum.add(y) } else { sum.subtract(y) };
                    let what = if add { "addition" } else { "subtraction" };
                    let Ok(remarks) = done else {
                        let op = e.op.as_str();
                        let text = format!("incompatible bucket layout encountered for binary operator {op}");
                        self.notes.warn(span, &text);
                        return None;
                    };
                    if remarks.collision {
                        // What is known of resets without buckets depends on where reading began.
                        self.arbitrary.set(self.arbitrary.get() || !self.without_buckets.is_empty());
                        let text = format!("conflicting counter resets during histogram {what}");
                        self.notes.warn(span, &text);
                        return None;
                    }
                    if remarks.reconciled {
                        let text = format!("mismatched custom buckets were reconciled during {what}");
                        self.notes.info(span, &text);
                    }
                    if !add {
                        sum.hint = CounterResetHint::Gauge;
                    }
                    return Some((Value::Histogram(sum.compacted()), true));
                }
                _ => ("histogram", "histogram"),
            },
        };
        let op = e.op.as_str();
        let text = "incompatible sample types encountered for binary operator";
        self.notes.info(span, &format!("{text} \"{op}\": {left} {op} {right}"));
        None
    }

    fn vector_and_vector(&self, e: &Binary, left: Vector, right: Vector) -> Outcome<Vector> {
        let matching = e.matching.as_ref().expect("vectors are matched");
        let of = |s: &Sample| matched(matching, &s.labels);
        let has = |side: &Vector, s: &Sample| side.iter().any(|o| of(o) == of(s));
        match e.op {
            BinaryOp::And => return Ok(left.into_iter().filter(|s| has(&right, s)).collect()),
            BinaryOp::Unless => return Ok(left.into_iter().filter(|s| !has(&right, s)).collect()),
            BinaryOp::Or => {
                let missing: Vector = right.into_iter().filter(|s| !has(&left, s)).collect();
                return Ok(left.into_iter().chain(missing).collect());
            }
            _ => {}
        }
        let (fill_many, fill_one) = (matching.fill_left, matching.fill_right);
        let any_fill = fill_many.is_some() || fill_one.is_some();
        if left.is_empty() && right.is_empty() || !any_fill && (left.is_empty() || right.is_empty()) {
            return Ok(Vector::new());
        }
        let swapped = matching.card == Cardinality::OneToMany;
        let (many, one) = if swapped { (right, left) } else { (left, right) };
        let mut ones: BTreeMap<Labels, &Sample> = BTreeMap::new();
        for s in &one {
            if ones.insert(of(s), s).is_some() {
                return Err("found duplicate series for the match group".to_owned());
            }
        }
        let filled = |s: &Sample, fill: Option<f64>| Some(Sample::new(of(s), Value::Float(fill?)));
        let mut results = Results { out: Vector::new(), used: BTreeSet::new(), matched: BTreeSet::new() };
        for s in &many {
            if let Some(other) = ones.get(&of(s)).map(|o| (*o).clone()).or_else(|| filled(s, fill_one)) {
                self.pair(e, matching, swapped, (s, &other), of(s), &mut results)?;
            }
        }
        for s in &one {
            if results.matched.contains(&of(s)) {
                continue;
            }
            if let Some(other) = filled(s, fill_many) {
                self.pair(e, matching, swapped, (&other, s), of(s), &mut results)?;
            }
        }
        Ok(results.out)
    }

    fn pair(
        &self,
        e: &Binary,
        matching: &VectorMatching,
        swapped: bool,
        (many, one): (&Sample, &Sample),
        key: Labels,
        results: &mut Results,
    ) -> Outcome<()> {
        let (a, b) = if swapped { (&one.value, &many.value) } else { (&many.value, &one.value) };
        let Some((value, holds)) = self.operate(e, a, b) else { return Ok(()) };
        let one_to_one = matching.card == Cardinality::OneToOne;
        let mut named = many.labels.clone();
        if makes_another_metric(e.op) || e.return_bool && !self.options.delayed_name_removal {
            named = labels::unnamed(&named);
        }
        let mut builder = named.to_builder();
        if one_to_one {
            builder.retain(|name, _| matching.labels.iter().any(|l| l == name) == matching.on);
        }
        for name in &matching.include {
            builder.set(name, one.labels.get_or_empty(name));
        }
        let labels = builder.build();
        // One result per group, or per group and labels.
        let distinct = if one_to_one { Labels::empty() } else { labels.clone() };
        if !results.used.insert((key.clone(), distinct)) {
            return Err("multiple matches for labels".to_owned());
        }
        results.matched.insert(key);
        let value = if e.return_bool { Value::Float(f64::from(u8::from(holds))) } else { value };
        if holds || e.return_bool {
            results.out.push(Sample { labels, value, drop_name: e.return_bool });
        }
        Ok(())
    }
}

struct Results {
    out: Vector,
    used: BTreeSet<(Labels, Labels)>,
    /// The groups for which the operator applied.
    matched: BTreeSet<Labels>,
}
