//! Why a notification did not go out, and whether trying again may help.

use std::time::Duration;

use thiserror::Error;

/// Why an attempt failed, as upstream's metrics tell it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    /// None of the others.
    Other,
    /// The receiver says that the request is wrong.
    Client,
    /// The receiver says that it failed itself.
    Server,
    /// It was called off: by another configuration, or by the end of the process.
    Canceled,
    /// It took longer than it may.
    DeadlineExceeded,
    /// The receiver does not know who asks, or does not let them.
    Auth,
    /// The receiver is asked too often.
    RateLimited,
}

impl Reason {
    /// All of them.
    pub(crate) const ALL: [Self; 7] = [
        Self::Other,
        Self::Client,
        Self::Server,
        Self::Canceled,
        Self::DeadlineExceeded,
        Self::Auth,
        Self::RateLimited,
    ];

    /// As upstream's metrics name it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Other => "other",
            Self::Client => "clientError",
            Self::Server => "serverError",
            Self::Canceled => "contextCanceled",
            Self::DeadlineExceeded => "contextDeadlineExceeded",
            Self::Auth => "authError",
            Self::RateLimited => "rateLimited",
        }
    }

    /// What a status that is no success means.
    pub(crate) fn of_status(status: u16) -> Self {
        match status {
            401 | 403 => Self::Auth,
            429 => Self::RateLimited,
            400..=499 => Self::Client,
            500..=599 => Self::Server,
            _ => Self::Other,
        }
    }
}

/// An attempt that failed. Its message shows no secrets.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{message}")]
pub(crate) struct SendError {
    /// What is the matter.
    pub(crate) message: String,
    /// Whether trying again may help.
    pub(crate) again: bool,
    /// What kind of failure it is.
    pub(crate) reason: Reason,
    /// How long the receiver wants to be left alone.
    pub(crate) after: Option<Duration>,
}

impl SendError {
    /// Trying again would fail again.
    pub(crate) fn for_good(message: impl Into<String>) -> Self {
        Self { message: message.into(), again: false, reason: Reason::Other, after: None }
    }

    /// Trying again may help.
    pub(crate) fn for_now(message: impl Into<String>) -> Self {
        Self { again: true, ..Self::for_good(message) }
    }

    /// The same, of a certain kind.
    pub(crate) fn because(self, reason: Reason) -> Self {
        Self { reason, ..self }
    }

    /// The same, and trying again may help.
    pub(crate) fn again(self) -> Self {
        Self { again: true, ..self }
    }

    /// The same, said of what was tried.
    pub(crate) fn context(self, what: &str) -> Self {
        Self { message: format!("{what}: {}", self.message), ..self }
    }
}
