//! Aggregations that pick series of each group: `topk`, `bottomk`, `limitk`, `limit_ratio`.

use model::Labels;
use xxhash_rust::xxh64::xxh64;

use crate::ast::AggregateOp;
use crate::engine::error::QueryError;
use crate::functions::Direction;
use crate::plan::AggregatePlan;
use crate::plan::steps::Steps;

use super::aggregate::{Grouping, Parameter};
use super::presence::Presence;
use super::sorting::by_value;
use super::{Evaluator, Held, Sink};

impl Evaluator<'_> {
    pub(super) fn pick(
        &self,
        e: &AggregatePlan,
        parameter: &Parameter,
        steps: &Steps,
        sink: Sink<'_>,
    ) -> Result<(), QueryError> {
        let mut held = self.held(&e.expr, steps)?;
        if matches!(e.op, AggregateOp::Topk | AggregateOp::Bottomk) {
            self.only_floats(e, &mut held);
        }
        let mut grouping = Grouping::new(&e.grouping, e.without);
        let mut groups: Vec<Vec<usize>> = Vec::new();
        for (i, column) in held.columns.iter().enumerate() {
            let (group, new) = grouping.group(&column.labels);
            if new.is_some() {
                groups.push(Vec::new());
            }
            groups[group].push(i);
        }
        let mut kept = vec![Presence::none(steps.count); held.columns.len()];
        // The order of picks counts for instant queries only.
        let mut order: Vec<usize> = Vec::new();
        for group in &groups {
            for step in 0..steps.count {
                self.spend(group.len())?;
                let parameter = parameter.values.at(step);
                let picked = pick_at(e.op, parameter, &held, group, step);
                for i in &picked {
                    kept[*i].set(step);
                }
                if steps.count == 1 {
                    order.extend(picked);
                }
            }
        }
        if steps.count > 1 {
            order = (0..held.columns.len()).collect();
        }
        let mut columns: Vec<_> = held.columns.into_iter().map(Some).collect();
        for i in order {
            let Some(mut column) = columns[i].take() else { continue };
            column.points.keep_only(&kept[i]);
            if !column.points.is_empty() {
                sink(column)?;
            }
        }
        Ok(())
    }

    fn only_floats(&self, e: &AggregatePlan, held: &mut Held) {
        for column in &mut held.columns {
            if column.points.histograms.iter().flatten().any(Option::is_some) {
                self.note_ignored_in(e);
                column.points.drop_histograms();
            }
        }
    }
}

/// The columns that are picked at a step, in order.
fn pick_at(op: AggregateOp, parameter: f64, held: &Held, group: &[usize], step: usize) -> Vec<usize> {
    let points = |i: usize| &held.columns[i].points;
    if op == AggregateOp::LimitRatio {
        let ratio = parameter.clamp(-1.0, 1.0);
        let samples = group.iter().copied().filter(|i| points(*i).has(step));
        return samples.filter(|i| in_ratio(ratio, &held.columns[*i].labels)).collect();
    }
    if parameter < 1.0 {
        return Vec::new();
    }
    let count = (parameter as usize).min(group.len());
    let mut present: Vec<usize> = group.iter().copied().filter(|i| points(*i).has(step)).collect();
    let direction = match op {
        AggregateOp::Topk => Direction::Descending,
        AggregateOp::Bottomk => Direction::Ascending,
        _ => {
            present.sort_unstable_by(|a, b| held.columns[*a].labels.cmp(&held.columns[*b].labels));
            present.truncate(count);
            return present;
        }
    };
    let compare = |a: &usize, b: &usize| {
        by_value(points(*a).values[step], points(*b).values[step], direction)
            .then_with(|| held.columns[*a].labels.cmp(&held.columns[*b].labels))
    };
    if count < present.len() {
        present.select_nth_unstable_by(count, compare);
        present.truncate(count);
    }
    present.sort_unstable_by(compare);
    present
}

/// Whether a series belongs to a part of all series: those with small hashes, or, with a negative ratio, exactly those
/// that the complement leaves out.
fn in_ratio(ratio: f64, labels: &Labels) -> bool {
    let offset = hash(labels) as f64 / u64::MAX as f64;
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
            let labels = Labels::from_pairs([("i", i.to_string())]);
            for ratio in [0.0, 0.3, 0.5, 1.0] {
                assert_ne!(in_ratio(ratio, &labels), in_ratio(ratio - 1.0, &labels));
            }
        }
    }
}
