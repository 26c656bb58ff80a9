//! Whose query runs next: a queue per tenant, bounded, served in turns, so that nobody waits for another's backlog.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use model::TenantId;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::config::QuerierLimits;
use crate::error::ApiError;
use crate::metrics::{AdmissionMetrics, Refusal};

/// When to come back after a refusal: a fraction of the time that queries usually wait.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// Lets a bounded number of queries run and a bounded number wait, of all tenants and of each.
///
/// Queries of one tenant run in the order of their arrival; tenants take turns, a query each.
#[derive(Debug, Clone)]
pub(crate) struct Admission(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    max_running: usize,
    max_queued: usize,
    state: Mutex<State>,
    metrics: AdmissionMetrics,
}

/// What one tenant may take; 0 means no bound but those of the process.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Share {
    max_running: usize,
    max_queued: usize,
}

impl Share {
    /// The share that `limits` give.
    pub(crate) fn of(limits: &QuerierLimits) -> Self {
        let bound = |limit| if limit == 0 { usize::MAX } else { limit };
        Self {
            max_running: bound(limits.max_concurrent_queries),
            max_queued: bound(limits.max_queued_queries),
        }
    }
}

#[derive(Debug, Default)]
struct State {
    running: usize,
    queued: usize,
    /// Tenants with queries that run or wait; no others, so that an idle tenant costs nothing.
    tenants: HashMap<TenantId, Queue>,
    /// Tenants whose first waiting query could run if there were room, each once, in the order of their turns.
    turns: VecDeque<TenantId>,
    tickets: u64,
}

/// The queries of one tenant.
#[derive(Debug, Default)]
struct Queue {
    running: usize,
    /// As told by the newest query.
    max_running: usize,
    waiting: VecDeque<Waiting>,
    has_turn: bool,
}

#[derive(Debug)]
struct Waiting {
    ticket: u64,
    start: oneshot::Sender<Admitted>,
}

/// The right to run a query; dropping it lets the next one in.
#[derive(Debug)]
pub(crate) struct Admitted {
    shared: Arc<Shared>,
    tenant: TenantId,
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut state = self.shared.state.lock();
        state.running -= 1;
        if let Some(queue) = state.tenants.get_mut(&self.tenant) {
            queue.running -= 1;
        }
        self.shared.metrics.running.dec();
        state.settle(&self.tenant);
        let started = self.shared.start_next(&mut state);
        drop(state);
        hand_out(started);
    }
}

/// A place in the queue; dropping it gives it up.
struct Place<'a> {
    shared: &'a Shared,
    tenant: &'a TenantId,
    ticket: u64,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut state = self.shared.state.lock();
        let Some(queue) = state.tenants.get_mut(self.tenant) else { return };
        let Some(at) = queue.waiting.iter().position(|w| w.ticket == self.ticket) else { return };
        queue.waiting.remove(at);
        state.queued -= 1;
        state.settle(self.tenant);
        self.shared.metrics.queue_length.dec();
        self.shared.metrics.queue_left.inc();
    }
}

impl Admission {
    /// At most `max_running` queries run, and at most `max_queued` wait.
    pub(crate) fn new(max_running: usize, max_queued: usize, metrics: AdmissionMetrics) -> Self {
        Self(Arc::new(Shared { max_running, max_queued, state: Mutex::default(), metrics }))
    }

    /// Waits for a turn. Dropping the future gives the place in the queue up.
    pub(crate) async fn admit(&self, tenant: &TenantId, share: Share) -> Result<Admitted, ApiError> {
        let (start, started) = oneshot::channel();
        let (ticket, room) = {
            let mut state = self.0.state.lock();
            match self.0.enter(&mut state, tenant, share, start)? {
                Entered::Runs => return Ok(self.0.admitted(tenant)),
                // There is room where the tenant's limit has just become larger.
                Entered::Waits(ticket) => (ticket, self.0.start_next(&mut state)),
            }
        };
        hand_out(room);
        let _place = Place { shared: &self.0, tenant, ticket };
        started.await.map_err(|_| ApiError::overloaded("the querier is shutting down", RETRY_AFTER))
    }
}

/// What becomes of a query that arrives.
enum Entered {
    Runs,
    Waits(u64),
}

impl Shared {
    fn enter(
        self: &Arc<Self>,
        state: &mut State,
        tenant: &TenantId,
        share: Share,
        start: oneshot::Sender<Admitted>,
    ) -> Result<Entered, ApiError> {
        let room = state.running < self.max_running;
        let full = state.queued >= self.max_queued;
        let queue = state.tenants.entry(tenant.clone()).or_default();
        queue.max_running = share.max_running;
        if room && queue.waiting.is_empty() && queue.running < share.max_running {
            queue.running += 1;
            state.running += 1;
            self.metrics.running.inc();
            return Ok(Entered::Runs);
        }
        let waiting = queue.waiting.len();
        if waiting >= share.max_queued {
            self.metrics.refused(Refusal::TenantQueueFull);
            return Err(ApiError::too_many_requests(
                format!(
                    "too many queries of this tenant: {waiting} wait already (max_queued_queries: {}, \
                     max_concurrent_queries: {}); send fewer at a time",
                    share.max_queued, share.max_running
                ),
                RETRY_AFTER,
            ));
        }
        if full {
            state.settle(tenant);
            self.metrics.refused(Refusal::QueueFull);
            let message = format!("too many queries: {} wait already; come back later", self.max_queued);
            return Err(ApiError::overloaded(message, RETRY_AFTER));
        }
        state.tickets += 1;
        let ticket = state.tickets;
        queue.waiting.push_back(Waiting { ticket, start });
        state.queued += 1;
        state.settle(tenant);
        self.metrics.queue_length.inc();
        Ok(Entered::Waits(ticket))
    }

    fn admitted(self: &Arc<Self>, tenant: &TenantId) -> Admitted {
        Admitted { shared: Arc::clone(self), tenant: tenant.clone() }
    }

    /// Takes queries out of their queues while there is room, a tenant's after the other's.
    fn start_next(self: &Arc<Self>, state: &mut State) -> Vec<(oneshot::Sender<Admitted>, Admitted)> {
        let mut started = Vec::new();
        while state.running < self.max_running {
            let Some(tenant) = state.turns.pop_front() else { break };
            let Some(queue) = state.tenants.get_mut(&tenant) else { continue };
            queue.has_turn = false;
            if queue.running >= queue.max_running {
                // The tenant's limit has become smaller; the end of a query gives it the next turn.
                continue;
            }
            let Some(waiting) = queue.waiting.pop_front() else { continue };
            queue.running += 1;
            state.running += 1;
            state.queued -= 1;
            self.metrics.running.inc();
            self.metrics.queue_length.dec();
            started.push((waiting.start, self.admitted(&tenant)));
            state.settle(&tenant);
        }
        started
    }
}

impl State {
    /// Gives a tenant a turn if its next query could run, and forgets one that has none left.
    fn settle(&mut self, tenant: &TenantId) {
        let Some(queue) = self.tenants.get_mut(tenant) else { return };
        if queue.waiting.is_empty() {
            if std::mem::take(&mut queue.has_turn) {
                self.turns.retain(|t| t != tenant);
            }
            if queue.running == 0 {
                self.tenants.remove(tenant);
            }
            return;
        }
        if !queue.has_turn && queue.running < queue.max_running {
            queue.has_turn = true;
            self.turns.push_back(tenant.clone());
        }
    }
}

/// Not under the lock: where nobody waits any more, the right to run comes back at once.
fn hand_out(started: Vec<(oneshot::Sender<Admitted>, Admitted)>) {
    for (start, admitted) in started {
        // Whoever gave up in this very moment has dropped the receiver, and with it goes the right.
        drop(start.send(admitted));
    }
}

#[cfg(test)]
#[path = "tests/admission.rs"]
mod tests;
