//! How telling goes on each way of each receiver, for people who look. It is not kept: a process that begins knows nothing.

use std::collections::BTreeMap;

use crate::config::{Config, Integration, Receiver};
use crate::moment::Moment;
use crate::notification_log::LogKey;

/// The most characters of a failure that are shown.
const MAX_MESSAGE_CHARS: usize = 500;

/// A notification that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    /// When.
    pub(crate) at: Moment,
    /// Whether it is tried again, rather than given up.
    pub(crate) again: bool,
    /// Why, without secrets.
    pub(crate) message: String,
}

/// How it went on one way.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Health {
    /// When it last took a notification.
    pub(crate) told_at: Option<Moment>,
    /// The last attempt that failed.
    pub(crate) failure: Option<Failure>,
}

impl Health {
    /// Whether the last attempt failed.
    pub(crate) fn fails(&self) -> bool {
        self.failure.as_ref().is_some_and(|failure| self.told_at.is_none_or(|told_at| failure.at > told_at))
    }
}

/// How it went on all ways of a configuration: there are as many as that has.
#[derive(Debug, Default)]
pub(crate) struct Healths {
    ways: BTreeMap<(String, String, usize), Health>,
}

impl Healths {
    /// How it went on a way of that receiver; `None` where nothing was told yet.
    pub(crate) fn get(&self, receiver: &str, way: &Integration) -> Option<&Health> {
        self.ways.get(&(receiver.to_owned(), way.kind.to_owned(), way.index))
    }

    /// A notification was taken.
    pub(crate) fn told(&mut self, key: &LogKey, now: Moment) {
        self.of(key).told_at = Some(now);
    }

    /// An attempt failed, and is to be repeated.
    pub(crate) fn failing(&mut self, key: &LogKey, message: &str, now: Moment) {
        self.note(key, message, now, true);
    }

    /// A notification was given up.
    pub(crate) fn failed(&mut self, key: &LogKey, message: &str, now: Moment) {
        self.note(key, message, now, false);
    }

    fn note(&mut self, key: &LogKey, message: &str, at: Moment, again: bool) {
        let message = message.chars().take(MAX_MESSAGE_CHARS).collect();
        self.of(key).failure = Some(Failure { at, again, message });
    }

    /// Forgets ways that another configuration does not have.
    pub(crate) fn reload(&mut self, config: &Config) {
        self.ways.retain(|(receiver, kind, index), _| {
            let ways = config.receiver(receiver).map(Receiver::integrations).unwrap_or_default();
            ways.iter().any(|way| way.kind == kind && way.index == *index)
        });
    }

    fn of(&mut self, key: &LogKey) -> &mut Health {
        self.ways.entry((key.receiver.clone(), key.integration.clone(), key.index)).or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matcher::Language;

    fn config(receivers: &str) -> Config {
        let text = format!("route: {{receiver: r}}\nreceivers: [{receivers}]\n");
        Config::parse(&text, Language::Fallback).expect("a configuration")
    }

    #[test]
    fn the_last_notification_says_how_it_goes() {
        let way = Integration { kind: "webhook", index: 0, send_resolved: true };
        let key = LogKey {
            group: "g".to_owned(),
            receiver: "r".to_owned(),
            integration: "webhook".to_owned(),
            index: 0,
        };
        let mut healths = Healths::default();
        assert_eq!(healths.get("r", &way), None);
        healths.failed(&key, &"é".repeat(2 * MAX_MESSAGE_CHARS), Moment::from_millis(1));
        let health = healths.get("r", &way).expect("a failure");
        let failure = health.failure.as_ref().expect("a failure");
        assert_eq!((health.fails(), failure.message.chars().count()), (true, MAX_MESSAGE_CHARS));
        healths.told(&key, Moment::from_millis(2));
        let health = healths.get("r", &way).expect("a way");
        assert!(!health.fails() && health.failure.is_some());
        healths.failing(&key, "once", Moment::from_millis(3));
        let health = healths.get("r", &way).expect("a way");
        assert!(health.fails() && health.failure.as_ref().is_some_and(|failure| failure.again));
        healths.failed(&key, "again", Moment::from_millis(4));
        assert!(healths.get("r", &way).expect("a way").fails());

        healths.reload(&config("{name: r, webhook_configs: [{url: 'http://x'}]}"));
        assert!(healths.get("r", &way).is_some());
        healths.reload(&config("{name: r}"));
        assert_eq!(healths.get("r", &way), None);
    }
}
