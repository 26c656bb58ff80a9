//! Whether the process can serve, for load balancers and for Kubernetes.

use tokio::sync::watch;

/// Where the process is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Data is being recovered; requests are refused with 503.
    Starting,
    /// Requests are served.
    Ready,
    /// Requests that have begun are finished; load balancers should send no more.
    Stopping,
}

/// The phase of the process. Clones see the same phase.
#[derive(Debug, Clone)]
pub(crate) struct Readiness(watch::Sender<Phase>);

impl Readiness {
    /// A process that starts.
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(Phase::Starting))
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
