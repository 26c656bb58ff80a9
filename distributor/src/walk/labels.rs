//! Whether labels are right: quickly for those that are, with a reason for those that are not.

use std::fmt::Write;

use proto::RejectReason;

use super::Refusal;
use crate::config::WriteLimits;

/// The label that holds a metric's name.
const METRIC_NAME: &[u8] = model::METRIC_NAME.as_bytes();

/// How much of a series' labels a message shows.
const MAX_SHOWN_BYTES: usize = 1024;

/// A label as it was sent.
pub(crate) type RawLabel<'a> = (&'a [u8], &'a [u8]);

/// Checks labels one by one as they come, saying only yes or no.
pub(crate) struct QuickCheck<'a> {
    limits: &'a WriteLimits,
    previous: &'a [u8],
    labels: usize,
    named: bool,
}

impl<'a> QuickCheck<'a> {
    #[inline]
    pub(crate) fn new(limits: &'a WriteLimits) -> Self {
        Self { limits, previous: b"", labels: 0, named: false }
    }

    /// Whether the label is fine and its name comes behind the previous one's. UTF-8 is not looked at.
    #[inline]
    pub(crate) fn accepts(&mut self, name: &'a [u8], value: &'a [u8]) -> bool {
        let accepted = name > self.previous
            && !value.is_empty()
            && name.len() <= self.limits.max_label_name_length
            && value.len() <= self.limits.max_label_value_length;
        self.named |= name == METRIC_NAME;
        self.previous = name;
        self.labels += 1;
        accepted
    }

    /// Whether the labels together are fine.
    #[inline]
    pub(crate) fn accepts_all(&self) -> bool {
        self.named && self.labels <= self.limits.max_label_names_per_series
    }
}

/// Makes sorted text labels of raw ones: checks UTF-8 and names, refuses repeated names, leaves empty values out.
pub(crate) fn normalise<'a>(raw: &[RawLabel<'a>]) -> Result<Vec<(&'a str, &'a str)>, Refusal> {
    let mut labels = Vec::with_capacity(raw.len());
    for &(name, value) in raw {
        let refuse = |what: &str| Refusal {
            reason: RejectReason::InvalidLabel,
            message: format!("series {}: {what}", show_raw(raw)),
        };
        let Ok(name) = simdutf8::basic::from_utf8(name) else {
            return Err(refuse(&format!("label name {} is not valid UTF-8", quoted(name))));
        };
        if name.is_empty() {
            return Err(refuse("a label has no name"));
        }
        let Ok(value) = simdutf8::basic::from_utf8(value) else {
            return Err(refuse(&format!(
                "the value of label {} is not valid UTF-8",
                quoted(name.as_bytes())
            )));
        };
        labels.push((name, value));
    }
    labels.sort_by_key(|(name, _)| *name);
    if let Some(&[(name, _), _]) = labels.array_windows().find(|[a, b]| a.0 == b.0) {
        return Err(Refusal {
            reason: RejectReason::DuplicateLabelName,
            message: format!(
                "series {}: label {} occurs more than once",
                show_raw(raw),
                quoted(name.as_bytes())
            ),
        });
    }
    labels.retain(|(_, value)| !value.is_empty());
    Ok(labels)
}

/// Checks the labels that a series is to be stored with.
pub(crate) fn check(labels: &[(&str, &str)], limits: &WriteLimits) -> Result<(), Refusal> {
    let refuse = |reason, what: &str| {
        Err(Refusal { reason, message: format!("series {}: {what}", show(labels.iter().copied())) })
    };
    if !labels.iter().any(|(name, _)| *name == model::METRIC_NAME) {
        return refuse(RejectReason::MissingMetricName, "it has no metric name; label __name__ is needed");
    }
    let count = labels.len();
    if count > limits.max_label_names_per_series {
        return refuse(
            RejectReason::TooManyLabels,
            &format!(
                "it has {count} labels, at most {} are allowed (max_label_names_per_series)",
                limits.max_label_names_per_series
            ),
        );
    }
    for (name, value) in labels {
        let shown = quoted(name.as_bytes());
        if name.len() > limits.max_label_name_length {
            return refuse(
                RejectReason::LabelNameTooLong,
                &format!(
                    "label name {shown} has {} bytes, at most {} are allowed (max_label_name_length)",
                    name.len(),
                    limits.max_label_name_length
                ),
            );
        }
        if value.len() > limits.max_label_value_length {
            return refuse(
                RejectReason::LabelValueTooLong,
                &format!(
                    "the value of label {shown} has {} bytes, at most {} are allowed (max_label_value_length)",
                    value.len(),
                    limits.max_label_value_length
                ),
            );
        }
    }
    Ok(())
}

/// Labels for a message, at most [`MAX_SHOWN_BYTES`] of them.
pub(crate) fn show<'a>(labels: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    show_pairs(labels.map(|(name, value)| (name.as_bytes(), value.as_bytes())))
}

/// Labels for a message, whatever their bytes.
pub(crate) fn show_raw(labels: &[RawLabel<'_>]) -> String {
    show_pairs(labels.iter().copied())
}

fn show_pairs<'a>(labels: impl Iterator<Item = RawLabel<'a>>) -> String {
    let mut shown = String::from("{");
    for (i, (name, value)) in labels.enumerate() {
        if shown.len() > MAX_SHOWN_BYTES {
            shown.push_str(", …");
            break;
        }
        let comma = if i == 0 { "" } else { ", " };
        let name = String::from_utf8_lossy(beginning(name));
        // Writing to a String does not fail.
        let _ = write!(shown, "{comma}{name}={}", quoted(value));
    }
    shown.push('}');
    shown
}

/// A text in quotes, escaped and cut.
fn quoted(text: &[u8]) -> String {
    let cut = if text.len() > beginning(text).len() { "…" } else { "" };
    format!("{:?}{cut}", String::from_utf8_lossy(beginning(text)))
}

/// At most the first 128 bytes.
fn beginning(text: &[u8]) -> &[u8] {
    text.get(..128).unwrap_or(text)
}
