//! How much a native histogram changed over a range.

use model::{CounterResetHint, FloatHistogram};

use crate::ast::Span;
use crate::engine::annotations::Annotations;

use super::over_time::note_mixed_schemas;
use super::rate::{Change, note_not_counter, note_not_gauge};
use super::window::Window;

/// What was being done when custom bounds had to be reconciled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    Addition,
    Subtraction,
    Aggregation,
}

impl Operation {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Addition => "addition",
            Self::Subtraction => "subtraction",
            Self::Aggregation => "aggregation",
        }
    }
}

/// Notes that custom bounds differed.
pub(crate) fn note_reconciled(operation: Operation, span: Span, annotations: &mut Annotations) {
    annotations
        .info(span, format!("mismatched custom buckets were reconciled during {}", operation.as_str()));
}

/// Adds or subtracts; none, with an annotation, if that cannot be done.
pub(super) fn add(
    sum: &mut FloatHistogram,
    other: &FloatHistogram,
    operation: Operation,
    window: &Window<'_>,
    annotations: &mut Annotations,
) -> Option<()> {
    let outcome = match operation {
        Operation::Subtraction => sum.sub(other),
        Operation::Addition | Operation::Aggregation => sum.add(other),
    };
    let Ok(done) = outcome else {
        note_mixed_schemas(window, annotations);
        return None;
    };
    if done.bounds_reconciled {
        note_reconciled(operation, window.first_span, annotations);
    }
    Some(())
}

/// The last histogram of the window minus the first, with what resets took away added. There are at least two.
pub(super) fn change(
    window: &Window<'_>,
    annotations: &mut Annotations,
    change: Change,
) -> Option<FloatHistogram> {
    let points = &window.histograms;
    let values = points.values;
    let (first, last) = (&*values[0], &*values[values.len() - 1]);
    let gauge = |h: &FloatHistogram| h.counter_reset_hint == CounterResetHint::Gauge;
    if change.counter && values.iter().any(|h| gauge(h)) {
        note_not_counter(window, annotations);
    }
    // If a reset follows right away, the first one counts for nothing, whatever its layout.
    let nothing;
    let mut before = first;
    if change.counter && (points.restarted(1) || values[1].detect_reset(first)) {
        nothing = FloatHistogram {
            schema: values[1].schema,
            custom_values: values[1].custom_values.clone(),
            ..FloatHistogram::default()
        };
        before = &nothing;
    }
    let custom = before.uses_custom_buckets();
    let between = &values[1..values.len() - 1];
    let mixed = last.uses_custom_buckets() != custom
        || change.counter && between.iter().any(|h| h.uses_custom_buckets() != custom);
    if mixed {
        note_mixed_schemas(window, annotations);
        return None;
    }
    let mut schema = last.schema.min(before.schema);
    if change.counter {
        schema = between.iter().map(|h| h.schema).fold(schema, i32::min);
    }
    let mut result = last.to_schema(schema);
    add(&mut result, before, Operation::Subtraction, window, annotations)?;
    if change.counter {
        if points.starts_overlap() {
            annotations.start_time_overlap(window.first_span, window.metric_name());
        }
        for (i, now) in values.iter().enumerate().skip(1) {
            if points.restarted(i) || now.detect_reset(before) {
                add(&mut result, before, Operation::Addition, window, annotations)?;
            }
            before = now;
        }
    } else if !gauge(first) || !gauge(last) {
        note_not_gauge(window, annotations);
    }
    result.counter_reset_hint = CounterResetHint::Gauge;
    Some(result.compacted())
}
