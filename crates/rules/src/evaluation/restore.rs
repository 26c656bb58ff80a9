//! What alerts were before a restart, as the series `ALERTS_FOR_STATE` tell: an alert goes on waiting where it was.

use model::{Labels, METRIC_NAME, is_stale_nan};

use super::alerting::AlertingRule;

/// How states are restored. Times are milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Restore {
    /// States of before so long ago do not count. Upstream's default is an hour.
    pub outage_tolerance_ms: i64,
    /// What an alert has to wait at least after a restart; rules that wait less are not restored. Upstream's default is
    /// ten minutes.
    pub grace_period_ms: i64,
}

impl Default for Restore {
    fn default() -> Self {
        Self { outage_tolerance_ms: 60 * 60_000, grace_period_ms: 10 * 60_000 }
    }
}

/// The last sample of a series of `ALERTS_FOR_STATE`.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredState {
    /// Its labels.
    pub labels: Labels,
    /// When the sample was written, in milliseconds since 1970.
    pub timestamp_ms: i64,
    /// Since when the alert was active, in seconds since 1970, or a stale marker.
    pub value: f64,
}

impl Restore {
    /// Whether the states of a rule have to be looked up at all.
    pub fn is_needed(&self, rule: &AlertingRule) -> bool {
        !rule.is_restored() && rule.hold_ms() >= self.grace_period_ms
    }

    /// Puts the alerts of a rule back to where they were, by what was found for [`AlertingRule::state_selector`] in the time
    /// of the tolerance before `now_ms`. From then on the rule writes series.
    pub fn restore(&self, rule: &mut AlertingRule, now_ms: i64, found: &[StoredState]) {
        let hold_ms = rule.hold_ms();
        for alert in rule.active_mut() {
            let state = found.iter().find(|state| state.labels.without(METRIC_NAME) == alert.labels);
            let Some(state) = state.filter(|state| !is_stale_nan(state.value)) else { continue };
            alert.active_at_ms = self.active_at_ms(state, now_ms, hold_ms);
        }
        rule.set_restored();
    }

    fn active_at_ms(&self, state: &StoredState, now_ms: i64, hold_ms: i64) -> i64 {
        let active_at_ms = (state.value as i64).saturating_mul(1_000);
        // Upstream knows whole seconds of it.
        let down_at_ms = state.timestamp_ms.div_euclid(1_000) * 1_000;
        let left_ms = hold_ms - (down_at_ms - active_at_ms);
        if left_ms <= 0 {
            // It was firing, and fires again.
            active_at_ms
        } else if left_ms < self.grace_period_ms {
            now_ms + self.grace_period_ms - hold_ms
        } else {
            // The time of the outage does not count.
            active_at_ms + (now_ms - down_at_ms)
        }
    }
}
