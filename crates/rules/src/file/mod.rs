//! Rule files: what they say, read as strictly as upstream reads them, with every error at its place.
//!
//! Beyond upstream, a manifest of kind `PrometheusRule` is read as the file that stands in its `spec`, and a group may have
//! Thanos' `partial_response_strategy` and VictoriaMetrics' `concurrency`, which mean nothing here.

mod decode;
mod error;
mod lint;
pub(crate) mod reader;
mod validate;

use std::collections::BTreeMap;
use std::fmt;

use model::TenantId;
use promql::ParseOptions;
use promql::ast::Expr;

pub use error::{FileError, RuleName};
pub use lint::{Duplicate, duplicates};

/// How a file is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FileOptions {
    /// What expressions may use.
    pub expressions: ParseOptions,
    /// Fields that are not known are passed over rather than refused.
    pub ignore_unknown_fields: bool,
}

/// A place in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Place {
    /// The line, from 1.
    pub line: usize,
    /// The column, from 1.
    pub column: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// What a rule file says.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RuleFile {
    /// Its groups, in order.
    pub groups: Vec<RuleGroup>,
    /// Where a second document begins, which is not read.
    pub second_document: Option<Place>,
}

/// A group of rules.
#[derive(Debug, Clone, PartialEq)]
pub struct RuleGroup {
    /// Its name, unique in the file.
    pub name: String,
    /// How often it is evaluated, in milliseconds; nothing where the default holds.
    pub interval_ms: Option<i64>,
    /// How far back its queries look, in milliseconds; nothing where the default holds.
    pub query_offset_ms: Option<i64>,
    /// How many series a recording rule, and how many alerts an alerting rule, may have; no limit if not above 0.
    pub limit: i64,
    /// Labels of all its rules, which those of a rule override.
    pub labels: BTreeMap<String, String>,
    /// Whose data its queries read as one, in order and each once; none: that of the tenant that it belongs to. Mimir has this in
    /// groups that tenants set, files do not.
    pub source_tenants: Vec<TenantId>,
    /// Its rules, in order.
    pub rules: Vec<FileRule>,
    /// Where it stands.
    pub place: Place,
}

/// What a rule makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RuleKind {
    /// Series.
    Recording,
    /// Alerts.
    Alerting,
}

/// A rule.
#[derive(Debug, Clone, PartialEq)]
pub struct FileRule {
    /// What it makes.
    pub kind: RuleKind,
    /// The name of the metric or of the alert.
    pub name: String,
    /// Its expression.
    pub expr: Expr,
    /// How long an alert has to hold before it fires, in milliseconds.
    pub hold_ms: i64,
    /// How long an alert goes on firing when it holds no more, in milliseconds.
    pub keep_firing_ms: i64,
    /// Its own labels.
    pub labels: BTreeMap<String, String>,
    /// The annotations of its alerts.
    pub annotations: BTreeMap<String, String>,
    /// Where it stands.
    pub place: Place,
}

impl RuleFile {
    /// Reads a file, and says all that is wrong with it.
    pub fn parse(text: &str, options: &FileOptions) -> Result<Self, Vec<FileError>> {
        let first = yaml::parse_first(text).map_err(|problem| vec![FileError::of_yaml(problem)])?;
        let second_document = first.second.map(|(line, column)| Place { line, column });
        let Some(root) = first.document else { return Ok(Self { groups: Vec::new(), second_document }) };
        let raw = decode::groups(&root, options)?;
        Ok(Self { groups: validate::groups(raw, options)?, second_document })
    }

    /// Reads a text that is a group by itself, as it stands in a file's list of groups. Nothing where the text is empty.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub fn parse_group(text: &str, options: &FileOptions) -> Result<Option<RuleGroup>, Vec<FileError>> {
        let root = yaml::parse(text).map_err(|problem| vec![FileError::of_yaml(problem)])?;
        let Some(root) = root.filter(|root| !root.is_null()) else { return Ok(None) };
        Ok(validate::groups(decode::one(&root, options)?, options)?.pop())
    }

    /// How many rules it has.
    pub fn rule_count(&self) -> usize {
        self.groups.iter().map(|group| group.rules.len()).sum()
    }
}

impl RuleGroup {
    /// Whether another one means the same. Where they stand does not matter, nor how expressions are laid out.
    pub fn means(&self, other: &Self) -> bool {
        let times = |group: &Self| (group.interval_ms, group.query_offset_ms, group.limit);
        self.name == other.name
            && times(self) == times(other)
            && self.labels == other.labels
            && self.source_tenants == other.source_tenants
            && self.rules.len() == other.rules.len()
            && self.rules.iter().zip(&other.rules).all(|(a, b)| a.means(b))
    }
}

impl FileRule {
    fn means(&self, other: &Self) -> bool {
        self.kind == other.kind
            && self.name == other.name
            && (self.hold_ms, self.keep_firing_ms) == (other.hold_ms, other.keep_firing_ms)
            && self.labels == other.labels
            && self.annotations == other.annotations
            && self.expr.to_string() == other.expr.to_string()
    }
}
