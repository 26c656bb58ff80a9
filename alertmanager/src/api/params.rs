//! Parameters of requests: filters, and which states are wanted.

use http::Uri;
use model::MatchOp;

use super::answer::{Refused, bad};
use crate::config::Config;
use crate::matcher::{Language, Matcher};

/// The most parameters that are read.
const MAX_PARAMS: usize = 1_000;

/// Names and values of a request's query.
pub(super) struct Params(Vec<(String, String)>);

impl Params {
    pub(super) fn of(uri: &Uri) -> Self {
        let query = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
        Self(query.take(MAX_PARAMS).map(|(name, value)| (name.into_owned(), value.into_owned())).collect())
    }

    /// The values of a parameter, in order.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// Whether something is wanted: unless something else is said it is, and whatever does not say yes says no.
    pub(super) fn wanted(&self, name: &str) -> bool {
        let yes = ["true", "1", "yes", "ok", "y", "on", "selected", "checked", "t", "enabled"];
        let said = self.all(name).last().filter(|value| !value.is_empty());
        said.is_none_or(|value| yes.contains(&value.to_lowercase().as_str()))
    }

    /// The matchers of parameters of that name.
    fn matchers(&self, name: &str, language: Language) -> Result<Vec<Matcher>, String> {
        let matchers = self.all(name).map(|text| language.matcher(text));
        matchers.collect::<Result<_, _>>().map_err(|error| error.to_string())
    }

    /// The matchers of `filter`.
    pub(super) fn filter(&self, language: Language) -> Result<Vec<Matcher>, Refused> {
        self.matchers("filter", language).map_err(|error| Box::new(bad(&error)))
    }

    /// Which receivers are wanted.
    pub(super) fn receivers(&self, language: Language) -> Result<ReceiverFilter, Refused> {
        let name = match self.all("receiver").last().filter(|pattern| !pattern.is_empty()) {
            None => None,
            Some(pattern) => {
                let compiled = Matcher::new("receiver", MatchOp::Regex, pattern);
                let failed = |error: model::MatcherError| {
                    Box::new(bad(&format!("failed to parse receiver param: {error}")))
                };
                Some(compiled.map_err(failed)?)
            }
        };
        Ok(ReceiverFilter { name, ..self.receiver_labels(language)? })
    }

    /// Which receivers are wanted by their labels alone.
    pub(super) fn receiver_labels(&self, language: Language) -> Result<ReceiverFilter, Refused> {
        let wrong = |error| Box::new(bad(&format!("failed to parse receiver_matchers param: {error}")));
        let labels = self.matchers("receiver_matchers", language).map_err(wrong)?;
        Ok(ReceiverFilter { name: None, labels })
    }
}

/// Which receivers are wanted.
pub(super) struct ReceiverFilter {
    name: Option<Matcher>,
    labels: Vec<Matcher>,
}

impl ReceiverFilter {
    /// All of them.
    pub(super) fn any_of_all() -> Self {
        Self { name: None, labels: Vec::new() }
    }

    /// The one of that name.
    pub(super) fn named(name: &str) -> Result<Self, model::MatcherError> {
        let name = Matcher::new("receiver", MatchOp::Equal, name)?;
        Ok(Self { name: Some(name), labels: Vec::new() })
    }

    /// Whether any of these receivers is wanted by its name, and any by its labels.
    pub(super) fn any(&self, config: &Config, receivers: &[&str]) -> bool {
        let by_name = |name: &Matcher| receivers.iter().any(|receiver| name.matches_value(receiver));
        let named = self.name.as_ref().is_none_or(by_name);
        named && (self.labels.is_empty() || receivers.iter().any(|name| self.labelled(config, name)))
    }

    fn labelled(&self, config: &Config, name: &str) -> bool {
        config.receiver(name).is_some_and(|receiver| {
            passes(&self.labels, |label| receiver.labels.get(label).map(String::as_str))
        })
    }

    /// Whether a receiver is wanted by its labels.
    pub(super) fn by_labels(&self, config: &Config, name: &str) -> bool {
        self.labels.is_empty() || self.labelled(config, name)
    }
}

/// Whether labels pass a filter. Unlike in routes, an empty value asks whether there is such a label.
pub(super) fn passes<'a>(matchers: &[Matcher], label: impl Fn(&str) -> Option<&'a str>) -> bool {
    matchers.iter().all(|matcher| {
        let value = label(matcher.name());
        let negated = matches!(matcher.op(), MatchOp::NotEqual | MatchOp::NotRegex);
        if matcher.value().is_empty() && negated == value.is_some() {
            return true;
        }
        matcher.matches_value(value.unwrap_or_default())
    })
}
