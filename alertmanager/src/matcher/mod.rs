//! The matchers of routes, inhibition rules, silences and filters, and the two languages they are written in.

mod classic;
mod utf8;

use std::fmt;

use model::{Labels, MatchOp, MatcherError};
use thiserror::Error;

/// The most bytes that a text with matchers may have.
pub const MAX_MATCHERS_BYTES: usize = 64 << 10;

/// One condition on one label. Regular expressions are anchored; unlike in PromQL, `.` matches no line feed.
#[derive(Clone, PartialEq, Eq)]
pub struct Matcher {
    name: String,
    op: MatchOp,
    value: String,
    compiled: model::Matcher,
}

impl Matcher {
    /// The matcher `name op value`.
    pub fn new(name: &str, op: MatchOp, value: &str) -> Result<Self, MatcherError> {
        let regex = matches!(op, MatchOp::Regex | MatchOp::NotRegex);
        let compiled = match model::Matcher::new(name, op, value) {
            Ok(_) if regex && value.contains('.') => {
                model::Matcher::new(name, op, &format!("(?-s:{value})"))?
            }
            Ok(compiled) => compiled,
            Err(error) => return Err(as_upstream_says(name, error)),
        };
        Ok(Self { name: name.to_owned(), op, value: value.to_owned(), compiled })
    }

    /// The label that it looks at.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How it compares.
    pub fn op(&self) -> MatchOp {
        self.op
    }

    /// What it compares with.
    pub fn value(&self) -> &str {
        &self.value
    }

    /// Whether a label set passes; a label that it lacks has the empty value.
    pub fn matches(&self, labels: &Labels) -> bool {
        self.matches_value(labels.get_or_empty(&self.name))
    }

    /// Whether a value passes.
    pub fn matches_value(&self, value: &str) -> bool {
        self.compiled.matches(value)
    }
}

/// What is wrong with an expression, told of the anchored one, as upstream tells it.
fn as_upstream_says(name: &str, error: MatcherError) -> MatcherError {
    let anchored = format!("^(?:{})$", error.pattern);
    match model::Matcher::new(name, MatchOp::Regex, &anchored) {
        Err(MatcherError { reason, .. }) => MatcherError { reason, ..error },
        Ok(_) => error,
    }
}

/// Whether all matchers let a label set pass.
pub fn all_match(matchers: &[Matcher], labels: &Labels) -> bool {
    matchers.iter().all(|matcher| matcher.matches(labels))
}

/// The order in which routes show their matchers, which their keys depend on.
pub fn sort(matchers: &mut [Matcher]) {
    matchers.sort_by(|a, b| (&a.name, &a.value, a.op).cmp(&(&b.name, &b.value, b.op)));
}

/// Matchers as upstream writes them: `{a="b",c=~"d"}`.
pub fn display(matchers: &[Matcher]) -> String {
    let shown: Vec<String> = matchers.iter().map(ToString::to_string).collect();
    format!("{{{}}}", shown.join(","))
}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let op = self.op.as_str();
        if self.name.contains(is_reserved) {
            return write!(f, "{}{op}{}", gotemplate::quote(&self.name), gotemplate::quote(&self.value));
        }
        let value = self.value.replace('\\', r"\\").replace('\n', r"\n").replace('"', "\\\"");
        write!(f, "{}{op}\"{value}\"", self.name)
    }
}

impl fmt::Debug for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Whether a character has to be quoted in the language with UTF-8.
fn is_reserved(c: char) -> bool {
    c.is_whitespace() || "{}!=~,\\\"'`".contains(c)
}

/// Which language matchers and label names are read in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Language {
    /// The one with UTF-8; where it fails or means something else, the classic one. Upstream's default.
    #[default]
    Fallback,
    /// The classic one alone.
    Classic,
    /// The one with UTF-8 alone.
    Utf8,
}

/// A text that is no matcher, or not the matchers that are asked for.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ParseMatcherError {
    /// It does not follow the language.
    #[error("{0}")]
    Syntax(String),
    /// Its regular expression is none.
    #[error(transparent)]
    Regex(#[from] MatcherError),
}

impl ParseMatcherError {
    fn syntax(message: impl Into<String>) -> Self {
        Self::Syntax(message.into())
    }
}

type Parsed = Result<Vec<Matcher>, ParseMatcherError>;

impl Language {
    /// Whether a label may have this name.
    pub fn is_label_name(self, name: &str) -> bool {
        match self {
            Self::Classic => is_classic_name(name),
            Self::Fallback | Self::Utf8 => !name.is_empty(),
        }
    }

    /// Any number of matchers, with or without braces around them.
    pub fn matchers(self, text: &str) -> Parsed {
        bounded(text)?;
        match self {
            Self::Classic => classic::matchers(text),
            Self::Utf8 => utf8::matchers(text),
            Self::Fallback => prefer(utf8::matchers(text), classic::matchers(text)),
        }
    }

    /// One matcher, without braces.
    pub fn matcher(self, text: &str) -> Result<Matcher, ParseMatcherError> {
        bounded(text)?;
        let one = || utf8::matchers(text).and_then(exactly_one);
        match self {
            Self::Classic => classic::matcher(text),
            Self::Utf8 | Self::Fallback if text.starts_with('{') || text.ends_with('}') => {
                Err(ParseMatcherError::syntax(format!("unexpected open or close brace: {text}")))
            }
            Self::Utf8 => one(),
            Self::Fallback => prefer(one(), classic::matcher(text)),
        }
    }
}

/// What the language with UTF-8 read, unless the classic one read something else.
fn prefer<T: PartialEq>(
    utf8: Result<T, ParseMatcherError>,
    classic: Result<T, ParseMatcherError>,
) -> Result<T, ParseMatcherError> {
    match (utf8, classic) {
        (Ok(utf8), Err(_)) => Ok(utf8),
        (_, classic) => classic,
    }
}

fn bounded(text: &str) -> Result<(), ParseMatcherError> {
    if text.len() > MAX_MATCHERS_BYTES {
        let length = text.len();
        return Err(ParseMatcherError::syntax(format!(
            "matchers of {length} bytes, at most {MAX_MATCHERS_BYTES} are allowed"
        )));
    }
    Ok(())
}

fn exactly_one(matchers: Vec<Matcher>) -> Result<Matcher, ParseMatcherError> {
    let count = matchers.len();
    match <[Matcher; 1]>::try_from(matchers) {
        Ok([matcher]) => Ok(matcher),
        Err(_) if count == 0 => Err(ParseMatcherError::syntax("no matchers")),
        Err(_) => Err(ParseMatcherError::syntax(format!("expected 1 matcher, found {count}"))),
    }
}

/// Whether a name is one that every version knows: letters, digits and underscores, no digit first.
pub fn is_classic_name(name: &str) -> bool {
    name.starts_with(|c: char| c == '_' || c.is_ascii_alphabetic())
        && name.bytes().all(|byte| byte == b'_' || byte.is_ascii_alphanumeric())
}
