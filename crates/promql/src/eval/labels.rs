//! Labels that functions change: dropping names, `label_replace`, `label_join`.

use std::fmt::Write;

use model::{Labels, METRIC_NAME};
use regex::Regex;

use crate::engine::error::QueryError;
use crate::plan::steps::Steps;
use crate::plan::{CallPlan, Node};
use crate::text::quote::quote_bytes;

use super::column::Column;
use super::series::Series;
use super::{Evaluator, Sink};

/// The compiled size of a regular expression is bounded, so that a query cannot exhaust memory with one.
const REGEX_SIZE_LIMIT_BYTES: usize = 4 << 20;

/// The longest value that functions may give a label, in bytes: else nested calls could double it without end.
const MAX_VALUE_BYTES: usize = 1 << 20;

/// Whether a label says what the metric is: name, type and unit, which functions take away.
pub(crate) fn is_metadata(name: &str) -> bool {
    matches!(name, METRIC_NAME | "__type__" | "__unit__")
}

/// The labels without those that say what the metric is.
pub(crate) fn without_metadata(labels: &Labels) -> Labels {
    if labels.iter().any(|(name, _)| is_metadata(name)) {
        Labels::from_sorted(labels.iter().filter(|(name, _)| !is_metadata(name)))
    } else {
        labels.clone()
    }
}

impl Evaluator<'_> {
    /// Takes the metric's name from a series: now, or at the end of the query.
    pub(super) fn drop_name(&self, column: &mut Column) {
        column.drop_name = true;
        if self.drops_names_now() {
            let labels = without_metadata(&column.labels);
            column.relabel(labels);
        }
    }

    /// Passes series on whose names may have been dropped: where that can make two of them equal, they are merged,
    /// which fails if they overlap in time.
    pub(super) fn renamed(
        &self,
        node: &Node,
        sink: Sink<'_>,
        produce: impl FnOnce(Sink<'_>) -> Result<(), QueryError>,
    ) -> Result<(), QueryError> {
        if !self.drops_names_now() || node.has_single_name() {
            return produce(sink);
        }
        let mut series = Series::new();
        produce(&mut |column| series.add(self, column))?;
        series.into_each(sink)
    }

    /// `label_replace`: sets a label from what a regular expression finds in another.
    pub(super) fn label_replace(
        &self,
        call: &CallPlan,
        steps: &Steps,
        sink: Sink<'_>,
    ) -> Result<(), QueryError> {
        let text = |i: usize| String::from_utf8_lossy(text_argument(call, i));
        let (target, replacement, from, pattern) = (text(1), text(2), text(3), text(4));
        let regex = regex::RegexBuilder::new(&format!("^(?s:{pattern})$"))
            .size_limit(REGEX_SIZE_LIMIT_BYTES)
            .build()
            .map_err(|_| {
                QueryError::execution(format!("invalid regular expression in label_replace(): {pattern}"))
            })?;
        if target.is_empty() || std::str::from_utf8(text_argument(call, 1)).is_err() {
            return Err(QueryError::execution(format!(
                "invalid destination label name in label_replace(): {target}"
            )));
        }
        let template = Template::parse(&replacement, &regex);
        self.relabeled(call, steps, sink, &target, |labels| {
            let captures = regex.captures(labels.get_or_empty(&from))?;
            Some(template.expand(&captures))
        })
    }

    /// `label_join`: sets a label to others, joined.
    pub(super) fn label_join(
        &self,
        call: &CallPlan,
        steps: &Steps,
        sink: Sink<'_>,
    ) -> Result<(), QueryError> {
        let valid = |i: usize, what: &str| match std::str::from_utf8(text_argument(call, i)) {
            Ok(name) if !name.is_empty() => Ok(name),
            _ => Err(QueryError::execution(format!(
                "invalid {what} label name in label_join(): {}",
                String::from_utf8_lossy(text_argument(call, i))
            ))),
        };
        let separator = String::from_utf8_lossy(text_argument(call, 2));
        let sources: Vec<&str> =
            (3..call.args.len()).map(|i| valid(i, "source")).collect::<Result<_, _>>()?;
        let target = valid(1, "destination")?;
        self.relabeled(call, steps, sink, target, |labels| {
            let mut joined = String::new();
            for (i, source) in sources.iter().enumerate() {
                let separator = if i == 0 { "" } else { &separator };
                let _ = write!(joined, "{separator}{}", labels.get_or_empty(source));
            }
            Some(joined)
        })
    }

    /// Sets a label of each series, and merges those that become equal.
    fn relabeled(
        &self,
        call: &CallPlan,
        steps: &Steps,
        sink: Sink<'_>,
        target: &str,
        value: impl Fn(&Labels) -> Option<String>,
    ) -> Result<(), QueryError> {
        let mut series = Series::new();
        self.each(&call.args[0], steps, &mut |mut column| {
            if let Some(value) = value(&column.labels) {
                if value.len() > MAX_VALUE_BYTES {
                    return Err(QueryError::execution(format!(
                        "label {target:?} would become longer than {MAX_VALUE_BYTES} bytes"
                    )));
                }
                let mut builder = column.labels.to_builder();
                builder.set(target, &value);
                column.relabel(builder.build());
                if target == METRIC_NAME {
                    column.drop_name = false;
                }
            }
            series.add(self, column)
        })?;
        series.into_each(sink)
    }
}

/// The bytes of a text argument; empty if it is none.
pub(super) fn text_argument(call: &CallPlan, i: usize) -> &[u8] {
    match call.args.get(i) {
        Some(Node::Text(bytes, _)) => bytes,
        _ => &[],
    }
}

/// The text argument `i` as the name of a label.
pub(super) fn label_name(bytes: &[u8]) -> Result<&str, QueryError> {
    match std::str::from_utf8(bytes) {
        Ok(name) if !name.is_empty() => Ok(name),
        _ => Err(QueryError::execution(format!("invalid label name {}", quote_bytes(bytes)))),
    }
}

/// A replacement with references to groups: `$1`, `${name}`, `$$`. A name is as long as it can be, and a group that is
/// not there stands for nothing.
struct Template {
    parts: Vec<Part>,
}

enum Part {
    Text(String),
    Group(usize),
}

impl Template {
    fn parse(text: &str, regex: &Regex) -> Self {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            parts.push(Part::Text(rest[..at].to_owned()));
            rest = &rest[at + 1..];
            if let Some(after) = rest.strip_prefix('$') {
                parts.push(Part::Text("$".to_owned()));
                rest = after;
                continue;
            }
            let Some((name, after)) = reference(rest) else {
                // Not a reference: the dollar stands for itself.
                parts.push(Part::Text("$".to_owned()));
                continue;
            };
            rest = after;
            let group = match name.parse::<usize>() {
                Ok(number) => Some(number),
                Err(_) => regex.capture_names().position(|n| n == Some(name)),
            };
            parts.extend(group.map(Part::Group));
        }
        parts.push(Part::Text(rest.to_owned()));
        Self { parts }
    }

    /// The replacement, cut where it has become too long.
    fn expand(&self, captures: &regex::Captures<'_>) -> String {
        let mut out = String::new();
        for part in &self.parts {
            if out.len() > MAX_VALUE_BYTES {
                break;
            }
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Group(group) => out.push_str(captures.get(*group).map_or("", |m| m.as_str())),
            }
        }
        out
    }
}

/// The name of a group behind a dollar, and what follows.
fn reference(text: &str) -> Option<(&str, &str)> {
    let word = |text: &str| -> usize {
        text.char_indices().find(|(_, c)| !(c.is_alphanumeric() || *c == '_')).map_or(text.len(), |(i, _)| i)
    };
    if let Some(inner) = text.strip_prefix('{') {
        let length = word(inner);
        let after = inner[length..].strip_prefix('}')?;
        return (length > 0).then_some((&inner[..length], after));
    }
    let length = word(text);
    (length > 0).then(|| text.split_at(length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates() {
        let regex = Regex::new("(?P<a>x+)-(y*)").unwrap();
        let captures = regex.captures("xx-y").unwrap();
        for (template, expected) in [
            ("$1", "xx"),
            ("${a}b$2", "xxby"),
            ("$1b", ""),
            ("$$1", "$1"),
            ("$9.", "."),
            ("a$", "a$"),
            ("${", "${"),
        ] {
            assert_eq!(Template::parse(template, &regex).expand(&captures), expected, "{template}");
        }
    }

    #[test]
    fn metadata_goes() {
        let labels = Labels::from_pairs([("__name__", "a"), ("__unit__", "s"), ("b", "c")]);
        assert_eq!(without_metadata(&labels), Labels::from_pairs([("b", "c")]));
    }
}
