//! A group: rules that are evaluated together, in order, at the same times.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use gotemplate::ParseError;
use model::{Labels, stale_nan};
use promql::{InstantSample, SampleValue};

use super::alert::{Alert, SentAlert};
use super::alerting::AlertingRule;
use super::rule::{Health, RecordingRule, Rule, RuleBody};
use super::schedule::Schedule;
use super::{RuleSample, Settings, dependency};
use crate::file::{RuleGroup, RuleKind};
use crate::template::TemplateQueries;

/// A group of rules and its state.
///
/// An evaluation goes, rule by rule: run [`Rule::query`] at [`Group::query_time_ms`], hand the result to
/// [`Group::evaluate`], write what comes out, say with [`Group::written`] how that went, send its alerts. When all rules are
/// done, write what [`Group::finish`] gives.
#[derive(Debug, Clone)]
pub struct Group {
    name: String,
    file: String,
    interval_ms: i64,
    query_offset_ms: i64,
    limit: i64,
    rules: Vec<Rule>,
    settings: Arc<Settings>,
    /// Series of rules that are no more.
    orphans: BTreeSet<Labels>,
    /// Series that whoever evaluated the group before wrote last, and when. Which of them no rule writes any more have ended.
    left: BTreeMap<Labels, i64>,
    last_evaluation_ms: Option<i64>,
}

/// What an evaluation of a rule gives.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Evaluated {
    /// Samples to write.
    pub samples: Vec<RuleSample>,
    /// Markers to write for series that have ended. That one of them is refused does not matter: another rule may have
    /// taken the series over.
    pub stale: Vec<RuleSample>,
    /// Alerts to send.
    pub alerts: Vec<SentAlert>,
}

/// What became of the samples of an [`Evaluated`].
#[derive(Debug, Clone, PartialEq)]
pub enum Written {
    /// All are written.
    All,
    /// These series were refused, the others are written.
    But {
        /// The series.
        refused: Vec<Labels>,
        /// Why the first was.
        error: String,
    },
    /// Nothing is written, or nobody knows.
    Nothing {
        /// Why.
        error: String,
    },
}

impl Group {
    /// The group that a file describes. With `restored`, there is nothing to be known of before now, so that series of
    /// alerts are written from the first evaluation on.
    pub fn new(
        file: &str,
        group: &RuleGroup,
        settings: Arc<Settings>,
        restored: bool,
    ) -> Result<Self, ParseError> {
        let rules = group.rules.iter().map(|rule| {
            let mut labels = group.labels.clone();
            labels.extend(rule.labels.clone());
            let body = match rule.kind {
                RuleKind::Recording => RuleBody::Recording(RecordingRule { name: rule.name.clone(), labels }),
                RuleKind::Alerting => {
                    let times = (rule.hold_ms, rule.keep_firing_ms);
                    let annotations = rule.annotations.clone();
                    let alerting = AlertingRule::new(&rule.name, times, labels, annotations, restored)?;
                    RuleBody::Alerting(Box::new(alerting))
                }
            };
            Ok(Rule {
                query: rule.expr.to_string(),
                expr: rule.expr.clone(),
                body,
                health: Health::Unknown,
                last_error: None,
                last_evaluation_ms: None,
                written: BTreeSet::new(),
            })
        });
        Ok(Self {
            name: group.name.clone(),
            file: file.to_owned(),
            interval_ms: group.interval_ms.unwrap_or(settings.interval_ms).max(1),
            query_offset_ms: group.query_offset_ms.unwrap_or(settings.query_offset_ms),
            limit: group.limit,
            rules: rules.collect::<Result<_, ParseError>>()?,
            settings,
            orphans: BTreeSet::new(),
            left: BTreeMap::new(),
            last_evaluation_ms: None,
        })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The file it stands in.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// How often it is evaluated, in milliseconds.
    pub fn interval_ms(&self) -> i64 {
        self.interval_ms
    }

    pub(super) fn query_offset_ms(&self) -> i64 {
        self.query_offset_ms
    }

    pub(super) fn rules_mut(&mut self) -> &mut [Rule] {
        &mut self.rules
    }

    pub(super) fn left_mut(&mut self) -> &mut BTreeMap<Labels, i64> {
        &mut self.left
    }

    /// How many series or alerts a rule of it may have; no limit if not above 0.
    pub fn limit(&self) -> i64 {
        self.limit
    }

    /// Its rules, in order.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// The alerting rule at that place, to be told what was before.
    pub fn alerting_mut(&mut self, index: usize) -> Option<&mut AlertingRule> {
        self.rules.get_mut(index)?.alerting_mut()
    }

    /// When it was evaluated last, in milliseconds since 1970.
    pub fn last_evaluation_ms(&self) -> Option<i64> {
        self.last_evaluation_ms
    }

    /// When it is due.
    pub fn schedule(&self) -> Schedule {
        Schedule::new(&self.file, &self.name, self.interval_ms)
    }

    /// Which rules may be evaluated at the same time: batches of places, one batch after the other.
    pub fn batches(&self) -> Vec<Vec<usize>> {
        dependency::batches(&self.rules)
    }

    /// The time of queries and samples of an evaluation at that time.
    pub fn query_time_ms(&self, at_ms: i64) -> i64 {
        at_ms.saturating_sub(self.query_offset_ms)
    }

    /// What the result of a rule's query means, or why there is none; the rule's state moves on. `queries` answers what
    /// templates ask.
    pub fn evaluate(
        &mut self,
        index: usize,
        at_ms: i64,
        result: Result<Vec<InstantSample>, String>,
        queries: &Arc<dyn TemplateQueries>,
    ) -> Evaluated {
        let (sample_ms, limit, interval_ms) = (self.query_time_ms(at_ms), self.limit, self.interval_ms);
        let Some(rule) = self.rules.get_mut(index) else { return Evaluated::default() };
        rule.last_evaluation_ms = Some(at_ms);
        let samples = result.and_then(|result| {
            let samples = match &mut rule.body {
                RuleBody::Recording(recording) => recording.samples(result, sample_ms, limit),
                RuleBody::Alerting(alerting) => {
                    let candidates = alerting.candidates(&result, at_ms, &self.settings, queries);
                    candidates.and_then(|alerts| alerting.advance(alerts, at_ms, sample_ms, limit))
                }
            };
            samples.map_err(|error| error.to_string())
        });
        let samples = match samples {
            Ok(samples) => samples,
            Err(error) => {
                rule.fail(error);
                return Evaluated::default();
            }
        };
        rule.health = Health::Good;
        rule.last_error = None;
        let alerts = match &mut rule.body {
            RuleBody::Recording(_) => Vec::new(),
            RuleBody::Alerting(alerting) => alerting.due(at_ms, interval_ms, &self.settings, &rule.query),
        };
        let present: BTreeSet<&Labels> = samples.iter().map(|sample| &sample.labels).collect();
        let ended = rule.written.iter().filter(|labels| !present.contains(labels));
        let stale = ended.map(|labels| marker(labels, sample_ms)).collect();
        Evaluated { samples, stale, alerts }
    }

    /// How writing the outcome of a rule went.
    pub fn written(&mut self, index: usize, evaluated: &Evaluated, written: Written) {
        let Some(rule) = self.rules.get_mut(index) else { return };
        let series = evaluated.samples.iter().map(|sample| sample.labels.clone());
        match written {
            // An evaluation that failed before has left no samples, and what was there before it counts on.
            Written::All if rule.health == Health::Bad => {}
            Written::All => rule.written = series.collect(),
            Written::But { refused, error } => {
                rule.written = series.filter(|labels| !refused.contains(labels)).collect();
                rule.fail(error);
            }
            Written::Nothing { error } => rule.fail(error),
        }
    }

    /// The end of an evaluation: markers for series whose rules are no more, and for those that were left by whoever evaluated
    /// the group before and that nothing writes now.
    pub fn finish(&mut self, at_ms: i64) -> Vec<RuleSample> {
        self.last_evaluation_ms = Some(at_ms);
        let sample_ms = self.query_time_ms(at_ms);
        let mut ended = std::mem::take(&mut self.orphans);
        // What a rule writes that failed is not known.
        if !self.left.is_empty() && self.rules.iter().all(|rule| rule.health != Health::Bad) {
            let rules = &self.rules;
            let before = std::mem::take(&mut self.left);
            let (before, at_this): (BTreeMap<_, _>, BTreeMap<_, _>) =
                before.into_iter().partition(|(_, left_ms)| *left_ms < at_ms);
            self.left = at_this;
            let gone = before.into_keys().filter(|labels| !rules.iter().any(|r| r.written.contains(labels)));
            ended.extend(gone);
        }
        ended.iter().map(|labels| marker(labels, sample_ms)).collect()
    }

    /// Takes the state of the group that it replaces: of rules with the same name and labels, the first that of the first,
    /// and so on. Series of the others end with the next evaluation.
    pub fn adopt(&mut self, from: &Self) {
        let key = |rule: &Rule| (rule.name().to_owned(), rule.labels().clone());
        let mut places: BTreeMap<_, Vec<usize>> = BTreeMap::new();
        for (index, rule) in from.rules.iter().enumerate().rev() {
            places.entry(key(rule)).or_default().push(index);
        }
        for rule in &mut self.rules {
            let found = places.get_mut(&key(rule)).and_then(Vec::pop);
            let Some(old) = found.and_then(|index| from.rules.get(index)) else { continue };
            rule.written.clone_from(&old.written);
            if let (Some(new), Some(old)) = (rule.alerting_mut(), old.alerting()) {
                new.adopt(old);
            }
        }
        let left = places.into_values().flatten().filter_map(|index| from.rules.get(index));
        self.orphans = left.flat_map(|rule| rule.written.iter().cloned()).collect();
        self.orphans.extend(from.orphans.iter().cloned());
        self.left.clone_from(&from.left);
        self.last_evaluation_ms = from.last_evaluation_ms;
    }

    /// All series that it wrote last: they have to end where the group goes and nothing takes its place.
    pub fn series(&self) -> impl Iterator<Item = &Labels> {
        self.rules.iter().flat_map(|rule| &rule.written).chain(&self.orphans).chain(self.left.keys())
    }

    /// Markers for all series that it wrote last, for a group that ends at that time.
    pub fn ended(&self, at_ms: i64) -> Vec<RuleSample> {
        let sample_ms = self.query_time_ms(at_ms);
        self.series().map(|labels| marker(labels, sample_ms)).collect()
    }

    /// Alerts of all its rules that are pending or firing.
    pub fn alerts(&self) -> impl Iterator<Item = &Alert> {
        self.rules.iter().filter_map(Rule::alerting).flat_map(AlertingRule::alerts)
    }
}

fn marker(labels: &Labels, timestamp_ms: i64) -> RuleSample {
    RuleSample { labels: labels.clone(), timestamp_ms, value: SampleValue::Float(stale_nan()) }
}
