//! Aggregations that fold series as they come: one series per group comes out.
//!
//! Sums and moments depend on the order of addition. To come out the same however the work is divided, series are
//! added up in 64 virtual shards, each in the order in which its series come, and the shards along a fixed binary tree.

use std::collections::HashMap;

use model::Labels;

use crate::ast::AggregateOp;
use crate::engine::budget::Charge;
use crate::engine::error::QueryError;
use crate::functions::over_time::quantile_of;
use crate::plan::steps::Steps;
use crate::plan::{AggregatePlan, Node};
use crate::text::number::plain;

use super::accumulate::{HistogramAccumulator, Mean, MeanColumns, SumColumns};
use super::aggregate::{Grouping, Parameter};
use super::column::{Column, Points};
use super::labels::label_name;
use super::presence::Presence;
use super::series::Series;
use super::{Evaluator, Sink};

/// How many virtual shards there are.
const SHARDS: usize = 64;

/// Sums of one kind of one shard, per step.
#[derive(Debug, Clone)]
enum Sums {
    Sum(SumColumns),
    Mean(MeanColumns),
    Moments(Vec<Moments>),
}

/// Count, mean and sum of squared differences from the mean.
#[derive(Debug, Clone, Copy, Default)]
struct Moments {
    count: f64,
    mean: f64,
    squares: f64,
}

impl Moments {
    #[inline]
    fn add(&mut self, value: f64) {
        self.count += 1.0;
        let delta = value - self.mean;
        self.mean += delta / self.count;
        self.squares += delta * (value - self.mean);
    }

    fn merge(&mut self, other: Self) {
        let count = self.count + other.count;
        let delta = other.mean - self.mean;
        self.mean += delta * other.count / count;
        self.squares += other.squares + delta * delta * self.count * other.count / count;
        self.count = count;
    }
}

/// What one shard of a group has added up.
#[derive(Debug)]
struct Shard {
    sums: Sums,
    floats: Presence,
    histograms: Option<Vec<HistogramAccumulator>>,
    /// The labels of the first series with histograms.
    histograms_of: Labels,
    _charge: Charge,
}

/// The shards of a group that have anything, by number.
#[derive(Debug, Default)]
struct Shards {
    /// A bit for each of them.
    present: u64,
    shards: Vec<Shard>,
}

impl Shards {
    /// The shard with a number below [`SHARDS`], made if it is not there.
    fn get(
        &mut self,
        number: usize,
        make: impl FnOnce() -> Result<Shard, QueryError>,
    ) -> Result<&mut Shard, QueryError> {
        let bit = 1u64 << number;
        let at = (self.present & (bit - 1)).count_ones() as usize;
        if self.present & bit == 0 {
            self.shards.insert(at, make()?);
            self.present |= bit;
        }
        Ok(&mut self.shards[at])
    }

    /// The shards with their numbers, ascending.
    fn into_iter(self) -> impl Iterator<Item = (usize, Shard)> {
        let present = self.present;
        let numbers = (0..SHARDS).filter(move |number| present >> number & 1 == 1);
        numbers.zip(self.shards)
    }
}

/// What a group has gathered.
#[derive(Debug)]
enum Gathered {
    Shards(Shards),
    /// Counts, or the only value of `group`.
    Counts(Vec<u64>),
    /// Smallest or largest values.
    Extreme(Points),
    /// All values.
    Values(Vec<Vec<f64>>, Vec<Charge>),
}

#[derive(Debug)]
struct Group {
    labels: Labels,
    drop_name: bool,
    gathered: Gathered,
    /// The steps at which histograms could not be added up.
    broken: Presence,
}

impl Evaluator<'_> {
    /// Sum, average, count, extremes, deviation, quantile.
    pub(super) fn fold(
        &self,
        e: &AggregatePlan,
        parameter: Option<&Parameter>,
        steps: &Steps,
        sink: Sink<'_>,
    ) -> Result<(), QueryError> {
        let mut grouping = Grouping::new(&e.grouping, e.without);
        let mut groups: Vec<Group> = Vec::new();
        let mut buffer = Vec::new();
        self.each(&e.expr, steps, &mut |column| {
            let (i, new) = grouping.group(&column.labels);
            if let Some(labels) = new {
                groups.push(Group {
                    labels,
                    drop_name: false,
                    gathered: Gathered::of(e.op, steps.count),
                    broken: Presence::none(steps.count),
                });
            }
            self.add_to_group(e, &mut groups[i], &column, steps, &mut buffer)
        })?;
        for group in groups {
            self.spend(steps.count)?;
            let (labels, drop_name) = (group.labels.clone(), group.drop_name);
            let mut column = Column::new(labels, self.finish(e, group, parameter, steps)?);
            column.drop_name = drop_name;
            if !column.points.is_empty() {
                sink(column)?;
            }
        }
        Ok(())
    }

    fn add_to_group(
        &self,
        e: &AggregatePlan,
        group: &mut Group,
        column: &Column,
        steps: &Steps,
        buffer: &mut Vec<u8>,
    ) -> Result<(), QueryError> {
        let points = &column.points;
        group.drop_name |= column.drop_name;
        let ignores_histograms =
            !matches!(e.op, AggregateOp::Sum | AggregateOp::Avg | AggregateOp::Count | AggregateOp::Group);
        if ignores_histograms && points.histograms.iter().flatten().any(Option::is_some) {
            self.note_ignored_in(e);
        }
        match &mut group.gathered {
            Gathered::Shards(shards) => {
                let number = column.shard(buffer);
                let shard = shards.get(number, || self.shard(e.op, steps.count))?;
                shard.sums.add(points);
                shard.floats.union(&points.floats);
                if matches!(e.op, AggregateOp::Sum | AggregateOp::Avg) && points.histograms.is_some() {
                    self.add_histograms(e, shard, &mut group.broken, column);
                }
            }
            Gathered::Counts(counts) => {
                if points.histograms.is_none() && points.floats.count() == counts.len() {
                    counts.iter_mut().for_each(|count| *count += 1);
                } else {
                    points.present().iter().for_each(|step| counts[step] += 1);
                }
            }
            Gathered::Extreme(extreme) => {
                for step in points.floats.iter() {
                    let value = points.values[step];
                    let better = match extreme.float(step) {
                        None => true,
                        Some(best) => best.is_nan() || is_better(e.op, value, best),
                    };
                    if better {
                        extreme.set_float(step, value);
                    }
                }
            }
            Gathered::Values(values, charges) => {
                for step in points.floats.iter() {
                    values[step].push(points.values[step]);
                }
                charges.push(
                    self.budget.charge(points.floats.count(), points.floats.count() * size_of::<f64>())?,
                );
            }
        }
        Ok(())
    }

    fn shard(&self, op: AggregateOp, steps: usize) -> Result<Shard, QueryError> {
        let sums = match op {
            AggregateOp::Avg => Sums::Mean(MeanColumns::new(steps)),
            AggregateOp::Stddev | AggregateOp::Stdvar => Sums::Moments(vec![Moments::default(); steps]),
            _ => Sums::Sum(SumColumns::new(steps)),
        };
        Ok(Shard {
            sums,
            floats: Presence::none(steps),
            histograms: None,
            histograms_of: Labels::empty(),
            _charge: self.budget.charge(0, steps * size_of::<Mean>())?,
        })
    }

    fn add_histograms(&self, e: &AggregatePlan, shard: &mut Shard, broken: &mut Presence, column: &Column) {
        let Some(histograms) = &column.points.histograms else {
            return;
        };
        if shard.histograms.is_none() {
            shard.histograms_of = column.labels.clone();
        }
        let sums =
            shard.histograms.get_or_insert_with(|| vec![HistogramAccumulator::default(); histograms.len()]);
        for (step, histogram) in histograms.iter().enumerate() {
            let Some(histogram) = histogram else { continue };
            let added = if e.op == AggregateOp::Avg {
                sums[step].add_to_mean(histogram)
            } else {
                sums[step].add(histogram)
            };
            if added.is_err() && !broken.has(step) {
                broken.set(step);
                self.note_mixed_schemas(e, &column.labels);
            }
        }
    }

    /// The series of a group that has gathered everything.
    fn finish(
        &self,
        e: &AggregatePlan,
        group: Group,
        parameter: Option<&Parameter>,
        steps: &Steps,
    ) -> Result<Points, QueryError> {
        let mut points = Points::none(steps.count);
        match group.gathered {
            Gathered::Extreme(extreme) => return Ok(extreme),
            Gathered::Counts(counts) => {
                for (step, count) in counts.into_iter().enumerate().filter(|(_, count)| *count > 0) {
                    let value = if e.op == AggregateOp::Group { 1.0 } else { count as f64 };
                    points.set_float(step, value);
                }
            }
            Gathered::Values(values, _) => {
                for (step, mut values) in values.into_iter().enumerate().filter(|(_, v)| !v.is_empty()) {
                    self.spend(values.len())?;
                    let q = parameter.map_or(f64::NAN, |p| p.values.at(step));
                    points.set_float(step, quantile_of(q, &mut values));
                }
            }
            Gathered::Shards(shards) => {
                let mut broken = group.broken;
                if let Some(shard) =
                    self.combined(e, &mut shards.into_iter().peekable(), (0, SHARDS), &mut broken)
                {
                    self.finish_shards(e, shard, &broken, &mut points);
                }
            }
        }
        Ok(points)
    }

    /// The shards with numbers from `low` to before `high`, combined along the tree.
    fn combined(
        &self,
        e: &AggregatePlan,
        shards: &mut std::iter::Peekable<impl Iterator<Item = (usize, Shard)>>,
        (low, high): (usize, usize),
        broken: &mut Presence,
    ) -> Option<Shard> {
        shards.peek().filter(|(number, _)| *number < high)?;
        if high - low == 1 {
            return shards.next().map(|(_, shard)| shard);
        }
        let middle = usize::midpoint(low, high);
        let left = self.combined(e, shards, (low, middle), broken);
        let right = self.combined(e, shards, (middle, high), broken);
        match (left, right) {
            (Some(mut left), Some(right)) => {
                self.merge(e, &mut left, right, broken);
                Some(left)
            }
            (left, right) => left.or(right),
        }
    }

    fn merge(&self, e: &AggregatePlan, into: &mut Shard, from: Shard, broken: &mut Presence) {
        let known = into.floats.clone();
        into.sums.merge(&from.sums, &known, &from.floats);
        into.floats.union(&from.floats);
        let from_labels = from.histograms_of;
        match (&mut into.histograms, from.histograms) {
            (Some(into), Some(from)) => {
                for (step, (into, from)) in into.iter_mut().zip(&from).enumerate() {
                    if into.merge(from).is_err() && !broken.has(step) {
                        broken.set(step);
                        self.note_mixed_schemas(e, &from_labels);
                    }
                }
            }
            (empty, Some(from)) => {
                *empty = Some(from);
                into.histograms_of = from_labels;
            }
            (_, None) => {}
        }
    }

    fn finish_shards(&self, e: &AggregatePlan, shard: Shard, broken: &Presence, points: &mut Points) {
        for step in shard.floats.iter() {
            points.set_float(step, shard.sums.result(step, e.op));
        }
        for (step, sum) in shard.histograms.into_iter().flatten().enumerate() {
            if sum.is_empty() {
                continue;
            }
            let mut annotations = self.annotations.borrow_mut();
            if points.floats.has(step) {
                points.floats.clear(step);
                annotations.warn(e.expr.span(), "encountered a mix of histograms and floats for aggregation");
                continue;
            }
            if broken.has(step) {
                continue;
            }
            sum.annotate(e.expr.span(), &mut annotations);
            let histogram = if e.op == AggregateOp::Avg { sum.mean() } else { sum.sum() };
            if let Some(histogram) = histogram {
                points.set_histogram(step, histogram.into());
            }
        }
    }

    /// `count_values`: how many series of a group have each value.
    pub(super) fn count_values(
        &self,
        e: &AggregatePlan,
        steps: &Steps,
        sink: Sink<'_>,
    ) -> Result<(), QueryError> {
        let label = match &e.param {
            Some(Node::Text(bytes, _)) => label_name(bytes)?,
            _ => return Err(QueryError::internal("count_values has no label")),
        };
        let mut grouping_labels = e.grouping.clone();
        if !e.without {
            grouping_labels.push(label.to_owned());
            grouping_labels.sort_unstable();
            grouping_labels.dedup();
        }
        let mut grouping = Grouping::new(&grouping_labels, e.without);
        let mut counts: Vec<(Labels, Vec<u64>)> = Vec::new();
        let mut charges = Vec::new();
        let mut texts: HashMap<u64, String> = HashMap::new();
        self.each(&e.expr, steps, &mut |column| {
            let mut known: HashMap<String, usize> = HashMap::new();
            for step in column.points.present().iter() {
                let text = match column.points.float(step) {
                    Some(value) => texts.entry(value.to_bits()).or_insert_with(|| plain(value)).clone(),
                    None => column.points.histogram(step).map(ToString::to_string).unwrap_or_default(),
                };
                let group = match known.get(&text) {
                    Some(group) => *group,
                    None => {
                        let mut builder = column.labels.to_builder();
                        builder.set(label, &text);
                        let (group, new) = grouping.group(&builder.build());
                        if let Some(labels) = new {
                            charges.push(self.budget.charge(0, steps.count * size_of::<u64>())?);
                            counts.push((labels, vec![0; steps.count]));
                        }
                        known.insert(text, group);
                        group
                    }
                };
                counts[group].1[step] += 1;
            }
            Ok(())
        })?;
        let mut series = Series::new();
        for (labels, counts) in counts {
            let mut points = Points::none(steps.count);
            for (step, count) in counts.into_iter().enumerate().filter(|(_, count)| *count > 0) {
                points.set_float(step, count as f64);
            }
            series.add(self, Column::new(labels, points))?;
        }
        series.into_each(sink)
    }
}

/// Of zeros with different signs, the negative one is the smaller.
fn is_better(op: AggregateOp, value: f64, best: f64) -> bool {
    let zeros = value == 0.0 && best == 0.0;
    if op == AggregateOp::Max {
        value > best || zeros && best.is_sign_negative()
    } else {
        value < best || zeros && value.is_sign_negative()
    }
}

impl Gathered {
    fn of(op: AggregateOp, steps: usize) -> Self {
        match op {
            AggregateOp::Count | AggregateOp::Group => Self::Counts(vec![0; steps]),
            AggregateOp::Min | AggregateOp::Max => Self::Extreme(Points::none(steps)),
            AggregateOp::Quantile => Self::Values(vec![Vec::new(); steps], Vec::new()),
            _ => Self::Shards(Shards::default()),
        }
    }
}

impl Sums {
    fn add(&mut self, points: &Points) {
        match self {
            Self::Sum(sums) => sums.add(points),
            Self::Mean(means) => means.add(points),
            Self::Moments(moments) => points.floats.iter().for_each(|i| moments[i].add(points.values[i])),
        }
    }

    /// Adds the steps `theirs` of another; `ours` are those that hold something already.
    fn merge(&mut self, other: &Self, ours: &Presence, theirs: &Presence) {
        for i in theirs.iter() {
            let fresh = !ours.has(i);
            match (&mut *self, other) {
                (Self::Sum(a), Self::Sum(b)) => a.merge(b, i, fresh),
                (Self::Mean(a), Self::Mean(b)) => a.merge(b, i, fresh),
                (Self::Moments(a), Self::Moments(b)) if fresh => a[i] = b[i],
                (Self::Moments(a), Self::Moments(b)) => a[i].merge(b[i]),
                _ => {}
            }
        }
    }

    fn result(&self, step: usize, op: AggregateOp) -> f64 {
        match self {
            Self::Sum(sums) => sums.at(step).total(),
            Self::Mean(means) => means.at(step).mean(),
            Self::Moments(moments) => {
                let variance = moments[step].squares / moments[step].count;
                if op == AggregateOp::Stddev { variance.sqrt() } else { variance }
            }
        }
    }
}
