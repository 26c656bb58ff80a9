//! The place of this process in a ring: taken once, kept over restarts, and said to be what it is for as long as the
//! process lives.
//!
//! What the process wants said is compared with its record whenever either changes, and written where they differ, so
//! it does not matter when the metastore is there, or whether it has forgotten.

mod place;
mod record;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use env::Scope;
use proto::metastore::{Instance, InstanceState, Lease, LostRange};
use rpc::grpc::Backoff;
use tokio::sync::watch;

use crate::client::Client;
use crate::lease::{Held, LeaseHolder};
use crate::records::{self, Instances};
use crate::view::View;
use crate::watcher::Watcher;
use place::PlaceError;

/// Waits after a failed attempt.
const FIRST_WAIT: Duration = Duration::from_millis(50);
const LONGEST_WAIT: Duration = Duration::from_secs(2);
/// Wait before a record that somebody else has changed is put right, so that two who contradict each other do so slowly.
const CONTRADICTION_WAIT: Duration = Duration::from_secs(1);

/// Where an instance belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The ring, by the name under which its instances have their records.
    pub ring: String,
    /// The instance's name: the same after a restart, unique in the cluster.
    pub instance: String,
    /// Its zone; empty: it is a zone of its own.
    pub zone: String,
    /// What it is reached at, by kind: `grpc`, `http`; host:port.
    pub addresses: BTreeMap<String, String>,
}

/// What an instance wants the others to know of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Announcement {
    /// What it may be used for.
    pub state: InstanceState,
    /// Whether it takes no new series; `None`: as its record has it.
    pub read_only: Option<bool>,
    /// Which life of its data directory it is; 0: unknown.
    pub incarnation: u64,
    /// Ranges of which acknowledged samples may be missing, besides those that its record has already.
    pub lost_ranges: Vec<LostRange>,
    /// What it cannot vouch for where its record is of another life of its data directory.
    pub lost_with_former_life: Option<LostRange>,
    /// Lost ranges that end before this are of no concern any more, in milliseconds since the Unix epoch.
    pub forget_before_ms: i64,
}

/// The instance is in the ring, elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{instance} is in the ring {ring:?} with zone {recorded:?}, not {wanted:?}; start it with that zone, or under another name"
)]
pub struct WrongPlace {
    /// The instance.
    pub instance: String,
    /// The ring.
    pub ring: String,
    /// The zone that its record has.
    pub recorded: String,
    /// The zone that it was started with.
    pub wanted: String,
}

/// How far the record is.
#[derive(Debug, Clone, Default)]
struct Written {
    /// What the record says of what was wanted; `None`: it was not written by this process.
    announcement: Option<Announcement>,
    /// All that the record says is lost, from before as well.
    lost: Vec<LostRange>,
    refused: Option<WrongPlace>,
}

/// The place of this process in a ring. Clones are the same.
#[derive(Debug, Clone)]
pub struct Lifecycle {
    wanted: Arc<watch::Sender<Announcement>>,
    written: watch::Receiver<Written>,
    leases: watch::Receiver<Option<LeaseHolder>>,
    /// The record in the saved view, if that has the instance.
    saved: Option<Arc<Instance>>,
    stop: Scope,
}

impl Lifecycle {
    /// Takes the instance's place, or a new one, as soon as the metastore is there, says what `first` says, and only
    /// then registers `lease`: an instance that begins as joining is never seen alive with the state that it had
    /// before.
    ///
    /// # Errors
    /// Where the saved view has the instance in another zone.
    pub fn start(
        client: Client,
        watcher: Watcher,
        place: Place,
        lease: Lease,
        first: Announcement,
        scope: &Scope,
    ) -> Result<Self, WrongPlace> {
        let key = records::key::<Instances>(&[&place.ring, &place.instance]);
        let saved = watcher.view().get(&key).and_then(|record| records::value::<Instances>(record).ok());
        if let Some(saved) = &saved {
            record::check(&saved.message, &place)?;
        }
        let stop = scope.child("lifecycle");
        let (wanted, wanting) = watch::channel(first);
        let (tell, written) = watch::channel(Written::default());
        let (leased, leases) = watch::channel(None);
        let known = saved.as_ref().map(|saved| Arc::new(saved.message.clone()));
        let (inner, outer) = (stop.clone(), scope.clone());
        let keep =
            Keep { client, watcher, place, key, lease, saved, wanting, tell, leased, scope: inner, outer };
        // It ends with its scope; nobody waits for it.
        drop(stop.spawn("lifecycle", keep.run()));
        Ok(Self { wanted: Arc::new(wanted), written, leases, saved: known, stop })
    }

    /// Changes what the others are to know. It is written as soon as that is possible.
    pub fn announce(&self, change: impl FnOnce(&mut Announcement)) {
        self.wanted.send_modify(change);
    }

    /// Waits until the instance has a place: at once where the saved view has it.
    ///
    /// # Errors
    /// Where it is in the ring with another zone.
    pub async fn placed(&self) -> Result<(), WrongPlace> {
        if self.saved.is_some() {
            return Ok(());
        }
        self.until(|written| written.announcement.is_some()).await
    }

    /// The instance's record in the saved view, if that has the instance.
    pub fn saved(&self) -> Option<&Instance> {
        self.saved.as_deref()
    }

    /// Waits until the metastore has everything that was announced so far. What the record says is lost, from before as well.
    ///
    /// # Errors
    /// Where it is in the ring with another zone.
    pub async fn announced(&self) -> Result<Vec<LostRange>, WrongPlace> {
        let wanted = self.wanted.borrow().clone();
        self.until(|written| written.announcement.as_ref() == Some(&wanted)).await?;
        Ok(self.written.borrow().lost.clone())
    }

    async fn until(&self, holds: impl Fn(&Written) -> bool + Send) -> Result<(), WrongPlace> {
        let mut written = self.written.clone();
        // What was waited for is let go of before anything else is, or whoever waits could not move between threads.
        let waited = written.wait_for(|written| written.refused.is_some() || holds(written)).await;
        let refused = waited.map(|written| written.refused.clone());
        match refused {
            Ok(refused) => refused.map_or(Ok(()), Err),
            // The scope is being ended, and whoever waits with it.
            Err(_) => std::future::pending().await,
        }
    }

    /// The lease of the process; a default one before it was registered.
    pub fn held(&self) -> Held {
        self.leases.borrow().as_ref().map(LeaseHolder::held).unwrap_or_default()
    }

    /// The lease of the process, once it is being registered.
    pub fn lease(&self) -> impl Future<Output = LeaseHolder> + Send + use<> {
        let mut leases = self.leases.clone();
        async move {
            let lease = leases.wait_for(Option::is_some).await.ok().and_then(|lease| lease.clone());
            match lease {
                Some(lease) => lease,
                // It ends before it has one, and whoever waits with it.
                None => std::future::pending().await,
            }
        }
    }

    /// Ends the lease: from now on others stand in for the instance, which keeps its place. Returns once the metastore
    /// has said so, or cannot be reached.
    pub async fn pause(&self) {
        self.stop.cancel();
        let mut leases = self.leases.clone();
        // The task drops its end once it writes no more.
        while leases.changed().await.is_ok() {}
        let holder = leases.borrow().clone();
        if let Some(holder) = holder {
            holder.release().await;
        }
    }
}

/// A revision of a cluster's history.
#[derive(Debug, Clone, Copy, Default)]
struct Moment {
    cluster_id: u64,
    revision: u64,
}

/// Keeps the record as it is wanted.
struct Keep {
    client: Client,
    watcher: Watcher,
    place: Place,
    key: bytes::Bytes,
    lease: Lease,
    /// The record of the saved view: where its tokens are if the metastore has forgotten.
    saved: Option<proto::Stored<proto::metastore::Instance>>,
    wanting: watch::Receiver<Announcement>,
    tell: watch::Sender<Written>,
    leased: watch::Sender<Option<LeaseHolder>>,
    /// Ends when the lifecycle pauses.
    scope: Scope,
    /// Ends with the process.
    outer: Scope,
}

impl Keep {
    async fn run(mut self) {
        let stopped = self.scope.cancelled();
        tokio::select! {
            biased;
            () = stopped => {}
            () = self.keep() => {}
        }
    }

    async fn keep(&mut self) {
        let mut views = self.watcher.subscribe();
        let mut backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
        // The view may show the record as it was before this.
        let mut written_at = Moment::default();
        loop {
            let wanted = self.wanting.borrow_and_update().clone();
            let view = Arc::clone(&views.borrow_and_update());
            let new = self.tell.borrow().announcement.as_ref() != Some(&wanted);
            if !new && self.is_contradicted(&wanted, &view, written_at) {
                self.client.clock().sleep(CONTRADICTION_WAIT).await;
                if self.held().displaced {
                    // The record is the other one's.
                    continue;
                }
            }
            if new || self.is_contradicted(&wanted, &self.watcher.view(), written_at) {
                match self.write(&wanted).await {
                    Ok((at, lost)) => {
                        written_at = at;
                        backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
                        self.done(wanted, lost);
                    }
                    Err(PlaceError::Wrong(wrong)) => {
                        tracing::error!(error = %wrong, "the instance has no place in the ring");
                        self.tell.send_modify(|written| written.refused = Some(wrong));
                        return;
                    }
                    Err(PlaceError::Metastore(error)) => {
                        tracing::debug!(%error, "the instance's record was not written");
                        self.client.clock().sleep(backoff.wait(&**self.client.rng())).await;
                        continue;
                    }
                }
            }
            tokio::select! {
                biased;
                changed = self.wanting.changed() => if changed.is_err() { return },
                changed = views.changed() => if changed.is_err() { return },
            }
        }
    }

    /// Whether the view shows another record than was written.
    fn is_contradicted(&self, wanted: &Announcement, view: &View, written_at: Moment) -> bool {
        if view.cluster_id() == written_at.cluster_id && view.revision() < written_at.revision {
            return false;
        }
        let record = view.get(&self.key).and_then(|record| records::value::<Instances>(record).ok());
        record.is_none_or(|record| !record::says(&record.message, &self.place, wanted))
    }

    fn done(&mut self, wanted: Announcement, lost: Vec<LostRange>) {
        self.tell.send_modify(|written| (written.announcement, written.lost) = (Some(wanted), lost));
        if self.leased.borrow().is_none() {
            // Not of this task's scope: it is released after this task has ended.
            let holder = LeaseHolder::start(self.client.clone(), self.lease.clone(), &self.outer);
            self.leased.send_replace(Some(holder));
        }
    }

    fn held(&self) -> Held {
        self.leased.borrow().as_ref().map(LeaseHolder::held).unwrap_or_default()
    }

    /// Milliseconds since the Unix epoch by the metastore's clock, as far as it was told: instances whose clocks differ
    /// change their states in one time.
    fn now_ms(&self) -> i64 {
        let (clock, held) = (self.client.clock(), self.held());
        held.cluster_time_ms(clock.monotonic()).unwrap_or_else(|| clock.now_ms())
    }
}
