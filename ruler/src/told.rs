//! Groups as rulers tell each other of them, and as the API shows them: those that are evaluated here, those that others evaluate,
//! and those that nobody evaluates yet.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use model::{Labels, TenantId};
use proto::Error;
use proto::ruler::{Alert, AlertState, Alerting, Group, Health, Rule};
use rules::evaluation;

use crate::group::{GroupKey, Timing, Unit};
use crate::service::Shared;

impl Shared {
    /// The groups of a tenant that are evaluated here, by file and name.
    pub(crate) fn told(&self, tenant: &TenantId, exclude_alerts: bool) -> Vec<Group> {
        self.units(tenant).iter().map(|unit| told(unit, exclude_alerts)).collect()
    }

    /// All groups of a tenant by file and name, wherever they are evaluated. One that nobody evaluates at the moment, since it was
    /// just set or passes from one ruler to another, is there without states.
    ///
    /// # Errors
    /// Where another ruler does not tell of those that it evaluates.
    pub(crate) async fn all(&self, tenant: &TenantId, exclude_alerts: bool) -> Result<Vec<Group>, Error> {
        let mut groups: BTreeMap<GroupKey, Group> = BTreeMap::new();
        let Some(shares) = self.shares() else { return Ok(self.told(tenant, exclude_alerts)) };
        let others = shares.groups_of_others(tenant, exclude_alerts).await?;
        for group in self.told(tenant, exclude_alerts).into_iter().chain(others) {
            let key = (group.file.clone(), group.name.clone());
            // Where two have it, one does not any more.
            if groups.get(&key).is_none_or(|known| known.began_ms < group.began_ms) {
                groups.insert(key, group);
            }
        }
        for described in self.wanted(tenant) {
            let key = described.key();
            if groups.contains_key(&key) {
                continue;
            }
            let settings = Arc::clone(&self.settings);
            let group = evaluation::Group::new(&described.file, &described.group, settings, true);
            // Templates were checked when the group was read.
            let Ok(group) = group else { continue };
            let rules = group.rules().iter();
            let rules = rules.map(|rule| told_rule(rule, Timing::default(), exclude_alerts)).collect();
            groups.insert(key.clone(), told_group(key, &group, Timing::default(), rules));
        }
        Ok(groups.into_values().collect())
    }
}

fn told(unit: &Unit, exclude_alerts: bool) -> Group {
    let state = unit.state.lock();
    let rules = state.group.rules().iter().zip(&state.timings);
    let rules = rules.map(|(rule, timing)| told_rule(rule, *timing, exclude_alerts)).collect();
    told_group((unit.file.clone(), unit.name.clone()), &state.group, state.timing, rules)
}

fn told_group((file, name): GroupKey, group: &evaluation::Group, timing: Timing, rules: Vec<Rule>) -> Group {
    Group {
        file,
        name,
        interval_ms: group.interval_ms(),
        limit: group.limit(),
        began_ms: timing.began_ms,
        took_us: micros(timing.took),
        rules,
    }
}

fn told_rule(rule: &rules::Rule, timing: Timing, exclude_alerts: bool) -> Rule {
    let health = match rule.health() {
        rules::Health::Unknown => Health::Unknown,
        rules::Health::Good => Health::Good,
        rules::Health::Bad => Health::Bad,
    };
    let alerting = rule.alerting().map(|rule| Alerting {
        hold_ms: rule.hold_ms(),
        keep_firing_ms: rule.keep_firing_ms(),
        annotations: rule.annotations().clone(),
        state: told_state(rule.state()).into(),
        alerts: if exclude_alerts { Vec::new() } else { rule.alerts().map(told_alert).collect() },
    });
    Rule {
        name: rule.name().to_owned(),
        query: rule.query().to_owned(),
        labels: rule.labels().clone(),
        health: health.into(),
        last_error: rule.last_error().map(str::to_owned),
        began_ms: timing.began_ms,
        took_us: micros(timing.took),
        alerting,
    }
}

fn told_alert(alert: &rules::Alert) -> Alert {
    Alert {
        labels: pairs(&alert.labels),
        annotations: alert.annotations.clone(),
        state: told_state(alert.state).into(),
        active_at_ms: alert.active_at_ms,
        keep_firing_since_ms: alert.keep_firing_since_ms,
        value: alert.value,
    }
}

fn told_state(state: rules::AlertState) -> AlertState {
    match state {
        rules::AlertState::Inactive => AlertState::Inactive,
        rules::AlertState::Pending => AlertState::Pending,
        rules::AlertState::Firing => AlertState::Firing,
    }
}

fn pairs(labels: &Labels) -> BTreeMap<String, String> {
    labels.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
