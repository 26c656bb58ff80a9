//! Recording and alerting rules as Prometheus 3.14 has them: files, templates, evaluation, unit tests.
//!
//! Pure: texts, results of queries and moments come in; errors, samples and alerts go out. Nothing here reads files, runs
//! queries of its own, sends alerts, or knows what time it is. Whoever runs rules asks a [`Group`] what to query and when,
//! hands it the result, and does with the outcome what is to be done.

pub mod evaluation;
pub mod file;
pub mod template;
pub mod tree;
pub mod unit_test;

pub use evaluation::{
    Alert, AlertState, Evaluated, Group, Health, Rule, RuleSample, SentAlert, Settings, Written,
};
pub use file::{FileError, FileOptions, FileRule, Place, RuleFile, RuleGroup, RuleKind};
pub use template::{NoQueries, TemplateQueries};
pub use tree::Tree;
