//! `sort…`: the order of the series of an instant query.

use std::cmp::Ordering;

use model::Labels;

use crate::engine::error::QueryError;
use crate::functions::{Direction, natural};
use crate::plan::CallPlan;
use crate::plan::steps::Steps;

use super::labels::text_argument;
use super::{Evaluator, Sink};

/// Orders values with NaN at the end, whatever the direction.
pub(super) fn by_value(a: f64, b: f64, direction: Direction) -> Ordering {
    match (a.is_nan(), b.is_nan()) {
        (true, true) => Ordering::Equal,
        (true, false) => Ordering::Greater,
        (false, true) => Ordering::Less,
        (false, false) => {
            let order = a.partial_cmp(&b).unwrap_or(Ordering::Equal);
            match direction {
                Direction::Ascending => order,
                Direction::Descending => order.reverse(),
            }
        }
    }
}

impl Evaluator<'_> {
    fn note_if_ineffective(&self, call: &CallPlan, steps: &Steps) -> bool {
        let ineffective = steps.count > 1;
        if ineffective {
            self.annotations.borrow_mut().warn(
                call.span,
                "sort is ineffective for range queries since results are always ordered by labels",
            );
        }
        ineffective
    }

    /// By value; histograms go.
    pub(super) fn sort(
        &self,
        call: &CallPlan,
        direction: Direction,
        steps: &Steps,
        sink: Sink<'_>,
    ) -> Result<(), QueryError> {
        let ineffective = self.note_if_ineffective(call, steps);
        let mut held = self.held(&call.args[0], steps)?;
        held.columns.iter_mut().for_each(|c| c.points.drop_histograms());
        held.columns.retain(|c| !c.points.is_empty());
        let mut columns = held.columns;
        if !ineffective {
            columns = self.sort_items(columns, |a, b| {
                by_value(a.points.values[0], b.points.values[0], direction)
                    .then_with(|| a.labels.cmp(&b.labels))
            })?;
        }
        columns.into_iter().try_for_each(sink)
    }

    /// By labels in natural order, then by all labels.
    pub(super) fn sort_by_label(
        &self,
        call: &CallPlan,
        direction: Direction,
        steps: &Steps,
        sink: Sink<'_>,
    ) -> Result<(), QueryError> {
        let ineffective = self.note_if_ineffective(call, steps);
        let names: Vec<_> =
            (1..call.args.len()).map(|i| String::from_utf8_lossy(text_argument(call, i))).collect();
        let compare = |a: &Labels, b: &Labels| {
            let by_name =
                names.iter().map(|name| natural::compare(a.get_or_empty(name), b.get_or_empty(name)));
            let order = by_name.fold(Ordering::Equal, Ordering::then).then_with(|| a.cmp(b));
            match direction {
                Direction::Ascending => order,
                Direction::Descending => order.reverse(),
            }
        };
        let held = self.held(&call.args[0], steps)?;
        let mut columns = held.columns;
        if !ineffective {
            columns = self.sort_items(columns, |a, b| compare(&a.labels, &b.labels))?;
        }
        columns.into_iter().try_for_each(sink)
    }
}
