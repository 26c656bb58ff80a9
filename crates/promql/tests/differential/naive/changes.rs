//! How much, how fast and how often samples change over a range.

use promql::ast::RangeMode;

use super::histogram::{Hist, Incompatible, Remarks};
use super::over_time::MIXED_SCHEMAS;
use super::ranges::Window;
use super::select::Point;
use super::{Naive, Value};

/// Whether a counter was restarted between two samples, as their start times tell.
fn restarted(before: &Point, now: &Point) -> bool {
    let known = now.start != 0 && now.start < now.t;
    if !known || now.start < before.t {
        return false;
    }
    // A start where the last sample was is that of a delta if that sample has a start of its own.
    let delta = before.start != 0 && before.start < before.t;
    now.start > before.t || delta
}

fn fell(before: &Point, now: &Point) -> bool {
    match (&before.value, &now.value) {
        (Value::Float(a), Value::Float(b)) => b < a,
        (Value::Histogram(a), Value::Histogram(b)) => b.is_reset_since(a),
        _ => true,
    }
}

impl Naive<'_> {
    pub(super) fn count_pairs(name: &str, w: &Window<'_>) -> Option<f64> {
        let mut points = &w.points[..];
        if w.mode == RangeMode::Anchored {
            // From the last sample at or before the start on, and only if anything follows.
            let outside = points.iter().filter(|p| p.t <= w.start).count();
            if outside == points.len() {
                return None;
            }
            points = &points[outside.saturating_sub(1)..];
        }
        let changed = |a: &Point, b: &Point| match (&a.value, &b.value) {
            (Value::Float(a), Value::Float(b)) => a != b && !(a.is_nan() && b.is_nan()),
            (Value::Histogram(a), Value::Histogram(b)) => !a.is_same(b),
            _ => true,
        };
        let pairs = points.windows(2).filter(|pair| {
            let (a, b) = (&pair[0], &pair[1]);
            if name == "changes" { changed(a, b) } else { fell(a, b) || restarted(a, b) }
        });
        Some(pairs.count() as f64)
    }

    pub(super) fn note_not_counter_histogram(&self, w: &Window<'_>) {
        self.notes.warn(w.span, &format!("this native histogram metric is not a counter: {:?}", w.metric()));
    }

    pub(super) fn maybe_not_counter(&self, w: &Window<'_>) {
        let text = format!("this native histogram metric is not a counter: {:?}", w.metric());
        self.notes.maybe_warn(w.span, &text);
    }

    pub(super) fn note_not_gauge_histogram(&self, w: &Window<'_>) {
        self.notes.warn(w.span, &format!("this native histogram metric is not a gauge: {:?}", w.metric()));
    }

    /// Notes what an addition or subtraction said; none if it was not possible.
    pub(super) fn noted(
        &self,
        done: &Result<Remarks, Incompatible>,
        what: &str,
        w: &Window<'_>,
    ) -> Option<()> {
        match done {
            Err(Incompatible) => {
                self.notes.warn(w.span, MIXED_SCHEMAS);
                None
            }
            Ok(remarks) => {
                if remarks.reconciled {
                    let text = format!("mismatched custom buckets were reconciled during {what}");
                    self.notes.info(w.span, &text);
                }
                Some(())
            }
        }
    }

    pub(super) fn instant_change(&self, per_second: bool, w: &Window<'_>) -> Option<Value> {
        let [.., before, last] = &w.points[..] else { return None };
        let seconds = (last.t - before.t) as f64 / 1000.0;
        match (&before.value, &last.value) {
            (Value::Float(a), Value::Float(b)) => {
                let reset = per_second && (b < a || restarted(before, last));
                let change = if reset { *b } else { b - a };
                Some(Value::Float(if per_second { change / seconds } else { change }))
            }
            (Value::Histogram(a), Value::Histogram(b)) => {
                if per_second && (a.is_gauge() || b.is_gauge()) {
                    self.note_not_counter_histogram(w);
                }
                if !(per_second || a.is_gauge() && b.is_gauge()) {
                    self.note_not_gauge_histogram(w);
                }
                let mut change = b.clone();
                if !per_second || !(b.is_reset_since(a) || restarted(before, last)) {
                    self.noted(&change.subtract(a), "subtraction", w)?;
                }
                change.hint = model::CounterResetHint::Gauge;
                change = change.compacted();
                if per_second {
                    change.divide(seconds);
                }
                Some(Value::Histogram(change))
            }
            _ => {
                self.note_mixed(w);
                None
            }
        }
    }

    /// `rate`, `increase` and `delta`.
    pub(super) fn change(&self, name: &str, w: &Window<'_>) -> Option<Value> {
        let (counter, per_second) = (name != "delta", name == "rate");
        let floats = w.floats();
        if !floats.is_empty() && floats.len() < w.points.len() {
            self.note_mixed(w);
            return None;
        }
        if w.mode != RangeMode::Plain {
            return match floats.is_empty() {
                true => self.extended_histogram_change(counter, per_second, w).map(Value::Histogram),
                false => self.extended_change(counter, per_second, w).map(Value::Float),
            };
        }
        let (first, last) = (w.points.first()?, w.points.last()?);
        // Where it is known when the counter started, it was zero then.
        let from_zero = counter && first.start > w.start && first.start < first.t && first.start != 0;
        let single = w.points.len() == 1;
        if floats.is_empty() {
            let mut change = match single {
                true => None,
                false => Some(self.histogram_change(counter, w)?),
            };
            if from_zero {
                let Value::Histogram(first) = &first.value else { return None };
                match &mut change {
                    None => change = Some(first.clone()),
                    Some(change) => self.noted(&change.add(first), "addition", w)?,
                }
            }
            let mut change = change?;
            let Value::Histogram(h) = &first.value else { return None };
            let factor = self.extrapolation(w, from_zero, counter, (h.count, change.count))
                / if per_second { w.seconds() } else { 1.0 };
            change.scale(factor);
            change.each_number(|v| self.rounding.inexact(v));
            return Some(Value::Histogram(change));
        }
        if single && !from_zero {
            return None;
        }
        let Value::Float(mut change) = last.value else { return None };
        change -= floats[0].1;
        if counter {
            self.note_overlap(w);
            for pair in w.points.windows(2) {
                if let (true, Value::Float(before)) =
                    (fell(&pair[0], &pair[1]) || restarted(&pair[0], &pair[1]), &pair[0].value)
                {
                    change += before;
                }
            }
        }
        if from_zero {
            change += floats[0].1;
        }
        let factor = self.extrapolation(w, from_zero, counter, (floats[0].1, change))
            / if per_second { w.seconds() } else { 1.0 };
        Some(Value::Float(change * factor))
    }

    /// Notes, once per series, a sample that says it began before the last one was taken, but not with it.
    fn note_overlap(&self, w: &Window<'_>) {
        let overlap = w.points.windows(2).any(|pair| {
            let (start, before) = (pair[1].start, &pair[0]);
            start != 0 && start < before.t && start != before.start
        });
        if overlap {
            let text = "sample has start time that overlaps with previous sample timestamp for metric";
            self.notes.warn(w.span, &format!("{text} {:?}", w.metric()));
        }
    }

    /// By what a change between the first and the last sample is multiplied to stand for the whole range.
    fn extrapolation(
        &self,
        w: &Window<'_>,
        from_zero: bool,
        counter: bool,
        (first, change): (f64, f64),
    ) -> f64 {
        let seconds = |ms: i64| ms as f64 / 1000.0;
        let (first_point, last_point) = (&w.points[0], &w.points[w.points.len() - 1]);
        let gaps = (w.points.len() - 1) as f64;
        let between = seconds(last_point.t - first_point.t);
        let average = if gaps > 0.0 { between / gaps } else { 0.0 };
        // A sample was to be expected within that time.
        let near = |to_edge: f64| if to_edge >= average * 1.1 { average / 2.0 } else { to_edge };
        let to_end = near(seconds(w.end - last_point.t));
        let (mut sampled, mut to_start) = (between, near(seconds(first_point.t - w.start)));
        if from_zero {
            (sampled, to_start) = (seconds(last_point.t - first_point.start), 0.0);
        } else if counter && change > 0.0 && first >= 0.0 {
            // A counter was not below zero.
            to_start = to_start.min(sampled * (first / change));
        }
        if sampled == 0.0 { 1.0 } else { (sampled + to_start + to_end) / sampled }
    }

    fn histogram_change(&self, counter: bool, w: &Window<'_>) -> Option<Hist> {
        let points = w.histograms();
        let (first, second, last) = (points[0].1, points[1].1, points[points.len() - 1].1);
        let gauge_at_ends = first.is_gauge() && last.is_gauge();
        let reset = |i: usize, before: &Hist| {
            points[i].1.is_reset_since(before) || restarted(&w.points[i - 1], &w.points[i])
        };
        // Of a first sample right before a reset, nothing counts.
        let mut before = if counter && reset(1, first) { Hist::empty_like(second) } else { first.clone() };
        let custom = before.is_custom();
        let others = if counter { &points[1..] } else { &points[points.len() - 1..] };
        let mixed = others.iter().any(|(_, h)| h.is_custom() != custom);
        if counter && points.iter().any(|(_, h)| h.is_gauge()) {
            // Where kinds are mixed, it depends on which comes first.
            if mixed { self.maybe_not_counter(w) } else { self.note_not_counter_histogram(w) }
        }
        if mixed {
            self.notes.warn(w.span, MIXED_SCHEMAS);
            return None;
        }
        let schema = others.iter().map(|(_, h)| h.schema).chain([before.schema]).min()?;
        let mut change = last.reduced(schema);
        self.noted(&change.subtract(&before), "subtraction", w)?;
        if counter {
            self.note_overlap(w);
            for (i, (_, now)) in points.iter().enumerate().skip(1) {
                if reset(i, &before) {
                    self.noted(&change.add(&before), "addition", w)?;
                }
                before = (*now).clone();
            }
        } else if !gauge_at_ends {
            self.note_not_gauge_histogram(w);
        }
        change.hint = model::CounterResetHint::Gauge;
        Some(change.compacted())
    }
}
