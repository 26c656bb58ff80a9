//! Sending one notification, again and again where that may help, until its group is due anew.

use std::sync::Arc;
use std::time::Duration;

use env::{Clock, Rng, Scope};

use super::integrations::Way;
use super::{Reason, SendError, Telling};
use crate::metrics::Metrics;

/// How long the first wait is, and by what each is longer than the one before, up to the longest.
const FIRST_WAIT: Duration = Duration::from_millis(500);
const FACTOR: f64 = 1.5;
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// By which part waits differ in either direction, so that not all groups come back at once.
const SPREAD: f64 = 0.5;

/// How it went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sent {
    /// How often it was tried.
    pub(crate) attempts: u32,
    /// Why it was given up, if it was.
    pub(crate) failed: Option<SendError>,
}

/// Who is asked before each attempt, and told of those that failed.
pub(crate) trait Attempts: Send + Sync {
    /// Whether it is still this process' to send.
    fn may_send(&self) -> bool;

    /// An attempt failed, and another one follows.
    fn failed(&self, error: &SendError);
}

/// A notification on its way.
pub(crate) struct Sending {
    pub(crate) attempts: Arc<dyn Attempts>,
    pub(crate) way: Way,
    /// The kind of the way, for metrics.
    pub(crate) kind: &'static str,
    pub(crate) telling: Telling,
    /// How long it may take at all.
    pub(crate) timeout: Duration,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) rng: Arc<dyn Rng>,
    pub(crate) metrics: Metrics,
}

impl Sending {
    /// Sends it. When `scope` is cancelled, an attempt on its way goes on, and nothing is tried after it.
    pub(crate) async fn run(self, scope: &Scope) -> Sent {
        self.metrics.notifications.of(self.kind).inc();
        let mut timeout = self.clock.sleep(self.timeout);
        let mut cancelled = std::pin::pin!(scope.cancelled());
        let mut sent = Sent { attempts: 0, failed: None };
        let mut wait = FIRST_WAIT;
        let _turn = tokio::select! {
            biased;
            () = &mut timeout => return self.given_up(sent, Reason::DeadlineExceeded),
            () = &mut cancelled => return self.given_up(sent, Reason::Canceled),
            turn = Arc::clone(&self.way.turns).acquire_owned() => turn,
        };
        loop {
            if !self.attempts.may_send() {
                return self.given_up(sent, Reason::Canceled);
            }
            let attempt = tokio::select! {
                biased;
                () = &mut timeout => return self.given_up(sent, Reason::DeadlineExceeded),
                attempt = self.attempt() => attempt,
            };
            sent.attempts += 1;
            let Err(error) = attempt else {
                return Sent { failed: None, ..sent };
            };
            let (again, after) = (error.again, error.after);
            if sent.failed.as_ref() != Some(&error) {
                tracing::warn!(
                    integration = self.kind,
                    group = %self.telling.group_key,
                    attempts = sent.attempts,
                    again,
                    "a notification failed: {error}"
                );
            }
            sent.failed = Some(error);
            if !again {
                return self.failed(sent);
            }
            if let Some(error) = &sent.failed {
                self.attempts.failed(error);
            }
            let wanted = self.spread(wait).max(after.unwrap_or_default());
            wait = wait.mul_f64(FACTOR).min(LONGEST_WAIT);
            tokio::select! {
                biased;
                () = &mut timeout => return self.given_up(sent, Reason::DeadlineExceeded),
                () = &mut cancelled => return self.given_up(sent, Reason::Canceled),
                () = self.clock.sleep(wanted) => {}
            }
        }
    }

    async fn attempt(&self) -> Result<(), SendError> {
        let began = self.clock.monotonic();
        let result = self.way.notifier.send(&self.telling).await;
        let took = self.clock.monotonic().saturating_sub(began);
        self.metrics.latency.of(self.kind).observe(took.as_secs_f64());
        self.metrics.requests.of(self.kind).inc();
        if result.is_err() {
            self.metrics.requests_failed.of(self.kind).inc();
        }
        result
    }

    /// Nothing more is tried: the last failure says why, or else that there was no time for one.
    fn given_up(&self, mut sent: Sent, reason: Reason) -> Sent {
        sent.failed.get_or_insert_with(|| {
            let message = match reason {
                Reason::Canceled => "called off before it could be sent",
                _ => "not answered before the group was due again",
            };
            SendError::for_good(message).because(reason)
        });
        self.failed(sent)
    }

    fn failed(&self, sent: Sent) -> Sent {
        let reason = sent.failed.as_ref().map_or(Reason::Other, |error| error.reason);
        self.metrics.failed(self.kind, reason);
        sent
    }

    /// A wait that is a little shorter or longer.
    fn spread(&self, wait: Duration) -> Duration {
        // As many bits as a float has.
        let part = (self.rng.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
        wait.mul_f64(1.0 - SPREAD + 2.0 * SPREAD * part)
    }
}
