//! After a start, alerts go on waiting where they were: their series say since when they have been.

use std::time::Duration;

use rules::evaluation::StoredState;

use crate::config::whole_ms;
use crate::evaluate::Evaluator;
use crate::group::Unit;

impl Evaluator {
    /// Looks up how the alerts of a group stood before this process was. What cannot be looked up begins anew: an alert that
    /// fires late is better than one that never does.
    pub(crate) async fn restore(&self, unit: &Unit) {
        let began = self.clock.monotonic();
        let restore = self.config.restore();
        let count = unit.state.lock().group.rules().len();
        for index in 0..count {
            let selector = {
                let mut state = unit.state.lock();
                let Some(rule) = state.group.alerting_mut(index) else { continue };
                if !restore.is_needed(rule) {
                    rule.set_restored();
                    continue;
                }
                rule.state_selector()
            };
            let now_ms = self.clock.now_ms();
            let found = self.states(unit, &selector).await;
            let mut state = unit.state.lock();
            if let Some(rule) = state.group.alerting_mut(index) {
                restore.restore(rule, now_ms, &found);
            }
        }
        unit.state.lock().restores = false;
        let took: Duration = self.clock.monotonic().saturating_sub(began);
        unit.metrics.last_restore.set(took.as_secs_f64());
    }

    async fn states(&self, unit: &Unit, selector: &[(String, String)]) -> Vec<StoredState> {
        let newest = self.newest(unit, selector, whole_ms(self.config.for_outage_tolerance)).await;
        newest.unwrap_or_else(|error| {
            tracing::error!(
                tenant = %unit.tenant, file = unit.file, group = unit.name, %error,
                "how alerts stood before cannot be looked up; they begin to wait anew"
            );
            Vec::new()
        })
    }
}
