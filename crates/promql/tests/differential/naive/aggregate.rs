//! Aggregations.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use model::{Labels, METRIC_NAME};
use promql::ast::{Aggregate, AggregateOp, Expr};

use super::histogram::Hist;
use super::over_time::MIXED_SCHEMAS;
use super::{Naive, Outcome, Sample, Value, Vector, labels, numbers};

/// The labels by which a series is grouped.
fn group_of(e: &Aggregate, labels: &Labels, more: Option<&str>) -> Labels {
    let mut builder = labels.to_builder();
    builder.retain(|name, _| {
        let named = e.grouping.iter().any(|g| g == name) || !e.without && more == Some(name);
        if e.without { !named && name != METRIC_NAME } else { named }
    });
    builder.build()
}

/// Ascending or descending, NaN last.
pub(super) fn by_value(a: f64, b: f64, descending: bool) -> Ordering {
    let order = a.partial_cmp(&b).unwrap_or(Ordering::Equal);
    a.is_nan().cmp(&b.is_nan()).then(if descending { order.reverse() } else { order })
}

/// The hash by which series are sampled: xxh64 of names and values, each behind its length.
fn sampling_hash(labels: &Labels) -> u64 {
    let mut bytes = Vec::new();
    for text in labels.iter().flat_map(|(name, value)| [name, value]) {
        match u8::try_from(text.len()) {
            Ok(short) if short < u8::MAX => bytes.push(short),
            // What one byte cannot say takes three more.
            _ => {
                bytes.push(u8::MAX);
                bytes.extend_from_slice(&text.len().to_le_bytes()[..3]);
            }
        }
        bytes.extend_from_slice(text.as_bytes());
    }
    xxhash_rust::xxh64::xxh64(&bytes, 0)
}

impl Naive<'_> {
    pub(super) fn aggregate(&self, e: &Aggregate, times: &[i64]) -> Outcome<Vec<Vector>> {
        let expr = e.expr.without_parens();
        if e.op == AggregateOp::CountValues {
            let label = labels::text(e.param.as_ref().expect("a label"));
            if label.is_empty() {
                return Err("invalid label name".to_owned());
            }
            let vectors = self.vectors(expr, times)?;
            return self.all_unique(vectors.into_iter().map(|v| count_values(e, &label, v)).collect());
        }
        let parameters = match &e.param {
            Some(param) => self.scalars(param, times)?,
            None => vec![0.0; times.len()],
        };
        let vectors = self.vectors(expr, times)?;
        if !self.check_parameters(e, &parameters)? {
            return Ok(vec![Vector::new(); times.len()]);
        }
        let mut out = Vec::new();
        // Whether a group drops its name is what its last vector says.
        let mut drops: BTreeMap<Labels, bool> = BTreeMap::new();
        for (vector, parameter) in vectors.into_iter().zip(parameters) {
            let mut groups: BTreeMap<Labels, Vector> = BTreeMap::new();
            for sample in vector {
                groups.entry(group_of(e, &sample.labels, None)).or_default().push(sample);
            }
            let mut result = Vector::new();
            for (labels, mut members) in groups {
                members.sort_by(|a, b| a.labels.cmp(&b.labels));
                if e.op.has_param() && e.op != AggregateOp::Quantile {
                    result.extend(self.picked(e, parameter, members));
                    continue;
                }
                let drop_name = members.iter().any(|m| m.drop_name);
                if let Some(value) = self.folded(e, parameter, &members) {
                    drops.insert(labels.clone(), drop_name);
                    result.push(Sample { labels, value, drop_name });
                }
            }
            out.push(result);
        }
        for sample in out.iter_mut().flatten() {
            sample.drop_name = drops.get(&sample.labels).copied().unwrap_or(sample.drop_name);
        }
        Ok(out)
    }

    /// Whether the parameters of all times make sense; nothing comes out if they say so.
    fn check_parameters(&self, e: &Aggregate, all: &[f64]) -> Outcome<bool> {
        let any = |f: fn(f64) -> bool| all.iter().any(|v| f(*v));
        let span = e.param.as_ref().map_or(e.span, |p| p.without_parens().span());
        match e.op {
            AggregateOp::Topk | AggregateOp::Bottomk | AggregateOp::Limitk => {
                if all.iter().all(|v| *v < 1.0) {
                    return Ok(false);
                }
                if any(|v| v.is_nan() || v <= -9.3e18 || v >= 9.2e18) {
                    return Err("not a number of series".to_owned());
                }
            }
            AggregateOp::LimitRatio => {
                if all.iter().all(|v| *v == 0.0) {
                    return Ok(false);
                }
                if any(f64::is_nan) {
                    return Err("Ratio value is NaN".to_owned());
                }
                if any(|v| !(-1.0..=1.0).contains(&v)) {
                    self.notes.warn(span, "ratio value should be between -1 and 1");
                }
            }
            AggregateOp::Quantile if any(|v| !(0.0..=1.0).contains(&v)) => {
                self.notes.warn(span, "quantile value should be between 0 and 1");
            }
            _ => {}
        }
        Ok(true)
    }

    fn note_ignored_in(&self, e: &Aggregate) {
        let whole = matches!(e.op, AggregateOp::Topk | AggregateOp::Bottomk);
        let span = if whole { e.span } else { e.expr.without_parens().span() };
        self.notes.info(span, &format!("ignored histogram in {} aggregation", e.op.as_str()));
    }

    /// One value of a group.
    fn folded(&self, e: &Aggregate, parameter: f64, members: &Vector) -> Option<Value> {
        let values: Vec<f64> = members.iter().filter_map(Sample::float).collect();
        let histograms: Vec<Hist> = members.iter().filter_map(Sample::histogram).cloned().collect();
        match e.op {
            AggregateOp::Count => return Some(Value::Float(members.len() as f64)),
            AggregateOp::Group => return Some(Value::Float(1.0)),
            AggregateOp::Sum | AggregateOp::Avg if !histograms.is_empty() => {
                return self.sum_of_group(e, !values.is_empty(), histograms).map(Value::Histogram);
            }
            _ if !histograms.is_empty() => self.note_ignored_in(e),
            _ => {}
        }
        if values.is_empty() {
            return None;
        }
        let best = |better: fn(f64, f64) -> f64| {
            values.iter().copied().filter(|v| !v.is_nan()).reduce(better).unwrap_or(f64::NAN)
        };
        Some(Value::Float(match e.op {
            AggregateOp::Sum => self.rounding.sum(&values),
            AggregateOp::Avg => self.rounding.mean(&values),
            AggregateOp::Min => best(numbers::min),
            AggregateOp::Max => best(numbers::max),
            AggregateOp::Stdvar => self.rounding.variance(&values),
            AggregateOp::Stddev => self.rounding.variance(&values).sqrt(),
            AggregateOp::Quantile => numbers::quantile(parameter, values),
            other => panic!("aggregation {other:?}"),
        }))
    }

    fn sum_of_group(&self, e: &Aggregate, floats_too: bool, histograms: Vec<Hist>) -> Option<Hist> {
        let span = e.expr.without_parens().span();
        let mixed = histograms.iter().any(|h| h.is_custom() != histograms[0].is_custom());
        let bounds_differ = histograms.iter().any(|h| h.bounds != histograms[0].bounds);
        let summed = self.sum_of_histograms(histograms, e.op == AggregateOp::Avg);
        if floats_too || mixed {
            // What is found before that depends on the order of series.
            if mixed {
                self.notes.maybe_warn(span, MIXED_SCHEMAS);
            }
            if bounds_differ {
                self.notes.maybe_info(span, "mismatched custom buckets were reconciled during aggregation");
            }
            self.notes.maybe_warn(span, "conflicting counter resets during histogram aggregation");
            if floats_too {
                self.notes.warn(span, "encountered a mix of histograms and floats for aggregation");
            } else {
                self.notes.warn(span, MIXED_SCHEMAS);
            }
            return None;
        }
        let summed = summed?;
        self.note_collision(summed.collision, span);
        if summed.reconciled {
            self.notes.info(span, "mismatched custom buckets were reconciled during aggregation");
        }
        Some(summed.histogram)
    }

    /// Some of the series of a group.
    fn picked(&self, e: &Aggregate, parameter: f64, mut members: Vector) -> Vector {
        if e.op == AggregateOp::LimitRatio {
            let ratio = parameter.clamp(-1.0, 1.0);
            members.retain(|m| {
                let offset = sampling_hash(&m.labels) as f64 / u64::MAX as f64;
                if ratio >= 0.0 { offset < ratio } else { offset >= 1.0 + ratio }
            });
            return members;
        }
        let count = if parameter < 1.0 { 0 } else { parameter as usize };
        if e.op != AggregateOp::Limitk {
            if members.iter().any(|m| m.histogram().is_some()) && parameter >= 1.0 {
                self.note_ignored_in(e);
            } else if members.iter().any(|m| m.histogram().is_some()) {
                let text = format!("ignored histogram in {} aggregation", e.op.as_str());
                self.notes.maybe_info(e.span, &text);
            }
            members.retain(|m| m.histogram().is_none());
            let value = |m: &Sample| m.float().expect("a float");
            let descending = e.op == AggregateOp::Topk;
            members.sort_by(|a, b| {
                by_value(value(a), value(b), descending).then_with(|| a.labels.cmp(&b.labels))
            });
        }
        members.truncate(count);
        members
    }
}

fn count_values(e: &Aggregate, label: &str, vector: Vector) -> Vector {
    let mut counts: BTreeMap<Labels, f64> = BTreeMap::new();
    for sample in vector {
        let text = match &sample.value {
            Value::Float(v) if v.is_infinite() => if *v > 0.0 { "+Inf" } else { "-Inf" }.to_owned(),
            Value::Float(v) => v.to_string(),
            Value::Histogram(h) => h.to_model().to_string(),
        };
        let mut builder = sample.labels.to_builder();
        builder.set(label, &text);
        *counts.entry(group_of(e, &builder.build(), Some(label))).or_insert(0.0) += 1.0;
    }
    counts.into_iter().map(|(labels, count)| Sample::new(labels, Value::Float(count))).collect()
}

/// Whether an instant query's answer is in the order of an outermost sort.
pub(crate) fn has_order(expr: &Expr) -> bool {
    match expr {
        Expr::Paren(e) => has_order(&e.expr),
        Expr::Call(e) => matches!(e.func.name, "sort" | "sort_desc" | "sort_by_label" | "sort_by_label_desc"),
        _ => false,
    }
}
