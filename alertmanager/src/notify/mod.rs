//! Telling receivers: what a notification says, and the ways on which it goes out. When something is told is decided
//! elsewhere.

mod error;
mod files;
mod http;
mod integrations;
mod msteams;
mod opsgenie;
mod pagerduty;
mod retry;
mod slack;
mod telling;
mod value;
mod webhook;

use async_trait::async_trait;

pub(crate) use self::error::{Reason, SendError};
pub(crate) use self::files::Files;
pub(crate) use self::http::Surroundings;
pub(crate) use self::integrations::{BuildError, Integrations, KINDS};
pub(crate) use self::retry::{Sending, Sent};
pub(crate) use self::telling::{Telling, limits as template_limits};
pub(crate) use self::value::escape_html;

/// One way of a receiver.
#[async_trait]
pub(crate) trait Notifier: Send + Sync {
    /// Sends a notification once.
    async fn send(&self, telling: &Telling) -> Result<(), SendError>;
}
