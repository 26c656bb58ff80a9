//! Whether labels are right: quickly for those that are, with a reason for those that are not.

use std::cmp::Ordering;
use std::fmt::Write;

use proto::RejectReason;

use super::Refusal;
use crate::config::WriteLimits;

/// The name of the label that holds a metric's name: eight bytes, so that its prefix is all of it.
const METRIC_NAME: u64 = u64::from_be_bytes(*b"__name__");

/// How much of a series' labels a message shows.
const MAX_SHOWN_BYTES: usize = 1024;

/// More labels than most series have: what memory is set aside for.
pub(crate) const USUAL_LABELS: usize = 32;

/// A label as it was sent.
pub(crate) type RawLabel<'a> = (&'a [u8], &'a [u8]);

/// Checks labels one by one as they come, saying only yes or no.
pub(crate) struct QuickCheck<'a> {
    limits: &'a WriteLimits,
    previous: &'a [u8],
    previous_prefix: u64,
    labels: usize,
    named: bool,
}

impl<'a> QuickCheck<'a> {
    #[inline]
    pub(crate) fn new(limits: &'a WriteLimits) -> Self {
        Self { limits, previous: b"", previous_prefix: 0, labels: 0, named: false }
    }

    /// Whether the label is fine and its name comes behind the previous one's. UTF-8 is not looked at.
    #[inline]
    pub(crate) fn accepts(&mut self, name: &'a [u8], value: &'a [u8]) -> bool {
        self.accepts_prefixed(name, prefix(name), value.len())
    }

    /// As [`Self::accepts`], of a name whose [`prefix`] is known and a value of this length.
    #[inline]
    pub(crate) fn accepts_prefixed(&mut self, name: &'a [u8], prefix: u64, value_len: usize) -> bool {
        // Prefixes mostly tell names apart without a call.
        let ascends = match prefix.cmp(&self.previous_prefix) {
            Ordering::Greater => true,
            Ordering::Equal => name > self.previous,
            Ordering::Less => false,
        };
        let accepted = ascends
            && value_len > 0
            && name.len() <= self.limits.max_label_name_length
            && value_len <= self.limits.max_label_value_length;
        self.named |= prefix == METRIC_NAME && name.len() == 8;
        self.previous = name;
        self.previous_prefix = prefix;
        self.labels += 1;
        accepted
    }

    /// Whether the labels together are fine.
    #[inline]
    pub(crate) fn accepts_all(&self) -> bool {
        self.named && self.labels <= self.limits.max_label_names_per_series
    }
}

/// The first eight bytes as a number that orders as they do; zeros stand for bytes that are not there.
#[inline]
pub(crate) fn prefix(name: &[u8]) -> u64 {
    if let Some(first) = name.first_chunk() {
        return u64::from_be_bytes(*first);
    }
    let unused = 8 * (8 - name.len() as u32);
    if let (Some(first), Some(last)) = (name.first_chunk(), name.last_chunk()) {
        // The two halves overlap where they agree.
        return u64::from(u32::from_be_bytes(*first)) << 32 | u64::from(u32::from_be_bytes(*last)) << unused;
    }
    match *name {
        [a, b, c] => u64::from(u32::from_be_bytes([a, b, c, 0])) << 32,
        [a, b] => u64::from(u32::from_be_bytes([a, b, 0, 0])) << 32,
        [a] => u64::from(a) << 56,
        _ => 0,
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn names_are_in_order_if_and_only_if_they_are(names in prop::collection::vec("[a_b\\x00]{0,10}", 1..5)) {
            let limits = WriteLimits::default();
            let mut check = QuickCheck::new(&limits);
            let accepted = names.iter().all(|name| check.accepts(name.as_bytes(), b"x"));
            let sorted = names.is_sorted_by(|a, b| a < b) && !names[0].is_empty();
            prop_assert_eq!(accepted, sorted);
        }
    }

    #[test]
    fn prefixes() {
        let name = b"abcdefghij";
        for len in 0..=name.len() {
            let mut padded = [0; 8];
            let used = len.min(8);
            padded[..used].copy_from_slice(&name[..used]);
            assert_eq!(prefix(&name[..len]), u64::from_be_bytes(padded), "{len}");
        }
    }
}
