//! Aggregations that fold series as they come: one series per group comes out.
//!
//! Sums and moments depend on the order of addition. To come out the same however the work is divided, series are
//! added up in 64 virtual shards, each in the order in which its series come, and the shards along a fixed binary tree.

use std::collections::HashMap;

use model::Labels;

use crate::ast::AggregateOp;
use crate::engine::budget::Charge;
use crate::engine::error::QueryError;
use crate::functions::CallKind;
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
use super::stored::Order;
use super::together::Also;
use super::{Evaluator, Sink};

/// How many virtual shards there are.
const SHARDS: usize = 64;

/// From so many steps on, sums of all shards at once are worth avoiding.
const STEPS_FOR_SHARDS: usize = 16;

/// What a shard takes for each step, at most.
pub(super) const SHARD_STEP_BYTES: usize = size_of::<Mean>();

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
    /// The metric of the first series with histograms, as notes name it.
    histograms_of: Box<str>,
    _charge: Charge,
}

/// A node of the tree of shards: as many of them as a power of two, from a multiple of that on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Block {
    first: usize,
    size: usize,
}

impl Block {
    /// The smallest that has both.
    fn around(self, other: Self) -> Self {
        let size = (self.first ^ other.first).checked_ilog2().map_or(1, |bits| 2 << bits);
        Self { first: self.first & !(size - 1), size }
    }

    fn end(self) -> usize {
        self.first + self.size
    }
}

/// The shards of a group that have anything, ascending; some of them combined already.
type Shards = Vec<(Block, Shard)>;

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
    /// The smallest rank of its series, if that is known.
    rank: u32,
    /// The steps at which histograms could not be added up.
    broken: Presence,
}

/// An aggregation that is taking series.
pub(super) struct Gathering<'p> {
    plan: &'p AggregatePlan,
    grouping: Grouping<'p>,
    groups: Vec<Group>,
}

impl<'p> Gathering<'p> {
    pub(super) fn new(plan: &'p AggregatePlan) -> Self {
        Self { plan, grouping: Grouping::new(&plan.grouping, plan.without), groups: Vec::new() }
    }

    /// In which order it had best be given stored series.
    pub(super) fn order(plan: &AggregatePlan) -> Order {
        match Gathered::of(plan.op, 0) {
            Gathered::Shards(_) => Order::Shards,
            _ => Order::Labels,
        }
    }
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
        if let Some(held) = self.read_together(e, steps)? {
            return held.columns.into_iter().try_for_each(sink);
        }
        let mut gathering = Gathering::new(e);
        let add = &mut |column| self.gather(&mut gathering, column, steps);
        self.columns_of(&e.expr, &[], (steps, Gathering::order(e)), add)?;
        self.gathered(gathering, parameter, steps, sink)
    }

    /// The series of an expression; in this order, where they are stored and it does not matter otherwise. `also` read the
    /// same range selector.
    pub(super) fn columns_of(
        &self,
        node: &Node,
        also: &[Also<'_>],
        (steps, order): (&Steps, Order),
        sink: Sink<'_>,
    ) -> Result<(), QueryError> {
        let order = if steps.count < STEPS_FOR_SHARDS { Order::Labels } else { order };
        match node {
            Node::Vector(e) => self.selector(e, steps, order, sink),
            Node::Call(e) => match e.kind {
                CallKind::Range(function) => self.renamed_ranges(e, sink, |sink| {
                    self.range_call((e, also), function, (steps, order), sink)
                }),
                _ => self.each(node, steps, sink),
            },
            _ => self.each(node, steps, sink),
        }
    }

    /// Adds a series to its group.
    pub(super) fn gather(
        &self,
        gathering: &mut Gathering<'_>,
        column: Column,
        steps: &Steps,
    ) -> Result<(), QueryError> {
        let Gathering { plan, grouping, groups } = gathering;
        let (i, new) = grouping.group(&column.labels);
        if let Some(labels) = new {
            groups.push(Group {
                labels,
                drop_name: false,
                gathered: Gathered::of(plan.op, steps.count),
                // Those whose series come by labels come before those whose first series has a place.
                rank: column.place.map_or(i as u32, |place| place.rank),
                broken: Presence::none(steps.count),
            });
        }
        self.add_to_group(plan, &mut groups[i], column, steps)
    }

    /// Hands on what an aggregation that has taken all series comes to.
    pub(super) fn gathered(
        &self,
        gathering: Gathering<'_>,
        parameter: Option<&Parameter>,
        steps: &Steps,
        sink: Sink<'_>,
    ) -> Result<(), QueryError> {
        let Gathering { plan, mut groups, .. } = gathering;
        // In whatever order series come, groups come as their first series do by labels.
        groups.sort_by_key(|group| group.rank);
        for group in groups {
            self.spend(steps.count)?;
            let (labels, drop_name) = (group.labels.clone(), group.drop_name);
            let mut column = Column::new(labels, self.finish(plan, group, parameter, steps)?);
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
        mut column: Column,
        steps: &Steps,
    ) -> Result<(), QueryError> {
        if let Some(place) = column.place {
            group.rank = group.rank.min(place.rank);
        }
        let points = &column.points;
        group.drop_name |= column.drop_name;
        let ignores_histograms =
            !matches!(e.op, AggregateOp::Sum | AggregateOp::Avg | AggregateOp::Count | AggregateOp::Group);
        if ignores_histograms && points.histograms.iter().flatten().any(Option::is_some) {
            self.note_ignored_in(e);
        }
        match &mut group.gathered {
            Gathered::Shards(shards) => {
                let number = usize::from(column.shard());
                let at = shards.partition_point(|(block, _)| block.first < number);
                let known = shards.get(at).is_some_and(|(block, _)| block.first == number);
                if let Some((_, shard)) = shards.get_mut(at).filter(|_| known) {
                    shard.sums.add(points);
                    shard.floats.union(&points.floats);
                } else {
                    let shard = self.shard(e.op, &mut column.points, steps.count)?;
                    shards.insert(at, (Block { first: number, size: 1 }, shard));
                    self.shards_opened.set(self.shards_opened.get() + 1);
                }
                if matches!(e.op, AggregateOp::Sum | AggregateOp::Avg)
                    && column.points.histograms.is_some()
                    && let Some((_, shard)) = shards.get_mut(at)
                {
                    self.add_histograms(e, shard, &mut group.broken, &column);
                }
                if !known && column.place.is_some() {
                    // No more series come of the shards before it.
                    self.combine_before(e, shards, at, &mut group.broken);
                }
            }
            Gathered::Counts(counts) => {
                for run in points.present().runs() {
                    counts[run].iter_mut().for_each(|count| *count += 1);
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

    /// A shard with the floats of its first series, which may not be left behind.
    fn shard(&self, op: AggregateOp, points: &mut Points, steps: usize) -> Result<Shard, QueryError> {
        let floats = points.floats.clone();
        let mut sums = match op {
            AggregateOp::Avg => Sums::Mean(MeanColumns::new(steps)),
            AggregateOp::Stddev | AggregateOp::Stdvar => Sums::Moments(vec![Moments::default(); steps]),
            _ => Sums::Sum(SumColumns::take(points)),
        };
        if !matches!(sums, Sums::Sum(_)) {
            sums.add(points);
        }
        Ok(Shard {
            sums,
            floats,
            histograms: None,
            histograms_of: Box::default(),
            _charge: self.budget.charge(0, steps * size_of::<Mean>())?,
        })
    }

    fn add_histograms(&self, e: &AggregatePlan, shard: &mut Shard, broken: &mut Presence, column: &Column) {
        let Some(histograms) = &column.points.histograms else {
            return;
        };
        if shard.histograms.is_none() {
            shard.histograms_of = self.noted_metric(column).into();
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
                self.note_mixed_schemas(e, self.noted_metric(column));
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
            Gathered::Shards(mut shards) => {
                let mut broken = group.broken;
                self.combine_shards(e, &mut shards, SHARDS, &mut broken);
                if let Some((_, shard)) = shards.pop() {
                    self.finish_shards(e, shard, &broken, &mut points);
                }
            }
        }
        Ok(points)
    }

    /// Combines shards along the tree, those nodes of it that are complete if all shards before number `until` are.
    fn combine_shards(&self, e: &AggregatePlan, shards: &mut Shards, until: usize, broken: &mut Presence) {
        if shards.len() < 2 {
            return;
        }
        let mut combined = Shards::with_capacity(shards.len());
        for next in shards.drain(..) {
            self.combine_last(e, &mut combined, next.0.first, broken);
            combined.push(next);
        }
        self.combine_last(e, &mut combined, until, broken);
        *shards = combined;
    }

    /// Combines the shards before the one at `at`, to which series come now: no more come to those.
    fn combine_before(&self, e: &AggregatePlan, shards: &mut Shards, at: usize, broken: &mut Presence) {
        // Where series came by labels at first, some are behind it already, and several before it are not combined yet.
        let mut behind = shards.split_off(shards.len().min(at + 1));
        let Some(current) = shards.pop() else { return };
        self.combine_shards(e, shards, current.0.first, broken);
        shards.push(current);
        shards.append(&mut behind);
    }

    /// Combines the last two shards as long as they are all that their node will have.
    fn combine_last(&self, e: &AggregatePlan, shards: &mut Shards, until: usize, broken: &mut Presence) {
        while let [.., (left, _), (right, _)] = shards.as_slice()
            && left.around(*right).end() <= until
        {
            let node = left.around(*right);
            let (Some((_, right)), Some((left, into))) = (shards.pop(), shards.last_mut()) else { return };
            self.merge(e, into, right, broken);
            *left = node;
        }
    }

    fn merge(&self, e: &AggregatePlan, into: &mut Shard, from: Shard, broken: &mut Presence) {
        let known = into.floats.clone();
        into.sums.merge(&from.sums, &known, &from.floats);
        into.floats.union(&from.floats);
        let of = from.histograms_of;
        match (&mut into.histograms, from.histograms) {
            (Some(into), Some(from)) => {
                for (step, (into, from)) in into.iter_mut().zip(&from).enumerate() {
                    if into.merge(from).is_err() && !broken.has(step) {
                        broken.set(step);
                        self.note_mixed_schemas(e, &of);
                    }
                }
            }
            (empty, Some(from)) => {
                *empty = Some(from);
                into.histograms_of = of;
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
