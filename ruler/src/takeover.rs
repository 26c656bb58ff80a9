//! A group that another ruler has evaluated goes on where that one has left it: what it wrote last says where.

use std::time::Duration;

use env::Scope;
use futures::StreamExt as _;
use model::{Matcher, TimeRange};
use proto::{Code, Error, NewestRequest};
use rules::evaluation::{Resumed, StoredState};

use crate::config::whole_ms;
use crate::evaluate::Evaluator;
use crate::group::Unit;
use crate::write::patiently;

/// How long it is waited before what was written is looked up again, where it cannot be.
const RETRY: Duration = Duration::from_secs(1);
/// How many times of a group are made up for at most.
pub(crate) const MAX_CAUGHT_UP: i64 = 300;

/// Where a group was left.
pub(crate) struct Left {
    /// By the place of the rule: when it was evaluated last.
    pub(crate) rules: Vec<Option<i64>>,
}

impl Left {
    /// The last time at which all rules were evaluated of which anything is known.
    pub(crate) fn last_ms(&self) -> Option<i64> {
        self.rules.iter().flatten().min().copied()
    }

    /// All rules but these, of so many, have been evaluated at a time.
    pub(crate) fn add(&mut self, count: usize, at_ms: i64, but: &[usize]) {
        self.rules.resize(count, None);
        let done = self.rules.iter_mut().enumerate().filter(|(index, _)| !but.contains(index));
        done.for_each(|(_, last_ms)| *last_ms = (*last_ms).max(Some(at_ms)));
    }

    /// Whether a rule was evaluated at a time.
    pub(crate) fn is_done(&self, index: usize, at_ms: i64) -> bool {
        self.rules.get(index).copied().flatten().is_some_and(|last_ms| last_ms >= at_ms)
    }
}

impl Evaluator {
    /// How far back evaluations of a group are made up for, in milliseconds.
    pub(crate) fn reach_ms(&self, interval_ms: i64) -> i64 {
        whole_ms(self.config.catch_up).min(interval_ms.saturating_mul(MAX_CAUGHT_UP))
    }

    /// Looks up where a group was left, and puts it there. What cannot be looked up is tried again for as long as evaluations
    /// can be made up for: nothing is lost by waiting, and an alert that forgets since when it is might never fire.
    pub(crate) async fn take_over(&self, unit: &Unit, scope: &Scope) -> Left {
        let began = self.clock.monotonic();
        let count = unit.state.lock().group.rules().len();
        let mut rules = vec![None; count];
        let mut restores = false;
        let at_once = self.config.max_independent_rules;
        let looked_up = futures::stream::iter(0..count)
            .map(|index| async move { (index, self.left_by(unit, index, began, scope).await) });
        let mut looked_up = looked_up.buffer_unordered(at_once);
        while let Some((index, found)) = looked_up.next().await {
            let mut state = unit.state.lock();
            let (now_ms, interval_ms) = (self.clock.now_ms(), state.group.interval_ms());
            let oldest_ms = now_ms.saturating_sub(self.reach_ms(interval_ms));
            let resumed = match &found {
                Some(found) => state.group.resume(index, oldest_ms, found),
                None => Resumed::Before,
            };
            if let (Resumed::At(last_ms), Some(rule)) = (resumed, rules.get_mut(index)) {
                *rule = Some(last_ms);
            }
            restores |= state.group.alerting_mut(index).is_some_and(|rule| !rule.is_restored());
        }
        unit.state.lock().restores = restores;
        let took = self.clock.monotonic().saturating_sub(began);
        unit.metrics.last_restore.set(took.as_secs_f64());
        self.metrics.takeovers.observe(took.as_secs_f64());
        Left { rules }
    }

    /// The newest samples of all series of a rule; `None` where they cannot be had.
    async fn left_by(
        &self,
        unit: &Unit,
        index: usize,
        began: Duration,
        scope: &Scope,
    ) -> Option<Vec<StoredState>> {
        let (selectors, interval_ms, is_alerting) = {
            let state = unit.state.lock();
            let group = &state.group;
            let is_alerting = group.rules().get(index).is_some_and(|rule| rule.alerting().is_some());
            (group.selectors(index), group.interval_ms(), is_alerting)
        };
        let reach_ms = self.reach_ms(interval_ms).saturating_add(interval_ms);
        // Alerts may also be restored after a longer outage.
        let tolerance_ms = if is_alerting { whole_ms(self.config.for_outage_tolerance) } else { 0 };
        let patience = Duration::from_millis(reach_ms.unsigned_abs());
        let mut found = Vec::new();
        for selector in selectors {
            loop {
                // The semaphore is never closed.
                let permit = self.room.acquire().await.ok();
                let newest = self.newest(unit, &selector, reach_ms.max(tolerance_ms)).await;
                drop(permit);
                let error = match newest {
                    Ok(newest) => {
                        found.extend(newest);
                        break;
                    }
                    Err(error) => error,
                };
                let waited = self.clock.monotonic().saturating_sub(began);
                let lasts = matches!(error.code, Code::Unavailable | Code::DeadlineExceeded | Code::Internal);
                if !lasts || waited >= patience || scope.is_cancelled() {
                    tracing::error!(
                        tenant = %unit.tenant, file = unit.file, group = unit.name, index, %error,
                        "what a rule has written before cannot be looked up; it begins anew"
                    );
                    return None;
                }
                tokio::select! {
                    biased;
                    () = scope.cancelled() => {}
                    () = self.clock.sleep(RETRY) => {}
                }
            }
        }
        Some(found)
    }

    /// The newest samples of series with these labels, of so many milliseconds. Whoever wrote them may have had a clock that is
    /// ahead of this one.
    pub(crate) async fn newest(
        &self,
        unit: &Unit,
        selector: &[(String, String)],
        reach_ms: i64,
    ) -> Result<Vec<StoredState>, Error> {
        let now_ms = self.clock.now_ms();
        let ahead_ms = unit.state.lock().group.interval_ms();
        let range = TimeRange::new(now_ms.saturating_sub(reach_ms), now_ms.saturating_add(ahead_ms));
        let Some(range) = range else {
            return Ok(Vec::new());
        };
        let matchers: Vec<Matcher> =
            selector.iter().map(|(name, value)| Matcher::equal(name, value)).collect();
        let request = NewestRequest { tenant: unit.tenant.clone(), matchers, range };
        let newest = patiently(&*self.clock, || self.query.newest(request.clone())).await?;
        let stored = newest.into_iter().map(|sample| StoredState {
            labels: sample.labels,
            timestamp_ms: sample.timestamp_ms,
            value: sample.value,
        });
        Ok(stored.collect())
    }
}
