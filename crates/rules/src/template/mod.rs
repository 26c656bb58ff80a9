//! Templates in labels and annotations of alerts: upstream's functions and variables, and its words where one fails.

mod data;
mod functions;
mod hosts;

use std::collections::BTreeMap;
use std::sync::Arc;

use gotemplate::{Limits, MissingKey, ParseError, Templates, Value};
use promql::{InstantSample, SampleValue};

pub(crate) use self::functions::table_link;

/// What stands before every text, so that it has its variables.
const VARIABLES: &str = "{{$labels := .Labels}}{{$externalLabels := .ExternalLabels}}{{$externalURL := .ExternalURL}}{{$value := .Value}}";

/// What a text of an alert may do and write. An alert is no report.
const LIMITS: Limits = Limits { output_bytes: 1 << 20, depth: 64, steps: 1_000_000 };

/// Runs the queries that templates ask.
pub trait TemplateQueries: Send + Sync {
    /// The result of an instant query, a scalar as one sample without labels; or why there is none.
    fn query(&self, text: &str, time_ms: i64) -> Result<Vec<InstantSample>, String>;
}

/// Templates get no answers: for where there is nothing to ask.
#[derive(Debug, Clone, Copy)]
pub struct NoQueries;

impl TemplateQueries for NoQueries {
    fn query(&self, _text: &str, _time_ms: i64) -> Result<Vec<InstantSample>, String> {
        Err("there is nothing to query here".to_owned())
    }
}

/// What is wrong with a text of an alert of that name, if anything is.
pub fn check(alert: &str, text: &str) -> Result<(), ParseError> {
    Text::parse(alert, text).map(drop)
}

/// A text that has been parsed.
#[derive(Debug, Clone)]
pub(crate) enum Text {
    /// It says what it says.
    Plain(String),
    /// It has to be executed.
    Template(Templates),
}

impl Text {
    /// Parses a text of an alert of that name.
    pub(crate) fn parse(alert: &str, text: &str) -> Result<Self, ParseError> {
        if !text.contains("{{") {
            return Ok(Self::Plain(text.to_owned()));
        }
        let mut templates = Templates::new(MissingKey::Zero);
        functions::add(&mut templates, &Context::nowhere());
        templates.parse(&name_of(alert), &format!("{VARIABLES}{text}"))?;
        Ok(Self::Template(templates))
    }
}

fn name_of(alert: &str) -> String {
    format!("__alert_{alert}")
}

/// What functions of templates know.
#[derive(Clone)]
pub(crate) struct Context {
    /// When the rule is evaluated, in milliseconds since 1970.
    pub(crate) now_ms: i64,
    /// The URL of the server, as people reach it.
    pub(crate) external_url: Arc<str>,
    pub(crate) queries: Arc<dyn TemplateQueries>,
}

impl Context {
    fn nowhere() -> Self {
        Self { now_ms: 0, external_url: Arc::from(""), queries: Arc::new(NoQueries) }
    }
}

/// Executes the texts of one alert rule at one time.
pub(crate) struct Expander {
    name: String,
    functions: Templates,
    external_labels: Value,
    external_url: Value,
}

impl Expander {
    pub(crate) fn new(alert: &str, context: &Context, external_labels: &BTreeMap<String, String>) -> Self {
        let mut functions = Templates::new(MissingKey::Zero);
        functions::add(&mut functions, context);
        Self {
            name: name_of(alert),
            functions,
            external_labels: data::text_map(external_labels.iter()),
            external_url: Value::from(&*context.external_url),
        }
    }

    /// What texts see of a sample.
    pub(crate) fn data(&self, sample: &InstantSample) -> Value {
        let labels = data::text_map(sample.labels.iter());
        let value = data::value(&sample.value);
        Value::object(data::AlertData {
            labels,
            external_labels: self.external_labels.clone(),
            external_url: self.external_url.clone(),
            value,
        })
    }

    /// The text with everything filled in; why it could not be, where it could not.
    pub(crate) fn expand(&self, text: &Text, data: &Value) -> String {
        let templates = match text {
            Text::Plain(text) => return text.clone(),
            Text::Template(templates) => templates.with_functions_of(&self.functions),
        };
        templates.execute(&self.name, data, LIMITS).unwrap_or_else(|error| {
            format!("<error expanding template: error executing template {}: {error}>", self.name)
        })
    }
}

/// The float of a sample, or 0 where it is a histogram.
pub(crate) fn float_of(value: &SampleValue) -> f64 {
    match value {
        SampleValue::Float(value) => *value,
        SampleValue::Histogram(_) => 0.0,
    }
}
