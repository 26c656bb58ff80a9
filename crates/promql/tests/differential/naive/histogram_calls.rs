//! `histogram_quantile`, `histogram_quantiles`, `histogram_fraction`: of native histograms and of classic ones, whose
//! buckets are series.

use std::collections::BTreeMap;

use model::Labels;
use promql::ast::{Call, Span};

use super::histogram::Hist;
use super::{Naive, Outcome, Sample, Value, Vector, labels};

/// What is asked about a histogram.
#[derive(Clone, Copy)]
enum Question {
    Quantile(f64),
    Fraction(f64, f64),
}

/// A histogram at one time.
#[derive(Default)]
struct Found {
    native: Option<Hist>,
    /// Upper bounds and cumulative counts.
    classic: Vec<(f64, f64)>,
}

impl Naive<'_> {
    pub(super) fn histogram_call(&self, e: &Call, times: &[i64]) -> Outcome<Vec<Vector>> {
        let scalars = |i: usize| self.scalars(&e.args[i], times);
        let (argument, label) = match e.func.name {
            "histogram_quantile" => (1, None),
            "histogram_fraction" => (2, None),
            _ => (0, Some(labels::text(&e.args[1]))),
        };
        let mut questions: Vec<Vec<Question>> = vec![Vec::new(); times.len()];
        match e.func.name {
            "histogram_fraction" => {
                for (i, (from, to)) in scalars(0)?.into_iter().zip(scalars(1)?).enumerate() {
                    questions[i].push(Question::Fraction(from, to));
                }
            }
            name => {
                let qs = if name == "histogram_quantile" { 0..1 } else { 2..e.args.len() };
                for arg in qs {
                    for (i, q) in scalars(arg)?.into_iter().enumerate() {
                        if !(0.0..=1.0).contains(&q) {
                            let span = e.args[arg].without_parens().span();
                            self.notes.warn(span, "quantile value should be between 0 and 1");
                        }
                        questions[i].push(Question::Quantile(q));
                    }
                }
            }
        }
        let span = e.args[argument].without_parens().span();
        let mut out = Vec::new();
        for (vector, questions) in self.vectors(&e.args[argument], times)?.into_iter().zip(questions) {
            let found = self.histograms(vector, span);
            let mut result = Vector::new();
            for question in questions {
                for (labels, histogram) in &found {
                    let Some(value) = self.answered(question, labels, histogram, span) else { continue };
                    let mut builder = labels.to_builder();
                    if let (Some(label), Question::Quantile(q)) = (&label, question) {
                        builder.set(label, &quantile_text(q));
                    }
                    let mut sample = Sample::new(builder.build(), Value::Float(value));
                    self.drop_name(&mut sample);
                    result.push(sample);
                }
            }
            out.push(result);
        }
        self.all_unique(out)
    }

    /// The name of a metric in notes: it is known only if names are dropped at the end.
    fn with_metric(&self, text: &str, labels: &Labels) -> String {
        let name = labels.get_or_empty(model::METRIC_NAME);
        if name.is_empty() || !self.options.delayed_name_removal {
            text.to_owned()
        } else {
            format!("{text} for metric name {name:?}")
        }
    }

    fn histograms(&self, vector: Vector, span: Span) -> BTreeMap<Labels, Found> {
        let mut out: BTreeMap<Labels, Found> = BTreeMap::new();
        for sample in vector {
            let bound = sample.labels.get_or_empty("le");
            match &sample.value {
                Value::Histogram(h) => {
                    out.entry(sample.labels.clone()).or_default().native = Some(h.clone());
                }
                Value::Float(count) => match bound.parse::<f64>() {
                    Ok(upper) => {
                        let found = out.entry(sample.labels.without("le")).or_default();
                        found.classic.push((upper, *count));
                    }
                    Err(_) => {
                        let text =
                            format!("bucket label \"le\" is missing or has a malformed value of {bound:?}");
                        self.notes.warn(span, &self.with_metric(&text, &sample.labels));
                    }
                },
            }
        }
        out
    }

    fn answered(&self, question: Question, labels: &Labels, found: &Found, span: Span) -> Option<f64> {
        let Some(native) = &found.native else {
            let mut buckets = found.classic.clone();
            let value = match question {
                Question::Quantile(q) => {
                    let (value, forced) = classic_quantile(q, &mut buckets);
                    if forced {
                        let text = "input to histogram_quantile needed to be fixed for monotonicity (see https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile)";
                        self.notes.info(span, &self.with_metric(text, labels));
                    }
                    value
                }
                Question::Fraction(from, to) => classic_fraction(from, to, &mut buckets),
            };
            return Some(value);
        };
        if !found.classic.is_empty() {
            let text = "vector contains a mix of classic and native histograms";
            self.notes.warn(span, &self.with_metric(text, labels));
            return None;
        }
        let (value, remark) = match question {
            Question::Quantile(q) => native.quantile(q),
            Question::Fraction(from, to) => native.fraction(from, to),
        };
        if let Some(text) = remark.0 {
            self.notes.info(span, &self.with_metric(text, labels));
        }
        Some(self.rounding.inexact(value))
    }
}

/// Sorts by bound and adds up equal bounds; false if there is no infinite one.
fn tidy(buckets: &mut Vec<(f64, f64)>) -> bool {
    buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut out: Vec<(f64, f64)> = Vec::new();
    for (upper, count) in buckets.drain(..) {
        match out.last_mut() {
            Some(last) if last.0 == upper => last.1 += count,
            _ => out.push((upper, count)),
        }
    }
    *buckets = out;
    buckets.last().is_some_and(|b| b.0 == f64::INFINITY)
}

fn classic_quantile(q: f64, buckets: &mut Vec<(f64, f64)>) -> (f64, bool) {
    if q.is_nan() {
        return (f64::NAN, false);
    }
    if !(0.0..=1.0).contains(&q) {
        return (if q < 0.0 { f64::NEG_INFINITY } else { f64::INFINITY }, false);
    }
    if !tidy(buckets) {
        return (f64::NAN, false);
    }
    // Counts never go down; differences that are nothing but rounding are no differences.
    let (mut highest, mut forced) = (buckets[0].1, false);
    for bucket in &mut buckets[1..] {
        let count = bucket.1;
        let nearly = if count == 0.0 || highest == 0.0 {
            false
        } else {
            (count - highest).abs() / (count.abs() + highest.abs()).min(f64::MAX) < 1e-12
        };
        if count == highest {
            continue;
        }
        if nearly || count < highest || count.is_nan() && highest.is_nan() {
            forced |= !nearly && count < highest;
            bucket.1 = highest;
        } else {
            highest = count;
        }
    }
    let last = buckets.len() - 1;
    if last == 0 || buckets[last].1 == 0.0 {
        return (f64::NAN, forced);
    }
    let rank = q * buckets[last].1;
    // By halving, since counts that are no numbers are in no order.
    let (mut low, mut high) = (0, last);
    while low < high {
        let middle = (low + high) / 2;
        if buckets[middle].1 >= rank { high = middle } else { low = middle + 1 }
    }
    let value = if low == last {
        buckets[last - 1].0
    } else if low == 0 && buckets[0].0 <= 0.0 {
        buckets[0].0
    } else {
        let (start, below) = if low == 0 { (0.0, 0.0) } else { buckets[low - 1] };
        let (end, count) = buckets[low];
        start + (end - start) * ((rank - below) / (count - below))
    };
    (value, forced)
}

fn classic_fraction(from: f64, to: f64, buckets: &mut Vec<(f64, f64)>) -> f64 {
    if !tidy(buckets) {
        return f64::NAN;
    }
    let all = buckets[buckets.len() - 1].1;
    if all == 0.0 || from.is_nan() || to.is_nan() {
        return f64::NAN;
    }
    if from >= to {
        return 0.0;
    }
    let below = |value: f64| {
        let mut lower = if buckets[0].0 <= 0.0 { f64::NEG_INFINITY } else { 0.0 };
        let mut rank = 0.0;
        for (upper, count) in buckets.iter().copied() {
            if lower >= value {
                return rank;
            }
            if upper > value {
                let part = (value - lower) / (upper - lower);
                return if lower == f64::NEG_INFINITY { count } else { rank + (count - rank) * part };
            }
            (rank, lower) = (count, upper);
        }
        f64::INFINITY
    };
    let capped = |rank: f64| if rank > all { all } else { rank };
    (capped(below(to)) - capped(below(from))) / all
}

/// A quantile as a label: never without a point.
fn quantile_text(q: f64) -> String {
    match q {
        q if q.is_nan() => "NaN".to_owned(),
        q if q.is_infinite() => if q > 0.0 { "+Inf" } else { "-Inf" }.to_owned(),
        q if q == q.trunc() && q.abs() < 1e6 => format!("{q:.1}"),
        q => q.to_string(),
    }
}
