//! The configuration file: upstream's 0.34, with its messages. What is secret in it is never shown.

pub(crate) mod decode;
mod global;
mod http;
mod inherit;
mod receivers;
mod route;
mod scalar;
mod show;
mod types;
mod url;

use std::collections::BTreeMap;

use settings::yaml::{self, Node};
use thiserror::Error;

pub use self::global::{
    EventRecorder, FileOutput, Global, KafkaOutput, StdoutOutput, Tracing, WebhookOutput,
};
pub use self::http::{Authorization, BasicAuth, Header, HttpConfig, OAuth2, ProxyUrl, TlsConfig};
pub use self::receivers::*;
pub use self::route::RouteConfig;
pub(crate) use self::scalar::Scalar;
pub use self::types::{
    GoDuration, HIDDEN, HostPort, Secret, SecretTemplateUrl, SecretUrl, TextDuration, Url,
};
pub(crate) use self::url::parts as url_parts;

use self::decode::{Decode, Fields, Problem, list, text};
use self::show::Shown;
use crate::inhibit::InhibitRule;
use crate::interval::{self, TimeInterval};
use crate::matcher::Language;

/// A configuration that is refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{message}")]
pub struct ConfigError {
    /// What is wrong, in upstream's words.
    pub message: String,
    /// The line it is found at, from 1.
    pub line: usize,
    /// The column, from 1.
    pub column: usize,
}

impl From<Problem> for ConfigError {
    fn from(problem: Problem) -> Self {
        Self { message: problem.message, line: problem.line, column: problem.column }
    }
}

/// A named list of time intervals.
#[derive(Debug, Clone, PartialEq)]
pub struct NamedIntervals {
    /// What routes call it.
    pub name: String,
    /// Any of these.
    pub intervals: Vec<TimeInterval>,
    /// As it is shown.
    shown: Shown,
}

/// A whole configuration that holds together: receivers have what they inherit, routes name what there is.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// What receivers inherit.
    pub global: Global,
    /// The root of the routing tree.
    pub route: RouteConfig,
    /// Which alerts keep which quiet.
    pub inhibit_rules: Vec<InhibitRule>,
    /// Who can be told.
    pub receivers: Vec<Receiver>,
    /// Files with templates; may have wildcards.
    pub templates: Vec<String>,
    /// `mute_time_intervals` and `time_intervals`.
    pub time_intervals: BTreeMap<String, Vec<TimeInterval>>,
    /// `tracing`.
    pub tracing: Option<Tracing>,
    /// `event_recorder`.
    pub event_recorder: Option<EventRecorder>,
    shown: String,
    original: String,
}

impl Config {
    /// Reads a configuration. `language` is what matchers and label names in it are read in.
    pub fn parse(text: &str, language: Language) -> Result<Self, ConfigError> {
        let node = yaml::parse("", text).map_err(|problem| yaml_error(&problem))?;
        let nowhere = |message: &str| ConfigError { message: message.to_owned(), line: 1, column: 1 };
        let node =
            node.filter(|node| !node.is_null()).ok_or_else(|| nowhere("no route provided in config"))?;
        let parts = Parts::read(&node, language)?;
        let config = parts.combine(&node, text)?;
        if config.route.continues {
            return Err(nowhere("cannot have continue in root route"));
        }
        Ok(config)
    }

    /// The configuration as it was given, secrets included: for whoever stores it.
    pub fn original(&self) -> &str {
        &self.original
    }

    /// The configuration as it may be shown: with every secret hidden.
    pub fn to_yaml(&self) -> &str {
        &self.shown
    }

    /// The receiver of that name.
    pub fn receiver(&self, name: &str) -> Option<&Receiver> {
        self.receivers.iter().find(|receiver| receiver.name == name)
    }
}

fn yaml_error(problem: &settings::Problem) -> ConfigError {
    let (line, column) = match problem.location {
        settings::Location::File { line, column, .. } => (line, column),
        _ => (1, 1),
    };
    // Where the parser's words are those of upstream's, they stand alone.
    let message = problem.message.strip_prefix("not valid YAML: ").unwrap_or(&problem.message);
    let message = match (message.strip_prefix("while parsing "), message.split_once(", ")) {
        (Some(_), Some((_, what))) => what,
        _ => message,
    };
    if let Some(key) = message.strip_suffix(" stands twice in one mapping") {
        let key = key.trim_start_matches("key ").trim_matches('"');
        let message =
            format!("yaml: unmarshal errors:\n  line {line}: field {key} already set in type config.plain");
        return ConfigError { message, line, column };
    }
    ConfigError { message: format!("yaml: line {line}: {message}"), line, column }
}

/// The parts of a file, each right by itself.
struct Parts {
    global: Option<Global>,
    route: Option<RouteConfig>,
    inhibit_rules: Vec<(InhibitRule, Shown)>,
    receivers: Vec<Receiver>,
    templates: Vec<String>,
    mute_time_intervals: Vec<NamedIntervals>,
    time_intervals: Vec<NamedIntervals>,
    tracing: Option<Tracing>,
    event_recorder: Option<EventRecorder>,
}

impl Parts {
    fn read(node: &Node, language: Language) -> Result<Self, Problem> {
        let mut fields = Fields::of(node, "config.plain")?;
        let named = |name: &'static str| move |node: &Node| named_intervals(node, name);
        let parts = Self {
            global: fields.take("global").map(Global::decode).transpose()?,
            route: fields.take("route").map(|node| RouteConfig::read(node, language)).transpose()?,
            inhibit_rules: match fields.take("inhibit_rules") {
                Some(node) => list(node, |node| route::inhibit_rule(node, language))?,
                None => Vec::new(),
            },
            receivers: fields.take("receivers").map(Vec::<Receiver>::decode).transpose()?.unwrap_or_default(),
            templates: fields.take("templates").map(Vec::<String>::decode).transpose()?.unwrap_or_default(),
            mute_time_intervals: match fields.take("mute_time_intervals") {
                Some(node) => list(node, named("mute time interval"))?,
                None => Vec::new(),
            },
            time_intervals: match fields.take("time_intervals") {
                Some(node) => list(node, named("time interval"))?,
                None => Vec::new(),
            },
            tracing: fields.take("tracing").map(Tracing::decode).transpose()?,
            event_recorder: fields.take("event_recorder").map(EventRecorder::decode).transpose()?,
        };
        fields.end()?;
        Ok(parts)
    }

    fn combine(self, node: &Node, original: &str) -> Result<Config, Problem> {
        let wrong = |message: String| Problem::at(node, message);
        let global = self.global.clone().unwrap_or_default();
        let mut receivers = self.receivers.clone();
        inherit::check_global(&global).map_err(wrong)?;
        inherit::receivers(&mut receivers, &global).map_err(wrong)?;
        let route = self.route.clone().ok_or_else(|| wrong("no routes provided".to_owned()))?;
        route.check_root().map_err(wrong)?;
        route.check_receivers(&receivers).map_err(wrong)?;
        let time_intervals = self.named().map_err(wrong)?;
        route.check_intervals(&time_intervals).map_err(wrong)?;
        let shown = self.show(&global, &receivers, &route).to_yaml();
        Ok(Config {
            global,
            route,
            inhibit_rules: self.inhibit_rules.into_iter().map(|(rule, _)| rule).collect(),
            receivers,
            templates: self.templates,
            time_intervals,
            tracing: self.tracing,
            event_recorder: self.event_recorder,
            shown,
            original: original.to_owned(),
        })
    }

    /// The time intervals by their names, of which none may come twice.
    fn named(&self) -> Result<BTreeMap<String, Vec<TimeInterval>>, String> {
        let mut names = BTreeMap::new();
        let kinds =
            [("mute time interval", &self.mute_time_intervals), ("time interval", &self.time_intervals)];
        for (kind, all) in kinds {
            for named in all {
                if names.insert(named.name.clone(), named.intervals.clone()).is_some() {
                    return Err(format!("{kind} {} is not unique", gotemplate::quote(&named.name)));
                }
            }
        }
        Ok(names)
    }

    fn show(&self, global: &Global, receivers: &[Receiver], route: &RouteConfig) -> Shown {
        let intervals = |all: &[NamedIntervals]| {
            let shown: Vec<Shown> = all.iter().map(|named| named.shown.clone()).collect();
            (!shown.is_empty()).then_some(Shown::List(shown))
        };
        let rules: Vec<Shown> = self.inhibit_rules.iter().map(|(_, shown)| shown.clone()).collect();
        let entries = [
            ("global", global.show()),
            ("route", Some(route.shown.clone())),
            ("inhibit_rules", (!rules.is_empty()).then_some(Shown::List(rules))),
            ("receivers", Some(Shown::List(receivers.iter().filter_map(Receiver::show).collect()))),
            ("templates", Some(self.templates.show().unwrap_or(Shown::List(Vec::new())))),
            ("mute_time_intervals", intervals(&self.mute_time_intervals)),
            ("time_intervals", intervals(&self.time_intervals)),
            ("tracing", self.tracing.show()),
            ("event_recorder", self.event_recorder.show()),
        ];
        Shown::Map(
            entries
                .into_iter()
                .filter_map(|(name, shown)| shown.map(|shown| (name.to_owned(), shown)))
                .collect(),
        )
    }
}

fn named_intervals(node: &Node, kind: &str) -> Result<NamedIntervals, Problem> {
    let mut fields = Fields::of(node, "config.plain")?;
    let name = fields.take("name").map(text).transpose()?.unwrap_or_default();
    let intervals = fields.take("time_intervals");
    fields.end()?;
    let parsed = intervals.map(|node| list(node, interval::interval)).transpose()?.unwrap_or_default();
    if name.is_empty() {
        return Err(Problem::at(node, format!("missing name in {kind}")));
    }
    let shown = Shown::Map(vec![
        ("name".to_owned(), Shown::Text(name.clone())),
        // Nothing in it is secret, and what was written is what is meant.
        (
            "time_intervals".to_owned(),
            intervals.and_then(|node| node.to_json().show()).unwrap_or(Shown::List(Vec::new())),
        ),
    ]);
    Ok(NamedIntervals { name, intervals: parsed, shown })
}
