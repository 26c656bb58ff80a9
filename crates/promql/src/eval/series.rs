//! Series by their labels: samples for the same labels go into one series.

use std::collections::HashMap;

use model::Labels;

use crate::engine::error::QueryError;

use super::column::Column;
use super::{Evaluator, Held, Sink};

/// Series being put together.
pub(crate) struct Series {
    held: Held,
    by_labels: HashMap<Labels, usize>,
}

impl Series {
    pub(crate) fn new() -> Self {
        Self { held: Held::new(), by_labels: HashMap::new() }
    }

    /// Adds a series. One with the same labels is extended; fails if both have a sample at one step.
    pub(crate) fn add(&mut self, evaluator: &Evaluator<'_>, column: Column) -> Result<(), QueryError> {
        if column.points.is_empty() {
            return Ok(());
        }
        if let Some(i) = self.by_labels.get(&column.labels) {
            let known = &mut self.held.columns[*i];
            let (before, now) = (known.points.present(), column.points.present());
            if before.intersects(&now) || !known.points.absorb(&column.points) {
                return Err(QueryError::same_labelset());
            }
            // Whether the name is dropped at the end is what the first sample says.
            if now.iter().next() < before.iter().next() {
                known.drop_name = column.drop_name;
            }
            return Ok(());
        }
        self.by_labels.insert(column.labels.clone(), self.held.columns.len());
        self.held.push(evaluator, column)
    }

    /// Hands all series on, in the order in which they first came.
    pub(crate) fn into_each(self, sink: Sink<'_>) -> Result<(), QueryError> {
        self.held.columns.into_iter().try_for_each(sink)
    }
}
