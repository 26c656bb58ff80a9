//! Label matchers: `=`, `!=`, `=~`, `!~`. Regular expressions are anchored at both ends and `.` matches newlines, as
//! in Prometheus; their syntax is RE2.

use std::fmt;
use std::sync::Arc;

use thiserror::Error;

use self::pattern::Pattern;

mod pattern;
mod re2;

/// How a matcher compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum MatchOp {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `=~`
    Regex,
    /// `!~`
    NotRegex,
}

impl MatchOp {
    /// As PromQL writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Regex => "=~",
            Self::NotRegex => "!~",
        }
    }
}

/// Why a matcher cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("error parsing regexp: {reason}")]
pub struct MatcherError {
    /// The pattern as given.
    pub pattern: String,
    /// What is wrong with it, and where, in the words of Go's `regexp` where these are known.
    pub reason: String,
}

/// One condition on one label. A label that a series lacks has the empty value.
#[derive(Clone)]
pub struct Matcher {
    name: Arc<str>,
    op: MatchOp,
    value: Arc<str>,
    pattern: Option<Arc<Pattern>>,
}

impl Matcher {
    /// The matcher `name op "value"`; fails where `value` is not a regular expression but should be.
    pub fn new(name: &str, op: MatchOp, value: &str) -> Result<Self, MatcherError> {
        let pattern = match op {
            MatchOp::Equal | MatchOp::NotEqual => None,
            MatchOp::Regex | MatchOp::NotRegex => {
                let pattern = Pattern::new(value)
                    .map_err(|reason| MatcherError { pattern: value.to_owned(), reason })?;
                Some(Arc::new(pattern))
            }
        };
        Ok(Self { name: name.into(), op, value: value.into(), pattern })
    }

    /// The matcher `name="value"`.
    pub fn equal(name: &str, value: &str) -> Self {
        Self { name: name.into(), op: MatchOp::Equal, value: value.into(), pattern: None }
    }

    /// The label that it looks at.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How it compares.
    pub fn op(&self) -> MatchOp {
        self.op
    }

    /// The value or pattern that it compares with, as given.
    pub fn value(&self) -> &str {
        &self.value
    }

    /// Whether a label with this value (empty: no such label) passes.
    pub fn matches(&self, value: &str) -> bool {
        match (self.op, &self.pattern) {
            (MatchOp::Equal, _) => *self.value == *value,
            (MatchOp::NotEqual, _) => *self.value != *value,
            (MatchOp::Regex, Some(pattern)) => pattern.matches(value),
            (MatchOp::NotRegex, Some(pattern)) => !pattern.matches(value),
            (MatchOp::Regex | MatchOp::NotRegex, None) => false,
        }
    }

    /// Whether series without the label pass.
    pub fn matches_empty(&self) -> bool {
        self.matches("")
    }

    /// For a regular expression: the values it matches, in order and without repetition, where they can be listed
    /// (`a|b`, `(foo|bar)baz`, `x[0-9]`). The negation matches all others.
    pub fn set_matches(&self) -> Option<&[Box<str>]> {
        self.pattern.as_deref().and_then(Pattern::set)
    }

    /// For a regular expression: what all values it matches begin with; empty where nothing is known, and for the
    /// other operators.
    pub fn prefix(&self) -> &str {
        self.pattern.as_deref().map_or("", Pattern::prefix)
    }

    /// Whether a regular expression that all values match: `.*`.
    pub fn pattern_matches_all(&self) -> bool {
        self.pattern.as_deref().is_some_and(Pattern::matches_all)
    }

    /// Whether a regular expression that all values but the empty one match: `.+`.
    pub fn pattern_matches_all_but_empty(&self) -> bool {
        self.pattern.as_deref().is_some_and(Pattern::matches_all_but_empty)
    }
}

impl PartialEq for Matcher {
    fn eq(&self, other: &Self) -> bool {
        self.op == other.op && self.name == other.name && self.value == other.value
    }
}

impl Eq for Matcher {}

impl std::hash::Hash for Matcher {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        (&self.name, self.op, &self.value).hash(state);
    }
}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}{:?}", self.name, self.op.as_str(), self.value)
    }
}

impl fmt::Debug for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests;
