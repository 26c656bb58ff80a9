//! Rules at work: states of rules and groups, what they write and what they tell. Decisions only: whoever has storage,
//! queries and a network asks for them and carries them out.

mod alert;
mod alerting;
mod dependency;
mod group;
mod restore;
mod resume;
mod rule;
mod schedule;

use std::collections::BTreeMap;
use std::sync::Arc;

use model::Labels;
use promql::{InstantSample, QueryValue, SampleValue};
use thiserror::Error;

pub use alert::{Alert, AlertState, RESOLVED_RETENTION_MS, SentAlert};
pub use alerting::AlertingRule;
pub use dependency::batches;
pub use group::{Evaluated, Group, Written};
pub use restore::{Restore, StoredState};
pub use resume::Resumed;
pub use rule::{Health, RecordingRule, Rule, RuleBody};
pub use schedule::{Due, Schedule};

/// What holds for all groups of a tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Labels of everything that leaves this system, for templates.
    pub external_labels: BTreeMap<String, String>,
    /// The URL of this system as people reach it, without a slash at its end: for templates and links in alerts.
    pub external_url: Arc<str>,
    /// How often a group is evaluated that does not say, in milliseconds.
    pub interval_ms: i64,
    /// How far back queries of a group look that does not say, in milliseconds.
    pub query_offset_ms: i64,
    /// How long after an alert was sent it is sent again, in milliseconds.
    pub resend_delay_ms: i64,
}

impl Default for Settings {
    /// Upstream's: every minute, no offset, again after a minute.
    fn default() -> Self {
        Self {
            external_labels: BTreeMap::new(),
            external_url: Arc::from(""),
            interval_ms: 60_000,
            query_offset_ms: 0,
            resend_delay_ms: 60_000,
        }
    }
}

/// A sample that a rule makes.
#[derive(Debug, Clone, PartialEq)]
pub struct RuleSample {
    /// Its series.
    pub labels: Labels,
    /// When it is, in milliseconds since 1970.
    pub timestamp_ms: i64,
    /// Its value; a stale marker where the series has ended.
    pub value: SampleValue,
}

/// Why an evaluation of a rule failed. Its text is what the API shows.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RuleError {
    /// Two series of a recording rule have the same labels.
    #[error("vector contains metrics with the same labelset after applying rule labels")]
    SameSeries,
    /// Two alerts have the same labels.
    #[error("vector contains metrics with the same labelset after applying alert labels")]
    SameAlert,
    /// The limit of the group.
    #[error("exceeded limit of {limit} with {count} {what}")]
    Limit {
        /// The limit.
        limit: i64,
        /// How many there would be.
        count: usize,
        /// What is limited.
        what: &'static str,
    },
}

/// The samples of a query's value, as rules take them: a scalar is one sample without labels.
pub fn rule_samples(value: QueryValue) -> Result<Vec<InstantSample>, String> {
    match value {
        QueryValue::Vector(samples) => Ok(samples),
        QueryValue::Scalar(value) => {
            Ok(vec![InstantSample { labels: Labels::empty(), value: SampleValue::Float(value) }])
        }
        _ => Err("rule result is not a vector or scalar".to_owned()),
    }
}
