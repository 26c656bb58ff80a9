//! Functions that summarise the samples of a range.

use model::CounterResetHint;

use super::histogram::Hist;
use super::ranges::Window;
use super::{Naive, Outcome, Value, numbers};

impl Naive<'_> {
    pub(super) fn note_ignored(&self, w: &Window<'_>) {
        if !w.histograms().is_empty() {
            let text = "ignored histograms in a range containing both floats and histograms for metric name";
            self.notes.info(w.span, &format!("{text} {:?}", w.metric()));
        }
    }

    pub(super) fn note_mixed(&self, w: &Window<'_>) {
        let text = "encountered a mix of histograms and floats for metric name";
        self.notes.warn(w.span, &format!("{text} {:?}", w.metric()));
    }

    /// Functions of floats only: histograms are ignored.
    pub(super) fn float_over_time(&self, name: &str, w: &Window<'_>) -> Option<f64> {
        let points = w.floats();
        if points.is_empty() {
            return None;
        }
        self.note_ignored(w);
        let values: Vec<f64> = points.iter().map(|(_, v)| *v).collect();
        let line = |t: i64| {
            let points: Vec<(f64, f64)> = points.iter().map(|(x, y)| ((x - t) as f64 / 1000.0, *y)).collect();
            (points.len() > 1).then(|| self.rounding.line(&points))
        };
        Some(match name {
            "min_over_time" => extreme(&points, |v, best| v < best).1,
            "max_over_time" => extreme(&points, |v, best| v > best).1,
            "ts_of_min_over_time" => extreme(&points, |v, best| v <= best).0 as f64 / 1000.0,
            "ts_of_max_over_time" => extreme(&points, |v, best| v >= best).0 as f64 / 1000.0,
            "stdvar_over_time" => self.rounding.variance(&values),
            "stddev_over_time" => self.rounding.variance(&values).sqrt(),
            "quantile_over_time" => {
                let q = w.scalars[0];
                if !(0.0..=1.0).contains(&q) {
                    self.notes.warn(w.span, "quantile value should be between 0 and 1");
                }
                numbers::quantile(q, values)
            }
            "mad_over_time" if values.iter().any(|v| v.is_nan()) => f64::NAN,
            "mad_over_time" => {
                let median = numbers::quantile(0.5, values.clone());
                numbers::quantile(0.5, values.iter().map(|v| (v - median).abs()).collect())
            }
            "deriv" => line(points[0].0)?.0,
            "predict_linear" => {
                let (slope, now) = line(w.t)?;
                slope * w.scalars[0] + now
            }
            other => panic!("function {other}"),
        })
    }

    pub(super) fn smoothing(&self, w: &Window<'_>) -> Outcome<Option<f64>> {
        let (factor, trend) = (w.scalars[0], w.scalars[1]);
        if factor <= 0.0 || factor >= 1.0 || trend <= 0.0 || trend >= 1.0 {
            return Err("invalid factor".to_owned());
        }
        let points = w.floats();
        if !points.is_empty() {
            self.note_ignored(w);
        }
        let [first, second, ..] = points[..] else { return Ok(None) };
        let (mut before, mut level, mut slope) = (0.0, first.1, second.1 - first.1);
        for (i, (_, v)) in points.iter().enumerate().skip(1) {
            if i > 1 {
                slope = trend * (level - before) + (1.0 - trend) * slope;
            }
            (before, level) = (level, factor * v + (1.0 - factor) * (level + slope));
        }
        Ok(Some(level))
    }

    pub(super) fn sum_over_time(&self, mean: bool, w: &Window<'_>) -> Option<Value> {
        let floats: Vec<f64> = w.floats().into_iter().map(|(_, v)| v).collect();
        let histograms: Vec<Hist> = w.histograms().into_iter().map(|(_, h)| h.clone()).collect();
        if histograms.is_empty() {
            return Some(Value::Float(if mean {
                self.rounding.mean(&floats)
            } else {
                self.rounding.sum(&floats)
            }));
        }
        if !floats.is_empty() {
            self.note_mixed(w);
            return None;
        }
        let summed = self.sum_of_histograms(histograms, mean);
        let Some(summed) = summed else {
            self.notes.warn(w.span, MIXED_SCHEMAS);
            return None;
        };
        self.note_collision(summed.collision, w.span);
        if summed.reconciled {
            self.notes.info(w.span, "mismatched custom buckets were reconciled during aggregation");
        }
        Some(Value::Histogram(summed.histogram))
    }

    /// Notes that hints contradict each other. What is known of resets without buckets depends on where reading began.
    pub(super) fn note_collision(&self, collision: bool, span: promql::ast::Span) {
        let text = "conflicting counter resets during histogram aggregation";
        if !self.without_buckets.is_empty() {
            self.notes.maybe_warn(span, text);
        } else if collision {
            self.notes.warn(span, text);
        }
    }

    /// The sum or mean of histograms; none if they do not go together.
    pub(super) fn sum_of_histograms(&self, histograms: Vec<Hist>, mean: bool) -> Option<Summed> {
        let count = histograms.len() as f64;
        let has = |hint| histograms.iter().any(|h| h.hint == hint);
        let collision = has(CounterResetHint::Reset) && has(CounterResetHint::NotReset);
        let mut reconciled = false;
        let mut rest = self.rounding.in_any_order(histograms).into_iter();
        let mut sum = rest.next()?;
        for histogram in rest {
            reconciled |= sum.add(&histogram).ok()?.reconciled;
        }
        if mean {
            sum.divide(count);
        }
        // A sum of nothing but zeros is a positive zero.
        sum.each_number(|v| if count > 1.0 { self.rounding.inexact(v) } else { v } + 0.0);
        Some(Summed { histogram: sum.compacted(), collision, reconciled })
    }
}

pub(super) const MIXED_SCHEMAS: &str =
    "vector contains a mix of histograms with exponential and custom buckets schemas for metric name \"\"";

pub(super) struct Summed {
    pub(super) histogram: Hist,
    pub(super) collision: bool,
    pub(super) reconciled: bool,
}

/// The best sample; anything is better than NaN.
fn extreme(points: &[(i64, f64)], better: fn(f64, f64) -> bool) -> (i64, f64) {
    let mut best = points[0];
    for point in points {
        if better(point.1, best.1) || best.1.is_nan() {
            best = *point;
        }
    }
    best
}
