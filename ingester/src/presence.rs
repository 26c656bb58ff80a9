//! An ingester in its cluster: it tells the others who it is and what it has lost before it counts for them, follows its
//! operator's wishes, and hands over what it has before it leaves for good.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use env::{Clock, Scope};
use membership::{Announcement, Lifecycle, WrongPlace};
use model::TimeRange;
use proto::Successors;
use proto::metastore::{InstanceState, LostRange};
use ring::{Instance, InstanceId, NoHeir, Ring, RingView, State};
use tokio::sync::watch;

use crate::hand_over::HandOverError;
use crate::identity::Identity;
use crate::service::Ingester;

/// How long an instance waits for the metastore before it goes on with what it knows.
const METASTORE_PATIENCE: Duration = Duration::from_secs(5);
/// Within this time the others have seen a change of the ring, or do not see it at all.
const VIEW_LAG: Duration = Duration::from_secs(2);
/// By how much this process' clock may differ from the metastore's before the metastore has told what time it is.
const CLOCK_SKEW: Duration = Duration::from_mins(10);
/// Wait before a hand-over that failed begins again.
const AGAIN: Duration = Duration::from_secs(5);

/// The place in the ring of the ingester of this process.
#[derive(Clone)]
pub struct Presence {
    /// The name of the instance.
    pub instance: InstanceId,
    /// The place, in the metastore.
    pub lifecycle: Lifecycle,
    /// The ring, as this process sees it.
    pub view: watch::Receiver<Arc<RingView>>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Where its tasks run.
    pub scope: Scope,
    /// How long an instance that is new in its ring takes no writes yet, where others had what it is to have.
    pub join_wait: Duration,
}

impl Presence {
    /// What is said of an instance that has not recovered its data yet: the first announcement of its [`Lifecycle`].
    pub fn joining(clock: &dyn Clock, retention: Duration) -> Announcement {
        let retention_ms = i64::try_from(retention.as_millis()).unwrap_or(i64::MAX);
        Announcement {
            state: InstanceState::Joining,
            read_only: None,
            incarnation: 0,
            lost_ranges: Vec::new(),
            lost_with_former_life: None,
            forget_before_ms: clock.now_ms().saturating_sub(retention_ms),
        }
    }

    /// The ingester has recovered its data, and was started as joining: tells the others who it is, what it has lost, and
    /// that it is there for them. Returns once it has its place in the ring, and the metastore knows, or does not answer.
    ///
    /// # Errors
    /// Where the instance is in the ring with another zone.
    pub async fn join(&self, ingester: &Ingester) -> Result<(), WrongPlace> {
        let lifecycle = &self.lifecycle;
        lifecycle.placed().await?;
        let newcomer = self.is_newcomer().await;
        let identity = ingester.identity();
        let mut wishes = ingester.wishes();
        let wanted = *wishes.borrow_and_update();
        lifecycle.announce(|announcement| {
            announcement.state = if newcomer { InstanceState::Joining } else { InstanceState::Active };
            announcement.read_only = Some(wanted.read_only_since_ms.is_some());
            announcement.incarnation = identity.incarnation;
            announcement.lost_ranges = identity.lost.iter().map(lost).collect();
            announcement.lost_with_former_life = Some(lost(&identity.everything));
        });
        let follower = lifecycle.clone();
        // It ends with its scope; nobody waits for it.
        drop(self.scope.spawn("ingester wishes", async move {
            while wishes.changed().await.is_ok() {
                let wanted = *wishes.borrow_and_update();
                follower.announce(|announcement| {
                    announcement.read_only = Some(wanted.read_only_since_ms.is_some());
                });
            }
        }));
        // Nothing is lost that the others do not know of, so it counts whether they hear of it now or not.
        let known = lifecycle.saved().and_then(|saved| already_known(saved, &identity));
        let trusted = known.is_some();
        if let Some(known) = known {
            keep_to(ingester, known).await;
            ingester.set_state(State::Active);
        }
        let lost_by_record = tokio::select! {
            biased;
            announced = lifecycle.announced() => announced?,
            () = self.clock.sleep(METASTORE_PATIENCE), if trusted && !newcomer => {
                tracing::warn!("the metastore does not answer; others see this instance as they did before");
                return Ok(());
            }
        };
        keep_to(ingester, ranges(&lost_by_record)).await;
        ingester.set_state(State::Active);
        if newcomer {
            self.wait_until_known().await?;
        }
        Ok(())
    }

    /// Whether others may own what this instance is to own, and not everyone may know of it yet.
    async fn is_newcomer(&self) -> bool {
        let mut view = self.view.clone();
        // It has its record, and so that comes into the view.
        let Ok(view) = view.wait_for(|view| member(view.ring(), &self.instance).is_some()).await else {
            return false;
        };
        let Some(own) = member(view.ring(), &self.instance) else { return false };
        let here_for = elapsed(own.member_since_ms, self.clock.now_ms());
        here_for < self.join_wait + CLOCK_SKEW && view.ring().displaces(&self.instance)
    }

    /// Answers readers, and lets others take its writes, until everyone has had the time to hear of it: only then what
    /// it takes is found by all.
    async fn wait_until_known(&self) -> Result<(), WrongPlace> {
        let held = self.lifecycle.lease().await.registered().await;
        let now_ms = held.cluster_time_ms(self.clock.monotonic()).unwrap_or(i64::MIN);
        let own = member(self.view.borrow().ring(), &self.instance).cloned();
        let here_for = own.map_or(Duration::ZERO, |own| elapsed(own.member_since_ms, now_ms));
        let wait = self.join_wait.saturating_sub(here_for);
        tracing::info!(seconds = wait.as_secs_f64(), "new in the ring: takes writes once everyone knows it");
        self.clock.sleep(wait).await;
        self.lifecycle.announce(|announcement| announcement.state = InstanceState::Active);
        self.lifecycle.announced().await.map(drop)
    }

    /// Hands over what the ingester has to `successors`, and takes it out of the ring. Where that cannot be done within
    /// `timeout`, it stays in the ring with all that it has, and says why in the log; stopping it is a restart then. Whether it has left.
    pub async fn leave(&self, ingester: &Ingester, successors: &dyn Successors, timeout: Duration) -> bool {
        let left = tokio::select! {
            biased;
            left = self.hand_over(ingester, successors) => left,
            () = self.clock.sleep(timeout) => {
                tracing::error!(?timeout, "handing over took too long; this instance stays in the ring");
                return false;
            }
        };
        match &left {
            Ok(()) => tracing::info!("left the ring"),
            Err(error) => tracing::error!(%error, "this instance cannot leave and stays in the ring"),
        }
        left.is_ok()
    }

    async fn hand_over(&self, ingester: &Ingester, successors: &dyn Successors) -> Result<(), NoHeir> {
        self.view.borrow().ring().heirs(&self.instance)?;
        self.announce(InstanceState::Leaving).await;
        ingester.set_state(State::Leaving);
        self.clock.sleep(VIEW_LAG).await;
        loop {
            let view = Arc::clone(&self.view.borrow());
            match ingester.hand_over(&self.instance, &view, successors).await {
                Ok(_) => break,
                Err(HandOverError::NoHeir(error)) => return Err(error),
                Err(error) => {
                    let cause = error.source().map(ToString::to_string);
                    tracing::warn!(%error, cause, "the hand-over failed, and begins again");
                }
            }
            self.clock.sleep(AGAIN).await;
        }
        self.announce(InstanceState::Left).await;
        // Until the others have seen it they ask, and get the answers that they always got.
        self.clock.sleep(VIEW_LAG).await;
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

/// What is lost by the saved record of the instance, if that is of this life of the data directory, and says all that is lost.
fn already_known(saved: &proto::metastore::Instance, identity: &Identity) -> Option<Vec<TimeRange>> {
    let known = ranges(&saved.lost_ranges);
    let tells = |lost: &TimeRange| {
        known.iter().any(|known| known.contains(lost.start_ms()) && known.contains(lost.end_ms()))
    };
    (saved.incarnation == identity.incarnation && identity.lost.iter().all(tells)).then_some(known)
}

/// Lets the ingester refuse what its record says is lost.
async fn keep_to(ingester: &Ingester, lost: Vec<TimeRange>) {
    if let Err(error) = ingester.published(lost).await {
        tracing::warn!(%error, "what is lost by the record of this instance is not on its own disk");
    }
}

fn member<'r>(ring: &'r Ring, id: &InstanceId) -> Option<&'r Instance> {
    ring.instances().iter().find(|instance| instance.id == *id)
}

fn elapsed(since_ms: i64, now_ms: i64) -> Duration {
    Duration::from_millis(u64::try_from(now_ms.saturating_sub(since_ms)).unwrap_or(0))
}

fn ranges(lost: &[LostRange]) -> Vec<TimeRange> {
    lost.iter().filter_map(|lost| TimeRange::new(lost.start_ms, lost.end_ms)).collect()
}

fn lost(range: &TimeRange) -> LostRange {
    LostRange { start_ms: range.start_ms(), end_ms: range.end_ms() }
}
