//! A group: the alerts of one route that are told together.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::Labels;

use super::notification::{Notification, Outcome};
use super::{GroupId, GroupView, MIN_TIMEOUT};
use crate::alert::{self, Alert, Fingerprint};
use crate::config::Integration;
use crate::moment::Moment;
use crate::notification_log::{GroupState, LogKey, NotificationLog};
use crate::route::{Route, display_labels};

/// A flush whose notifications are on their way.
#[derive(Debug)]
struct Flush {
    number: u64,
    /// How many notifications are not answered yet.
    open: usize,
    failed: bool,
    /// The alerts that were resolved when it began.
    resolved: Vec<Arc<Alert>>,
}

#[derive(Debug)]
pub(super) struct Group {
    pub(super) route: Arc<Route>,
    labels: Labels,
    key: String,
    alerts: BTreeMap<Fingerprint, Arc<Alert>>,
    /// When it is flushed next, once nothing is on its way.
    pub(super) due: Moment,
    /// When it was to be flushed at first.
    pub(super) first_due: Moment,
    flush: Option<Flush>,
}

impl Group {
    pub(super) fn new(route: Arc<Route>, labels: Labels, due: Moment) -> Self {
        let key = format!("{}:{}", route.key, display_labels(&labels));
        Self { route, labels, key, alerts: BTreeMap::new(), due, first_due: due, flush: None }
    }

    pub(super) fn insert(&mut self, alert: &Arc<Alert>) {
        self.alerts.insert(alert.fingerprint(), alert.clone());
    }

    pub(super) fn is_empty(&self) -> bool {
        self.alerts.is_empty()
    }

    /// The alerts as they are at a time: one that is not resolved yet has no end. In the order of notifications.
    pub(super) fn alerts_at(&self, now: Moment) -> Vec<Arc<Alert>> {
        let mut alerts: Vec<Arc<Alert>> = self
            .alerts
            .values()
            .map(|alert| match alert.ends_at {
                Some(_) if !alert.is_resolved(now) => Arc::new(Alert { ends_at: None, ..(**alert).clone() }),
                _ => alert.clone(),
            })
            .collect();
        alert::sort(&mut alerts);
        alerts
    }

    /// Under which key the log has what an integration was told of it.
    pub(super) fn log_key(&self, integration: &Integration) -> LogKey {
        LogKey {
            group: self.key.clone(),
            receiver: self.route.options.receiver.clone(),
            integration: integration.kind.to_owned(),
            index: integration.index,
        }
    }

    /// What an integration has to be told of these alerts, if anything.
    pub(super) fn notification(
        &self,
        id: GroupId,
        flush: u64,
        integration: &Integration,
        alerts: &[Arc<Alert>],
        log: &NotificationLog,
        now: Moment,
    ) -> Option<Notification> {
        let options = &self.route.options;
        let key = self.log_key(integration);
        let state = GroupState::of(alerts.iter().map(|alert| &**alert), now);
        let repeat = options.repeat_interval;
        let told = log.get(&key);
        let reason = state.reason(told, integration.send_resolved, repeat, now)?;
        let wanted = |alert: &&Arc<Alert>| integration.send_resolved || alert.ends_at.is_none();
        Some(Notification {
            group_id: id,
            flush,
            key,
            group_labels: self.labels.clone(),
            route: self.route.clone(),
            reason,
            alerts: alerts.iter().filter(wanted).cloned().collect(),
            group_alerts: Vec::new(),
            state,
            follows: told.map(|told| told.at),
            now,
            deadline: now.plus(options.group_interval.max(MIN_TIMEOUT)),
        })
    }

    /// A flush begins: with so many notifications on their way.
    pub(super) fn begin(
        &mut self,
        number: u64,
        open: usize,
        alerts: &[Arc<Alert>],
        due: Moment,
        now: Moment,
    ) {
        let resolved = alerts.iter().filter(|alert| alert.is_resolved(now)).cloned().collect();
        self.due = due;
        self.flush = Some(Flush { number, open, failed: false, resolved });
    }

    /// A notification is through; whether it was one of the flush on its way.
    pub(super) fn answered(&mut self, number: u64, outcome: Outcome) -> bool {
        let Some(flush) = self.flush.as_mut().filter(|flush| flush.number == number) else { return false };
        flush.open = flush.open.saturating_sub(1);
        flush.failed |= outcome == Outcome::Failed;
        true
    }

    /// What is on its way is not going to be answered.
    pub(super) fn call_off(&mut self) {
        if let Some(flush) = &mut self.flush {
            (flush.open, flush.failed) = (0, true);
        }
    }

    pub(super) fn in_flight(&self) -> bool {
        self.flush.as_ref().is_some_and(|flush| flush.open > 0)
    }

    /// Forgets the alerts that were told to be resolved, unless they changed since.
    pub(super) fn forget_told(&mut self) {
        let Some(flush) = self.flush.take().filter(|flush| !flush.failed) else { return };
        for told in flush.resolved {
            let fingerprint = told.fingerprint();
            if self.alerts.get(&fingerprint).is_some_and(|alert| *alert == told) {
                self.alerts.remove(&fingerprint);
            }
        }
    }

    pub(super) fn view(&self, muted_by: Vec<String>) -> GroupView {
        let mut alerts: Vec<Arc<Alert>> = self.alerts.values().cloned().collect();
        alert::sort(&mut alerts);
        GroupView {
            labels: self.labels.clone(),
            key: self.key.clone(),
            receiver: self.route.options.receiver.clone(),
            route: self.route.clone(),
            group_alerts: if self.route.options.labels.is_empty() { Vec::new() } else { alerts.clone() },
            alerts,
            muted_by,
        }
    }
}
