//! The notification log: what each receiver was last told of each group, and whether there is something new to tell.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::alert::{Alert, Fingerprint};
use crate::moment::Moment;

/// Who was told of what: a group, and one way of a receiver.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct LogKey {
    /// The group's key.
    pub group: String,
    /// The receiver's name.
    pub receiver: String,
    /// The kind of the integration: `webhook`.
    pub integration: String,
    /// Its place among those of its kind.
    pub index: usize,
}

/// What was told, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEntry {
    /// When the notification was sent off.
    pub at: Moment,
    /// The alerts that fired.
    pub firing: BTreeSet<Fingerprint>,
    /// The alerts that were resolved.
    pub resolved: BTreeSet<Fingerprint>,
    /// When nobody needs to know of it any more.
    pub expires_at: Moment,
}

/// Why there is something to tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Nothing was told yet, or the last thing told was that all is resolved.
    FirstNotification,
    /// An alert fires that was not told of.
    NewAlerts,
    /// An alert is resolved that was not told to be.
    NewResolvedAlerts,
    /// No alert fires any more.
    AllResolved,
    /// Nothing is new, but the repeat interval is over.
    Repeat,
}

impl Reason {
    /// As templates and the webhook's payload name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::FirstNotification => "first notification",
            Self::NewAlerts => "new alerts added",
            Self::NewResolvedAlerts => "some alerts resolved",
            Self::AllResolved => "all alerts resolved",
            Self::Repeat => "repeat interval elapsed",
        }
    }
}

/// The alerts of a group, by whether they fire.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GroupState {
    /// Those that fire.
    pub firing: BTreeSet<Fingerprint>,
    /// Those that do not.
    pub resolved: BTreeSet<Fingerprint>,
}

impl GroupState {
    /// The state of these alerts at a time.
    pub fn of<'a>(alerts: impl IntoIterator<Item = &'a Alert>, now: Moment) -> Self {
        let mut state = Self::default();
        for alert in alerts {
            let set = if alert.is_resolved(now) { &mut state.resolved } else { &mut state.firing };
            set.insert(alert.fingerprint());
        }
        state
    }

    /// Why a receiver has to be told of this state, given what it was last told; `None` if it has not.
    pub fn reason(
        &self,
        told: Option<&LogEntry>,
        send_resolved: bool,
        repeat_interval: Duration,
        now: Moment,
    ) -> Option<Reason> {
        let Some(told) = told else {
            return (!self.firing.is_empty()).then_some(Reason::FirstNotification);
        };
        if !self.firing.is_subset(&told.firing) {
            let first = told.firing.is_empty();
            return Some(if first { Reason::FirstNotification } else { Reason::NewAlerts });
        }
        if self.firing.is_empty() {
            // Whether or not it wants to know of resolved ones: the log has to forget those that fired.
            return (!told.firing.is_empty()).then_some(Reason::AllResolved);
        }
        if send_resolved && !self.resolved.is_subset(&told.resolved) {
            return Some(Reason::NewResolvedAlerts);
        }
        (told.at < now.minus(repeat_interval)).then_some(Reason::Repeat)
    }
}

/// What was told to whom.
#[derive(Debug, Clone, Default)]
pub struct NotificationLog {
    entries: BTreeMap<LogKey, LogEntry>,
}

impl NotificationLog {
    /// What was last told.
    pub fn get(&self, key: &LogKey) -> Option<&LogEntry> {
        self.entries.get(key)
    }

    /// Takes note of what was told; of two notes of one thing the later one stays.
    pub fn record(&mut self, key: LogKey, entry: LogEntry) {
        match self.entries.get(&key) {
            Some(known) if known.at > entry.at => {}
            _ => {
                self.entries.insert(key, entry);
            }
        }
    }

    /// Forgets what nobody needs to know any more.
    pub fn expire(&mut self, now: Moment) {
        self.entries.retain(|_, entry| entry.expires_at > now);
    }

    /// All of it, for whoever keeps it.
    pub fn iter(&self) -> impl Iterator<Item = (&LogKey, &LogEntry)> {
        self.entries.iter()
    }
}
