//! The labels of what is absent.

use model::{Labels, LabelsBuilder, METRIC_NAME, MatchOp, Matcher};

/// The labels that matchers demand with `=`, once each; none for the metric's name.
pub(crate) fn absent_labels(matchers: &[Matcher]) -> Labels {
    let mut builder = LabelsBuilder::default();
    let mut seen: Vec<&str> = Vec::new();
    for matcher in matchers.iter().filter(|m| m.name() != METRIC_NAME) {
        if matcher.op() == MatchOp::Equal && !seen.contains(&matcher.name()) {
            builder.set(matcher.name(), matcher.value());
            seen.push(matcher.name());
        } else {
            builder.remove(matcher.name());
        }
    }
    builder.build()
}
