//! A rule of a group: its expression, what it makes of results, and how its last evaluation went.

use std::collections::{BTreeMap, BTreeSet};

use model::{Labels, METRIC_NAME};
use promql::InstantSample;
use promql::ast::Expr;

use super::alerting::AlertingRule;
use super::{RuleError, RuleSample};

/// How the last evaluation of a rule went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Health {
    /// There was none.
    #[default]
    Unknown,
    /// Well.
    Good,
    /// It failed.
    Bad,
}

impl Health {
    /// As the API writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Good => "ok",
            Self::Bad => "err",
        }
    }
}

/// A rule and its state.
#[derive(Debug, Clone)]
pub struct Rule {
    pub(super) expr: Expr,
    pub(super) query: String,
    pub(super) body: RuleBody,
    pub(super) health: Health,
    pub(super) last_error: Option<String>,
    pub(super) last_evaluation_ms: Option<i64>,
    /// Series of the last evaluation, which get a stale marker once they are missing.
    pub(super) written: BTreeSet<Labels>,
}

/// What a rule makes.
#[derive(Debug, Clone)]
pub enum RuleBody {
    /// Series.
    Recording(RecordingRule),
    /// Alerts.
    Alerting(Box<AlertingRule>),
}

/// A recording rule.
#[derive(Debug, Clone)]
pub struct RecordingRule {
    pub(super) name: String,
    pub(super) labels: BTreeMap<String, String>,
}

impl Rule {
    /// The name of the metric or alert.
    pub fn name(&self) -> &str {
        match &self.body {
            RuleBody::Recording(rule) => &rule.name,
            RuleBody::Alerting(rule) => rule.name(),
        }
    }

    /// Labels of rule and group, as they are written.
    pub fn labels(&self) -> &BTreeMap<String, String> {
        match &self.body {
            RuleBody::Recording(rule) => &rule.labels,
            RuleBody::Alerting(rule) => rule.labels(),
        }
    }

    /// Its expression.
    pub fn expr(&self) -> &Expr {
        &self.expr
    }

    /// Its expression, as it is written in one way.
    pub fn query(&self) -> &str {
        &self.query
    }

    /// What it makes.
    pub fn body(&self) -> &RuleBody {
        &self.body
    }

    /// The alerting rule that it is, if it is one.
    pub fn alerting(&self) -> Option<&AlertingRule> {
        match &self.body {
            RuleBody::Recording(_) => None,
            RuleBody::Alerting(rule) => Some(rule),
        }
    }

    pub(super) fn alerting_mut(&mut self) -> Option<&mut AlertingRule> {
        match &mut self.body {
            RuleBody::Recording(_) => None,
            RuleBody::Alerting(rule) => Some(rule),
        }
    }

    /// How the last evaluation went.
    pub fn health(&self) -> Health {
        self.health
    }

    /// Why the last evaluation failed, if it did.
    pub fn last_error(&self) -> Option<&str> {
        self.last_error.as_deref()
    }

    /// When it was evaluated last, in milliseconds since 1970.
    pub fn last_evaluation_ms(&self) -> Option<i64> {
        self.last_evaluation_ms
    }

    pub(super) fn fail(&mut self, error: String) {
        self.health = Health::Bad;
        self.last_error = Some(error);
    }
}

impl RecordingRule {
    /// The samples that a result means.
    pub(super) fn samples(
        &self,
        result: Vec<InstantSample>,
        sample_ms: i64,
        limit: i64,
    ) -> Result<Vec<RuleSample>, RuleError> {
        let mut seen = BTreeSet::new();
        let mut samples = Vec::with_capacity(result.len());
        for sample in result {
            let mut labels = sample.labels.to_builder();
            labels.set(METRIC_NAME, &self.name);
            for (name, value) in &self.labels {
                labels.set(name, value);
            }
            let labels = labels.build();
            if !seen.insert(labels.clone()) {
                return Err(RuleError::SameSeries);
            }
            samples.push(RuleSample { labels, timestamp_ms: sample_ms, value: sample.value });
        }
        let count = samples.len();
        if limit > 0 && i64::try_from(count).unwrap_or(i64::MAX) > limit {
            return Err(RuleError::Limit { limit, count, what: "series" });
        }
        Ok(samples)
    }
}
