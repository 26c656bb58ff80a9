//! Signals: SIGTERM and SIGINT stop the process, once gently and the second time at once; SIGHUP reads limits and
//! the Alertmanager's configuration again.

use std::io;
use std::sync::Arc;

use env::Scope;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;

/// The exit code after a second signal: as a shell reports a process that SIGTERM ended.
const TERMINATED: i32 = 128 + 15;

/// Signals of the process, from the moment when this is made.
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    /// Takes the signals over from the system's defaults.
    ///
    /// # Errors
    /// Of the system.
    pub(crate) fn install() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Acts on signals in a task of `scope`: the first that asks to stop notifies `stop`, the second ends the process;
    /// SIGHUP notifies each of `reload`.
    pub(crate) fn watch(mut self, scope: &Scope, stop: Arc<Notify>, reload: Vec<Arc<Notify>>) {
        // Nobody waits for the task: it lasts as long as the process.
        drop(scope.spawn("signals", async move {
            let mut stopping = false;
            loop {
                let name = tokio::select! {
                    biased;
                    _ = self.terminate.recv() => "SIGTERM",
                    _ = self.interrupt.recv() => "SIGINT",
                    _ = self.hangup.recv() => {
                        reload.iter().for_each(|reload| reload.notify_one());
                        continue;
                    }
                };
                if stopping {
                    tracing::warn!(
                        signal = name,
                        "second signal, stopping at once; what was acknowledged is in the log"
                    );
                    std::process::exit(TERMINATED);
                }
                stopping = true;
                tracing::info!(signal = name, "stopping; a second signal stops at once");
                stop.notify_one();
            }
        }));
    }
}
