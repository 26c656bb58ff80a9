//! Whether the process can serve, for load balancers and for Kubernetes.

use tokio::sync::watch;

/// Where the process is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Something is waited for, which is said; requests may be refused with 503.
    Starting(&'static str),
    /// Requests are served.
    Ready,
    /// Requests that have begun are finished; load balancers should send no more.
    Stopping,
}

/// The phase of the process. Clones see the same phase.
#[derive(Debug, Clone)]
pub(crate) struct Readiness(watch::Sender<Phase>);

impl Readiness {
    /// A process that starts, and waits for something.
    pub(crate) fn waiting_for(what: &'static str) -> Self {
        Self(watch::Sender::new(Phase::Starting(what)))
    }

    /// Moves on to `phase`.
    pub(crate) fn set(&self, phase: Phase) {
        self.0.send_replace(phase);
    }

    /// The phase now.
    pub(crate) fn phase(&self) -> Phase {
        *self.0.borrow()
    }
}
