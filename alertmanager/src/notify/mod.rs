//! Telling receivers: what a notification says, and the ways on which it goes out. When something is told is decided
//! elsewhere.

mod aws;
mod discord;
mod email;
mod error;
mod files;
mod http;
mod incidentio;
mod integrations;
mod jira;
mod mattermost;
mod msteams;
mod opsgenie;
mod pagerduty;
mod pushover;
mod retry;
mod rocketchat;
mod slack;
mod sns;
mod telegram;
mod telling;
mod url;
mod value;
mod victorops;
mod webex;
mod webhook;
mod wechat;

use async_trait::async_trait;

pub(crate) use self::error::{Reason, SendError};
pub(crate) use self::files::Files;
pub use self::http::ReceiverNetwork;
pub(crate) use self::http::Surroundings;
pub(crate) use self::integrations::{BuildError, Integrations, KINDS};
pub(crate) use self::retry::{Attempts, Sending, Sent};
pub(crate) use self::telling::{Labelled, Telling};
pub(crate) use self::value::escape_html;

/// One way of a receiver.
#[async_trait]
pub(crate) trait Notifier: Send + Sync {
    /// Sends a notification once.
    async fn send(&self, telling: &Telling) -> Result<(), SendError>;
}
