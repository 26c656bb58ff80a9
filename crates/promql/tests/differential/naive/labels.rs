//! Labels: dropping names, `label_replace`, `label_join`, what `absent` returns.

use model::{Labels, LabelsBuilder, METRIC_NAME, MatchOp, Matcher};
use promql::ast::{Call, Expr};
use regex::Regex;

use super::{Naive, Outcome, Vector};

/// Labels without what says which metric it is.
pub(super) fn unnamed(labels: &Labels) -> Labels {
    labels.without(METRIC_NAME).without("__type__").without("__unit__")
}

pub(super) fn text(e: &Expr) -> String {
    match e.without_parens() {
        Expr::String(text) => text.to_str_lossy().into_owned(),
        other => panic!("not a text: {other}"),
    }
}

/// The labels that the selector of an absent vector demands.
pub(super) fn absent_labels(argument: &Expr) -> Labels {
    let matchers: &[Matcher] = match argument.without_parens() {
        Expr::Vector(e) => &e.matchers,
        Expr::Matrix(e) => &e.selector.matchers,
        _ => &[],
    };
    let mut builder = LabelsBuilder::default();
    for (i, m) in matchers.iter().enumerate().filter(|(_, m)| m.name() != METRIC_NAME) {
        let again = matchers[..i].iter().any(|o| o.name() == m.name() && o.op() == MatchOp::Equal);
        if m.op() == MatchOp::Equal && !again {
            builder.set(m.name(), m.value());
        } else {
            builder.remove(m.name());
        }
    }
    builder.build()
}

impl Naive<'_> {
    pub(super) fn label_replace(&self, e: &Call, times: &[i64]) -> Outcome<Vec<Vector>> {
        let [target, template, from, pattern] = [1, 2, 3, 4].map(|i| text(&e.args[i]));
        let regex = Regex::new(&format!("^(?s:{pattern})$")).map_err(|_| "invalid regular expression")?;
        if target.is_empty() {
            return Err("invalid destination label name".to_owned());
        }
        self.relabel(e, times, &target, |labels| {
            let found = regex.captures(labels.get_or_empty(&from))?;
            // The templates of these tests refer to groups as `$1` and `${name}` only, which the crate understands.
            let mut out = String::new();
            found.expand(&template, &mut out);
            Some(out)
        })
    }

    pub(super) fn label_join(&self, e: &Call, times: &[i64]) -> Outcome<Vec<Vector>> {
        let (target, separator) = (text(&e.args[1]), text(&e.args[2]));
        let sources: Vec<String> = e.args[3..].iter().map(text).collect();
        if target.is_empty() || sources.iter().any(String::is_empty) {
            return Err("invalid label name".to_owned());
        }
        self.relabel(e, times, &target, |labels| {
            Some(sources.iter().map(|s| labels.get_or_empty(s)).collect::<Vec<_>>().join(&separator))
        })
    }

    fn relabel(
        &self,
        e: &Call,
        times: &[i64],
        target: &str,
        value: impl Fn(&Labels) -> Option<String>,
    ) -> Outcome<Vec<Vector>> {
        let mut vectors = self.vectors(&e.args[0], times)?;
        for sample in vectors.iter_mut().flatten() {
            if let Some(value) = value(&sample.labels) {
                let mut builder = sample.labels.to_builder();
                builder.set(target, &value);
                sample.labels = builder.build();
                sample.drop_name &= target != METRIC_NAME;
            }
        }
        self.all_unique(vectors)
    }
}
