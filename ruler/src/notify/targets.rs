//! The Alertmanagers of one entry of the configuration: one for good, or those that are found.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use env::Scope;
use model::TenantId;
use parking_lot::Mutex;
use proto::{Code, Error, PostedAlert};

use super::discovery::{Alertmanagers, Discover};
use super::queue::{Queue, Sending};
use super::{Target, Waiting};

/// How many Alertmanagers of one name are told at most; a name that has more is not one of Alertmanagers.
const MAX_FOUND: usize = 100;
/// How long a search may take. What is not known then is looked for again.
const FIND_TIMEOUT: Duration = Duration::from_secs(10);
/// How long it is waited after a search that failed; then twice as long each time, up to the refresh interval.
const FIRST_WAIT: Duration = Duration::from_secs(1);

/// Who is told by one entry.
pub(super) struct Targets {
    sending: Arc<Sending>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    queues: Vec<Arc<Queue>>,
    /// Alerts for whoever is found next, while there is nobody.
    for_next: VecDeque<Waiting>,
}

impl Targets {
    /// Begins to send to those of an entry, in tasks of `scope`.
    pub(super) fn start(of: Alertmanagers, sending: &Arc<Sending>, scope: &Scope) -> Arc<Self> {
        let targets = Arc::new(Self { sending: Arc::clone(sending), state: Mutex::default() });
        match of {
            Alertmanagers::One(target) => targets.replace(vec![target], scope),
            Alertmanagers::Found(finder) => {
                let (following, within, cancelled) = (Arc::clone(&targets), scope.clone(), scope.cancelled());
                drop(scope.spawn("discovery", async move {
                    tokio::select! {
                        biased;
                        () = cancelled => {}
                        () = following.follow(finder, &within) => {}
                    }
                }));
            }
        }
        targets
    }

    /// Has alerts sent to each.
    pub(super) fn push(&self, tenant: &TenantId, alerts: &[PostedAlert]) {
        let mut state = self.state.lock();
        for queue in &state.queues {
            queue.push(alerts.iter().map(|alert| (tenant.clone(), alert.clone())));
        }
        if state.queues.is_empty() {
            state.for_next.extend(alerts.iter().map(|alert| (tenant.clone(), alert.clone())));
            self.bound(&mut state);
        }
    }

    async fn follow(&self, finder: Arc<dyn Discover>, scope: &Scope) {
        let (clock, metrics, refresh) = (&self.sending.clock, &self.sending.metrics, self.sending.refresh);
        let mut wait = FIRST_WAIT;
        loop {
            let found = tokio::select! {
                biased;
                found = finder.find() => found,
                () = clock.sleep(FIND_TIMEOUT) => {
                    Err(Error::new(Code::DeadlineExceeded, format!("no answer within {FIND_TIMEOUT:?}")))
                }
            };
            metrics.lookups.inc();
            match found {
                Ok(found) => {
                    self.replace(bounded(finder.name(), found), scope);
                    wait = FIRST_WAIT;
                    clock.sleep(refresh).await;
                }
                Err(error) => {
                    metrics.lookup_failures.inc();
                    let told = self.state.lock().queues.len();
                    tracing::warn!(
                        alertmanagers = finder.name(), told, %error,
                        "Alertmanagers could not be looked up; those that are known go on being told"
                    );
                    clock.sleep(wait.min(refresh)).await;
                    wait = wait.saturating_mul(2).min(refresh);
                }
            }
        }
    }

    /// From now on these are told. What still waited for those that are gone is for those that are new.
    fn replace(&self, found: Vec<Target>, scope: &Scope) {
        let metrics = &self.sending.metrics;
        let mut state = self.state.lock();
        let (staying, gone): (Vec<_>, Vec<_>) =
            state.queues.drain(..).partition(|queue| found.iter().any(|target| target.name == queue.name()));
        state.queues = staying;
        for queue in gone {
            tracing::info!(alertmanager = queue.name(), "this Alertmanager is not told any more");
            let left = queue.close();
            // They all wait for the same, so one's is enough.
            if left.len() > state.for_next.len() {
                state.for_next = left;
            }
            metrics.targets.dec();
        }
        let new =
            found.into_iter().filter(|target| !state.queues.iter().any(|queue| queue.name() == target.name));
        let new: Vec<_> = new.collect();
        for target in new {
            tracing::info!(alertmanager = target.name, "this Alertmanager is told of alerts");
            let queue = Queue::start(target, Arc::clone(&self.sending), scope);
            queue.push(state.for_next.iter().cloned());
            state.queues.push(queue);
            metrics.targets.inc();
        }
        if state.queues.is_empty() {
            self.bound(&mut state);
        } else {
            state.for_next.clear();
        }
    }

    /// Drops the oldest that wait for nobody.
    fn bound(&self, state: &mut State) {
        let excess = state.for_next.len().saturating_sub(self.sending.capacity);
        state.for_next.drain(..excess);
        if excess > 0 {
            self.sending
                .metrics
                .dropped
                .get_or_create_owned(&[("alertmanager", Arc::from(""))])
                .inc_by(excess as u64);
        }
    }
}

fn bounded(name: &str, mut found: Vec<Target>) -> Vec<Target> {
    found.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    found.dedup_by(|a, b| a.name == b.name);
    if found.len() > MAX_FOUND {
        let (found, most) = (found.len(), MAX_FOUND);
        tracing::warn!(
            alertmanagers = name,
            found,
            most,
            "the name has too many addresses; only the first are told"
        );
    }
    found.truncate(MAX_FOUND);
    found
}
