//! Rules as configuration gives them, and what makes a rule a wrong one.

use md5::{Digest, Md5};
use model::LabelsBuilder;
use regex::Regex;
use serde::{Deserialize, Deserializer};
use thiserror::Error;

use crate::pattern;
use crate::template::Template;

const DEFAULT_SEPARATOR: &str = ";";
const DEFAULT_REGEX: &str = "(.*)";
const DEFAULT_REPLACEMENT: &str = "$1";

/// What a rule does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// Sets the target label to the replacement where the regular expression matches.
    Replace,
    /// Drops label sets that do not match.
    Keep,
    /// Drops label sets that match.
    Drop,
    /// Drops label sets whose source differs from the target label.
    KeepEqual,
    /// Drops label sets whose source equals the target label.
    DropEqual,
    /// Sets the target label to a hash of the source, modulo a number.
    HashMod,
    /// Copies labels whose names match to the names that the replacement gives.
    LabelMap,
    /// Removes labels whose names match.
    LabelDrop,
    /// Removes labels whose names do not match.
    LabelKeep,
    /// Sets the target label to the source in lower case.
    Lowercase,
    /// Sets the target label to the source in upper case.
    Uppercase,
}

/// All actions by name.
const ACTIONS: [(&str, Action); 11] = [
    ("replace", Action::Replace),
    ("keep", Action::Keep),
    ("drop", Action::Drop),
    ("keepequal", Action::KeepEqual),
    ("dropequal", Action::DropEqual),
    ("hashmod", Action::HashMod),
    ("labelmap", Action::LabelMap),
    ("labeldrop", Action::LabelDrop),
    ("labelkeep", Action::LabelKeep),
    ("lowercase", Action::Lowercase),
    ("uppercase", Action::Uppercase),
];

impl Action {
    /// The name that configuration uses.
    pub fn as_str(self) -> &'static str {
        ACTIONS.iter().find(|(_, action)| *action == self).map_or("", |(name, _)| name)
    }

    /// The action with this name, in any case.
    fn from_name(name: &str) -> Option<Self> {
        ACTIONS.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, action)| *action)
    }
}

/// Why a rule is refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RuleError {
    /// An action that does not exist.
    #[error(
        "unknown relabel action {action:?}; one of replace, keep, drop, keepequal, dropequal, hashmod, labelmap, labeldrop, labelkeep, lowercase, uppercase is expected"
    )]
    Action {
        /// What was given.
        action: String,
    },
    /// A pattern that is no regular expression.
    #[error("regex {regex:?} is not a regular expression: {reason}")]
    Regex {
        /// The pattern.
        regex: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A hash without a modulus.
    #[error("relabel action hashmod needs a modulus of at least 1")]
    Modulus,
    /// No target label where one is needed.
    #[error("relabel action {action} needs a target_label")]
    NoTarget {
        /// The action.
        action: &'static str,
    },
    /// A source label without a name.
    #[error("source_labels contains an empty label name")]
    EmptySource,
    /// No replacement where one is needed.
    #[error("relabel action labelmap needs a replacement that is not empty")]
    NoReplacement,
    /// A field that the action does not use.
    #[error("relabel action {action} takes only {allowed}, not {field}")]
    Unused {
        /// The action.
        action: &'static str,
        /// What it takes.
        allowed: &'static str,
        /// What was given beyond that.
        field: &'static str,
    },
}

/// A rule, checked and compiled.
#[derive(Debug, Clone)]
pub struct Rule {
    pub(crate) action: Action,
    pub(crate) source_labels: Vec<String>,
    pub(crate) separator: String,
    pub(crate) regex: Regex,
    pub(crate) modulus: u64,
    pub(crate) target_label: Template,
    pub(crate) replacement: Template,
}

impl Rule {
    /// What the rule does.
    pub fn action(&self) -> Action {
        self.action
    }

    /// The values of the source labels, one behind the other; a label that is not there is empty.
    pub(crate) fn source(&self, labels: &LabelsBuilder) -> String {
        let mut joined = String::new();
        for (i, name) in self.source_labels.iter().enumerate() {
            if i > 0 {
                joined.push_str(&self.separator);
            }
            joined.push_str(labels.get(name).unwrap_or_default());
        }
        joined
    }

    /// The hash of a source, modulo the rule's number: the last eight bytes of MD5, the highest first.
    pub(crate) fn hash(&self, source: &str) -> u64 {
        let digest = Md5::digest(source.as_bytes());
        let tail = digest[8..].iter().fold(0, |n, byte| n << 8 | u64::from(*byte));
        tail % self.modulus.max(1)
    }
}

impl<'de> Deserialize<'de> for Rule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = RawRule::deserialize(deserializer)?;
        raw.check().map_err(serde::de::Error::custom)
    }
}

/// The fields of a rule as they were given.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawRule {
    source_labels: Option<Vec<Scalar>>,
    separator: Option<Scalar>,
    regex: Option<Scalar>,
    modulus: Option<u64>,
    target_label: Option<Scalar>,
    replacement: Option<Scalar>,
    action: Option<Scalar>,
}

/// A text; numbers and truth values in a file are texts too here (`regex: 200`).
#[derive(Debug)]
struct Scalar(String);

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Any {
            Text(String),
            Bool(bool),
            Int(i64),
            Float(f64),
        }
        Ok(Self(match Any::deserialize(deserializer)? {
            Any::Text(text) => text,
            Any::Bool(value) => value.to_string(),
            Any::Int(number) => number.to_string(),
            Any::Float(number) => number.to_string(),
        }))
    }
}

impl RawRule {
    fn check(self) -> Result<Rule, RuleError> {
        let action = match &self.action {
            None => Action::Replace,
            Some(Scalar(name)) => {
                Action::from_name(name).ok_or_else(|| RuleError::Action { action: name.clone() })?
            }
        };
        self.check_unused(action)?;
        let sources: Vec<String> = self.source_labels.into_iter().flatten().map(|s| s.0).collect();
        if sources.iter().any(String::is_empty) {
            return Err(RuleError::EmptySource);
        }
        let modulus = self.modulus.unwrap_or(0);
        if action == Action::HashMod && modulus == 0 {
            return Err(RuleError::Modulus);
        }
        let target = text(self.target_label, "");
        let replacement = text(self.replacement, DEFAULT_REPLACEMENT);
        let regex = pattern::compile(&text(self.regex, DEFAULT_REGEX))?;
        let needs_target = matches!(
            action,
            Action::Replace
                | Action::HashMod
                | Action::Lowercase
                | Action::Uppercase
                | Action::KeepEqual
                | Action::DropEqual
        );
        if needs_target && target.is_empty() {
            return Err(RuleError::NoTarget { action: action.as_str() });
        }
        if action == Action::LabelMap && replacement.is_empty() {
            return Err(RuleError::NoReplacement);
        }
        // Only `replace` interpolates its target.
        let target_label = match action {
            Action::Replace => Template::parse(&target, &regex),
            _ => Template::literal(target),
        };
        Ok(Rule {
            action,
            source_labels: sources,
            separator: text(self.separator, DEFAULT_SEPARATOR),
            modulus,
            target_label,
            replacement: Template::parse(&replacement, &regex),
            regex,
        })
    }

    /// Refuses fields that the action would ignore, where Prometheus does. Giving the default is not giving anything.
    fn check_unused(&self, action: Action) -> Result<(), RuleError> {
        let differs = |field: &Option<Scalar>, default: &str| field.as_ref().is_some_and(|s| s.0 != default);
        let replacement = ("replacement", differs(&self.replacement, DEFAULT_REPLACEMENT));
        let separator = ("separator", differs(&self.separator, DEFAULT_SEPARATOR));
        let regex = ("regex", differs(&self.regex, DEFAULT_REGEX));
        let modulus = ("modulus", self.modulus.is_some_and(|m| m != 0));
        let sources = ("source_labels", self.source_labels.is_some());
        let target = ("target_label", differs(&self.target_label, ""));
        let (allowed, unused): (_, &[(&'static str, bool)]) = match action {
            Action::Lowercase | Action::Uppercase => {
                ("source_labels, separator, regex and target_label", &[replacement])
            }
            Action::KeepEqual | Action::DropEqual => {
                ("source_labels and target_label", &[regex, modulus, separator, replacement])
            }
            Action::LabelDrop | Action::LabelKeep => {
                ("regex", &[sources, target, modulus, separator, replacement])
            }
            _ => return Ok(()),
        };
        match unused.iter().find(|(_, given)| *given) {
            Some((field, _)) => Err(RuleError::Unused { action: action.as_str(), allowed, field }),
            None => Ok(()),
        }
    }
}

fn text(given: Option<Scalar>, default: &str) -> String {
    given.map_or_else(|| default.to_owned(), |scalar| scalar.0)
}
