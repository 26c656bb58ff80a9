//! What templates see: the sample of an alert, and the results of queries.

use std::sync::Arc;

use gotemplate::{List, Object, Type, Underlying, Value};
use model::FloatHistogram;
use promql::{InstantSample, SampleValue};

/// The type of the result of `query`.
pub(super) const RESULT: Type = Type::Named("template.queryResult");
/// The type of one sample of it.
pub(super) const SAMPLE: Type = Type::Named("*template.sample");

/// A map of texts.
pub(super) fn text_map<N: AsRef<str>, V: AsRef<str>>(pairs: impl Iterator<Item = (N, V)>) -> Value {
    Value::map(Type::Text, pairs.map(|(name, value)| (name, Value::from(value.as_ref()))))
}

/// The value of a sample.
pub(super) fn value(value: &SampleValue) -> Value {
    match value {
        SampleValue::Float(value) => Value::Float(*value),
        SampleValue::Histogram(histogram) => Value::object(HistogramValue(Arc::clone(histogram))),
    }
}

/// A native histogram, which prints itself and has nothing else.
#[derive(Debug)]
struct HistogramValue(Arc<FloatHistogram>);

impl Object for HistogramValue {
    fn type_name(&self) -> &'static str {
        "*histogram.FloatHistogram"
    }

    fn text(&self) -> Option<String> {
        Some(self.0.to_string())
    }
}

/// The data of a text.
#[derive(Debug)]
pub(super) struct AlertData {
    pub(super) labels: Value,
    pub(super) external_labels: Value,
    pub(super) external_url: Value,
    pub(super) value: Value,
}

impl Object for AlertData {
    fn type_name(&self) -> &'static str {
        "struct { Labels map[string]string; ExternalLabels map[string]string; ExternalURL string; Value interface {} }"
    }

    fn fields(&self) -> &'static [&'static str] {
        &["Labels", "ExternalLabels", "ExternalURL", "Value"]
    }

    fn field(&self, name: &str) -> Option<Value> {
        Some(match name {
            "Labels" => self.labels.clone(),
            "ExternalLabels" => self.external_labels.clone(),
            "ExternalURL" => self.external_url.clone(),
            "Value" => self.value.clone(),
            _ => return None,
        })
    }
}

/// One sample of a query's result.
#[derive(Debug)]
pub(super) struct Sample {
    labels: Value,
    value: Value,
}

impl Sample {
    /// The sample that an argument is.
    pub(super) fn of(arguments: &[Value], index: usize) -> Option<&Self> {
        match arguments.get(index)? {
            Value::Object(object) => object.downcast(),
            _ => None,
        }
    }

    /// The value of a label; empty where it has none of that name.
    pub(super) fn label(&self, name: &str) -> Value {
        let found = self.labels.as_map().and_then(|map| map.entries().get(name).cloned());
        found.unwrap_or_else(|| Value::from(""))
    }

    /// Its value.
    pub(super) fn value(&self) -> Value {
        self.value.clone()
    }
}

impl Object for Sample {
    fn type_name(&self) -> &'static str {
        "*template.sample"
    }

    fn fields(&self) -> &'static [&'static str] {
        &["Labels", "Value"]
    }

    fn field(&self, name: &str) -> Option<Value> {
        match name {
            "Labels" => Some(self.labels.clone()),
            "Value" => Some(self.value.clone()),
            _ => None,
        }
    }
}

/// The result of a query.
#[derive(Debug)]
pub(super) struct QueryResult(List);

impl QueryResult {
    /// The result as templates see it.
    pub(super) fn of_samples(samples: Vec<InstantSample>) -> Value {
        Self::of_items(samples.into_iter().map(|sample| {
            let (labels, value) = (text_map(sample.labels.iter()), value(&sample.value));
            Value::object(Sample { labels, value })
        }))
    }

    /// A result of these samples.
    pub(super) fn of_items(items: impl IntoIterator<Item = Value>) -> Value {
        Value::object(Self(List::new(SAMPLE, items)))
    }
}

impl Object for QueryResult {
    fn type_name(&self) -> &'static str {
        "template.queryResult"
    }

    fn underlying(&self) -> Underlying<'_> {
        Underlying::List(&self.0)
    }
}
