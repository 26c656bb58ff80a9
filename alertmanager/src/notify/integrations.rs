//! The ways of all receivers that routes name, made from a configuration.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use thiserror::Error;
use tokio::sync::Semaphore;

use super::discord::Discord;
use super::email::Email;
use super::incidentio::IncidentIo;
use super::jira::Jira;
use super::mattermost::Mattermost;
use super::msteams::{MsTeams, MsTeamsV2};
use super::opsgenie::OpsGenie;
use super::pagerduty::Pagerduty;
use super::pushover::Pushover;
use super::rocketchat::Rocketchat;
use super::slack::Slack;
use super::sns::Sns;
use super::telegram::Telegram;
use super::victorops::VictorOps;
use super::webex::Webex;
use super::webhook::Webhook;
use super::wechat::Wechat;
use super::{Notifier, Surroundings};
use crate::config::{Config, Receiver};
use crate::notification_log::LogKey;
use crate::route::Route;

/// Every kind, as upstream's metrics list them from the start.
pub(crate) const KINDS: [&str; 18] = [
    "email",
    "pagerduty",
    "wechat",
    "pushover",
    "slack",
    "opsgenie",
    "webhook",
    "victorops",
    "sns",
    "telegram",
    "discord",
    "webex",
    "msteams",
    "msteamsv2",
    "incidentio",
    "jira",
    "rocketchat",
    "mattermost",
];

/// How many notifications one way sends at the same time; further ones wait for their turn.
const MAX_AT_ONCE: usize = 64;

/// A way of a receiver that cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}")]
pub(crate) struct BuildError(String);

impl BuildError {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }

    fn of(self, receiver: &str, kind: &str, index: usize) -> Self {
        Self(format!("receiver {}: {kind}_configs[{index}]: {}", gotemplate::quote(receiver), self.0))
    }
}

/// A way of a receiver.
#[derive(Clone)]
pub(crate) struct Way {
    pub(crate) notifier: Arc<dyn Notifier>,
    /// Who may send at the same time.
    pub(crate) turns: Arc<Semaphore>,
}

/// The ways of all receivers that routes name.
#[derive(Default)]
pub(crate) struct Integrations {
    ways: BTreeMap<(String, &'static str, usize), Way>,
    receivers: usize,
}

impl Integrations {
    /// Those of a configuration. Receivers that no route names are left out.
    pub(crate) fn new(config: &Config, around: &Surroundings) -> Result<Self, BuildError> {
        let mut named = BTreeSet::new();
        Route::tree(&config.route).walk(&mut |route| {
            named.insert(route.options.receiver.clone());
        });
        let mut all = Self { receivers: named.len(), ..Self::default() };
        for receiver in config.receivers.iter().filter(|receiver| named.contains(&receiver.name)) {
            all.add(receiver, around)?;
        }
        Ok(all)
    }

    fn add(&mut self, receiver: &Receiver, around: &Surroundings) -> Result<(), BuildError> {
        for way in receiver.integrations() {
            let made = notifier(receiver, way.kind, way.index, around);
            let notifier = made.map_err(|error| error.of(&receiver.name, way.kind, way.index))?;
            let turns = Arc::new(Semaphore::new(MAX_AT_ONCE));
            self.ways.insert((receiver.name.clone(), way.kind, way.index), Way { notifier, turns });
        }
        Ok(())
    }

    /// The way that a key of the notification log names.
    pub(crate) fn get(&self, key: &LogKey) -> Option<Way> {
        let kind = KINDS.iter().find(|kind| **kind == key.integration)?;
        self.ways.get(&(key.receiver.clone(), *kind, key.index)).cloned()
    }

    /// How many ways there are.
    pub(crate) fn len(&self) -> usize {
        self.ways.len()
    }

    /// How many receivers routes name.
    pub(crate) fn receivers(&self) -> usize {
        self.receivers
    }
}

fn notifier(
    receiver: &Receiver,
    kind: &str,
    index: usize,
    around: &Surroundings,
) -> Result<Arc<dyn Notifier>, BuildError> {
    /// The notifier of the configuration at the index.
    macro_rules! of {
        ($list:ident, $notifier:ident) => {
            match receiver.$list.get(index) {
                Some(config) => Ok(Arc::new($notifier::new(config, around)?)),
                None => Err(BuildError::new("there is none")),
            }
        };
    }
    match kind {
        "discord" => of!(discord, Discord),
        "email" => of!(email, Email),
        "incidentio" => of!(incidentio, IncidentIo),
        "jira" => of!(jira, Jira),
        "mattermost" => of!(mattermost, Mattermost),
        "msteams" => of!(msteams, MsTeams),
        "msteamsv2" => of!(msteamsv2, MsTeamsV2),
        "opsgenie" => of!(opsgenie, OpsGenie),
        "pagerduty" => of!(pagerduty, Pagerduty),
        "pushover" => of!(pushover, Pushover),
        "rocketchat" => of!(rocketchat, Rocketchat),
        "slack" => of!(slack, Slack),
        "sns" => of!(sns, Sns),
        "telegram" => of!(telegram, Telegram),
        "victorops" => of!(victorops, VictorOps),
        "webex" => of!(webex, Webex),
        "webhook" => of!(webhook, Webhook),
        "wechat" => of!(wechat, Wechat),
        other => Err(BuildError::new(format!("there is no kind of receiver called {other}"))),
    }
}
