//! What is to be sent to whom, and how it went.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use model::Labels;

use super::GroupId;
use crate::alert::Alert;
use crate::config::{Config, Integration};
use crate::moment::Moment;
use crate::notification_log::{GroupState, LogEntry, LogKey, Reason};
use crate::route::Route;

/// What is to be told to one way of a receiver.
#[derive(Debug, Clone)]
pub struct Notification {
    pub(super) group_id: GroupId,
    pub(super) flush: u64,
    /// The group and the way of the receiver.
    pub key: LogKey,
    /// What the alerts have in common.
    pub group_labels: Labels,
    /// The route; its labels are for templates.
    pub route: Arc<Route>,
    /// Why it is told.
    pub reason: Reason,
    /// The alerts, in order; those that fire have no end.
    pub alerts: Vec<Arc<Alert>>,
    /// All alerts of the group, also those that nobody is told of, where labels of the route are rendered with them.
    pub group_alerts: Vec<Arc<Alert>>,
    /// What the log will know of the group once this is sent.
    pub(super) state: GroupState,
    /// When what the log knew of the group was told, by the clock of whoever told it.
    pub(super) follows: Option<Moment>,
    /// When it was decided.
    pub now: Moment,
    /// When sending it is given up.
    pub deadline: Moment,
}

impl Notification {
    /// What the log notes once it is sent, at a time. It was decided in the knowledge of what was told before, and is later than
    /// that: with a clock that is behind that of whoever told it, it would else not count, and be told again and again.
    pub(super) fn log_entry(&self, at: Moment, retention: Duration) -> (LogKey, LogEntry) {
        let at = self.follows.map_or(at, |before| at.max(before.plus(Duration::from_nanos(1))));
        let expiry = self.route.options.repeat_interval.saturating_mul(2).min(retention);
        let entry = LogEntry {
            at,
            firing: self.state.firing.clone(),
            resolved: self.state.resolved.clone(),
            expires_at: at.plus(expiry),
        };
        (self.key.clone(), entry)
    }
}

/// How sending a notification went, with all its retries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The receiver has it.
    Sent,
    /// It was given up.
    Failed,
}

/// How many alerts were not told, and why.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Suppressed {
    /// Other alerts inhibit them.
    pub inhibited: usize,
    /// They are silenced.
    pub silenced: usize,
    /// Their route is mute.
    pub muted: usize,
    /// Their route is not active.
    pub inactive: usize,
}

/// The ways of each receiver.
#[derive(Debug, Default)]
pub struct Receivers(BTreeMap<String, Vec<Integration>>);

impl Receivers {
    /// Those of a configuration.
    pub fn of(config: &Config) -> Self {
        Self(
            config
                .receivers
                .iter()
                .map(|receiver| (receiver.name.clone(), receiver.integrations()))
                .collect(),
        )
    }

    /// The ways of the receiver of that name.
    pub(super) fn of_name(&self, name: &str) -> &[Integration] {
        self.0.get(name).map(Vec::as_slice).unwrap_or_default()
    }
}
