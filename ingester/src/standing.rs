//! What an ingester is to its cluster: who it is, what it has lost, in which state it is, and what its operator wants of it.
//! Somebody else writes that down where the others see it.

use std::sync::Arc;
use std::time::Duration;

use env::FileSystem;
use model::TimeRange;
use parking_lot::Mutex;
use proto::Error;
use ring::State;
use tokio::sync::watch;

use crate::config::{IngesterConfig, WalSync};
use crate::head::Head;
use crate::identity::{self, Identity, IdentityFile, Unsynced, Wishes};
use crate::lost::{clip, everything};
use crate::service::Ingester;

/// How far behind its newest sample an ingester may have taken samples just before the power went: senders that were cut
/// off for a while catch up with what they have kept, which is two hours with Prometheus.
const LATE_MS: i64 = 2 * 60 * 60 * 1000;

/// The identity file of a running ingester.
pub(crate) struct Standing {
    file: Arc<Mutex<IdentityFile>>,
    wishes: watch::Sender<Wishes>,
}

impl Standing {
    pub(crate) fn new(file: IdentityFile) -> Self {
        let (wishes, _) = watch::channel(file.wishes());
        Self { file: Arc::new(Mutex::new(file)), wishes }
    }
}

/// Notes in the file what a start found to be lost, and how this run is synced.
pub(crate) fn note_losses(
    file: &mut IdentityFile,
    fs: &dyn FileSystem,
    config: &IngesterConfig,
    head: &Head,
    found: &[TimeRange],
    (oldest_ms, now_ms): (i64, i64),
) -> std::io::Result<Vec<TimeRange>> {
    let boot = identity::boot_id(fs);
    let mut lost = found.to_vec();
    if let Some(before) = file.unsynced()
        && (before.boot.is_none() || before.boot != boot)
    {
        tracing::error!(
            interval_ms = before.interval.as_millis(),
            "the machine stopped before everything acknowledged was synced: it may be missing"
        );
        lost.push(tail(head, before.interval, oldest_ms, now_ms));
    }
    let all = everything(oldest_ms, now_ms);
    let lost: Vec<_> = lost.into_iter().filter_map(|range| clip(range, all)).collect();
    // The losses first: as long as they are not noted, the run before this one counts as one that did not end by itself.
    file.add_lost(&lost, oldest_ms)?;
    file.set_unsynced(match config.wal_sync {
        WalSync::Always => None,
        WalSync::Interval => Some(Unsynced { interval: config.wal_sync_interval, boot }),
    })?;
    Ok(lost)
}

/// What may have been acknowledged in the last interval before an end that nobody saw coming.
fn tail(head: &Head, interval: Duration, oldest_ms: i64, now_ms: i64) -> TimeRange {
    let newest = head.tenants().iter().filter_map(|tenant| tenant.index.read().newest_ms()).max();
    let interval_ms = i64::try_from(interval.as_millis()).unwrap_or(i64::MAX);
    let start = newest.map_or(oldest_ms, |newest_ms| {
        newest_ms.min(now_ms).saturating_sub(LATE_MS).saturating_sub(interval_ms)
    });
    TimeRange::new(start, i64::MAX).unwrap_or(TimeRange::ALL)
}

impl Ingester {
    /// Who this is, for its record in the cluster. If the record has another incarnation, the directory was replaced, and
    /// [`Identity::everything`] is lost.
    ///
    /// The record must say what is lost before it says a state that counts. Call [`Ingester::published`] before this ingester
    /// counts, too.
    pub fn identity(&self) -> Identity {
        let everything = everything(self.inner.oldest_ms(), self.inner.clock.now_ms());
        let file = self.inner.standing.file.lock();
        Identity { incarnation: file.incarnation(), lost: file.lost().to_vec(), everything }
    }

    /// The record of the instance says that this is lost. From now on reads of these times are refused: a querier may not have
    /// heard of a loss yet, or have chosen whom to ask before, and would take what is left for all there was.
    ///
    /// # Errors
    /// Where that cannot be written down. It holds for this run all the same.
    pub async fn published(&self, lost: Vec<TimeRange>) -> Result<(), Error> {
        self.inner.gate.set_lost(&lost);
        let oldest_ms = self.inner.oldest_ms();
        self.with_file(move |file| file.add_lost(&lost, oldest_ms)).await
    }

    /// The state in which it answers others.
    pub fn state(&self) -> State {
        self.inner.gate.state()
    }

    /// Answers others as an instance in this state does: while it joins, and once it has left, with 503.
    pub fn set_state(&self, state: State) {
        self.inner.gate.set_state(state);
    }

    /// What its operator wants of it, from now on. It survives restarts.
    pub fn wishes(&self) -> watch::Receiver<Wishes> {
        self.inner.standing.wishes.subscribe()
    }

    /// Changes what its operator wants of it.
    ///
    /// # Errors
    /// Where it cannot be written down; nothing has changed then.
    pub async fn wish(&self, change: impl FnOnce(&mut Wishes) + Send + 'static) -> Result<Wishes, Error> {
        let inner = self.inner.clone();
        self.with_file(move |file| {
            let mut wishes = file.wishes();
            change(&mut wishes);
            file.set_wishes(wishes)?;
            inner.standing.wishes.send_replace(wishes);
            Ok(wishes)
        })
        .await
    }

    /// The log is closed and synced: nothing acknowledged can be lost by a power failure any more.
    pub(crate) async fn note_clean_stop(&self) {
        // Without it the next start believes that something may be lost, which is safe.
        if let Err(error) = self.with_file(|file| file.set_unsynced(None)).await {
            tracing::warn!(%error, "the clean stop cannot be noted");
        }
    }

    async fn with_file<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut IdentityFile) -> std::io::Result<T> + Send + 'static,
    ) -> Result<T, Error> {
        let file = self.inner.standing.file.clone();
        let done = self.inner.scope.run_blocking(move || work(&mut file.lock())).await;
        done.map_err(|e| Error::internal(format!("the ingester is stopping: {e}")))?
            .map_err(|e| Error::internal(format!("the identity file cannot be written: {e}")))
    }
}
