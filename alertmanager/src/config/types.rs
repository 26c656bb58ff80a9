//! What values of the configuration are: secrets, URLs, addresses, durations of Go, regular expressions.

use std::fmt;
use std::time::Duration;

use model::MatchOp;
use settings::yaml::Node;

use super::decode::{Decode, Problem, mismatch, text, text_of};
use super::scalar::{self, Scalar};
use super::show::Shown;
use super::url;
use crate::matcher::Matcher;

/// What stands for what must not be shown.
pub const HIDDEN: &str = "<secret>";

/// A text that is never shown.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// A secret of this text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text, for whoever has to present it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "" } else { HIDDEN })
    }
}

impl Decode for Secret {
    fn decode(node: &Node) -> Result<Self, Problem> {
        text_of(node, "config.plain").map(Self)
    }

    fn null() -> Option<Self> {
        Some(Self::default())
    }

    fn show(&self) -> Option<Shown> {
        (!self.0.is_empty()).then(|| Shown::Text(HIDDEN.to_owned()))
    }
}

/// An HTTP or HTTPS URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url(String);

impl Url {
    /// The URL that a text is.
    pub fn parse(text: &str) -> Result<Self, String> {
        let url::Parts { scheme, host } = url::parts(text)?;
        if scheme != "http" && scheme != "https" {
            return Err(format!("unsupported scheme {} for URL", gotemplate::quote(&scheme)));
        }
        if host.is_empty() {
            return Err("missing host for URL".to_owned());
        }
        Ok(Self(text.to_owned()))
    }

    /// The URL as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The URL with a slash at the end of its path.
    pub(super) fn with_slash(self) -> Self {
        let end = self.0.find(['?', '#']).unwrap_or(self.0.len());
        let (path, rest) = self.0.split_at(end);
        if path.ends_with('/') { self } else { Self(format!("{path}/{rest}")) }
    }
}

impl Decode for Url {
    fn decode(node: &Node) -> Result<Self, Problem> {
        Self::parse(&text(node)?).map_err(|message| Problem::at(node, message))
    }

    fn show(&self) -> Option<Shown> {
        Some(Shown::Text(self.0.clone()))
    }
}

/// A URL that is never shown. A shown one may be read again, and is no URL then.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretUrl(Option<Url>);

impl SecretUrl {
    /// The URL, unless it was read from what was shown.
    pub fn expose(&self) -> Option<&str> {
        self.0.as_ref().map(Url::as_str)
    }
}

impl From<Url> for SecretUrl {
    fn from(url: Url) -> Self {
        Self(Some(url))
    }
}

impl fmt::Debug for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

impl Decode for SecretUrl {
    fn decode(node: &Node) -> Result<Self, Problem> {
        let text = text(node)?;
        if text == HIDDEN {
            return Ok(Self(None));
        }
        // The message of a wrong one would show it.
        Url::parse(&text).map(|url| Self(Some(url))).map_err(|message| {
            let shown = if text.is_empty() {
                message
            } else {
                message.replace(&gotemplate::quote(&text), "[REDACTED]")
            };
            Problem::at(node, shown)
        })
    }

    fn show(&self) -> Option<Shown> {
        Some(Shown::Text(HIDDEN.to_owned()))
    }
}

/// A URL that may be a template and is never shown; empty if there is none.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct SecretTemplateUrl(String);

impl SecretTemplateUrl {
    /// The URL or the template of one.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for SecretTemplateUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "" } else { HIDDEN })
    }
}

impl Decode for SecretTemplateUrl {
    fn null() -> Option<Self> {
        Some(Self::default())
    }

    fn decode(node: &Node) -> Result<Self, Problem> {
        let text = text_of(node, "config.plain")?;
        let wrong = |message: String| Problem::at(node, message);
        if !text.is_empty() && text != HIDDEN {
            if is_template(&text).map_err(|error| wrong(format!("invalid template syntax: {error}")))? {
                return Ok(Self(text));
            }
            Url::parse(&text).map_err(|error| wrong(format!("invalid URL: {error}")))?;
        }
        Ok(Self(text))
    }

    fn show(&self) -> Option<Shown> {
        (!self.0.is_empty()).then(|| Shown::Text(HIDDEN.to_owned()))
    }
}

/// Whether a text is a template. Only the functions of every template are known here, as upstream has it.
pub(super) fn is_template(text: &str) -> Result<bool, gotemplate::ParseError> {
    if !text.contains("{{") {
        return Ok(false);
    }
    gotemplate::Templates::default().parse("", text)?;
    Ok(true)
}

/// A host and a port.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostPort {
    /// The name or address.
    pub host: String,
    /// The port, by number or name.
    pub port: String,
}

impl HostPort {
    fn parse(text: &str) -> Result<Self, String> {
        let wrong = |what: &str| format!("address {text}: {what}");
        let (host, port) = text.rsplit_once(':').ok_or_else(|| wrong("missing port in address"))?;
        let host = match host.strip_prefix('[') {
            Some(inner) => inner.strip_suffix(']').ok_or_else(|| wrong("missing ']' in address"))?,
            None if host.contains(':') => return Err(wrong("too many colons in address")),
            None => host,
        };
        if port.is_empty() {
            return Err(format!("address {}: port cannot be empty", gotemplate::quote(text)));
        }
        Ok(Self { host: host.to_owned(), port: port.to_owned() })
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.host.is_empty() && self.port.is_empty()
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            host_port if host_port.is_empty() => Ok(()),
            Self { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self { host, port } => write!(f, "{host}:{port}"),
        }
    }
}

impl Decode for HostPort {
    fn null() -> Option<Self> {
        Some(Self::default())
    }

    fn decode(node: &Node) -> Result<Self, Problem> {
        let text = text(node)?;
        if text.is_empty() {
            return Ok(Self::default());
        }
        Self::parse(&text).map_err(|message| Problem::at(node, message))
    }

    fn show(&self) -> Option<Shown> {
        Some(Shown::Text(self.to_string()))
    }
}

/// A duration as Go writes it: `1h2m3.5s`, or a whole number of nanoseconds. Zero is none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct GoDuration(pub Duration);

impl Decode for GoDuration {
    fn decode(node: &Node) -> Result<Self, Problem> {
        let nanoseconds = match (Scalar::of(node), node.scalar()) {
            (Scalar::Text, Some(text)) => scalar::go_duration(text).ok(),
            (number, _) => number.whole().and_then(|number| i64::try_from(number).ok()),
        };
        let nanoseconds = nanoseconds.ok_or_else(|| mismatch(node, "time.Duration"))?;
        // One below zero is as good as none.
        Ok(Self(Duration::from_nanos(nanoseconds.try_into().unwrap_or(0))))
    }

    fn show(&self) -> Option<Shown> {
        let nanos = i64::try_from(self.0.as_nanos()).unwrap_or(i64::MAX);
        Some(Shown::Plain(gotemplate::time::GoDuration(nanos).to_string()))
    }

    fn null() -> Option<Self> {
        Some(Self::default())
    }
}

/// A duration as Go writes it, which a number is not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TextDuration(pub Duration);

impl Decode for TextDuration {
    fn decode(node: &Node) -> Result<Self, Problem> {
        let text = text_of(node, "config.duration")?;
        let nanoseconds = scalar::go_duration(&text).map_err(|message| Problem::at(node, message))?;
        Ok(Self(Duration::from_nanos(nanoseconds.try_into().unwrap_or(0))))
    }

    fn show(&self) -> Option<Shown> {
        (!self.0.is_zero()).then(|| GoDuration(self.0).show()).flatten()
    }

    fn null() -> Option<Self> {
        Some(Self::default())
    }
}

/// `match_re` and its like: label names and regular expressions.
pub(super) fn regex_matchers(node: &Node) -> Result<Vec<Matcher>, Problem> {
    let mut matchers = Vec::new();
    for (name, value) in super::decode::entries(node)? {
        check_classic(name).map_err(|message| Problem::at(value, message))?;
        if value.is_null() {
            let message = format!("invalid regexp value for {}", gotemplate::quote(name));
            return Err(Problem::at(value, message));
        }
        let pattern = text(value)?;
        let wrong = |error: model::MatcherError| Problem::at(value, error.to_string());
        Matcher::new(name, MatchOp::Regex, &pattern).map_err(wrong)?;
        // Upstream keeps these with their anchors, which group keys show.
        matchers.push(Matcher::new(name, MatchOp::Regex, &format!("^(?:{pattern})$")).map_err(wrong)?);
    }
    Ok(matchers)
}

/// `match` and its like: label names and values.
pub(super) fn equal_matchers(node: &Node) -> Result<Vec<Matcher>, Problem> {
    super::decode::entries(node)?
        .into_iter()
        .map(|(name, value)| {
            check_classic(name).map_err(|message| Problem::at(value, message))?;
            Matcher::new(name, MatchOp::Equal, &text(value)?)
                .map_err(|error| Problem::at(value, error.to_string()))
        })
        .collect()
}

fn check_classic(name: &str) -> Result<(), String> {
    if crate::matcher::is_classic_name(name) {
        return Ok(());
    }
    Err(format!("invalid label name {}", gotemplate::quote(name)))
}
