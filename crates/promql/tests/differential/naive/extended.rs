//! `anchored` and `smoothed`: the edges of a range have values of their own.

use promql::ast::{RangeMode, VectorSelector};

use super::histogram::Hist;
use super::over_time::MIXED_SCHEMAS;
use super::ranges::Window;
use super::select::{Point, Ranged};
use super::{Naive, Value};
use promql::ast::Span;

/// Why a value between two histograms cannot be had.
struct NotBetween;

/// The samples that matter among those at some times: from the last one at or before the start of the range, if there
/// is one, to the last one, or with `smoothed` to the first one at or after its end.
fn relevant(times: &[i64], (start, end): (i64, i64), mode: RangeMode) -> Option<(usize, usize)> {
    let mut last = times.len().checked_sub(1)?;
    let before = times[..last].iter().filter(|t| **t <= start).count();
    let first = before.saturating_sub(1);
    if mode == RangeMode::Smoothed {
        last = times[..last].iter().filter(|t| **t < end).count();
    }
    let outside = times[last] <= start || mode == RangeMode::Smoothed && times[first] > end;
    (!outside).then_some((first, last))
}

/// The values at the edges of a range, given which samples matter.
fn edges(
    points: &[(i64, f64)],
    (first, last): (usize, usize),
    (start, end): (i64, i64),
    mode: RangeMode,
    counter: bool,
) -> (f64, f64) {
    let smoothed = mode == RangeMode::Smoothed;
    let (mut left, mut right) = (points[first].1, points[last].1);
    if smoothed && points[first].0 < start {
        left = Naive::interpolated(points[first], points[first + 1], start, counter);
    }
    if smoothed && last > 0 && points[last].0 > end {
        right = Naive::interpolated(points[last - 1], points[last], end, counter);
    }
    (left, right)
}

impl Naive<'_> {
    /// The floats of a range with values at its edges.
    pub(super) fn with_edges(points: &[Point], span: (i64, i64), mode: RangeMode) -> Vec<Point> {
        let float = |p: &Point| match p.value {
            Value::Float(v) => (p.t, v),
            Value::Histogram(_) => panic!("there are floats only"),
        };
        let floats: Vec<(i64, f64)> = points.iter().map(float).collect();
        let times: Vec<i64> = floats.iter().map(|(t, _)| *t).collect();
        // Where nothing but a later sample is known, both edges have its value.
        let only_later = mode == RangeMode::Smoothed && times.first().is_some_and(|t| *t > span.1);
        let Some(used) = relevant(&times, span, mode).or(only_later.then_some((0, 0))) else {
            return Vec::new();
        };
        let (left, right) = edges(&floats, used, span, mode, false);
        let inside = floats[used.0..=used.1].iter().copied().filter(|(t, _)| *t > span.0 && *t < span.1);
        let all = [(span.0, left)].into_iter().chain(inside).chain([(span.1, right)]);
        all.map(|(t, v)| Point { t, start: 0, value: Value::Float(v) }).collect()
    }

    /// The value at a time of a selector with `smoothed`.
    pub(super) fn smoothed(&self, e: &VectorSelector, s: &Ranged, at: i64) -> Option<Value> {
        let lookback = self.options.lookback_ms;
        let points = Self::between(&s.points, at - lookback, at + lookback);
        let is_histogram = |p: &Point| matches!(p.value, Value::Histogram(_));
        let metric = s.labels.get_or_empty(model::METRIC_NAME);
        if points.iter().any(is_histogram) && !points.iter().all(is_histogram) {
            let text = "encountered a mix of histograms and floats for metric name";
            self.notes.warn(e.span, &format!("{text} {metric:?}"));
            return None;
        }
        let before = points.iter().rfind(|p| p.t <= at)?;
        let after = points.iter().find(|p| p.t > at);
        if before.t == at {
            return Some(before.value.clone());
        }
        Some(match (&before.value, after.map(|p| (p.t, &p.value))) {
            (value @ Value::Float(_), None) => value.clone(),
            (Value::Float(a), Some((t, Value::Float(b)))) => {
                Value::Float(Self::interpolated((before.t, *a), (t, *b), at, false))
            }
            (Value::Histogram(h), None) => {
                Value::Histogram(Hist { hint: model::CounterResetHint::Unknown, ..h.clone() })
            }
            (Value::Histogram(a), Some((t, Value::Histogram(b)))) => {
                let counter = !(a.is_gauge() && b.is_gauge());
                let Ok(h) = self.between_histograms((before.t, a), (t, b), at, counter, e.span) else {
                    self.notes.warn(e.span, MIXED_SCHEMAS);
                    return None;
                };
                Value::Histogram(h)
            }
            _ => return None,
        })
    }

    fn between_histograms(
        &self,
        (from, a): (i64, &Hist),
        (to, b): (i64, &Hist),
        at: i64,
        counter: bool,
        span: Span,
    ) -> Result<Hist, NotBetween> {
        if at == from {
            return Ok(a.clone());
        }
        if at == to {
            return Ok(b.clone());
        }
        let part = (at - from) as f64 / (to - from) as f64;
        let mut out = b.clone();
        let comparable = (a.schema == -53) == (b.schema == -53);
        let reset = counter && comparable && b.is_reset_since(a);
        if !reset {
            let done = out.subtract(a).map_err(|_| NotBetween)?;
            if done.reconciled {
                self.notes.info(span, "mismatched custom buckets were reconciled during subtraction");
            }
        }
        out.scale(part);
        if !reset {
            let done = out.add(a).map_err(|_| NotBetween)?;
            if done.reconciled {
                self.notes.info(span, "mismatched custom buckets were reconciled during addition");
            }
        }
        Ok(out)
    }

    pub(super) fn extended_change(&self, counter: bool, per_second: bool, w: &Window<'_>) -> Option<f64> {
        let points = w.floats();
        let times: Vec<i64> = points.iter().map(|(t, _)| *t).collect();
        let (first, last) = relevant(&times, (w.start, w.end), w.mode)?;
        let (left, right) = edges(&points, (first, last), (w.start, w.end), w.mode, counter);
        let mut change = right - left;
        if counter {
            let used = points[first..=last].iter().filter(|(t, _)| *t > w.start && *t < w.end);
            let mut before = left;
            for v in used.map(|(_, v)| *v).chain([right]) {
                if v < before {
                    change += before;
                }
                before = v;
            }
        }
        Some(if per_second { change / w.seconds() } else { change })
    }

    pub(super) fn extended_histogram_change(
        &self,
        counter: bool,
        per_second: bool,
        w: &Window<'_>,
    ) -> Option<Hist> {
        let points = w.histograms();
        let times: Vec<i64> = points.iter().map(|(t, _)| *t).collect();
        let (first, last) = relevant(&times, (w.start, w.end), w.mode)?;
        let used = &points[first..=last];
        let custom = used[0].1.is_custom();
        let mixed = used.iter().any(|(_, h)| h.is_custom() != custom);
        if counter && used.iter().any(|(_, h)| h.is_gauge()) {
            // Where kinds are mixed, it depends on which comes first.
            if mixed { self.maybe_not_counter(w) } else { self.note_not_counter_histogram(w) }
        }
        if mixed {
            self.notes.warn(w.span, MIXED_SCHEMAS);
            return None;
        }
        let smoothed = w.mode == RangeMode::Smoothed;
        let between = |i: usize, at: i64| {
            let done = self.between_histograms(points[i], points[i + 1], at, counter, w.span);
            if done.is_err() {
                self.notes.warn(w.span, MIXED_SCHEMAS);
            }
            done.ok()
        };
        let left = if smoothed && times[first] < w.start {
            between(first, w.start)?
        } else {
            points[first].1.clone()
        };
        let right = if smoothed && last > 0 && times[last] > w.end {
            between(last - 1, w.end)?
        } else {
            points[last].1.clone()
        };
        if !(counter || left.is_gauge() && right.is_gauge()) {
            self.note_not_gauge_histogram(w);
        }
        let mut change = right.clone();
        self.noted(&change.subtract(&left), "subtraction", w)?;
        if counter {
            // A reset between the first two samples is in the left edge already if that lies between them.
            let skip =
                smoothed && times[first] < w.start && points[first + 1].1.is_reset_since(points[first].1);
            let from = first + 1 + usize::from(skip);
            let mut before = if skip { points[first + 1].1.clone() } else { left };
            let mut lost: Option<Hist> = None;
            let inner = points[from.min(last)..last].iter().map(|(_, h)| *h);
            let all: Vec<&Hist> = if from > last { Vec::new() } else { inner.chain([&right]).collect() };
            for now in all {
                if now.is_reset_since(&before) {
                    match &mut lost {
                        None => lost = Some(before),
                        Some(lost) => self.noted(&lost.add(&before), "addition", w)?,
                    }
                }
                before = now.clone();
            }
            if let Some(lost) = lost {
                self.noted(&change.add(&lost), "addition", w)?;
            }
        }
        if per_second {
            change.divide(w.seconds());
        }
        change.hint = model::CounterResetHint::Gauge;
        Some(change.compacted())
    }
}
