//! Alerting rules: from a result to alerts, their states and their series.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use gotemplate::ParseError;
use model::{Labels, METRIC_NAME};
use promql::{InstantSample, SampleValue};

use super::alert::{Alert, AlertState, RESOLVED_RETENTION_MS, SentAlert};
use super::{RuleError, RuleSample, Settings};
use crate::template::{Context, Expander, TemplateQueries, Text, float_of, table_link};

/// The metric that says which alerts there are.
pub(super) const ALERTS: &str = "ALERTS";
/// The metric that says since when they are.
pub(super) const ALERTS_FOR_STATE: &str = "ALERTS_FOR_STATE";
/// The label with an alert's name.
pub(super) const ALERT_NAME: &str = "alertname";
/// The label with its state.
pub(super) const ALERT_STATE: &str = "alertstate";

/// An alerting rule and its alerts.
#[derive(Debug, Clone)]
pub struct AlertingRule {
    name: String,
    hold_ms: i64,
    keep_firing_ms: i64,
    /// Labels of group and rule, as they are written.
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
    label_texts: Arc<[(String, Text)]>,
    annotation_texts: Arc<[(String, Text)]>,
    active: BTreeMap<Labels, Alert>,
    /// Whether states before the start are known: series are written only then.
    restored: bool,
}

impl AlertingRule {
    pub(super) fn new(
        name: &str,
        (hold_ms, keep_firing_ms): (i64, i64),
        labels: BTreeMap<String, String>,
        annotations: BTreeMap<String, String>,
        restored: bool,
    ) -> Result<Self, ParseError> {
        let texts = |texts: &BTreeMap<String, String>| -> Result<Arc<[(String, Text)]>, ParseError> {
            texts.iter().map(|(key, text)| Ok((key.clone(), Text::parse(name, text)?))).collect()
        };
        Ok(Self {
            name: name.to_owned(),
            hold_ms,
            keep_firing_ms,
            label_texts: texts(&labels)?,
            annotation_texts: texts(&annotations)?,
            labels,
            annotations,
            active: BTreeMap::new(),
            restored,
        })
    }

    /// The name of its alerts.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How long an alert has to hold before it fires, in milliseconds.
    pub fn hold_ms(&self) -> i64 {
        self.hold_ms
    }

    /// How long an alert goes on firing when it holds no more, in milliseconds.
    pub fn keep_firing_ms(&self) -> i64 {
        self.keep_firing_ms
    }

    /// Its labels and those of its group, as they are written.
    pub fn labels(&self) -> &BTreeMap<String, String> {
        &self.labels
    }

    /// Its annotations, as they are written.
    pub fn annotations(&self) -> &BTreeMap<String, String> {
        &self.annotations
    }

    /// Alerts that are pending or firing, by labels.
    pub fn alerts(&self) -> impl Iterator<Item = &Alert> {
        self.active.values().filter(|alert| alert.resolved_at_ms.is_none())
    }

    /// The state of the alert that is furthest.
    pub fn state(&self) -> AlertState {
        self.active.values().map(|alert| alert.state).max().unwrap_or(AlertState::Inactive)
    }

    /// Whether states before the start are known.
    pub fn is_restored(&self) -> bool {
        self.restored
    }

    /// From now on series are written.
    pub fn set_restored(&mut self) {
        self.restored = true;
    }

    pub(super) fn set_active(&mut self, alerts: BTreeMap<Labels, Alert>) {
        self.active = alerts;
    }

    pub(super) fn active_mut(&mut self) -> impl Iterator<Item = &mut Alert> {
        self.active.values_mut()
    }

    /// Takes the alerts of the rule that it replaces.
    pub(super) fn adopt(&mut self, from: &Self) {
        self.active.clone_from(&from.active);
    }

    /// The alerts that a result says there are, texts filled in. Nothing changes by it: where [`TemplateQueries`] has to
    /// look for its answers elsewhere, this may be called again when it has them.
    pub fn candidates(
        &self,
        result: &[InstantSample],
        at_ms: i64,
        settings: &Settings,
        queries: &Arc<dyn TemplateQueries>,
    ) -> Result<Vec<Alert>, RuleError> {
        let context = Context {
            now_ms: at_ms,
            external_url: Arc::clone(&settings.external_url),
            queries: Arc::clone(queries),
        };
        let expander = Expander::new(&self.name, &context, &settings.external_labels);
        let mut seen = BTreeSet::new();
        let mut alerts = Vec::with_capacity(result.len());
        for sample in result {
            let data = expander.data(sample);
            let mut labels = sample.labels.to_builder();
            labels.remove(METRIC_NAME);
            for (name, text) in &*self.label_texts {
                labels.set(name, &expander.expand(text, &data));
            }
            labels.set(ALERT_NAME, &self.name);
            let annotations =
                self.annotation_texts.iter().map(|(name, text)| (name.clone(), expander.expand(text, &data)));
            let (labels, annotations) = (labels.build(), annotations.collect());
            if !seen.insert(labels.clone()) {
                return Err(RuleError::SameAlert);
            }
            alerts.push(Alert::begun(labels, annotations, float_of(&sample.value), at_ms));
        }
        Ok(alerts)
    }

    /// Moves all alerts on to that time, given those that hold. The series are at `sample_ms`.
    pub(super) fn advance(
        &mut self,
        candidates: Vec<Alert>,
        at_ms: i64,
        sample_ms: i64,
        limit: i64,
    ) -> Result<Vec<RuleSample>, RuleError> {
        let mut holding = BTreeSet::new();
        for candidate in candidates {
            holding.insert(candidate.labels.clone());
            match self.active.get_mut(&candidate.labels) {
                Some(known) if known.state != AlertState::Inactive => {
                    known.value = candidate.value;
                    known.annotations = candidate.annotations;
                }
                _ => {
                    self.active.insert(candidate.labels.clone(), candidate);
                }
            }
        }
        let mut samples = Vec::new();
        let mut count = 0usize;
        let mut gone = Vec::new();
        for (labels, alert) in &mut self.active {
            let step = if holding.contains(labels) {
                alert.keep_firing_since_ms = None;
                Step::Holds
            } else {
                cease(alert, at_ms, self.keep_firing_ms)
            };
            match step {
                Step::Holds => {}
                Step::Over => continue,
                Step::Forgotten => {
                    gone.push(labels.clone());
                    continue;
                }
            }
            count += 1;
            age(alert, at_ms, self.hold_ms);
            if self.restored {
                samples.extend(series(&self.name, &self.labels, alert, sample_ms));
            }
        }
        for labels in gone {
            self.active.remove(&labels);
        }
        if limit > 0 && i64::try_from(count).unwrap_or(i64::MAX) > limit {
            self.active.clear();
            return Err(RuleError::Limit { limit, count, what: "alerts" });
        }
        Ok(samples)
    }

    /// What receivers have to be told now; it counts as sent.
    pub(super) fn due(
        &mut self,
        at_ms: i64,
        interval_ms: i64,
        settings: &Settings,
        query: &str,
    ) -> Vec<SentAlert> {
        let delay_ms = settings.resend_delay_ms;
        let mut link = None;
        let mut due = Vec::new();
        for alert in self.active.values_mut().filter(|alert| alert.is_due(at_ms, delay_ms)) {
            let link = link.get_or_insert_with(|| format!("{}{}", settings.external_url, table_link(query)));
            alert.last_sent_at_ms = Some(at_ms);
            due.push(alert.sent(at_ms, interval_ms, delay_ms, link));
        }
        due
    }

    /// The labels that all series of `ALERTS_FOR_STATE` of this rule have. Labels with templates are filled in for each
    /// alert, so that they are left out.
    pub fn state_selector(&self) -> Vec<(String, String)> {
        let fixed = self.labels.iter().filter(|(name, text)| !text.contains("{{") && *name != ALERT_NAME);
        let mut selector = vec![
            (METRIC_NAME.to_owned(), ALERTS_FOR_STATE.to_owned()),
            (ALERT_NAME.to_owned(), self.name.clone()),
        ];
        selector.extend(fixed.map(|(name, text)| (name.clone(), text.clone())));
        selector
    }
}

/// What became of an alert.
enum Step {
    /// It holds, or goes on firing.
    Holds,
    /// It is over.
    Over,
    /// It is over, and nobody has to be told any more.
    Forgotten,
}

/// An alert does not hold any more.
fn cease(alert: &mut Alert, at_ms: i64, keep_firing_ms: i64) -> Step {
    if alert.state == AlertState::Firing && keep_firing_ms > 0 {
        let since = *alert.keep_firing_since_ms.get_or_insert(at_ms);
        if at_ms - since < keep_firing_ms {
            return Step::Holds;
        }
    }
    if alert.state == AlertState::Pending
        || alert.resolved_at_ms.is_some_and(|resolved| at_ms - resolved > RESOLVED_RETENTION_MS)
    {
        return Step::Forgotten;
    }
    if alert.state != AlertState::Inactive {
        alert.state = AlertState::Inactive;
        alert.resolved_at_ms = Some(at_ms);
    }
    Step::Over
}

/// An alert fires once it has held for long enough, and not before, also where a restored state says otherwise.
fn age(alert: &mut Alert, at_ms: i64, hold_ms: i64) {
    let long_enough = at_ms - alert.active_at_ms >= hold_ms;
    match alert.state {
        AlertState::Pending if long_enough => {
            alert.state = AlertState::Firing;
            alert.fired_at_ms = Some(at_ms);
        }
        AlertState::Firing if !long_enough => {
            alert.state = AlertState::Pending;
            alert.fired_at_ms = None;
            alert.last_sent_at_ms = None;
            alert.keep_firing_since_ms = None;
        }
        _ => {}
    }
}

/// The two samples of an alert. As upstream, a label of the rule that came out empty keeps its template as value here.
fn series(
    name: &str,
    rule_labels: &BTreeMap<String, String>,
    alert: &Alert,
    sample_ms: i64,
) -> [RuleSample; 2] {
    let mut labels = Labels::from_pairs(rule_labels).to_builder();
    for (name, value) in alert.labels.iter() {
        labels.set(name, value);
    }
    labels.set(ALERT_NAME, name);
    let mut sample = |metric: &str, value: f64| {
        labels.set(METRIC_NAME, metric);
        RuleSample { labels: labels.build(), timestamp_ms: sample_ms, value: SampleValue::Float(value) }
    };
    let since = sample(ALERTS_FOR_STATE, alert.active_at_ms.div_euclid(1_000) as f64);
    labels.set(ALERT_STATE, alert.state.as_str());
    labels.set(METRIC_NAME, ALERTS);
    let state =
        RuleSample { labels: labels.build(), timestamp_ms: sample_ms, value: SampleValue::Float(1.0) };
    [state, since]
}
