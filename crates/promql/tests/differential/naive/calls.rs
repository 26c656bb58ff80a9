//! Functions of vectors.

use model::Labels;
use promql::ast::{Call, Expr, ValueType};

use super::aggregate::by_value;
use super::{Naive, Outcome, Sample, Value, Vector, labels, numbers};

impl Naive<'_> {
    pub(super) fn call(&self, e: &Call, times: &[i64]) -> Outcome<Vec<Vector>> {
        if let Some(range) = e.args.iter().find(|a| a.value_type() == ValueType::Matrix) {
            return self.over_range(e, range, times);
        }
        let name = e.func.name;
        match name {
            "label_replace" => self.label_replace(e, times),
            "label_join" => self.label_join(e, times),
            "info" => self.info(e, times),
            "histogram_quantile" | "histogram_quantiles" | "histogram_fraction" => {
                self.histogram_call(e, times)
            }
            "timestamp" | "start_timestamp" => self.timestamps(e, times),
            "sort" | "sort_desc" | "sort_by_label" | "sort_by_label_desc" => self.sorted(e, times),
            "vector" => {
                let numbers = self.scalars(&e.args[0], times)?.into_iter();
                Ok(numbers.map(|v| vec![Sample::new(Labels::empty(), Value::Float(v))]).collect())
            }
            "absent" => {
                let labels = labels::absent_labels(&e.args[0]);
                let absent = |vector: Vector| match vector.is_empty() {
                    true => vec![Sample::new(labels.clone(), Value::Float(1.0))],
                    false => Vector::new(),
                };
                Ok(self.vectors(&e.args[0], times)?.into_iter().map(absent).collect())
            }
            _ if e.args.is_empty() => {
                let today =
                    |t: &i64| numbers::date(name, t.div_euclid(1000) as f64).expect("a date function");
                let one = |t| vec![Sample::new(Labels::empty(), Value::Float(today(t)))];
                Ok(times.iter().map(one).collect())
            }
            _ => self.of_each(e, times),
        }
    }

    /// Functions of each sample by itself.
    fn of_each(&self, e: &Call, times: &[i64]) -> Outcome<Vec<Vector>> {
        let mut scalars = Vec::new();
        for arg in &e.args[1..] {
            scalars.push(self.scalars(arg, times)?);
        }
        let mut out = Vec::new();
        for (i, vector) in self.vectors(&e.args[0], times)?.into_iter().enumerate() {
            let parameters: Vec<f64> = scalars.iter().map(|s| s[i]).collect();
            let mut result = Vector::new();
            for mut sample in vector {
                let value = match &sample.value {
                    Value::Float(v) => of_float(e.func.name, *v, &parameters),
                    Value::Histogram(h) => match e.func.name {
                        "histogram_count" => Some(h.count),
                        "histogram_sum" => Some(h.sum),
                        "histogram_avg" => Some(h.sum / h.count),
                        "histogram_stdvar" => Some(self.rounding.inexact(h.variance())),
                        "histogram_stddev" => Some(self.rounding.inexact(h.variance()).sqrt()),
                        _ => None,
                    },
                };
                let Some(value) = value else { continue };
                sample.value = Value::Float(value);
                self.drop_name(&mut sample);
                result.push(sample);
            }
            out.push(result);
        }
        self.all_unique(out)
    }

    /// When samples were taken, or when their counters started. Of anything but a selector, all samples are of the
    /// time of evaluation, and no counter is known to have started.
    fn timestamps(&self, e: &Call, times: &[i64]) -> Outcome<Vec<Vector>> {
        let starts = e.func.name == "start_timestamp";
        let mut out = Vec::new();
        if let Expr::Vector(selector) = e.args[0].without_parens() {
            let series = self.stored(&selector.matchers, selector.span);
            for t in times {
                let read_until = self.reference(selector.at, &selector.offset, *t)?;
                // With `@`, the offset only says what is read: it is looked at the time itself.
                let at = self.at_ms(selector.at).unwrap_or(read_until);
                let earliest = at.max(read_until) - self.options.lookback_ms;
                let mut vector = Vector::new();
                for s in &series {
                    let point = self.latest(&s.points, at.min(read_until));
                    if let Some(point) = point.filter(|point| point.t > earliest) {
                        let ms = if starts { point.start } else { point.t };
                        vector.push(Sample::new(s.labels.clone(), Value::Float(ms as f64 / 1000.0)));
                    }
                }
                out.push(vector);
            }
        } else {
            out = self.vectors(&e.args[0], times)?;
            for (vector, t) in out.iter_mut().zip(times) {
                vector.iter_mut().for_each(|s| s.value = Value::Float(*t as f64 / 1000.0));
            }
        }
        let known = matches!(e.args[0].without_parens(), Expr::Vector(_)) && self.options.start_timestamps;
        if starts && !known {
            out.iter_mut().for_each(Vec::clear);
        }
        for sample in out.iter_mut().flatten() {
            self.drop_name(sample);
        }
        self.all_unique(out)
    }

    fn sorted(&self, e: &Call, times: &[i64]) -> Outcome<Vec<Vector>> {
        if times.len() > 1 {
            let text = "sort is ineffective for range queries since results are always ordered by labels";
            self.notes.warn(e.span, text);
        }
        let mut vectors = self.vectors(&e.args[0], times)?;
        let descending = e.func.name.ends_with("_desc");
        let by_labels: Vec<String> = e.args[1..].iter().map(labels::text).collect();
        for vector in &mut vectors {
            if e.func.name.starts_with("sort_by_label") {
                vector.sort_by(|a, b| {
                    let value = |s: &Sample, name: &String| s.labels.get_or_empty(name).to_owned();
                    let order = by_labels.iter().map(|name| natural(&value(a, name), &value(b, name)));
                    let order = order.fold(std::cmp::Ordering::Equal, std::cmp::Ordering::then);
                    let order = order.then_with(|| a.labels.cmp(&b.labels));
                    if descending { order.reverse() } else { order }
                });
                continue;
            }
            vector.retain(|s| s.float().is_some());
            let value = |s: &Sample| s.float().expect("a float");
            vector.sort_by(|a, b| {
                by_value(value(a), value(b), descending).then_with(|| a.labels.cmp(&b.labels))
            });
        }
        Ok(vectors)
    }
}

/// Compares texts so that numbers in them compare as numbers: run by run of digits and of anything else.
fn natural(a: &str, b: &str) -> std::cmp::Ordering {
    let runs = |text: &str| {
        let mut runs: Vec<String> = Vec::new();
        for c in text.chars() {
            let is_digit = |c: char| c.is_ascii_digit();
            match runs.last_mut().filter(|run| run.starts_with(is_digit) == is_digit(c)) {
                Some(run) => run.push(c),
                None => runs.push(c.to_string()),
            }
        }
        runs
    };
    let (a, b) = (runs(a), runs(b));
    let each = a.iter().zip(&b).map(|(a, b)| match (a.parse::<u64>(), b.parse::<u64>()) {
        (Ok(a), Ok(b)) => a.cmp(&b),
        _ => a.cmp(b),
    });
    each.fold(std::cmp::Ordering::Equal, std::cmp::Ordering::then).then(a.len().cmp(&b.len()))
}

fn of_float(name: &str, v: f64, parameters: &[f64]) -> Option<f64> {
    let clamped = |low: f64, high: f64| {
        (high >= low || high.is_nan() || low.is_nan()).then(|| numbers::max(low, numbers::min(high, v)))
    };
    match (name, parameters) {
        ("clamp", [low, high]) => clamped(*low, *high),
        ("clamp_min", [low]) => clamped(*low, f64::INFINITY),
        ("clamp_max", [high]) => clamped(f64::NEG_INFINITY, *high),
        ("round", _) => {
            let inverse = 1.0 / parameters.first().copied().unwrap_or(1.0);
            Some((v * inverse + 0.5).floor() / inverse)
        }
        _ => numbers::function(name, v).or_else(|| numbers::date(name, v)),
    }
}
