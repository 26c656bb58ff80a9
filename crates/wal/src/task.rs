//! The log task. It sleeps until something arrives, then lends the worker to a thread that may block, which keeps it as
//! long as there is work.

use std::sync::Arc;
use std::time::Duration;

use env::{Clock, Scope};

use crate::Apply;
use crate::queue::{Ending, Shared, State};
use crate::worker::{Pause, Worker};

/// After a failure the next group waits this long, doubled with each further one …
const FIRST_BACKOFF: Duration = Duration::from_millis(10);
/// … up to this.
const MAX_BACKOFF: Duration = Duration::from_millis(500);

pub(crate) struct Task<A: Apply> {
    /// Whatever ends this task, even an abort before it has begun, nobody may wait for it any longer.
    _ending: Ending<A>,
    shared: Arc<Shared<A>>,
    clock: Arc<dyn Clock>,
    scope: Scope,
}

impl<A: Apply> Task<A> {
    pub(crate) fn new(shared: &Arc<Shared<A>>, clock: Arc<dyn Clock>, scope: Scope) -> Self {
        Self { _ending: Ending(Arc::clone(shared)), shared: Arc::clone(shared), clock, scope }
    }

    pub(crate) async fn run(self, mut worker: Worker<A>) {
        loop {
            if self.scope.is_cancelled() {
                self.shared.close(State::Closed);
            }
            if !self.shared.has_work() && !worker.is_sync_due() {
                self.wait(worker.sync_in()).await;
                continue;
            }
            let work = move || {
                let pause = worker.work();
                (worker, pause)
            };
            let pause;
            match self.scope.run_blocking(work).await {
                Ok(back) => (worker, pause) = back,
                Err(error) => {
                    tracing::error!(%error, "the write-ahead log is stopped");
                    self.shared.close(State::Poisoned);
                    return;
                }
            }
            match pause {
                Pause::Idle => {}
                Pause::Failed { failures } => self.back_off(failures).await,
                Pause::Ended => return,
            }
        }
    }

    async fn wait(&self, sync_in: Option<Duration>) {
        let sync_timer = async {
            match sync_in {
                Some(duration) => self.clock.sleep(duration).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = self.scope.cancelled() => self.shared.close(State::Closed),
            () = self.shared.arrival() => {}
            () = sync_timer => {}
        }
    }

    /// After failures, lets records gather for a while rather than beat on a disk that refuses them one by one.
    async fn back_off(&self, failures: u32) {
        let doublings = failures.saturating_sub(1).min(16);
        let factor = 1_u32.checked_shl(doublings).unwrap_or(u32::MAX);
        self.clock.sleep(FIRST_BACKOFF.saturating_mul(factor).min(MAX_BACKOFF)).await;
    }
}
