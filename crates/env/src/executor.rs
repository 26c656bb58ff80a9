//! One thread for all tasks of a simulation: which of those that are ready runs next, a seed decides.
//!
//! tokio wakes those who wait for a `watch` in an order that nobody can choose without its unstable features, and runs
//! tasks in the order in which they were woken. Here everybody who was woken is ready before the next one is chosen, so
//! that the order of waking does not matter: a seed repeats, and another seed is another interleaving. Time is tokio's,
//! which has to be paused.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Wake, Waker};

use futures::future::BoxFuture;
use parking_lot::Mutex;

use crate::{Rng, SeededRng};

/// So often tasks may be polled before all of them wait for the time to go on. More is a circle of tasks that wake each
/// other.
const MAX_POLLS_AT_ONCE: u64 = 20_000_000;

/// The number of the future that [`SimExecutor::run`] was given.
const MAIN: u64 = 0;

/// Runs tasks on the thread that calls [`SimExecutor::run`]. Clones are the same.
#[derive(Clone)]
pub struct SimExecutor {
    shared: Arc<Shared>,
}

struct Shared {
    rng: SeededRng,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    tasks: BTreeMap<u64, Slot>,
    ready: BTreeSet<u64>,
    next_id: u64,
    /// Whoever runs all of this, while it waits.
    outer: Option<Waker>,
}

enum Slot {
    Waiting(Task),
    Polled { aborted: bool },
}

struct Task {
    name: &'static str,
    future: BoxFuture<'static, ()>,
    waker: Waker,
}

impl SimExecutor {
    /// An executor without tasks; `seed` decides who runs next.
    pub fn new(seed: u64) -> Self {
        let state = Mutex::new(State { next_id: MAIN + 1, ..State::default() });
        Self { shared: Arc::new(Shared { rng: SeededRng::new(seed), state }) }
    }

    /// Runs `main` to its end, and tasks meanwhile; what is left of them is then dropped. To be called in a tokio runtime
    /// of one thread, whose time is paused.
    ///
    /// # Panics
    /// Where tasks keep waking each other, so that time stands still.
    pub async fn run<F: Future>(&self, main: F) -> F::Output {
        let mut main = pin!(main);
        let main_waker = self.waker(MAIN);
        self.shared.wake(MAIN);
        let run = poll_fn(|context| {
            self.shared.state.lock().outer = Some(context.waker().clone());
            for _ in 0..MAX_POLLS_AT_ONCE {
                match self.shared.choose() {
                    None => return Poll::Pending,
                    Some(MAIN) => {
                        if let Poll::Ready(output) = main.as_mut().poll(&mut Context::from_waker(&main_waker))
                        {
                            return Poll::Ready(output);
                        }
                    }
                    Some(id) => self.shared.poll(id),
                }
            }
            panic!("time stands still: {} wake each other", self.shared.names_of_ready());
        });
        // Tasks are not to be interrupted by tokio's budget for the one task that all of them are to it.
        let output = tokio::task::unconstrained(run).await;
        self.clear();
        output
    }

    /// A number below `bound`, of the numbers that also decide who runs next.
    pub(crate) fn below(&self, bound: u64) -> u64 {
        self.shared.rng.below(bound)
    }

    /// Takes in a task.
    pub(crate) fn spawn<T: Send + 'static>(
        &self,
        name: &'static str,
        future: impl Future<Output = T> + Send + 'static,
    ) -> SimTask<T> {
        let outcome = Arc::new(Mutex::new(Outcome { ended: None, waiting: None }));
        let end = End(Arc::clone(&outcome));
        let future = async move {
            let result = CatchPanic(Box::pin(future)).await;
            end.come_to(result.map_err(SimEnd::Panicked));
        };
        let mut state = self.shared.state.lock();
        let id = state.next_id;
        state.next_id += 1;
        let task = Task { name, future: Box::pin(future), waker: self.waker(id) };
        state.tasks.insert(id, Slot::Waiting(task));
        drop(state);
        self.shared.wake(id);
        SimTask { outcome, abort: SimAbort { shared: Arc::downgrade(&self.shared), id } }
    }

    fn waker(&self, id: u64) -> Waker {
        Waker::from(Arc::new(TaskWaker { shared: Arc::downgrade(&self.shared), id }))
    }

    /// Drops what is left; what that wakes or spawns does not run.
    fn clear(&self) {
        loop {
            let left = std::mem::take(&mut self.shared.state.lock().tasks);
            if left.is_empty() {
                return;
            }
            drop(left);
        }
    }
}

impl std::fmt::Debug for SimExecutor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SimExecutor")
            .field("tasks", &self.shared.state.lock().tasks.len())
            .finish_non_exhaustive()
    }
}

impl Shared {
    fn wake(&self, id: u64) {
        let outer = {
            let mut state = self.state.lock();
            if id != MAIN && !state.tasks.contains_key(&id) {
                return;
            }
            state.ready.insert(id);
            state.outer.take()
        };
        if let Some(outer) = outer {
            outer.wake();
        }
    }

    /// One of those that are ready, which is then no longer.
    fn choose(&self) -> Option<u64> {
        let mut state = self.state.lock();
        let ready = state.ready.len() as u64;
        let at = match ready {
            0 => return None,
            1 => 0,
            _ => usize::try_from(self.rng.below(ready)).unwrap_or(0),
        };
        let id = state.ready.iter().nth(at).copied()?;
        state.ready.remove(&id);
        Some(id)
    }

    fn poll(&self, id: u64) {
        let slot = self.state.lock().tasks.insert(id, Slot::Polled { aborted: false });
        let Some(Slot::Waiting(mut task)) = slot else {
            self.state.lock().tasks.remove(&id);
            return;
        };
        let polled = task.future.as_mut().poll(&mut Context::from_waker(&task.waker));
        let mut state = self.state.lock();
        let aborted = matches!(state.tasks.remove(&id), Some(Slot::Polled { aborted: true }));
        if polled.is_pending() && !aborted {
            state.tasks.insert(id, Slot::Waiting(task));
            return;
        }
        drop(state);
        // Not under the lock: what it holds may wake others.
        drop(task);
    }

    fn names_of_ready(&self) -> String {
        let state = self.state.lock();
        let name = |id: &u64| match state.tasks.get(id) {
            Some(Slot::Waiting(task)) => task.name,
            Some(Slot::Polled { .. }) | None => "the simulation itself",
        };
        state.ready.iter().map(name).collect::<Vec<_>>().join(", ")
    }
}

struct TaskWaker {
    shared: Weak<Shared>,
    id: u64,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if let Some(shared) = self.shared.upgrade() {
            shared.wake(self.id);
        }
    }
}

/// Why a task has no result.
pub(crate) enum SimEnd {
    Aborted,
    Panicked(Box<dyn Any + Send>),
}

/// A task, as whoever waits for it sees it.
pub(crate) struct SimTask<T> {
    outcome: Arc<Mutex<Outcome<T>>>,
    abort: SimAbort,
}

impl<T> SimTask<T> {
    pub(crate) fn abort_handle(&self) -> SimAbort {
        self.abort.clone()
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.outcome.lock().ended.is_some()
    }
}

impl<T> Future for SimTask<T> {
    type Output = Result<T, SimEnd>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut outcome = self.outcome.lock();
        match outcome.ended.take() {
            Some(ended) => Poll::Ready(ended),
            None => {
                outcome.waiting = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl<T> std::fmt::Debug for SimTask<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SimTask").field("id", &self.abort.id).finish_non_exhaustive()
    }
}

/// Ends a task.
#[derive(Clone)]
pub(crate) struct SimAbort {
    shared: Weak<Shared>,
    id: u64,
}

impl SimAbort {
    /// Drops the task at once, or, where it is what runs, when it next waits.
    pub(crate) fn abort(&self) {
        let Some(shared) = self.shared.upgrade() else { return };
        let mut state = shared.state.lock();
        let dropped = match state.tasks.get_mut(&self.id) {
            Some(Slot::Polled { aborted }) => {
                *aborted = true;
                None
            }
            Some(Slot::Waiting(_)) => state.tasks.remove(&self.id),
            None => None,
        };
        state.ready.remove(&self.id);
        drop(state);
        // Not under the lock: what it holds may wake others.
        drop(dropped);
    }
}

impl std::fmt::Debug for SimAbort {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("SimAbort").field(&self.id).finish()
    }
}

struct Outcome<T> {
    ended: Option<Result<T, SimEnd>>,
    waiting: Option<Waker>,
}

/// Says what a task came to; dropped without, it was aborted.
struct End<T>(Arc<Mutex<Outcome<T>>>);

impl<T> End<T> {
    fn come_to(&self, result: Result<T, SimEnd>) {
        let waiting = {
            let mut outcome = self.0.lock();
            outcome.ended = Some(result);
            outcome.waiting.take()
        };
        if let Some(waiting) = waiting {
            waiting.wake();
        }
    }
}

impl<T> Drop for End<T> {
    fn drop(&mut self) {
        // The only other holder is whoever waits; where the outcome was taken already, nobody asks again.
        if self.0.lock().ended.is_none() {
            self.come_to(Err(SimEnd::Aborted));
        }
    }
}

/// A future whose panic is its result.
struct CatchPanic<F>(Pin<Box<F>>);

impl<F: Future> Future for CatchPanic<F> {
    type Output = Result<F::Output, Box<dyn Any + Send>>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match catch_unwind(AssertUnwindSafe(|| self.0.as_mut().poll(context))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
            Err(panic) => Poll::Ready(Err(panic)),
        }
    }
}
