//! Functions over ranges: which samples each sees, and what becomes of the series' name.

use std::collections::BTreeMap;

use model::{CounterResetHint, Labels, METRIC_NAME};
use promql::ast::{Call, Expr, RangeMode, Span, ValueType};

use super::histogram::Hist;
use super::select::Point;
use super::{Answer, Naive, Outcome, Sample, Value, Vector, labels};

/// What a function over a range sees of one series at one time.
pub(super) struct Window<'w> {
    /// The time of evaluation.
    pub(super) t: i64,
    /// The range: after this ...
    pub(super) start: i64,
    /// ... up to this. With `anchored` and `smoothed`, there are samples outside.
    pub(super) end: i64,
    pub(super) points: Vec<Point>,
    pub(super) mode: RangeMode,
    pub(super) labels: &'w Labels,
    /// Where the first argument stands.
    pub(super) span: Span,
    pub(super) scalars: Vec<f64>,
}

impl Window<'_> {
    pub(super) fn floats(&self) -> Vec<(i64, f64)> {
        let float = |p: &Point| match p.value {
            Value::Float(v) => Some((p.t, v)),
            Value::Histogram(_) => None,
        };
        self.points.iter().filter_map(float).collect()
    }

    pub(super) fn histograms(&self) -> Vec<(i64, &Hist)> {
        let histogram = |p: &'_ Point| match &p.value {
            Value::Float(_) => None,
            Value::Histogram(_) => Some(p.t),
        };
        let times = self.points.iter().filter_map(histogram);
        let values = self.points.iter().filter_map(|p| match &p.value {
            Value::Float(_) => None,
            Value::Histogram(h) => Some(h),
        });
        times.zip(values).collect()
    }

    pub(super) fn metric(&self) -> &str {
        self.labels.get_or_empty(METRIC_NAME)
    }

    /// Seconds that the range is long.
    pub(super) fn seconds(&self) -> f64 {
        (self.end - self.start) as f64 / 1000.0
    }
}

impl Naive<'_> {
    pub(super) fn over_range(&self, e: &Call, argument: &Expr, times: &[i64]) -> Outcome<Vec<Vector>> {
        let name = e.func.name;
        let mode = match argument.without_parens() {
            Expr::Matrix(m) => m.selector.mode,
            _ => RangeMode::Plain,
        };
        check_mode(name, mode)?;
        let mut scalars = Vec::new();
        for arg in e.args.iter().filter(|a| a.value_type() == ValueType::Scalar) {
            scalars.push(self.scalars(arg, times)?);
        }
        let (mut series, spans) = self.ranges(argument, times)?;
        if matches!(argument.without_parens(), Expr::Subquery(_)) {
            series.iter_mut().flat_map(|s| &mut s.points).for_each(forget_reset);
        }
        let lookback = self.options.lookback_ms;
        let (before, after) = match mode {
            RangeMode::Plain => (0, 0),
            RangeMode::Anchored => (lookback, 0),
            RangeMode::Smoothed => (lookback, lookback),
        };
        let with_starts =
            self.options.start_timestamps && matches!(name, "rate" | "irate" | "increase" | "resets");
        let mut out = vec![Vector::new(); times.len()];
        let mut known: Vec<Labels> = Vec::new();
        for s in &series {
            let mut results: Vec<(usize, Value)> = Vec::new();
            for (i, (start, end)) in spans.iter().enumerate() {
                let mut points = Self::between(&s.points, start - before, end + after);
                if points.is_empty() {
                    continue;
                }
                if !with_starts {
                    points.iter_mut().for_each(|p| p.start = 0);
                }
                let window = Window {
                    t: times[i],
                    start: *start,
                    end: *end,
                    points,
                    mode,
                    labels: &s.labels,
                    span: e.args[0].without_parens().span(),
                    scalars: scalars.iter().map(|v| v[i]).collect(),
                };
                results.extend(self.over_window(name, &window)?.map(|value| (i, value)));
            }
            if results.is_empty() {
                continue;
            }
            if matches!(name, "rate" | "increase")
                && results.iter().any(|(_, v)| matches!(v, Value::Float(_)))
            {
                self.note_not_counter(&s.labels, e.args[0].without_parens().span());
            }
            let drop_name = s.drop_name || !matches!(name, "last_over_time" | "first_over_time");
            let labels = if drop_name && !self.options.delayed_name_removal {
                labels::unnamed(&s.labels)
            } else {
                s.labels.clone()
            };
            // Two series must not become the same, even at different times.
            if name != "absent_over_time" && !self.options.delayed_name_removal && known.contains(&labels) {
                return Err("vector cannot contain metrics with the same labelset".to_owned());
            }
            known.push(labels.clone());
            for (i, value) in results {
                out[i].push(Sample { labels: labels.clone(), value, drop_name });
            }
        }
        if name == "absent_over_time" {
            let labels = labels::absent_labels(argument);
            let absent = |vector: &mut Vector| {
                let was_empty = vector.is_empty();
                vector.clear();
                if was_empty {
                    vector.push(Sample { labels: labels.clone(), value: Value::Float(1.0), drop_name: true });
                }
            };
            out.iter_mut().for_each(absent);
        }
        Ok(out)
    }

    /// A range by itself. With `anchored` and `smoothed`, its edges have values of their own.
    pub(super) fn range_alone(&self, expr: &Expr, t: i64) -> Outcome<Answer> {
        let (series, spans) = self.ranges(expr, &[t])?;
        let (start, end) = spans[0];
        let mode = match expr.without_parens() {
            Expr::Matrix(m) => m.selector.mode,
            _ => RangeMode::Plain,
        };
        let lookback = self.options.lookback_ms;
        let mut out: BTreeMap<i64, Vector> = BTreeMap::new();
        for s in &series {
            let mut points = match mode {
                RangeMode::Plain => Self::between(&s.points, start, end),
                RangeMode::Anchored => Self::between(&s.points, start - lookback, end),
                RangeMode::Smoothed => Self::between(&s.points, start - lookback, end + lookback),
            };
            if mode != RangeMode::Plain {
                if points.iter().any(|p| matches!(p.value, Value::Histogram(_))) {
                    return Err("modifier is not supported with histograms".to_owned());
                }
                points = Self::with_edges(&points, (start, end), mode);
            }
            for point in points {
                let sample = Sample { labels: s.labels.clone(), value: point.value, drop_name: s.drop_name };
                out.entry(point.t).or_default().push(sample);
            }
        }
        Ok(out.into_iter().collect())
    }

    fn note_not_counter(&self, labels: &Labels, span: Span) {
        let name = labels.get_or_empty(METRIC_NAME);
        if name.is_empty() {
            return;
        }
        let kind = labels.get_or_empty("__type__");
        let suffixes = ["_total", "_sum", "_count", "_bucket"];
        if self.options.type_and_unit_labels {
            if !["counter", "histogram"].contains(&kind) {
                let text = "metric might not be a counter, __type__ label is not set to \"counter\" or \"histogram\"";
                self.notes.info(span, text);
            }
        } else if !suffixes.iter().any(|s| name.ends_with(s)) {
            let text = "metric might not be a counter, name does not end in _total/_sum/_count/_bucket";
            self.notes.info(span, &format!("{text}: {name:?}"));
        }
    }

    fn over_window(&self, name: &str, w: &Window<'_>) -> Outcome<Option<Value>> {
        let float = |v: Option<f64>| Ok(v.map(Value::Float));
        match name {
            "rate" | "increase" | "delta" => Ok(self.change(name, w)),
            "irate" | "idelta" => Ok(self.instant_change(name == "irate", w)),
            "changes" | "resets" => float(Self::count_pairs(name, w)),
            "sum_over_time" | "avg_over_time" => Ok(self.sum_over_time(name == "avg_over_time", w)),
            "first_over_time" => Ok(w.points.first().map(|p| p.value.clone())),
            "last_over_time" => Ok(w.points.last().map(|p| p.value.clone())),
            "count_over_time" => float(Some(w.points.len() as f64)),
            "present_over_time" | "absent_over_time" => float(Some(1.0)),
            "ts_of_first_over_time" => float(w.points.first().map(|p| p.t as f64 / 1000.0)),
            "ts_of_last_over_time" => float(w.points.last().map(|p| p.t as f64 / 1000.0)),
            "double_exponential_smoothing" => float(self.smoothing(w)?),
            _ => float(self.float_over_time(name, w)),
        }
    }

    /// The value between two others that a counter or gauge had at a time.
    pub(super) fn interpolated(a: (i64, f64), b: (i64, f64), t: i64, counter: bool) -> f64 {
        let from = if counter && b.1 < a.1 { 0.0 } else { a.1 };
        from + (b.1 - from) * (t - a.0) as f64 / (b.0 - a.0) as f64
    }
}

/// What is known about resets does not hold between the samples that a subquery picks.
fn forget_reset(point: &mut Point) {
    if let Value::Histogram(h) = &mut point.value
        && matches!(h.hint, CounterResetHint::Reset | CounterResetHint::NotReset)
    {
        h.hint = CounterResetHint::Unknown;
    }
}

fn check_mode(name: &str, mode: RangeMode) -> Outcome<()> {
    let allowed = match mode {
        RangeMode::Plain => true,
        RangeMode::Anchored => ["changes", "delta", "increase", "rate", "resets"].contains(&name),
        RangeMode::Smoothed => ["delta", "increase", "rate"].contains(&name),
    };
    if allowed { Ok(()) } else { Err("modifier can only be used with other functions".to_owned()) }
}
