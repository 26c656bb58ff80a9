//! Binary operators between two vectors: which series go with which.

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use model::Labels;

use crate::ast::{BinaryOp, Cardinality, VectorMatching};
use crate::engine::error::QueryError;
use crate::engine::value::SampleValue;
use crate::functions::float::{arithmetic, compare};
use crate::plan::BinaryPlan;
use crate::plan::steps::Steps;
use crate::text::quote::quote;

use super::binary::{Signatures, operand};
use super::column::{Column, Points};
use super::labels::is_metadata;
use super::operators::{Operand, Outcome, apply, changes_metric};
use super::presence::Presence;
use super::series::Series;
use super::{Evaluator, HISTOGRAM_WORK, Held, Sink};

/// Series that match each other: of the side that may have many, and of the one that may have one at a time.
#[derive(Default)]
struct Match<'h> {
    many: Vec<&'h Column>,
    /// With their places on their side.
    one: Vec<(usize, &'h Column)>,
}

/// Everything about an operation between two vectors.
struct Operation<'p> {
    plan: &'p BinaryPlan,
    matching: &'p VectorMatching,
    /// The "one" side is the left one.
    swapped: bool,
    /// The value for a missing series of the "one" and of the "many" side.
    fill_one: Option<f64>,
    fill_many: Option<f64>,
    /// Names are dropped at once rather than at the end of the query.
    drops_names_now: bool,
    /// The steps at which there is anything to do: both sides have some series, or what is missing is filled in.
    active: Presence,
}

impl Evaluator<'_> {
    pub(super) fn vector_operation(
        &self,
        plan: &BinaryPlan,
        matching: &VectorMatching,
        (left, right): (Held, Held),
        steps: &Steps,
        sink: Sink<'_>,
    ) -> Result<(), QueryError> {
        let swapped = matching.card == Cardinality::OneToMany;
        let (many, one) = if swapped { (right, left) } else { (left, right) };
        // Upstream does not exchange the fill values with the sides: with group_right, `fill_left` stands for a missing
        // series on the right. Scripts rely on it.
        let (fill_many, fill_one) = (matching.fill_left, matching.fill_right);
        let any = |columns: &[Column]| {
            let mut any = Presence::none(steps.count);
            columns.iter().for_each(|c| any.union(&c.points.present()));
            any
        };
        let mut active = any(&many.columns);
        if fill_many.is_some() || fill_one.is_some() {
            active.union(&any(&one.columns));
        } else {
            active.intersect(&any(&one.columns));
        }
        let mut signatures = Signatures::new(matching);
        let many_side = self.side(&many, &mut signatures);
        let one_side = self.side(&one, &mut signatures);
        let mut matches: Vec<Match<'_>> = Vec::new();
        matches.resize_with(signatures.len(), Match::default);
        many_side.into_iter().for_each(|(i, column)| matches[i].many.push(column));
        one_side
            .into_iter()
            .enumerate()
            .for_each(|(order, (i, column))| matches[i].one.push((order, column)));
        let operation = Operation {
            plan,
            matching,
            swapped,
            fill_one,
            fill_many,
            drops_names_now: self.drops_names_now(),
            active,
        };
        let mut series = Series::new();
        operation.check_unique(&matches)?;
        for found in &matches {
            self.spend(1)?;
            self.operate(&operation, found, steps, &mut series)?;
        }
        series.into_each(sink)
    }

    /// The operation on series that match each other.
    fn operate(
        &self,
        operation: &Operation<'_>,
        found: &Match<'_>,
        steps: &Steps,
        series: &mut Series,
    ) -> Result<(), QueryError> {
        let mut used = Used::new(operation.matching.card, steps.count);
        let mut one_present = Presence::none(steps.count);
        found.one.iter().for_each(|(_, c)| one_present.union(&c.points.present()));
        let mut matched = Presence::none(steps.count);
        for many in &found.many {
            let own = many.points.present();
            for (_, one) in &found.one {
                self.spend(steps.count)?;
                let mut both = one.points.present();
                both.intersect(&own);
                if both.is_empty() {
                    continue;
                }
                let labels = operation.result_labels(&many.labels, &one.labels);
                let (points, done) = match operation.of_floats(&both, &many.points, &one.points) {
                    Some(points) => (points, both),
                    None => {
                        self.spend(both.count() * HISTOGRAM_WORK)?;
                        let value = |step| operand(&one.points, step);
                        self.combine(operation, &both, |step| operand(&many.points, step), value, steps)
                    }
                };
                matched.union(&done);
                // With one series of many, nothing can be ambiguous.
                if found.many.len() > 1 || operation.fills() {
                    used.add(&labels, &done)?;
                }
                self.add_result(operation, labels, many, points, series)?;
            }
            if let Some(fill) = operation.fill_one {
                let mut alone = own;
                alone.subtract(&one_present);
                alone.intersect(&operation.active);
                let other = operation.matched_labels(&many.labels);
                let labels = operation.result_labels(&many.labels, &other);
                let value = |_| Some(Operand::Float(fill));
                let (points, done) =
                    self.combine(operation, &alone, |step| operand(&many.points, step), value, steps);
                used.add(&labels, &done)?;
                self.add_result(operation, labels, many, points, series)?;
            }
        }
        if let Some(fill) = operation.fill_many {
            for (_, one) in &found.one {
                let mut alone = one.points.present();
                alone.subtract(&matched);
                let other = operation.matched_labels(&one.labels);
                let labels = operation.result_labels(&other, &one.labels);
                let own = |_| Some(Operand::Float(fill));
                let (points, done) =
                    self.combine(operation, &alone, own, |step| operand(&one.points, step), steps);
                used.add(&labels, &done)?;
                self.add_result(operation, labels, one, points, series)?;
            }
        }
        Ok(())
    }

    fn add_result(
        &self,
        operation: &Operation<'_>,
        labels: Labels,
        origin: &Column,
        points: Points,
        series: &mut Series,
    ) -> Result<(), QueryError> {
        let mut column = Column::new(labels, points);
        column.origin = origin.origin.clone();
        column.drop_name = operation.plan.return_bool;
        series.add(self, column)
    }

    /// The results at some steps, and the steps at which the operator applied at all.
    fn combine<'v>(
        &self,
        operation: &Operation<'_>,
        at: &Presence,
        many: impl Fn(usize) -> Option<Operand<'v>>,
        one: impl Fn(usize) -> Option<Operand<'v>>,
        steps: &Steps,
    ) -> (Points, Presence) {
        let plan = operation.plan;
        let mut points = Points::none(steps.count);
        let mut applied = Presence::none(steps.count);
        let mut annotations = self.annotations.borrow_mut();
        for step in at.iter() {
            let (Some(many), Some(one)) = (many(step), one(step)) else { continue };
            let (lhs, rhs) = if operation.swapped { (one, many) } else { (many, one) };
            let Outcome::Value(value, holds) = apply(plan.op, lhs, rhs, plan.span, &mut annotations) else {
                continue;
            };
            applied.set(step);
            if plan.return_bool {
                points.set(step, SampleValue::Float(f64::from(u8::from(holds))));
            } else if holds {
                points.set(step, value);
            }
        }
        (points, applied)
    }
}

impl Operation<'_> {
    /// Whether a missing series has a value.
    fn fills(&self) -> bool {
        self.fill_one.is_some() || self.fill_many.is_some()
    }

    /// The results at some steps, at which both sides have floats; `None` where there are histograms or the operator is for
    /// these.
    fn of_floats(&self, at: &Presence, many: &Points, one: &Points) -> Option<Points> {
        let op = self.plan.op;
        let trims = matches!(op, BinaryOp::TrimUpper | BinaryOp::TrimLower);
        if many.histograms.is_some() || one.histograms.is_some() || trims {
            return None;
        }
        let (lhs, rhs) = if self.swapped { (one, many) } else { (many, one) };
        let mut points = Points { values: lhs.values.clone(), floats: at.clone(), histograms: None };
        let values = points.values.iter_mut().zip(&rhs.values);
        if !op.is_comparison() {
            values.for_each(|(l, r)| *l = arithmetic(op, *l, *r));
        } else if self.plan.return_bool {
            values.for_each(|(l, r)| *l = f64::from(u8::from(compare(op, *l, *r))));
        } else {
            for step in at.iter() {
                if !compare(op, lhs.values[step], rhs.values[step]) {
                    points.floats.clear(step);
                }
            }
        }
        Some(points)
    }

    /// Of the "one" side there must not be two series at one time. Of several such, the error is about the one that comes
    /// first in time, and then on its side.
    fn check_unique(&self, matches: &[Match<'_>]) -> Result<(), QueryError> {
        let twice = matches.iter().filter_map(|found| self.first_duplicate(found));
        match twice.min_by_key(|(at, ..)| *at) {
            Some((_, column, other)) => Err(self.duplicate(column, other)),
            None => Ok(()),
        }
    }

    /// The first of two series at one time, with its step and its place, and the one before it.
    fn first_duplicate<'h>(&self, found: &Match<'h>) -> Option<((usize, usize), &'h Column, &'h Column)> {
        let [(_, first), rest @ ..] = found.one.as_slice() else { return None };
        let mut present = first.points.present();
        let mut earliest = None;
        for (i, (order, column)) in rest.iter().enumerate() {
            let own = column.points.present();
            let mut twice = own.clone();
            twice.intersect(&present);
            twice.intersect(&self.active);
            if let Some(step) = twice.iter().next()
                && earliest.is_none_or(|((known, _), _)| step < known)
            {
                earliest = Some(((step, *order), i + 1));
            }
            present.union(&own);
        }
        let (at, i) = earliest?;
        let other = found.one[..i].iter().find(|(_, c)| c.points.has(at.0)).unwrap_or(&found.one[0]);
        Some((at, found.one[i].1, other.1))
    }

    fn duplicate(&self, a: &Column, b: &Column) -> QueryError {
        let side = if self.swapped { "left" } else { "right" };
        let mut both = [series_text(&a.labels), series_text(&b.labels)];
        both.sort_unstable();
        let [first, second] = both;
        QueryError::execution(format!(
            "found duplicate series for the match group {} on the {side} hand-side of the operation: [{first}, {second}];many-to-many matching not allowed: matching labels must be unique on one side",
            series_text(&self.matched_labels(&a.labels)),
        ))
    }

    /// The labels that take part in matching.
    fn matched_labels(&self, labels: &Labels) -> Labels {
        Labels::from_sorted(labels.iter().filter(|(name, _)| self.matching.matches_on(name)))
    }

    /// The labels of the result for a pair of series.
    fn result_labels(&self, many: &Labels, one: &Labels) -> Labels {
        let matching = self.matching;
        let drops_name = changes_metric(self.plan.op) || self.plan.return_bool && self.drops_names_now;
        let one_to_one = matching.card == Cardinality::OneToOne;
        let keeps = |name: &str| {
            let named = one_to_one && matching.labels.iter().any(|l| l == name);
            let matched = !one_to_one || named == matching.on;
            matched && !(drops_name && is_metadata(name))
        };
        if matching.include.is_empty() && many.iter().all(|(name, _)| keeps(name)) {
            return many.clone();
        }
        let kept = Labels::from_sorted(many.iter().filter(|(name, _)| keeps(name)));
        if matching.include.is_empty() {
            return kept;
        }
        let mut builder = kept.to_builder();
        for name in &matching.include {
            builder.set(name, one.get_or_empty(name));
        }
        builder.build()
    }
}

/// Which results there have been, of one group of series that match.
struct Used {
    card: Cardinality,
    present: Presence,
    by_labels: HashMap<Labels, Presence>,
}

impl Used {
    fn new(card: Cardinality, steps: usize) -> Self {
        Self { card, present: Presence::none(steps), by_labels: HashMap::new() }
    }

    /// Notes a result; fails if there has been one at the same time that makes it ambiguous.
    fn add(&mut self, labels: &Labels, at: &Presence) -> Result<(), QueryError> {
        if self.card == Cardinality::OneToOne {
            if self.present.intersects(at) {
                return Err(QueryError::execution(
                    "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)",
                ));
            }
            self.present.union(at);
            return Ok(());
        }
        if at.is_empty() {
            return Ok(());
        }
        match self.by_labels.entry(labels.clone()) {
            Entry::Vacant(entry) => {
                entry.insert(at.clone());
            }
            Entry::Occupied(entry) if entry.get().intersects(at) => {
                return Err(QueryError::execution(
                    "multiple matches for labels: grouping labels must ensure unique matches",
                ));
            }
            Entry::Occupied(mut entry) => entry.get_mut().union(at),
        }
        Ok(())
    }
}

/// Labels as error messages show them.
fn series_text(labels: &Labels) -> String {
    let pairs: Vec<String> = labels
        .iter()
        .map(|(name, value)| {
            let plain = crate::syntax::print::is_plain_label_name(name);
            let name = if plain { name.to_owned() } else { quote(name) };
            format!("{name}={}", quote(value))
        })
        .collect();
    format!("{{{}}}", pairs.join(", "))
}
