//! Aggregations that pick series of each group: `topk`, `bottomk`, `limitk`, `limit_ratio`. Series are looked at as they
//! come, and only those are held that are picked at some step so far.

use std::cmp::Ordering;

use model::Labels;
use xxhash_rust::xxh64::xxh64;

use crate::ast::AggregateOp;
use crate::engine::budget::Charge;
use crate::engine::error::QueryError;
use crate::functions::Direction;
use crate::plan::AggregatePlan;
use crate::plan::steps::Steps;

use super::aggregate::{Grouping, Parameter};
use super::calls::pass_on;
use super::column::{Column, Points};
use super::presence::Presence;
use super::sorting::by_value;
use super::{Evaluator, Sink};

/// A step may have so many more candidates than are picked before the worst of them are left out.
const SPARE: usize = 32;

/// What comes first.
#[derive(Debug, Clone, Copy)]
enum Rank {
    /// The value, then the labels.
    Value(Direction),
    Labels,
}

/// A series that is picked at some step so far.
struct Kept {
    /// How many came before it.
    place: usize,
    column: Column,
    /// At so many steps.
    uses: usize,
    _charge: Charge,
}

/// The series picked so far, by numbers that are used again.
#[derive(Default)]
struct Store {
    kept: Vec<Option<Kept>>,
    /// Numbers without a series.
    free: Vec<usize>,
}

/// Who may be picked of a group at a step.
#[derive(Default)]
struct Candidates {
    /// Numbers in the store.
    found: Vec<usize>,
    /// The worst value of enough of them: what is worse is not picked.
    worst: Option<f64>,
}

struct Group {
    steps: Vec<Candidates>,
    /// The last labels of all so far.
    last: Labels,
    charge: Charge,
}

impl Evaluator<'_> {
    pub(super) fn pick(
        &self,
        e: &AggregatePlan,
        parameter: &Parameter,
        steps: &Steps,
        sink: Sink<'_>,
    ) -> Result<(), QueryError> {
        let rank = match e.op {
            AggregateOp::Topk => Rank::Value(Direction::Descending),
            AggregateOp::Bottomk => Rank::Value(Direction::Ascending),
            AggregateOp::LimitRatio => return self.pick_ratio(e, parameter, steps, sink),
            _ => Rank::Labels,
        };
        let mut grouping = Grouping::new(&e.grouping, e.without);
        let mut groups: Vec<Group> = Vec::new();
        let mut store = Store::default();
        let mut place = 0;
        self.each(&e.expr, steps, &mut |mut column| {
            if matches!(rank, Rank::Value(_)) {
                self.only_floats(e, &mut column);
            }
            let (number, new) = grouping.group(&column.labels);
            if new.is_some() {
                groups.push(self.empty_group(steps)?);
            }
            place += 1;
            self.consider(rank, parameter, (column, place), &mut groups[number], &mut store)
        })?;
        let mut picked = vec![Presence::none(steps.count); store.kept.len()];
        // The order of picks counts for instant queries only.
        let mut order: Vec<usize> = Vec::new();
        for group in &mut groups {
            for (step, candidates) in group.steps.iter_mut().enumerate() {
                self.spend(candidates.found.len())?;
                candidates.keep_best(count_at(parameter, step), rank, step, &mut store, None);
                candidates.found.iter().for_each(|number| picked[*number].set(step));
            }
            if let [candidates] = group.steps.as_slice() {
                let found = candidates.found.clone();
                order.extend(self.sort_items(found, |a, b| store.compare(rank, 0, *a, *b))?);
            }
        }
        if steps.count > 1 {
            let mut places: Vec<(usize, usize)> = store.places().collect();
            places.sort_unstable();
            order = places.into_iter().map(|(_, number)| number).collect();
        }
        for number in order {
            let Some(kept) = store.kept.get_mut(number).and_then(Option::take) else { continue };
            let mut column = kept.column;
            column.points.keep_only(&picked[number]);
            pass_on(column, sink)?;
        }
        Ok(())
    }

    /// Takes a series to the candidates of each step at which it may be picked. With it comes its place.
    fn consider(
        &self,
        rank: Rank,
        parameter: &Parameter,
        (column, place): (Column, usize),
        group: &mut Group,
        store: &mut Store,
    ) -> Result<(), QueryError> {
        self.spend(column.points.steps())?;
        let present = column.points.present();
        // Of equal ones, who comes last is not picked where there are enough.
        let comes_last = column.labels > group.last;
        if comes_last {
            group.last = column.labels.clone();
        }
        let bytes = size_of::<Kept>() + column.points.bytes() + column.labels.heap_bytes();
        let charge = self.budget.charge(column.points.weight(), bytes)?;
        let number = store.add(Kept { place, column, uses: 0, _charge: charge });
        for step in present.iter() {
            let count = count_at(parameter, step);
            let candidates = &mut group.steps[step];
            let out = match rank {
                Rank::Labels => comes_last && candidates.found.len() >= count,
                Rank::Value(direction) => candidates.worst.is_some_and(|worst| {
                    let order = by_value(store.value(number, step), worst, direction);
                    order.is_gt() || order.is_eq() && comes_last
                }),
            };
            if count == 0 || out {
                continue;
            }
            let room = candidates.found.capacity();
            candidates.found.push(number);
            store.note_use(number);
            let grown = candidates.found.capacity() - room;
            if grown > 0 {
                group.charge.grow(0, grown * size_of::<usize>())?;
            }
            if candidates.found.len() >= count.saturating_mul(2).max(count.saturating_add(SPARE)) {
                self.spend(candidates.found.len())?;
                candidates.keep_best(count, rank, step, store, Some(number));
            }
        }
        store.drop_unused(number);
        Ok(())
    }

    fn empty_group(&self, steps: &Steps) -> Result<Group, QueryError> {
        let charge = self.budget.charge(0, steps.count * size_of::<Candidates>())?;
        let mut candidates = Vec::new();
        candidates.resize_with(steps.count, Candidates::default);
        Ok(Group { steps: candidates, last: Labels::empty(), charge })
    }

    /// `limit_ratio`: whether a series is picked follows from its labels.
    fn pick_ratio(
        &self,
        e: &AggregatePlan,
        parameter: &Parameter,
        steps: &Steps,
        sink: Sink<'_>,
    ) -> Result<(), QueryError> {
        self.each(&e.expr, steps, &mut |mut column| {
            self.spend(steps.count)?;
            let mut picked = Presence::none(steps.count);
            let offset = hash(&column.labels) as f64 / u64::MAX as f64;
            let is_picked = |step: &usize| in_ratio(parameter.values.at(*step).clamp(-1.0, 1.0), offset);
            (0..steps.count).filter(is_picked).for_each(|step| picked.set(step));
            column.points.keep_only(&picked);
            pass_on(column, sink)
        })
    }

    fn only_floats(&self, e: &AggregatePlan, column: &mut Column) {
        if column.points.histograms.iter().flatten().any(Option::is_some) {
            self.note_ignored_in(e);
            column.points.drop_histograms();
        }
    }
}

/// How many are picked of a group at a step.
fn count_at(parameter: &Parameter, step: usize) -> usize {
    let count = parameter.values.at(step);
    if count < 1.0 { 0 } else { count as usize }
}

impl Candidates {
    /// Leaves the best `count`, in any order. Whoever is not picked anywhere any more is given up, but for the series that
    /// is just coming.
    fn keep_best(&mut self, count: usize, rank: Rank, step: usize, store: &mut Store, coming: Option<usize>) {
        let Some(last) = count.checked_sub(1).filter(|last| *last < self.found.len()) else { return };
        let (_, worst, _) = self.found.select_nth_unstable_by(last, |a, b| store.compare(rank, step, *a, *b));
        self.worst = Some(store.value(*worst, step));
        for number in self.found.drain(count..) {
            store.forget_use(number);
            if coming != Some(number) {
                store.drop_unused(number);
            }
        }
    }
}

impl Store {
    fn add(&mut self, kept: Kept) -> usize {
        match self.free.pop() {
            Some(number) => {
                self.kept[number] = Some(kept);
                number
            }
            None => {
                self.kept.push(Some(kept));
                self.kept.len() - 1
            }
        }
    }

    fn points(&self, number: usize) -> Option<&Points> {
        self.kept.get(number)?.as_ref().map(|kept| &kept.column.points)
    }

    fn value(&self, number: usize, step: usize) -> f64 {
        self.points(number).map_or(f64::NAN, |points| points.values[step])
    }

    fn labels(&self, number: usize) -> Option<&Labels> {
        self.kept.get(number)?.as_ref().map(|kept| &kept.column.labels)
    }

    fn compare(&self, rank: Rank, step: usize, a: usize, b: usize) -> Ordering {
        let by_labels = || self.labels(a).cmp(&self.labels(b));
        match rank {
            Rank::Labels => by_labels(),
            Rank::Value(direction) => {
                by_value(self.value(a, step), self.value(b, step), direction).then_with(by_labels)
            }
        }
    }

    fn note_use(&mut self, number: usize) {
        if let Some(Some(kept)) = self.kept.get_mut(number) {
            kept.uses += 1;
        }
    }

    fn forget_use(&mut self, number: usize) {
        if let Some(Some(kept)) = self.kept.get_mut(number) {
            kept.uses -= 1;
        }
    }

    /// Gives up a series that is picked nowhere.
    fn drop_unused(&mut self, number: usize) {
        if self.kept.get(number).is_some_and(|kept| kept.as_ref().is_some_and(|kept| kept.uses == 0)) {
            self.kept[number] = None;
            self.free.push(number);
        }
    }

    /// The places of all series, with their numbers.
    fn places(&self) -> impl Iterator<Item = (usize, usize)> {
        let kept = self.kept.iter().enumerate();
        kept.filter_map(|(number, kept)| kept.as_ref().map(|kept| (kept.place, number)))
    }
}

/// Whether a series belongs to a part of all series: those with small hashes, or, with a negative ratio, exactly those
/// that the complement leaves out.
fn in_ratio(ratio: f64, offset: f64) -> bool {
    if ratio >= 0.0 { offset < ratio } else { offset >= 1.0 + ratio }
}

/// The hash that Prometheus samples by: xxh64 of names and values, each behind its length.
fn hash(labels: &Labels) -> u64 {
    const LONG: usize = 255;
    let mut bytes = Vec::with_capacity(256);
    for text in labels.iter().flat_map(|(name, value)| [name, value]) {
        if text.len() < LONG {
            bytes.push(text.len() as u8);
        } else {
            bytes.push(LONG as u8);
            bytes.extend_from_slice(&(text.len() as u32).to_le_bytes()[..3]);
        }
        bytes.extend_from_slice(text.as_bytes());
    }
    xxh64(&bytes, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_and_its_complement_share_nothing_and_miss_nothing() {
        for i in 0..200 {
            let offset = hash(&Labels::from_pairs([("i", i.to_string())])) as f64 / u64::MAX as f64;
            for ratio in [0.0, 0.3, 0.5, 1.0] {
                assert_ne!(in_ratio(ratio, offset), in_ratio(ratio - 1.0, offset));
            }
        }
    }
}
