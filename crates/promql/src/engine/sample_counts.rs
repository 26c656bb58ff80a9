//! How many samples a query looks at, step by step, as Prometheus counts them.
//!
//! These are not the samples that this engine reads: Prometheus counts at each step what an instant query at that time
//! would look at, so that the figure depends on query and data and not on how cleverly they are evaluated. So it is
//! counted in a pass of its own, and only where somebody asks.

use std::collections::BTreeSet;
use std::sync::Arc;

use model::{FloatHistogram, Labels, METRIC_NAME, Matcher, is_stale_nan};

use crate::ast::RangeMode;
use crate::eval::Evaluator;
use crate::functions::CallKind;
use crate::plan::steps::{Steps, reference_time};
use crate::plan::{
    CallPlan, MatrixPlan, Node, SelectorPlan, SubqueryPlan, info_hints, info_name_matchers,
    innermost_modifiers,
};

use super::error::{ErrorKind, QueryError};
use super::run::{Engine, PreparedQuery};
use super::source::{Samples, SelectHints, SeriesSource};

/// What a histogram without buckets weighs in Prometheus, in bytes; a float weighs 16.
const HISTOGRAM_BYTES: usize = 168;

/// What a sample takes here while its series is counted, in bytes: as read, and weighed.
const SAMPLE_BYTES: usize = 64;

/// The labels by which `info` finds the info series of a series.
const IDENTIFYING: [&str; 2] = ["instance", "job"];

/// Samples by step. A histogram counts as many as floats would fit in its place.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SampleCounts {
    /// The first step, in milliseconds since the Unix epoch.
    pub start_ms: i64,
    /// The distance of steps in milliseconds.
    pub interval_ms: i64,
    /// Samples that each step looks at.
    pub queryable: Vec<u64>,
    /// Samples that each step has to read: those of ranges that the step before has not read.
    pub read: Vec<u64>,
}

impl SampleCounts {
    fn none(steps: &Steps) -> Self {
        Self {
            start_ms: steps.start_ms,
            interval_ms: steps.interval_ms,
            queryable: vec![0; steps.count],
            read: vec![0; steps.count],
        }
    }

    /// Samples that all steps look at.
    pub fn total_queryable(&self) -> u64 {
        self.queryable.iter().sum()
    }

    /// Samples that all steps read.
    pub fn total_read(&self) -> u64 {
        self.read.iter().sum()
    }

    fn steps(&self) -> impl Iterator<Item = i64> + use<> {
        let (start, interval) = (self.start_ms, self.interval_ms);
        (0..self.read.len() as i64).map(move |i| start + i * interval)
    }

    fn both(&mut self, step: usize, samples: u64) {
        self.queryable[step] += samples;
        self.read[step] += samples;
    }

    fn add(&mut self, other: &Self) {
        for (sum, n) in self.queryable.iter_mut().zip(&other.queryable) {
            *sum += n;
        }
        for (sum, n) in self.read.iter_mut().zip(&other.read) {
            *sum += n;
        }
    }

    /// Adds what a subquery reads: each of its steps belongs to the first step of ours that needs it, and what lies
    /// between the ranges of two steps is not needed. A range of 0 needs everything.
    fn add_read_by_subquery(&mut self, inner: &Self, offset_ms: i64, range_ms: i64) {
        let last = self.read.len() - 1;
        for (time, samples) in inner.steps().zip(&inner.read) {
            let time = time.saturating_add(offset_ms);
            let late = time.saturating_sub(self.start_ms).max(0) as u64;
            let step =
                usize::try_from(late.div_ceil(self.interval_ms.max(1) as u64)).unwrap_or(last).min(last);
            let step_ms = self.start_ms + step as i64 * self.interval_ms;
            let skipped = last > 0 && range_ms > 0 && time <= step_ms.saturating_sub(range_ms);
            if !skipped {
                self.read[step] += samples;
            }
        }
    }
}

impl Engine {
    /// Counts the samples that a query looks at. Reads what the query reads, so it costs as much again as selecting.
    ///
    /// # Errors
    /// As running the query.
    pub fn sample_counts(
        &self,
        query: &PreparedQuery,
        source: &dyn SeriesSource,
        interrupted: &(dyn Fn() -> Option<ErrorKind> + Sync),
    ) -> Result<SampleCounts, QueryError> {
        let evaluator = self.evaluator(query, source, interrupted);
        Counter(&evaluator).node(&query.plan, &query.steps)
    }
}

/// Samples of one series with their weights, in order of time.
#[derive(Default)]
struct Weighed {
    times: Vec<i64>,
    /// The weight of all samples before each, and at the end that of all.
    before: Vec<u64>,
    live: Vec<bool>,
}

impl Weighed {
    fn fill(&mut self, samples: &Samples, stats_only: bool, alike: bool) {
        let floats = samples.floats.timestamps.iter().zip(&samples.floats.values);
        let floats = floats.map(|(t, v)| (*t, 1, !is_stale_nan(*v)));
        let histograms = samples.histograms.timestamps.iter().zip(&samples.histograms.values);
        let histograms = histograms.map(|(t, h)| {
            let weight = if alike { 1 } else { histogram_weight(h, stats_only) };
            (*t, weight, !is_stale_nan(h.sum))
        });
        let mut all: Vec<(i64, u64, bool)> = floats.chain(histograms).collect();
        all.sort_by_key(|(t, ..)| *t);
        self.times.clear();
        self.before.clear();
        self.live.clear();
        let mut sum = 0;
        for (time, weight, live) in all {
            self.times.push(time);
            self.before.push(sum);
            self.live.push(live);
            sum += if live { weight } else { 0 };
        }
        self.before.push(sum);
    }

    /// The weight of what is later than `after_ms` and not later than `until_ms`.
    fn within(&self, after_ms: i64, until_ms: i64) -> u64 {
        let index = |time: i64| self.times.partition_point(|t| *t <= time);
        let (first, end) = (index(after_ms), index(until_ms));
        self.before[end.max(first)] - self.before[first]
    }

    /// The weight of the latest sample of a lookback, unless it marks the series as stale.
    fn latest(&self, after_ms: i64, until_ms: i64) -> u64 {
        let end = self.times.partition_point(|t| *t <= until_ms);
        match end.checked_sub(1) {
            Some(i) if self.times[i] > after_ms && self.live[i] => self.before[i + 1] - self.before[i],
            _ => 0,
        }
    }
}

fn histogram_weight(histogram: &FloatHistogram, stats_only: bool) -> u64 {
    let parts = if stats_only {
        0
    } else {
        histogram.positive_spans.len()
            + histogram.negative_spans.len()
            + histogram.positive_buckets.len()
            + histogram.negative_buckets.len()
            + histogram.custom_values.len()
    };
    ((HISTOGRAM_BYTES + 8 * parts + 8) / 16) as u64
}

struct Counter<'e, 'a>(&'e Evaluator<'a>);

impl Counter<'_, '_> {
    fn node(&self, node: &Node, steps: &Steps) -> Result<SampleCounts, QueryError> {
        let mut counts = SampleCounts::none(steps);
        match node {
            Node::Number(..) | Node::Text(..) => {}
            Node::Vector(e) => self.selector(e, steps, false, &mut counts)?,
            Node::Matrix(e) => self.matrix(e, steps, false, &mut counts)?,
            Node::Subquery(e) => self.subquery(e, steps, &mut counts)?,
            Node::Aggregate(e) => {
                counts.add(&self.node(&e.expr, steps)?);
                if let Some(param) = &e.param {
                    counts.add(&self.node(param, steps)?);
                }
            }
            Node::Binary(e) => {
                counts.add(&self.node(&e.lhs, steps)?);
                counts.add(&self.node(&e.rhs, steps)?);
            }
            Node::Call(e) => self.call(e, steps, &mut counts)?,
            Node::Negate(e, _) => counts = self.node(e, steps)?,
            Node::Constant(e) => {
                let once = self.node(e, &steps.first())?;
                counts.queryable.fill(once.total_queryable());
                counts.read[0] = once.total_read();
            }
        }
        Ok(counts)
    }

    /// An instant selector; `alike` counts every sample as one.
    fn selector(
        &self,
        e: &SelectorPlan,
        steps: &Steps,
        alike: bool,
        counts: &mut SampleCounts,
    ) -> Result<(), QueryError> {
        if e.mode == RangeMode::Smoothed {
            // Upstream counts nothing here.
            return Ok(());
        }
        let hints = e.hints(steps, self.0.lookback_ms, None);
        self.each_series(&hints, alike, &mut |_, samples| {
            for step in 0..steps.count {
                let time = e.reference(steps.time(step));
                counts.both(step, samples.latest(time.saturating_sub(self.0.lookback_ms), time));
            }
        })
    }

    /// A range selector, inside of a call or alone.
    fn matrix(
        &self,
        e: &MatrixPlan,
        steps: &Steps,
        in_call: bool,
        counts: &mut SampleCounts,
    ) -> Result<(), QueryError> {
        let lookback = self.0.lookback_ms;
        let (before, after) = match e.selector.mode {
            RangeMode::Plain => (0, 0),
            RangeMode::Anchored => (lookback, 0),
            RangeMode::Smoothed => (lookback, lookback),
        };
        if !in_call && e.selector.mode != RangeMode::Plain {
            // Alone, what is shown is counted: the samples inside and those put in at the edges.
            let shown = self.0.matrix(e, steps.start_ms)?;
            counts.both(0, shown.iter().map(|s| s.floats.len() as u64).sum());
            return Ok(());
        }
        let hints = e.selector.hints(steps, lookback, Some(e.range_ms));
        self.each_series(&hints, false, &mut |_, samples| {
            for step in 0..steps.count {
                let end = e.selector.reference(steps.time(step));
                let window =
                    (end.saturating_sub(e.range_ms).saturating_sub(before), end.saturating_add(after));
                counts.queryable[step] += samples.within(window.0, window.1);
                if step == 0 {
                    counts.read[step] += samples.within(window.0, window.1);
                } else if e.selector.at_ms.is_none() {
                    let known = window.1.saturating_sub(steps.interval_ms);
                    counts.read[step] += samples.within(window.0.max(known), window.1);
                }
            }
        })
    }

    /// A subquery alone: what it looks at counts for the last step.
    fn subquery(&self, e: &SubqueryPlan, steps: &Steps, counts: &mut SampleCounts) -> Result<(), QueryError> {
        let Some(inner) = e.inner_steps(steps) else { return Ok(()) };
        let of_inner = self.node(&e.expr, &inner)?;
        if let Some(last) = counts.queryable.last_mut() {
            *last += of_inner.total_queryable();
        }
        counts.add_read_by_subquery(&of_inner, 0, 0);
        Ok(())
    }

    /// A subquery as the range of a function: what counts at a step are the points of its window.
    fn over_subquery(
        &self,
        e: &SubqueryPlan,
        steps: &Steps,
        counts: &mut SampleCounts,
    ) -> Result<(), QueryError> {
        let Some(inner) = e.inner_steps(steps) else { return Ok(()) };
        let of_inner = self.node(&e.expr, &inner)?;
        counts.add_read_by_subquery(&of_inner, e.offset_ms, e.range_ms);
        let mut weighed = Weighed::default();
        self.0.each(&e.expr, &inner, &mut |column| {
            let mut samples = Samples::default();
            for step in 0..inner.count {
                if let Some(value) = column.points.float(step) {
                    samples.push_float(inner.time(step), value);
                } else if let Some(histogram) = column.points.histogram(step) {
                    samples.push_histogram(inner.time(step), Arc::clone(histogram));
                }
            }
            weighed.fill(&samples, false, false);
            for step in 0..steps.count {
                let end = e.reference(steps.time(step));
                counts.queryable[step] += weighed.within(end.saturating_sub(e.range_ms), end);
            }
            Ok(())
        })
    }

    fn call(&self, e: &CallPlan, steps: &Steps, counts: &mut SampleCounts) -> Result<(), QueryError> {
        match e.kind {
            CallKind::Info => return self.info(e, steps, counts),
            CallKind::Timestamp | CallKind::StartTimestamp => {
                if let Some(selector) = e.args.first().and_then(selector_in) {
                    return self.selector(selector, steps, true, counts);
                }
            }
            _ => {}
        }
        for arg in &e.args {
            match arg {
                Node::Matrix(range) => self.matrix(range, steps, true, counts)?,
                Node::Subquery(range) => self.over_subquery(range, steps, counts)?,
                arg => counts.add(&self.node(arg, steps)?),
            }
        }
        Ok(())
    }

    /// `info` looks at its first argument and at the info series that go with it.
    fn info(&self, e: &CallPlan, steps: &Steps, counts: &mut SampleCounts) -> Result<(), QueryError> {
        let Some(base) = e.args.first() else { return Ok(()) };
        counts.add(&self.node(base, steps)?);
        let known = self.info_identities(e, base, steps)?;
        if known.iter().all(BTreeSet::is_empty) {
            return Ok(());
        }
        let hints = info_hints(e, steps, self.0.lookback_ms);
        let (at_ms, offset_ms) = innermost_modifiers(base).unwrap_or((None, 0));
        self.each_series(&hints, false, &mut |labels, samples| {
            let belongs = known
                .iter()
                .zip(IDENTIFYING)
                .all(|(values, label)| values.is_empty() || values.contains(labels.get_or_empty(label)));
            for step in 0..if belongs { steps.count } else { 0 } {
                let time = reference_time(steps.time(step), at_ms, offset_ms);
                counts.both(step, samples.latest(time.saturating_sub(self.0.lookback_ms), time));
            }
        })
    }

    /// The values of the identifying labels of the series that `info` is to add labels to.
    fn info_identities(
        &self,
        e: &CallPlan,
        base: &Node,
        steps: &Steps,
    ) -> Result<[BTreeSet<String>; 2], QueryError> {
        let given: &[Matcher] = match e.args.get(1) {
            Some(Node::Vector(selector)) => &selector.matchers,
            _ => &[],
        };
        let names = info_name_matchers(given);
        let mut known: [BTreeSet<String>; 2] = Default::default();
        self.0.each(base, steps, &mut |column| {
            let name = column.labels.get_or_empty(METRIC_NAME);
            if !names.iter().all(|m| m.matches(name)) {
                for (values, label) in known.iter_mut().zip(IDENTIFYING) {
                    values.extend(column.labels.get(label).map(str::to_owned));
                }
            }
            Ok(())
        })?;
        Ok(known)
    }

    /// Reads stored series one by one; `alike` lets every sample weigh as much as a float.
    fn each_series(
        &self,
        hints: &SelectHints,
        alike: bool,
        count: &mut dyn FnMut(&Labels, &Weighed),
    ) -> Result<(), QueryError> {
        let mut weighed = Weighed::default();
        // The histograms are weighed whole, so that nothing is to be taken from them before.
        let stats_only = hints.histogram_stats_only;
        let hints = SelectHints { histogram_stats_only: false, ..hints.clone() };
        self.0.each_stored(&hints, &mut |labels, samples| {
            self.0.budget.look(samples.len(), samples.len() * SAMPLE_BYTES)?;
            weighed.fill(samples, stats_only, alike);
            count(&labels, &weighed);
            Ok(())
        })
    }
}

fn selector_in(node: &Node) -> Option<&SelectorPlan> {
    match node {
        Node::Vector(selector) => Some(selector),
        Node::Constant(inner) => selector_in(inner),
        _ => None,
    }
}
