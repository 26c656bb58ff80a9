//! Notification templates: upstream's functions, data and default templates, and the files of the configuration.

mod data;
mod functions;
mod json;

use std::collections::BTreeMap;
use std::sync::Arc;

use gotemplate::{
    ExecError, Function, Limits, MissingKey, ParseError, Templates, Type, Value, text_argument,
};
use parking_lot::Mutex;
use thiserror::Error;

pub use self::data::{AlertData, Data};
pub(crate) use self::json::to_json;
use crate::moment::Moment;

/// The templates that there are without any files.
const DEFAULTS: &str = include_str!("default.tmpl");

/// How deep labels of routes may name each other.
const MAX_NESTED_LABELS: usize = 32;

/// A template that is wrong, or does not come to an end.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TemplateError {
    /// It is no template.
    #[error(transparent)]
    Parse(#[from] ParseError),
    /// Its execution failed.
    #[error(transparent)]
    Exec(#[from] ExecError),
}

/// The default templates and those of the configuration's files.
#[derive(Debug, Clone)]
pub struct NotificationTemplates {
    templates: Templates,
}

impl NotificationTemplates {
    /// The default templates and these files' (name and text each), in order: later definitions replace earlier ones.
    pub fn new<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, ParseError> {
        let mut templates = Templates::new(MissingKey::Zero);
        // What time it is matters at the execution only.
        functions::add(&mut templates, Moment::from_nanos(0));
        templates.add_function("routeLabels", Function::new([Type::Text], |_| Ok(Value::from(""))));
        templates.parse("", DEFAULTS)?;
        for (name, text) in files {
            templates.parse(name, text)?;
        }
        Ok(Self { templates })
    }

    /// The names of all templates.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.templates.names()
    }

    /// Renders a text of the configuration.
    pub fn render(
        &self,
        text: &str,
        data: &Data,
        now: Moment,
        limits: Limits,
    ) -> Result<String, TemplateError> {
        self.render_by(Templates::execute, text, data, (now, limits))
    }

    /// Renders a text of the configuration into HTML: what data puts into it is escaped for where it stands.
    pub fn render_html(
        &self,
        text: &str,
        data: &Data,
        now: Moment,
        limits: Limits,
    ) -> Result<String, TemplateError> {
        self.render_by(Templates::execute_html, text, data, (now, limits))
    }

    fn render_by(
        &self,
        execute: Execute,
        text: &str,
        data: &Data,
        (now, limits): (Moment, Limits),
    ) -> Result<String, TemplateError> {
        if text.is_empty() {
            return Ok(String::new());
        }
        let mut templates = self.templates.clone();
        functions::add(&mut templates, now);
        RouteLabels::of(data, limits).render(templates, text, execute)
    }

    /// The labels of the route in `data`, rendered: each its text, or why it has none.
    pub fn render_route_labels(
        &self,
        data: &Data,
        now: Moment,
        limits: Limits,
    ) -> BTreeMap<String, Result<String, String>> {
        let mut templates = self.templates.clone();
        functions::add(&mut templates, now);
        let labels = RouteLabels::of(data, limits);
        let render = |name: &String| (name.clone(), labels.resolve(&templates, name));
        data.route_labels.keys().map(render).collect()
    }
}

/// How a template is executed: into text or into HTML.
type Execute = fn(&Templates, &str, &Value, Limits) -> Result<String, ExecError>;

/// The labels of a route, which are templates themselves and may name each other.
#[derive(Clone)]
struct RouteLabels {
    raw: Arc<BTreeMap<String, String>>,
    data: Value,
    limits: Limits,
    /// Those that were rendered already: each is rendered once.
    rendered: Arc<Mutex<BTreeMap<String, String>>>,
    /// Those that are being rendered.
    stack: Vec<String>,
}

impl RouteLabels {
    fn of(data: &Data, limits: Limits) -> Self {
        let raw = Arc::new(data.route_labels.clone());
        // Those that were rendered are not rendered again: what alerts say is no template.
        let rendered = if data.route_labels_rendered { data.route_labels.clone() } else { BTreeMap::new() };
        Self {
            raw,
            data: data.to_value(),
            limits,
            rendered: Arc::new(Mutex::new(rendered)),
            stack: Vec::new(),
        }
    }

    fn render(
        &self,
        mut templates: Templates,
        text: &str,
        execute: Execute,
    ) -> Result<String, TemplateError> {
        let (labels, base) = (self.clone(), templates.clone());
        let body = move |args: &[Value]| labels.resolve(&base, text_argument(args, 0)).map(Value::from);
        templates.add_function("routeLabels", Function::new([Type::Text], body));
        templates.remove("");
        templates.parse("", text)?;
        Ok(execute(&templates, "", &self.data, self.limits)?)
    }

    fn resolve(&self, templates: &Templates, name: &str) -> Result<String, String> {
        let Some(raw) = self.raw.get(name) else { return Ok(String::new()) };
        if let Some(rendered) = self.rendered.lock().get(name) {
            return Ok(rendered.clone());
        }
        let mut inner = self.clone();
        inner.stack.push(name.to_owned());
        if inner.stack.len() > MAX_NESTED_LABELS {
            return Err(format!("route labels nested deeper than {MAX_NESTED_LABELS}"));
        }
        if self.stack.iter().any(|label| label == name) {
            return Err(format!("route label cycle detected: {}", inner.stack.join(" -> ")));
        }
        let rendered =
            inner.render(templates.clone(), raw, Templates::execute).map_err(|error| error.to_string())?;
        self.rendered.lock().insert(name.to_owned(), rendered.clone());
        Ok(rendered)
    }
}
