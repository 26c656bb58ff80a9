//! What was expected against what came, and both as text.

use std::collections::BTreeMap;

use gotemplate::{format_float, quote};
use model::Labels;
use promql::{InstantSample, SampleValue};
use testseries::{Item, histogram_text, parse_items};

use super::ExpectedSample;

/// A sample as far as it is compared.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Sample {
    pub(super) labels: Labels,
    value: f64,
    histogram: String,
}

impl Sample {
    /// A sample of a result.
    pub(super) fn of_result(sample: InstantSample) -> Self {
        let (value, histogram) = match &sample.value {
            SampleValue::Float(value) => (*value, String::new()),
            SampleValue::Histogram(histogram) => (0.0, histogram_text(histogram)),
        };
        Self { labels: sample.labels, value, histogram }
    }

    /// A sample that a test expects.
    pub(super) fn expected(expected: &ExpectedSample) -> Result<Self, String> {
        let named = |reason: String| format!("labels {}: {reason}", quote(&expected.labels));
        let labels = series(&expected.labels).map_err(named)?;
        if expected.histogram.is_empty() {
            return Ok(Self { labels, value: expected.value, histogram: String::new() });
        }
        match parse_items(&expected.histogram).map_err(named)?.as_slice() {
            [Item::Histogram(histogram, _)] => {
                Ok(Self { labels, value: expected.value, histogram: histogram_text(histogram) })
            }
            [_] => Err(named("expected histogram, got another value".to_owned())),
            values => Err(named(format!("expected 1 value, got {}", values.len()))),
        }
    }

    /// Whether it is what was expected; `fuzzy` takes neighbouring floats for equal.
    pub(super) fn is(&self, expected: &Self, fuzzy: bool) -> bool {
        let (a, b) = (self.value, expected.value);
        let values = a == b || fuzzy && (a.next_up() == b || a.next_down() == b);
        self.labels == expected.labels && self.histogram == expected.histogram && values
    }

    fn text(&self) -> String {
        let value = match self.histogram.is_empty() {
            true => format_float(self.value, 'E', None),
            false => self.histogram.clone(),
        };
        format!("{} {value}", labels_text(self.labels.iter()))
    }
}

/// Samples in a line.
pub(super) fn samples_text(samples: &[Sample]) -> String {
    match samples {
        [] => "nil".to_owned(),
        samples => samples.iter().map(Sample::text).collect::<Vec<_>>().join(", "),
    }
}

/// The series that a text names, all of it; none is the one without labels.
pub(super) fn series(text: &str) -> Result<Labels, String> {
    if text.trim().is_empty() {
        return Ok(Labels::empty());
    }
    let (labels, length) = promql::parse_metric_prefix(text).map_err(|error| error.to_string())?;
    match text.get(length..).map(str::trim) {
        Some("") => Ok(labels),
        rest => Err(format!("unexpected {} after the series", quote(rest.unwrap_or_default()))),
    }
}

/// Labels and annotations of an alert.
pub(super) type AlertText = (Labels, BTreeMap<String, String>);

/// Alerts as a list, each line after the first indented.
pub(super) fn alerts_text(alerts: &[AlertText]) -> String {
    if alerts.is_empty() {
        return "[]".to_owned();
    }
    let alert = |(index, (labels, annotations)): (usize, &AlertText)| {
        let annotations = annotations.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        format!(
            "{index}:\n  Labels:{}\n  Annotations:{}",
            labels_text(labels.iter()),
            labels_text(annotations)
        )
    };
    let alerts: Vec<String> = alerts.iter().enumerate().map(alert).collect();
    let text = format!("[\n{}\n]", alerts.join(",\n"));
    text.lines().collect::<Vec<_>>().join("\n            ")
}

fn labels_text<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let plain = |name: &str| {
        !name.starts_with(|c: char| c.is_ascii_digit())
            && !name.is_empty()
            && name.chars().all(|c| c == '_' || c.is_ascii_alphanumeric())
    };
    let pairs: Vec<String> = pairs
        .map(|(name, value)| match plain(name) {
            true => format!("{name}={}", quote(value)),
            false => format!("{}={}", quote(name), quote(value)),
        })
        .collect();
    format!("{{{}}}", pairs.join(", "))
}
