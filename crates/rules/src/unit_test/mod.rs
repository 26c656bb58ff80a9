//! Unit tests of rules in promtool's format: series, and what alerts and queries have to come of them.
//!
//! The caller reads the files; [`TestFile`] says which rule files it names.

mod compare;
mod decode;
mod report;
mod run;

use std::collections::BTreeMap;

use promql::EngineOptions;

use crate::file::{FileError, FileOptions, RuleFile};

pub use report::{FileReport, TestReport, junit};

/// A file of tests.
#[derive(Debug, Clone, PartialEq)]
pub struct TestFile {
    /// The rule files that are tested, as patterns, relative to the folder of the file.
    pub rule_files: Vec<String>,
    /// How often rules are evaluated, in milliseconds.
    pub evaluation_interval_ms: i64,
    /// Names of groups that are evaluated in this order.
    pub group_order: Vec<String>,
    /// The tests, in order.
    pub tests: Vec<RuleTest>,
    /// Whether floats that are neighbours count as equal.
    pub fuzzy: bool,
}

/// Series, and what has to come of them. Times are milliseconds after the start.
#[derive(Debug, Clone, PartialEq)]
pub struct RuleTest {
    /// Its name, or `unnamed#` and its place.
    pub name: String,
    /// Whether the file names it.
    pub is_named: bool,
    /// The distance of samples.
    pub interval_ms: Option<i64>,
    /// Series and their values, in notation.
    pub series: Vec<(String, String)>,
    /// Alerts that have to fire.
    pub alerts: Vec<AlertCase>,
    /// Queries and their results.
    pub queries: Vec<QueryCase>,
    /// Labels that templates see.
    pub external_labels: BTreeMap<String, String>,
    /// The URL that templates see.
    pub external_url: String,
    /// When it starts, in milliseconds since 1970.
    pub start_ms: i64,
}

/// Which alerts of a name have to fire at a time.
#[derive(Debug, Clone, PartialEq)]
pub struct AlertCase {
    /// The time.
    pub at_ms: i64,
    /// The name.
    pub name: String,
    /// Labels, without the name, and annotations of all of them.
    pub expected: Vec<(BTreeMap<String, String>, BTreeMap<String, String>)>,
}

/// What a query has to return at a time.
#[derive(Debug, Clone, PartialEq)]
pub struct QueryCase {
    /// The query.
    pub query: String,
    /// The time.
    pub at_ms: i64,
    /// All samples of its result.
    pub expected: Vec<ExpectedSample>,
}

/// A sample that a query has to return.
#[derive(Debug, Clone, PartialEq)]
pub struct ExpectedSample {
    /// Its series; empty for no labels.
    pub labels: String,
    /// Its value.
    pub value: f64,
    /// Its histogram, in notation; empty where it is a float.
    pub histogram: String,
}

/// How tests are run.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TestOptions {
    /// What expressions may use.
    pub engine: EngineOptions,
    /// Fields of rule files that are not known are passed over.
    pub ignore_unknown_fields: bool,
}

/// A rule file and the name by which it is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NamedText<'a> {
    /// The name.
    pub name: &'a str,
    /// What it says.
    pub text: &'a str,
}

impl TestFile {
    /// Reads a file of tests, and says all that is wrong with it.
    pub fn parse(text: &str) -> Result<Self, Vec<FileError>> {
        decode::file(text)
    }

    /// Runs those of its tests that `wanted` says by name, over the rule files that it names. A test without a name of its
    /// own has the empty one here.
    pub fn run(
        &self,
        rule_files: &[NamedText<'_>],
        options: &TestOptions,
        wanted: &dyn Fn(&str) -> bool,
    ) -> Vec<TestReport> {
        let files = load(rule_files, options);
        let wanted = self.tests.iter().filter(|test| wanted(if test.is_named { &test.name } else { "" }));
        let report = wanted.map(|test| TestReport {
            name: test.name.clone(),
            failures: match &files {
                Ok(files) => run::failures(test, self, files, options),
                Err(errors) => errors.clone(),
            },
        });
        report.collect()
    }
}

/// Rule files with their names, or what is wrong with the first that is wrong.
fn load(files: &[NamedText<'_>], options: &TestOptions) -> Result<Vec<(String, RuleFile)>, Vec<String>> {
    let file_options = FileOptions {
        expressions: options.engine.parse_options(),
        ignore_unknown_fields: options.ignore_unknown_fields,
    };
    let load = |file: &NamedText<'_>| match RuleFile::parse(file.text, &file_options) {
        Ok(parsed) => Ok((file.name.to_owned(), parsed)),
        Err(errors) => Err(errors.iter().map(|error| format!("{}: {error}", file.name)).collect()),
    };
    files.iter().map(load).collect()
}
