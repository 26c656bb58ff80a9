//! A group that goes on where another process has left it: its series say when it was evaluated last, which alerts there were and
//! since when, and which series have to end if nothing writes them any more.

use std::collections::BTreeMap;

use model::{Labels, METRIC_NAME, is_stale_nan};

use super::alert::{Alert, AlertState};
use super::alerting::{ALERT_NAME, ALERT_STATE, ALERTS, ALERTS_FOR_STATE, AlertingRule};
use super::group::Group;
use super::restore::StoredState;
use super::rule::{Rule, RuleBody};
use super::schedule::Schedule;

/// What the series of a rule say of its last evaluation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resumed {
    /// It has left none.
    Nothing,
    /// It was evaluated last at that time, in milliseconds since 1970, and goes on from there.
    At(i64),
    /// It was evaluated, but too long ago, or at times that are not the group's any more. Alerts may be restored
    /// (see [`super::Restore`]).
    Before,
}

impl Group {
    /// The labels that series of a rule have, one set for each of its metrics: for a look at their newest samples. Labels with
    /// templates are left out.
    pub fn selectors(&self, index: usize) -> Vec<Vec<(String, String)>> {
        let Some(rule) = self.rules().get(index) else { return Vec::new() };
        match &rule.body {
            RuleBody::Recording(rule) => {
                let mut selector = vec![(METRIC_NAME.to_owned(), rule.name.clone())];
                selector.extend(rule.labels.iter().map(|(name, value)| (name.clone(), value.clone())));
                vec![selector]
            }
            RuleBody::Alerting(rule) => {
                let since = rule.state_selector();
                let mut state = since.clone();
                if let Some((_, name)) = state.iter_mut().find(|(name, _)| name == METRIC_NAME) {
                    ALERTS.clone_into(name);
                }
                vec![since, state]
            }
        }
    }

    /// Puts a rule to where whoever evaluated it before has left it, by the newest samples of the series for
    /// [`Group::selectors`]; not if that was before `oldest_ms`. Its alerts go on: what is pending or firing is so since the
    /// same time. Only a rule that shares name and labels with another of the group cannot tell its alerts from the other's;
    /// they are left to [`super::Restore`].
    pub fn resume(&mut self, index: usize, oldest_ms: i64, found: &[StoredState]) -> Resumed {
        let (schedule, offset_ms) = (self.schedule(), self.query_offset_ms());
        let (alone, metrics) = (self.is_alone(index), self.selectors(index).len());
        let Some(rule) = self.rules_mut().get_mut(index) else { return Resumed::Nothing };
        // Of series with the same labels that another group writes, the times say that they are another's.
        let at = |state: &StoredState| state.timestamp_ms.saturating_add(offset_ms);
        let mut newest: BTreeMap<Option<&str>, i64> = BTreeMap::new();
        for (metric, at_ms) in found.iter().map(|state| (state.labels.metric_name(), at(state))) {
            if schedule.before(at_ms) == at_ms {
                newest.entry(metric).and_modify(|last_ms| *last_ms = at_ms.max(*last_ms)).or_insert(at_ms);
            }
        }
        // Between the looks at two metrics one more evaluation may have been written: both are known of the one before.
        let last_ms = newest.values().min().copied().filter(|_| newest.len() == metrics);
        let Some(last_ms) = last_ms.filter(|last_ms| *last_ms >= oldest_ms) else {
            return match found.is_empty() {
                true => {
                    rule.alerting_mut().into_iter().for_each(AlertingRule::set_restored);
                    Resumed::Nothing
                }
                false => Resumed::Before,
            };
        };
        let own = |at_ms: i64| at_ms >= last_ms && schedule.before(at_ms) == at_ms;
        let last = found.iter().filter(|state| own(at(state)));
        let alive: Vec<&StoredState> = last.filter(|state| !is_stale_nan(state.value)).collect();
        rule.last_evaluation_ms = Some(last_ms);
        if let Some(rule) = rule.alerting_mut().filter(|_| alone) {
            rule.resume(last_ms, &schedule, &alive);
        }
        self.left_mut().extend(alive.into_iter().map(|state| (state.labels.clone(), at(state))));
        Resumed::At(last_ms)
    }

    /// Whether no other rule of the group has the name and the labels of this one.
    fn is_alone(&self, index: usize) -> bool {
        let like = |rule: &Rule| (rule.name().to_owned(), rule.labels().clone(), rule.alerting().is_some());
        let Some(own) = self.rules().get(index).map(like) else { return false };
        self.rules().iter().filter(|rule| like(rule) == own).count() == 1
    }
}

impl AlertingRule {
    /// Takes up the alerts that there were at an evaluation, by the series that it left.
    fn resume(&mut self, last_ms: i64, schedule: &Schedule, states: &[&StoredState]) {
        let since = states.iter().filter(|state| state.labels.metric_name() == Some(ALERTS_FOR_STATE));
        let alerts: BTreeMap<Labels, Alert> = since
            .map(|state| {
                let labels = self.labels_of(&state.labels);
                let active_at_ms = exact(state.value, schedule);
                let mut alert = Alert::begun(labels.clone(), BTreeMap::new(), f64::NAN, active_at_ms);
                let fires_ms = active_at_ms.saturating_add(self.hold_ms());
                if last_ms >= fires_ms {
                    alert.state = AlertState::Firing;
                    let before_ms = schedule.before(fires_ms);
                    let is_due = before_ms == fires_ms;
                    let fired_ms = if is_due { before_ms } else { before_ms + schedule.interval_ms() };
                    alert.fired_at_ms = Some(fired_ms.min(last_ms));
                }
                (labels, alert)
            })
            .collect();
        self.set_active(alerts);
        self.set_restored();
    }

    /// The labels of an alert by those of one of its series, in which a label of the rule that came out empty has its template
    /// as value.
    fn labels_of(&self, series: &Labels) -> Labels {
        let mut labels = series.to_builder();
        labels.remove(METRIC_NAME).remove(ALERT_STATE);
        for (name, text) in self.labels() {
            if name != ALERT_NAME && text.contains("{{") && series.get(name) == Some(text) {
                labels.remove(name);
            }
        }
        labels.build()
    }
}

/// Alerts begin at times of their group, of which series know whole seconds.
fn exact(seconds: f64, schedule: &Schedule) -> i64 {
    let whole_ms = (seconds as i64).saturating_mul(1_000);
    let found_ms = schedule.before(whole_ms.saturating_add(999));
    if found_ms >= whole_ms { found_ms } else { whole_ms }
}
