//! What the naive evaluator makes of numbers, vectors and windows.

use std::collections::BTreeMap;

use model::{Labels, LabelsBuilder, METRIC_NAME, MatchOp};
use promql::ast::{Aggregate, AggregateOp, Binary, BinaryOp, Call, Cardinality, Expr, VectorMatching};

use super::naive::{Vector, Window, drops_name, without_name};

pub(crate) fn unnamed(labels: &Labels) -> Labels {
    without_name(labels)
}

pub(crate) fn number(op: BinaryOp, a: f64, b: f64) -> f64 {
    let truth = |holds: bool| if holds { 1.0 } else { 0.0 };
    match op {
        BinaryOp::Add => a + b,
        BinaryOp::Sub => a - b,
        BinaryOp::Mul => a * b,
        BinaryOp::Div => a / b,
        BinaryOp::Mod => a % b,
        BinaryOp::Pow => a.powf(b),
        BinaryOp::Atan2 => a.atan2(b),
        BinaryOp::Eq => truth(a == b),
        BinaryOp::Ne => truth(a != b),
        BinaryOp::Lt => truth(a < b),
        BinaryOp::Le => truth(a <= b),
        BinaryOp::Gt => truth(a > b),
        BinaryOp::Ge => truth(a >= b),
        other => panic!("{other:?} of numbers"),
    }
}

pub(crate) fn function(name: &str, v: f64, t: i64) -> f64 {
    let seconds = if v.is_finite() { v as i64 } else { -62_135_596_800 };
    match name {
        "abs" => v.abs(),
        "ceil" => v.ceil(),
        "floor" => v.floor(),
        "sgn" if v == 0.0 || v.is_nan() => v,
        "sgn" => v.signum(),
        "sqrt" => v.sqrt(),
        "exp" => v.exp(),
        "ln" => v.ln(),
        "hour" => (seconds.rem_euclid(86_400) / 3_600) as f64,
        "day_of_week" => (seconds.div_euclid(86_400) + 4).rem_euclid(7) as f64,
        "timestamp" => t as f64 / 1000.0,
        other => panic!("function {other}"),
    }
}

/// The order of values: NaN is last, whichever way.
fn order(a: f64, b: f64, descending: bool) -> std::cmp::Ordering {
    let by_nan = a.is_nan().cmp(&b.is_nan());
    let by_value = a.partial_cmp(&b).unwrap_or(std::cmp::Ordering::Equal);
    by_nan.then(if descending { by_value.reverse() } else { by_value })
}

pub(crate) fn quantile(q: f64, mut values: Vec<f64>) -> f64 {
    values.sort_by(|a, b| {
        b.is_nan().cmp(&a.is_nan()).then(a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal))
    });
    let rank = q * (values.len() - 1) as f64;
    let (low, weight) = (rank.floor() as usize, rank - rank.floor());
    values[low] * (1.0 - weight) + values[(low + 1).min(values.len() - 1)] * weight
}

fn mean(values: &[f64]) -> f64 {
    sum(values) / values.len() as f64
}

fn sum(values: &[f64]) -> f64 {
    let mut total = model::CompensatedSum::default();
    values.iter().for_each(|v| total.add(*v));
    total.total()
}

fn variance(values: &[f64]) -> f64 {
    let mean = mean(values);
    let squares: Vec<f64> = values.iter().map(|v| (v - mean) * (v - mean)).collect();
    sum(&squares) / values.len() as f64
}

fn smallest(values: &[f64]) -> f64 {
    values.iter().copied().filter(|v| !v.is_nan()).reduce(f64::min).unwrap_or(f64::NAN)
}

fn largest(values: &[f64]) -> f64 {
    values.iter().copied().filter(|v| !v.is_nan()).reduce(f64::max).unwrap_or(f64::NAN)
}

pub(crate) fn aggregate(e: &Aggregate, param: f64, vector: Vector) -> Vector {
    let mut groups: BTreeMap<Labels, Vector> = BTreeMap::new();
    for (labels, value) in vector {
        let mut builder = labels.to_builder();
        builder.retain(|name, _| {
            let named = e.grouping.iter().any(|g| g == name);
            if e.without { !named && name != METRIC_NAME } else { named }
        });
        groups.entry(builder.build()).or_default().push((labels, value));
    }
    let mut out = Vector::new();
    for (group, mut members) in groups {
        let values: Vec<f64> = members.iter().map(|(_, v)| *v).collect();
        let result = match e.op {
            AggregateOp::Sum => sum(&values),
            AggregateOp::Avg => mean(&values),
            AggregateOp::Min => smallest(&values),
            AggregateOp::Max => largest(&values),
            AggregateOp::Count => values.len() as f64,
            AggregateOp::Group => 1.0,
            AggregateOp::Stdvar => variance(&values),
            AggregateOp::Stddev => variance(&values).sqrt(),
            AggregateOp::Quantile => quantile(param, values),
            AggregateOp::Topk | AggregateOp::Bottomk => {
                let descending = e.op == AggregateOp::Topk;
                members.sort_by(|a, b| order(a.1, b.1, descending).then_with(|| a.0.cmp(&b.0)));
                out.extend(members.into_iter().take(param as usize));
                continue;
            }
            other => panic!("aggregation {other:?}"),
        };
        out.push((group, result));
    }
    out
}

fn signature(matching: &VectorMatching, labels: &Labels) -> Labels {
    let mut builder = labels.to_builder();
    builder.retain(|name, _| {
        let named = matching.labels.iter().any(|l| l == name);
        if matching.on { named } else { !named && name != METRIC_NAME }
    });
    builder.build()
}

pub(crate) fn between_vectors(e: &Binary, left: Vector, right: Vector) -> Result<Vector, String> {
    let matching = e.matching.as_ref().expect("vectors are matched");
    let of = |labels: &Labels| signature(matching, labels);
    let has = |side: &Vector, labels: &Labels| side.iter().any(|(l, _)| of(l) == of(labels));
    match e.op {
        BinaryOp::And => return Ok(left.into_iter().filter(|(l, _)| has(&right, l)).collect()),
        BinaryOp::Unless => return Ok(left.into_iter().filter(|(l, _)| !has(&right, l)).collect()),
        BinaryOp::Or => {
            let missing: Vector = right.into_iter().filter(|(l, _)| !has(&left, l)).collect();
            return Ok(left.into_iter().chain(missing).collect());
        }
        _ => {}
    }
    if left.is_empty() || right.is_empty() {
        return Ok(Vector::new());
    }
    let mut ones: BTreeMap<Labels, f64> = BTreeMap::new();
    for (labels, value) in &right {
        if ones.insert(of(labels), *value).is_some() {
            return Err("found duplicate series".to_owned());
        }
    }
    let many = matching.card == Cardinality::ManyToOne;
    let (mut out, mut used) = (Vector::new(), Vec::new());
    for (labels, a) in left {
        let key = of(&labels);
        let Some(b) = ones.get(&key) else { continue };
        let result = number(e.op, a, *b);
        let mut builder = labels.to_builder();
        if drops_name(e.op) || e.return_bool {
            builder.remove(METRIC_NAME);
        }
        if !many {
            builder.retain(|name, _| matching.labels.iter().any(|l| l == name) == matching.on);
            if used.contains(&key) {
                return Err("multiple matches".to_owned());
            }
            used.push(key);
        }
        let labels = builder.build();
        if e.op.is_comparison() && !e.return_bool {
            if result == 1.0 {
                out.push((labels, a));
            }
        } else {
            out.push((labels, result));
        }
    }
    Ok(out)
}

pub(crate) fn absent_labels(argument: &Expr) -> Labels {
    let matchers = match argument.without_parens() {
        Expr::Vector(e) => &e.matchers,
        Expr::Matrix(e) => &e.selector.matchers,
        _ => return Labels::empty(),
    };
    let mut builder = LabelsBuilder::default();
    for m in matchers.iter().filter(|m| m.op() == MatchOp::Equal && m.name() != METRIC_NAME) {
        builder.set(m.name(), m.value());
    }
    builder.build()
}

/// Replaces as the only regular expression of these tests does: `([12])` of `instance` by `x-$1`.
pub(crate) fn label_replace(e: &Call, vector: Vector) -> Vector {
    let Expr::String(target) = &e.args[1] else { panic!("a text") };
    let replaced = vector.into_iter().map(|(labels, v)| {
        let instance = labels.get_or_empty("instance");
        let mut builder = labels.to_builder();
        if matches!(instance, "1" | "2") {
            builder.set(&target.to_str_lossy(), &format!("x-{instance}"));
        }
        (builder.build(), v)
    });
    replaced.collect()
}

pub(crate) fn histogram_quantile(q: f64, vector: Vector) -> Vector {
    let mut groups: BTreeMap<Labels, Vec<(f64, f64)>> = BTreeMap::new();
    for (labels, count) in vector {
        if let Ok(bound) = labels.get_or_empty("le").parse::<f64>() {
            groups.entry(unnamed(&labels.without("le"))).or_default().push((bound, count));
        }
    }
    let mut out = Vector::new();
    for (labels, mut buckets) in groups {
        buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        for i in 1..buckets.len() {
            buckets[i].1 = buckets[i].1.max(buckets[i - 1].1);
        }
        let total = buckets[buckets.len() - 1].1;
        let infinite = buckets[buckets.len() - 1].0 == f64::INFINITY;
        if !infinite || buckets.len() < 2 || total == 0.0 {
            out.push((labels, f64::NAN));
            continue;
        }
        let rank = q * total;
        let at = buckets.iter().position(|(_, c)| *c >= rank).unwrap_or(buckets.len() - 1);
        let value = if at == buckets.len() - 1 {
            buckets[at - 1].0
        } else {
            let (low, below) = if at == 0 { (0.0, 0.0) } else { buckets[at - 1] };
            low + (buckets[at].0 - low) * ((rank - below) / (buckets[at].1 - below))
        };
        out.push((labels, value));
    }
    out
}

/// How much a counter grew, resets included.
fn growth(samples: &[(i64, f64)]) -> f64 {
    let mut total = samples[samples.len() - 1].1 - samples[0].1;
    for pair in samples.windows(2) {
        if pair[1].1 < pair[0].1 {
            total += pair[0].1;
        }
    }
    total
}

fn extrapolated(window: &Window<'_>, counter: bool) -> Option<f64> {
    let samples = window.samples;
    let (first, last) = (samples[0], samples[samples.len() - 1]);
    if samples.len() < 2 {
        return None;
    }
    let change = if counter { growth(samples) } else { last.1 - first.1 };
    let sampled = (last.0 - first.0) as f64 / 1000.0;
    let gap = sampled / (samples.len() - 1) as f64;
    let mut to_start = (first.0 - window.start_ms) as f64 / 1000.0;
    let mut to_end = (window.end_ms - last.0) as f64 / 1000.0;
    if to_start >= gap * 1.1 {
        to_start = gap / 2.0;
    }
    if to_end >= gap * 1.1 {
        to_end = gap / 2.0;
    }
    if counter && change > 0.0 && first.1 >= 0.0 {
        to_start = to_start.min(sampled * first.1 / change);
    }
    Some(change * (sampled + to_start + to_end) / sampled)
}

fn line(samples: &[(i64, f64)], at_ms: i64) -> Option<(f64, f64)> {
    if samples.len() < 2 {
        return None;
    }
    let first = samples[0].1;
    if samples.iter().all(|(_, v)| *v == first) {
        return Some((0.0, first));
    }
    let xs: Vec<f64> = samples.iter().map(|(t, _)| (t - at_ms) as f64 / 1000.0).collect();
    let ys: Vec<f64> = samples.iter().map(|(_, v)| *v).collect();
    let products: Vec<f64> = xs.iter().zip(&ys).map(|(x, y)| x * y).collect();
    let squares: Vec<f64> = xs.iter().map(|x| x * x).collect();
    let n = xs.len() as f64;
    let slope = (sum(&products) - sum(&xs) * sum(&ys) / n) / (sum(&squares) - sum(&xs) * sum(&xs) / n);
    Some((slope, mean(&ys) - slope * mean(&xs)))
}

pub(crate) fn over_range(name: &str, window: &Window<'_>) -> Option<f64> {
    let samples = window.samples;
    let values: Vec<f64> = samples.iter().map(|(_, v)| *v).collect();
    let pairs =
        |counts: fn(f64, f64) -> bool| samples.windows(2).filter(|w| counts(w[0].1, w[1].1)).count() as f64;
    let seconds = (window.end_ms - window.start_ms) as f64 / 1000.0;
    let last_two = || match samples {
        [.., a, b] => Some((*a, *b)),
        _ => None,
    };
    Some(match name {
        "rate" => extrapolated(window, true)? / seconds,
        "increase" => extrapolated(window, true)?,
        "delta" => extrapolated(window, false)?,
        "irate" => {
            let (a, b) = last_two()?;
            let change = if b.1 < a.1 { b.1 } else { b.1 - a.1 };
            change / ((b.0 - a.0) as f64 / 1000.0)
        }
        "idelta" => last_two().map(|(a, b)| b.1 - a.1)?,
        "changes" => pairs(|a, b| a != b && !(a.is_nan() && b.is_nan())),
        "resets" => pairs(|a, b| b < a),
        "deriv" => line(samples, samples[0].0)?.0,
        "predict_linear" => line(samples, window.time_ms).map(|(slope, at)| slope * window.scalar + at)?,
        "sum_over_time" => sum(&values),
        "avg_over_time" => mean(&values),
        "min_over_time" => smallest(&values),
        "max_over_time" => largest(&values),
        "count_over_time" => values.len() as f64,
        "stddev_over_time" => variance(&values).sqrt(),
        "stdvar_over_time" => variance(&values),
        "quantile_over_time" => quantile(window.scalar, values),
        "mad_over_time" if values.iter().any(|v| v.is_nan()) => f64::NAN,
        "mad_over_time" => {
            let median = quantile(0.5, values.clone());
            quantile(0.5, values.iter().map(|v| (v - median).abs()).collect())
        }
        "last_over_time" => values[values.len() - 1],
        "first_over_time" => values[0],
        "present_over_time" => 1.0,
        other => panic!("function {other}"),
    })
}
