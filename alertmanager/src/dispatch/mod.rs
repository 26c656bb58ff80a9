//! The dispatcher: which notifications are due. It takes the time and what happened, and returns what is to be sent;
//! whoever sends it says how that went.

mod group;
mod notification;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use model::Labels;

use self::group::Group;
pub use self::notification::{Notification, Outcome, Receivers, Suppressed};
use crate::alert::{Alert, Fingerprint, compare_labels};
use crate::config::{Config, Integration};
use crate::inhibit::Inhibitor;
use crate::interval::TimeInterval;
use crate::moment::Moment;
use crate::notification_log::{LogEntry, LogKey, NotificationLog};
use crate::route::Route;
use crate::silence::Silences;

/// A sender is given at least this long.
pub const MIN_TIMEOUT: Duration = Duration::from_secs(10);

/// How long an alert is known after its end, so that others that take over know of it.
const RESOLVED_FOR: Duration = Duration::from_secs(5 * 60);

/// What bounds a dispatcher.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DispatchLimits {
    /// How many groups there may be.
    pub groups: usize,
    /// How many alerts there may be.
    pub alerts: usize,
    /// How long the notification log remembers, at most.
    pub log_retention: Duration,
}

impl Default for DispatchLimits {
    /// 100,000 groups, a million alerts, five days.
    fn default() -> Self {
        Self { groups: 100_000, alerts: 1_000_000, log_retention: Duration::from_secs(120 * 3_600) }
    }
}

/// Which group: the place of its route in the tree, and a hash of the labels that it has in common.
type GroupId = (usize, Fingerprint);

/// What became of a pushed alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pushed {
    /// How many groups were not made since there are as many as there may be.
    pub groups_refused: usize,
    /// Whether the alert itself was refused since there are as many as there may be.
    pub refused: bool,
}

/// What keeps an alert from being told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AlertStatus {
    /// The alerts that inhibit it.
    pub inhibited_by: Vec<Fingerprint>,
    /// The silences that hold for it.
    pub silenced_by: Vec<String>,
}

/// A group as the API shows it.
#[derive(Debug, Clone)]
pub struct GroupView {
    /// What its alerts have in common.
    pub labels: Labels,
    /// Its key.
    pub key: String,
    /// Who is told.
    pub receiver: String,
    /// Its route.
    pub route: Arc<Route>,
    /// Its alerts.
    pub alerts: Vec<Arc<Alert>>,
    /// All of its alerts, whichever are wanted of those above, where labels of the route are rendered with them.
    pub group_alerts: Vec<Arc<Alert>>,
    /// The names of the intervals that keep it quiet now.
    pub muted_by: Vec<String>,
}

/// What a flush came to.
#[derive(Debug, Default)]
pub struct Flushed {
    /// What is to be sent. Each has to be answered by [`Dispatcher::done`]: its group waits for it.
    pub notifications: Vec<Notification>,
    /// What the log took note of without anything to be sent, for whoever keeps the log.
    pub noted: Vec<(LogKey, LogEntry)>,
    /// How many alerts were not told, and why.
    pub suppressed: Suppressed,
}

/// All alerts of a tenant, their groups, and what was told of them.
#[derive(Debug)]
pub struct Dispatcher {
    route: Arc<Route>,
    receivers: Receivers,
    intervals: BTreeMap<String, Vec<TimeInterval>>,
    inhibitor: Inhibitor,
    alerts: BTreeMap<Fingerprint, Arc<Alert>>,
    groups: BTreeMap<GroupId, Group>,
    /// When each group is due that nothing is being sent of.
    due: BTreeSet<(Moment, GroupId)>,
    silences: Silences,
    log: NotificationLog,
    limits: DispatchLimits,
    /// Numbers the flushes, so that what was sent before a reload changes no group of after.
    flushes: u64,
}

impl Dispatcher {
    /// A dispatcher without alerts.
    pub fn new(config: &Config, limits: DispatchLimits) -> Self {
        Self::with_state(config, limits, Silences::default(), NotificationLog::default())
    }

    /// A dispatcher without alerts that remembers silences and what was told.
    pub fn with_state(
        config: &Config,
        limits: DispatchLimits,
        silences: Silences,
        log: NotificationLog,
    ) -> Self {
        Self {
            route: Route::tree(&config.route),
            receivers: Receivers::of(config),
            intervals: config.time_intervals.clone(),
            inhibitor: Inhibitor::new(config.inhibit_rules.iter().cloned()),
            alerts: BTreeMap::new(),
            groups: BTreeMap::new(),
            due: BTreeSet::new(),
            silences,
            log,
            limits,
            flushes: 0,
        }
    }

    /// Takes another configuration. Alerts, silences and the log stay; groups are made anew and wait anew, those whose
    /// alerts are old enough not at all.
    pub fn reload(&mut self, config: &Config, now: Moment) {
        self.route = Route::tree(&config.route);
        self.receivers = Receivers::of(config);
        self.intervals.clone_from(&config.time_intervals);
        self.inhibitor = Inhibitor::new(config.inhibit_rules.iter().cloned());
        self.groups.clear();
        self.due.clear();
        let alerts: Vec<Arc<Alert>> = self.alerts.values().cloned().collect();
        for alert in alerts {
            self.inhibitor.update(&alert);
            self.route(&alert, now);
        }
    }

    /// Takes an alert that was pushed.
    pub fn push(&mut self, alert: Alert, now: Moment) -> Pushed {
        let fingerprint = alert.fingerprint();
        let alert = match self.alerts.get(&fingerprint) {
            None if self.alerts.len() >= self.limits.alerts => {
                return Pushed { refused: true, ..Pushed::default() };
            }
            // Whether it has ended is asked at the time of whoever was posted it, whose clock may be ahead of this one's.
            Some(known) if alert.overlaps(known) => Arc::new(known.merge(&alert, now.max(alert.updated_at))),
            _ => Arc::new(alert),
        };
        self.alerts.insert(fingerprint, alert.clone());
        self.inhibitor.update(&alert);
        Pushed { groups_refused: self.route(&alert, now), refused: false }
    }

    /// Takes an alert that another process has: what is known of it stays if it was posted later.
    pub fn hear(&mut self, alert: Alert, now: Moment) -> Pushed {
        match self.alerts.get(&alert.fingerprint()) {
            Some(known) if known.updated_at > alert.updated_at && !alert.overlaps(known) => Pushed::default(),
            _ => self.push(alert, now),
        }
    }

    /// Lets alerts that are posted now be later than what is known of them, also where that was posted elsewhere and clocks
    /// differ.
    pub fn date(&self, alerts: &mut [Alert]) {
        for alert in alerts {
            if let Some(known) = self.alerts.get(&alert.fingerprint()) {
                alert.updated_at = alert.updated_at.max(known.updated_at.plus(Duration::from_nanos(1)));
            }
        }
    }

    /// Puts an alert into its groups; how many could not be made.
    fn route(&mut self, alert: &Arc<Alert>, now: Moment) -> usize {
        let mut refused = 0;
        for route in self.route.matching(&alert.labels) {
            let labels = route.group_labels(&alert.labels);
            let id = (route.index, Fingerprint::of(&labels));
            if let Some(group) = self.groups.get_mut(&id) {
                group.insert(alert);
                continue;
            }
            if self.groups.len() >= self.limits.groups {
                refused += 1;
                continue;
            }
            let wait = route.options.group_wait;
            let old = alert.starts_at.plus(wait) < now;
            let due = if old { now } else { now.plus(wait) };
            let mut group = Group::new(route, labels, due);
            group.insert(alert);
            self.groups.insert(id, group);
            self.due.insert((due, id));
        }
        refused
    }

    /// When the next group is due.
    pub fn next_due(&self) -> Option<Moment> {
        self.due.first().map(|(due, _)| *due)
    }

    /// What is due.
    pub fn flush(&mut self, now: Moment) -> Flushed {
        let mut flushed = Flushed::default();
        while let Some((due, id)) = self.due.first().copied().filter(|(due, _)| *due <= now) {
            self.due.remove(&(due, id));
            self.flush_group(id, now, &mut flushed);
        }
        flushed
    }

    /// Another process tells: groups go on where there is nothing to be told any more by the log, which forgets what is
    /// resolved. Others stay due, for this process to tell if it takes over.
    pub fn follow(&mut self, now: Moment) {
        let due: Vec<(Moment, GroupId)> =
            self.due.iter().copied().take_while(|(due, _)| *due <= now).collect();
        for (due, id) in due {
            let Some(group) = self.groups.get(&id) else { continue };
            let alerts = group.alerts_at(now);
            let mut ignored = Suppressed::default();
            let told: Vec<Arc<Alert>> = match self.muted(group, now, &mut ignored, 0) {
                true => Vec::new(),
                false => {
                    let wanted =
                        alerts.iter().filter(|alert| self.may_be_told(&alert.labels, now, &mut ignored));
                    wanted.cloned().collect()
                }
            };
            let ways =
                self.receivers.of_name(&group.route.options.receiver).iter().filter(|_| !told.is_empty());
            let mut news = ways.map(|way| group.notification(id, 0, way, &told, &self.log, now));
            if news.any(|notification| notification.is_some()) {
                continue;
            }
            let next = now.plus(group.route.options.group_interval);
            self.due.remove(&(due, id));
            self.flushes += 1;
            if let Some(group) = self.groups.get_mut(&id) {
                group.begin(self.flushes, 0, &alerts, next, now);
            }
            self.settle(id);
        }
    }

    /// What is on its way has ended or was called off: whatever was not answered counts as failed.
    pub fn call_off(&mut self) {
        let open: Vec<GroupId> =
            self.groups.iter().filter(|(_, group)| group.in_flight()).map(|(id, _)| *id).collect();
        for id in open {
            if let Some(group) = self.groups.get_mut(&id) {
                group.call_off();
            }
            self.settle(id);
        }
    }

    /// This process tells from now on: groups are due when whoever told of them last would have told again, and those that
    /// nobody was told of when they were first. What has ended since others told that it fires is told, whether or not this
    /// process had it in a group.
    pub fn take_over(&mut self, now: Moment) {
        self.recall(now);
        self.due.clear();
        for (id, group) in &mut self.groups {
            if group.in_flight() {
                continue;
            }
            let ways = self.receivers.of_name(&group.route.options.receiver);
            let told = ways.iter().filter_map(|way| self.log.get(&group.log_key(way))).map(|entry| entry.at);
            group.due = match told.max() {
                // What was told before this group was made was of one that is gone.
                Some(at) => at.plus(group.route.options.group_interval).max(group.first_due),
                None => group.first_due,
            };
            self.due.insert((group.due, *id));
        }
    }

    /// Takes note of what another process told. What it told to fire, and has ended, is to be told.
    pub fn heard_told(&mut self, key: LogKey, entry: LogEntry, now: Moment) {
        let is_new = self.log.get(&key).is_none_or(|known| known.at < entry.at);
        self.log.record(key, entry);
        if is_new {
            self.recall(now);
        }
    }

    /// Puts resolved alerts into groups of which the log says that they fire.
    fn recall(&mut self, now: Moment) {
        let resolved = self.alerts.values().filter(|alert| alert.is_resolved(now));
        let untold: Vec<Arc<Alert>> =
            resolved.filter(|alert| self.was_told_to_fire(alert)).cloned().collect();
        for alert in untold {
            self.route(&alert, now);
        }
    }

    /// Whether some way of a receiver was told last that an alert fires.
    fn was_told_to_fire(&self, alert: &Alert) -> bool {
        let fingerprint = alert.fingerprint();
        self.route.matching(&alert.labels).into_iter().any(|route| {
            let ways = self.receivers.of_name(&route.options.receiver);
            let labels = route.group_labels(&alert.labels);
            let group = Group::new(route, labels, alert.updated_at);
            let mut told = ways.iter().filter_map(|way| self.log.get(&group.log_key(way)));
            told.any(|entry| entry.firing.contains(&fingerprint))
        })
    }

    fn flush_group(&mut self, id: GroupId, now: Moment, flushed: &mut Flushed) {
        let suppressed = &mut flushed.suppressed;
        let Some(group) = self.groups.get(&id) else { return };
        let alerts = group.alerts_at(now);
        let options = &group.route.options;
        let told: Vec<Arc<Alert>> = if self.muted(group, now, suppressed, alerts.len()) {
            Vec::new()
        } else {
            alerts.iter().filter(|alert| self.may_be_told(&alert.labels, now, suppressed)).cloned().collect()
        };
        let integrations: &[Integration] = self.receivers.of_name(&options.receiver);
        self.flushes += 1;
        let flush = self.flushes;
        let mut sent_without = Vec::new();
        let mut notifications = Vec::new();
        for integration in integrations.iter().filter(|_| !told.is_empty()) {
            let Some(mut notification) = group.notification(id, flush, integration, &told, &self.log, now)
            else {
                continue;
            };
            if !options.labels.is_empty() {
                notification.group_alerts.clone_from(&alerts);
            }
            // Where nothing is left to send, the log has to know of it all the same.
            if notification.alerts.is_empty() { &mut sent_without } else { &mut notifications }
                .push(notification);
        }
        for notification in sent_without {
            let (key, entry) = notification.log_entry(now, self.limits.log_retention);
            self.log.record(key.clone(), entry.clone());
            flushed.noted.push((key, entry));
        }
        let due = now.plus(options.group_interval);
        if let Some(group) = self.groups.get_mut(&id) {
            group.begin(flush, notifications.len(), &alerts, due, now);
        }
        flushed.notifications.append(&mut notifications);
        self.settle(id);
    }

    /// Whether the time is one at which the group's route tells nobody.
    fn muted(&self, group: &Group, now: Moment, suppressed: &mut Suppressed, alerts: usize) -> bool {
        if self.is_inactive(&group.route, now) {
            suppressed.inactive += alerts;
            return true;
        }
        let muted = !self.muting(&group.route, now).is_empty();
        suppressed.muted += if muted { alerts } else { 0 };
        muted
    }

    /// Whether a route has intervals in which it tells, and this is none of them.
    fn is_inactive(&self, route: &Route, now: Moment) -> bool {
        let active = &route.options.active_time_intervals;
        !active.is_empty() && !active.iter().any(|name| self.is_within(name, now))
    }

    /// The intervals in which a route does not tell, of which this is one.
    fn muting(&self, route: &Route, now: Moment) -> Vec<String> {
        let names = route.options.mute_time_intervals.iter();
        names.filter(|name| self.is_within(name, now)).cloned().collect()
    }

    fn is_within(&self, name: &str, now: Moment) -> bool {
        self.intervals
            .get(name)
            .is_some_and(|intervals| intervals.iter().any(|interval| interval.contains(now)))
    }

    fn may_be_told(&self, labels: &Labels, now: Moment, suppressed: &mut Suppressed) -> bool {
        if self.inhibitor.inhibited_by(labels, now).is_some() {
            suppressed.inhibited += 1;
            return false;
        }
        let silenced = !self.silences.silencing(labels, now).is_empty();
        suppressed.silenced += usize::from(silenced);
        !silenced
    }

    /// What the log is going to note of a notification that was sent at a time: for whoever keeps the log, so that it can
    /// be kept before [`Dispatcher::done`].
    pub fn log_entry(&self, notification: &Notification, at: Moment) -> (LogKey, LogEntry) {
        notification.log_entry(at, self.limits.log_retention)
    }

    /// Takes note of how a notification went; `now` is when it was through.
    pub fn done(&mut self, notification: &Notification, outcome: Outcome, now: Moment) {
        if outcome == Outcome::Sent {
            let (key, entry) = notification.log_entry(now, self.limits.log_retention);
            self.log.record(key, entry);
        }
        let id = notification.group_id;
        let Some(group) = self.groups.get_mut(&id) else { return };
        if group.answered(notification.flush, outcome) {
            self.settle(id);
        }
    }

    /// A flush may be through: what it told to be resolved is forgotten, and the group with its last alert.
    fn settle(&mut self, id: GroupId) {
        let Some(group) = self.groups.get_mut(&id) else { return };
        if group.in_flight() {
            return;
        }
        group.forget_told();
        if group.is_empty() {
            self.groups.remove(&id);
        } else {
            self.due.insert((group.due, id));
        }
    }

    /// Forgets alerts that have been resolved for a while, silences that have been over for so long, and what of the log has expired.
    pub fn forget(&mut self, silence_retention: Duration, now: Moment) {
        self.alerts.retain(|_, alert| !alert.is_resolved(now.minus(RESOLVED_FOR)));
        self.inhibitor.forget_resolved(now);
        self.silences.forget(silence_retention, now);
        self.log.expire(now);
    }

    /// How many groups there are.
    pub fn group_count(&self) -> usize {
        self.groups.len()
    }

    /// The alerts that are known, by fingerprint.
    pub fn alerts(&self) -> impl Iterator<Item = &Arc<Alert>> {
        self.alerts.values()
    }

    /// What keeps an alert with these labels from being told, now.
    pub fn status(&self, labels: &Labels, now: Moment) -> AlertStatus {
        AlertStatus {
            inhibited_by: self.inhibitor.inhibited_by(labels, now).into_iter().collect(),
            silenced_by: self.silences.silencing(labels, now).into_iter().map(str::to_owned).collect(),
        }
    }

    /// The groups, by their labels and then their receivers.
    pub fn groups(&self, now: Moment) -> Vec<GroupView> {
        let view = |group: &Group| {
            let route = &group.route;
            let muted_by = match self.is_inactive(route, now) {
                true => route.options.active_time_intervals.clone(),
                false => self.muting(route, now),
            };
            group.view(muted_by)
        };
        let mut views: Vec<GroupView> = self.groups.values().map(view).collect();
        views.sort_by(|a, b| compare_labels(&a.labels, &b.labels).then_with(|| a.receiver.cmp(&b.receiver)));
        views
    }

    /// The routing tree.
    pub fn routes(&self) -> &Arc<Route> {
        &self.route
    }

    /// The silences.
    pub fn silences(&self) -> &Silences {
        &self.silences
    }

    /// The silences, to be changed.
    pub fn silences_mut(&mut self) -> &mut Silences {
        &mut self.silences
    }

    /// What was told.
    pub fn log(&self) -> &NotificationLog {
        &self.log
    }

    /// What was told, to take note of what others told.
    pub fn log_mut(&mut self) -> &mut NotificationLog {
        &mut self.log
    }
}
