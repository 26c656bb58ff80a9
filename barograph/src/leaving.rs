//! Leaving the ring for good: an ingester whose shutdown was prepared hands over what it has before it stops.

use std::sync::Arc;
use std::time::Duration;

use ingester::{HandOverError, Ingester};
use membership::Lifecycle;
use proto::Successors;
use proto::metastore::InstanceState;
use ring::{InstanceId, NoHeir, RingView, State};
use tokio::sync::watch;

use crate::compose::Parts;

/// Within this time the others have seen a change of the ring, or do not see it at all.
const VIEW_LAG: Duration = Duration::from_secs(2);
/// Wait before a hand-over that failed begins again.
const AGAIN: Duration = Duration::from_secs(5);

/// What leaving takes.
pub(crate) struct Leaving<'p> {
    pub(crate) parts: &'p Parts,
    pub(crate) lifecycle: &'p Lifecycle,
    pub(crate) view: watch::Receiver<Arc<RingView>>,
    pub(crate) successors: &'p dyn Successors,
}

impl Leaving<'_> {
    /// Hands over what the ingester has, and takes it out of the ring. Where that cannot be done in time, it stays in the
    /// ring with all that it has, and says why in the log; stopping it is a restart then.
    pub(crate) async fn leave(&self, ingester: &Ingester) {
        let timeout = self.parts.config.ingester.hand_over_timeout;
        let left = tokio::select! {
            biased;
            left = self.hand_over(ingester) => left,
            () = self.parts.clock.sleep(timeout) => {
                tracing::error!(?timeout, "handing over took too long; this instance stays in the ring");
                return;
            }
        };
        match left {
            Ok(()) => tracing::info!("left the ring"),
            Err(error) => tracing::error!(%error, "this instance cannot leave and stays in the ring"),
        }
    }

    async fn hand_over(&self, ingester: &Ingester) -> Result<(), NoHeir> {
        let me = InstanceId::new(&self.parts.name);
        self.view.borrow().ring().heirs(&me)?;
        self.announce(InstanceState::Leaving).await;
        ingester.set_state(State::Leaving);
        self.parts.clock.sleep(VIEW_LAG).await;
        loop {
            let view = Arc::clone(&self.view.borrow());
            match ingester.hand_over(&me, &view, self.successors).await {
                Ok(_) => break,
                Err(HandOverError::NoHeir(error)) => return Err(error),
                Err(error) => {
                    let error = crate::output::chain(&error);
                    tracing::warn!(error, "the hand-over failed, and begins again");
                }
            }
            self.parts.clock.sleep(AGAIN).await;
        }
        self.announce(InstanceState::Left).await;
        // Until the others have seen it they ask, and get the answers that they always got.
        self.parts.clock.sleep(VIEW_LAG).await;
        ingester.set_state(State::Left);
        if let Err(error) = ingester.wish(|wishes| wishes.shutdown_prepared = false).await {
            tracing::warn!(%error, "the next stop of this instance will hand over again");
        }
        Ok(())
    }

    /// Says it to the metastore, and waits until it knows.
    async fn announce(&self, state: InstanceState) {
        self.lifecycle.announce(|announcement| announcement.state = state);
        // That it has its place was found out at the start.
        let _ = self.lifecycle.announced().await;
    }
}
