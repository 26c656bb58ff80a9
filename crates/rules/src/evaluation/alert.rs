//! One alert of a rule, from its first appearance until nobody has to be told any more that it is over.

use std::collections::BTreeMap;
use std::fmt;

use model::Labels;

/// How long an alert that is over is kept and told again, in milliseconds.
pub const RESOLVED_RETENTION_MS: i64 = 15 * 60_000;

/// For how many times the longer of interval and resend delay a receiver may hold an alert for firing unless told again.
const VALID_FOR: i64 = 4;

/// Where an alert is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum AlertState {
    /// Over.
    Inactive,
    /// It holds, but not for long enough.
    Pending,
    /// It has held for long enough.
    Firing,
}

impl AlertState {
    /// As series and APIs write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Inactive => "inactive",
            Self::Pending => "pending",
            Self::Firing => "firing",
        }
    }
}

impl fmt::Display for AlertState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An alert. Times are milliseconds since 1970.
#[derive(Debug, Clone, PartialEq)]
pub struct Alert {
    /// Where it is.
    pub state: AlertState,
    /// Its labels, by which it is known.
    pub labels: Labels,
    /// Its annotations, as the last evaluation filled them in.
    pub annotations: BTreeMap<String, String>,
    /// The value of the expression at the last evaluation.
    pub value: f64,
    /// Since when it has held.
    pub active_at_ms: i64,
    /// Since when it has been firing.
    pub fired_at_ms: Option<i64>,
    /// Since when it is over.
    pub resolved_at_ms: Option<i64>,
    /// When it was sent last.
    pub last_sent_at_ms: Option<i64>,
    /// Since when it goes on firing although it does not hold any more.
    pub keep_firing_since_ms: Option<i64>,
}

impl Alert {
    /// An alert that has just begun.
    pub(super) fn begun(
        labels: Labels,
        annotations: BTreeMap<String, String>,
        value: f64,
        at_ms: i64,
    ) -> Self {
        Self {
            state: AlertState::Pending,
            labels,
            annotations,
            value,
            active_at_ms: at_ms,
            fired_at_ms: None,
            resolved_at_ms: None,
            last_sent_at_ms: None,
            keep_firing_since_ms: None,
        }
    }

    /// Whether receivers have to be told now.
    pub(super) fn is_due(&self, at_ms: i64, resend_delay_ms: i64) -> bool {
        match (self.state, self.last_sent_at_ms) {
            (AlertState::Pending, _) => false,
            (_, None) => true,
            (_, Some(sent)) => {
                self.resolved_at_ms.is_some_and(|resolved| resolved > sent)
                    || sent.saturating_add(resend_delay_ms) < at_ms
            }
        }
    }

    /// As it is sent at that time.
    pub(super) fn sent(&self, at_ms: i64, interval_ms: i64, resend_delay_ms: i64, link: &str) -> SentAlert {
        let valid_for_ms = interval_ms.max(resend_delay_ms).saturating_mul(VALID_FOR);
        SentAlert {
            labels: self.labels.clone(),
            annotations: self.annotations.clone(),
            starts_at_ms: self.fired_at_ms.unwrap_or(self.active_at_ms),
            ends_at_ms: self.resolved_at_ms.unwrap_or_else(|| at_ms.saturating_add(valid_for_ms)),
            generator_url: link.to_owned(),
        }
    }
}

/// What receivers are told of an alert. Times are milliseconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentAlert {
    /// Its labels.
    pub labels: Labels,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
    /// Since when it has been firing.
    pub starts_at_ms: i64,
    /// When it ended, or when it is to be held for ended unless told again.
    pub ends_at_ms: i64,
    /// A link to what it is about.
    pub generator_url: String,
}
