//! What is wrong with a rule file, and where.

use std::fmt;

use gotemplate::quote;
use thiserror::Error;

use super::Place;

/// Which rule an error is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleName {
    /// The name of its group.
    pub group: String,
    /// Which rule of the group it is, from 1.
    pub number: usize,
    /// The name of the metric or alert; empty where it has none.
    pub name: String,
}

/// One thing that is wrong with a rule file. Shown as upstream shows it: `line:column: group "g", rule 1, "r": message`.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub struct FileError {
    /// Where.
    pub place: Place,
    /// A second place that it is about, where there is one.
    pub also: Option<Place>,
    /// The rule, where it is about one.
    pub rule: Option<RuleName>,
    /// What is wrong.
    pub message: String,
}

impl FileError {
    pub(crate) fn new(place: Place, message: impl Into<String>) -> Self {
        Self { place, also: None, rule: None, message: message.into() }
    }

    pub(crate) fn of_yaml(problem: yaml::Problem) -> Self {
        Self::new(Place { line: problem.line, column: problem.column }, problem.message)
    }
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.place)?;
        if let Some(also) = self.also {
            write!(f, "{also}: ")?;
        }
        if let Some(rule) = &self.rule {
            let (group, name) = (quote(&rule.group), quote(&rule.name));
            write!(f, "group {group}, rule {}, {name}: ", rule.number)?;
        }
        f.write_str(&self.message)
    }
}
