//! The tasks of one instance. Everything an instance runs is spawned in its scope, so that stopping can wait for all
//! of it and a simulated crash can end all of it at once.

use std::collections::BTreeMap;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::task::{AbortHandle, JoinError, JoinHandle};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::Clock;
use crate::executor::{SimAbort, SimEnd, SimExecutor, SimTask};
use crate::standstill::Standstill;

/// Why a task gave no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TaskError {
    /// The task, or its scope, was aborted.
    #[error("task {task} was aborted")]
    Aborted {
        /// The task's name.
        task: &'static str,
    },
    /// The task panicked.
    #[error("task {task} panicked: {message}")]
    Panicked {
        /// The task's name.
        task: &'static str,
        /// What it said.
        message: String,
    },
}

/// A tree of tasks. Clones are the same scope. Spawning needs a tokio runtime.
#[derive(Debug, Clone)]
pub struct Scope {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    name: String,
    runs: Runs,
    cancel: CancellationToken,
    /// This scope's own tracker, then its ancestors': a task counts in each, so that joining a scope waits for the
    /// tasks of its children.
    trackers: Vec<TaskTracker>,
    tasks: Mutex<Tasks>,
    /// Kept for as long as this is, so that aborting an ancestor finds its way here, whoever has let go of those in between.
    _parent: Option<Arc<Inner>>,
}

/// Where work is done.
#[derive(Debug, Clone)]
enum Runs {
    /// Tasks by tokio, blocking work on its pool for that.
    OnPool,
    /// Tasks by tokio, blocking work in place, so that one thread does everything in one order.
    Inline,
    /// Tasks by the executor of a simulation, blocking work in place, but not at once.
    Simulated {
        executor: SimExecutor,
        /// Blocking work waits up to so many milliseconds before it is done, and as long until that is known.
        blocking_ms: Arc<AtomicU64>,
        /// Whether tasks run at all.
        standstill: Arc<Standstill>,
    },
}

#[derive(Debug, Default)]
struct Tasks {
    aborted: bool,
    next_id: u64,
    live: BTreeMap<u64, Abort>,
    children: Vec<Weak<Inner>>,
    /// Children are swept of dead ones when there are this many.
    sweep_at: usize,
}

impl Scope {
    /// A scope whose blocking work runs on tokio's blocking pool.
    pub fn new(name: impl Into<String>) -> Self {
        Self::root(name.into(), Runs::OnPool)
    }

    /// A scope for simulation: blocking work runs in place.
    pub fn simulated(name: impl Into<String>) -> Self {
        Self::root(name.into(), Runs::Inline)
    }

    /// A scope whose tasks `executor` runs, for simulations that repeat. Blocking work is done in place, some time after
    /// it was asked for, and known to be done some time later, so that others run in between: see
    /// [`Scope::delay_blocking`].
    pub fn simulated_on(name: impl Into<String>, executor: &SimExecutor) -> Self {
        let runs = Runs::Simulated {
            executor: executor.clone(),
            blocking_ms: Arc::default(),
            standstill: Arc::default(),
        };
        Self::root(name.into(), runs)
    }

    fn root(name: String, runs: Runs) -> Self {
        Self {
            inner: Arc::new(Inner {
                name,
                runs,
                cancel: CancellationToken::new(),
                trackers: vec![TaskTracker::new()],
                tasks: Mutex::default(),
                _parent: None,
            }),
        }
    }

    /// A scope inside this one: cancelling, aborting or joining this one reaches it, not the other way round.
    pub fn child(&self, name: impl Into<String>) -> Self {
        let mut trackers = vec![TaskTracker::new()];
        trackers.extend(self.inner.trackers.iter().cloned());
        let mut tasks = self.inner.tasks.lock();
        let child = Arc::new(Inner {
            name: format!("{}/{}", self.inner.name, name.into()),
            runs: self.inner.runs.clone(),
            cancel: self.inner.cancel.child_token(),
            trackers,
            tasks: Mutex::new(Tasks { aborted: tasks.aborted, ..Tasks::default() }),
            _parent: Some(Arc::clone(&self.inner)),
        });
        if tasks.children.len() >= tasks.sweep_at {
            tasks.children.retain(|child| child.strong_count() > 0);
            tasks.sweep_at = 16 + 2 * tasks.children.len();
        }
        tasks.children.push(Arc::downgrade(&child));
        Self { inner: child }
    }

    /// The scope's name, its ancestors' first.
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// Runs `future` as a task of this scope. In an aborted scope it never runs and its handle says so.
    #[expect(clippy::disallowed_methods, reason = "this is the seam that everybody else uses")]
    pub fn spawn<F>(&self, name: &'static str, future: F) -> TaskHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let id = {
            let mut tasks = self.inner.tasks.lock();
            tasks.next_id += 1;
            tasks.next_id
        };
        let ended = Arc::new(AtomicBool::new(false));
        let registration = Registration {
            scope: Arc::clone(&self.inner),
            id,
            name,
            ended: Arc::clone(&ended),
            _tokens: self.tokens(),
        };
        let task = async move {
            let _registration = registration;
            future.await
        };
        // Not under the lock: a runtime that shuts down drops the task, and with it the registration, right here.
        let join = match &self.inner.runs {
            Runs::OnPool | Runs::Inline => Join::Tokio(tokio::spawn(task)),
            Runs::Simulated { executor, standstill, .. } => {
                Join::Simulated(executor.spawn(name, standstill.stop(task)))
            }
        };
        let mut tasks = self.inner.tasks.lock();
        if tasks.aborted {
            drop(tasks);
            join.abort_handle().abort();
        } else if !ended.load(Ordering::Relaxed) {
            tasks.live.insert(id, join.abort_handle());
        }
        TaskHandle { name, join }
    }

    /// Runs `work`, which may block, away from the threads that serve I/O; in a simulated scope in place.
    ///
    /// # Errors
    /// When `work` panics, or the runtime is shutting down.
    #[expect(clippy::disallowed_methods, reason = "this is the seam that everybody else uses")]
    pub async fn run_blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, TaskError> {
        const NAME: &str = "blocking";
        let inline = |work| {
            catch_unwind(AssertUnwindSafe(work)).map_err(|payload| TaskError::Panicked {
                task: NAME,
                message: panic_message(payload.as_ref()),
            })
        };
        match &self.inner.runs {
            Runs::Inline => inline(work),
            Runs::Simulated { executor, blocking_ms, .. } => {
                let longest = blocking_ms.load(Ordering::Relaxed).saturating_add(1);
                tokio::time::sleep(Duration::from_millis(executor.below(longest))).await;
                let done = inline(work);
                tokio::time::sleep(Duration::from_millis(executor.below(longest))).await;
                done
            }
            Runs::OnPool => {
                let tokens = self.tokens();
                tokio::task::spawn_blocking(move || {
                    let _tokens = tokens;
                    work()
                })
                .await
                .map_err(|error| task_error(NAME, error))
            }
        }
    }

    /// Whether this scope is of a simulation, where blocking work runs in place and so must never wait for anything.
    pub fn is_simulated(&self) -> bool {
        !matches!(self.inner.runs, Runs::OnPool)
    }

    /// Makes blocking work of this scope, its children and those that it is a child of begin up to `longest` after it was
    /// asked for, and be known to be done as long after it was. Only where an executor of a simulation runs it; others are as
    /// fast as they are.
    pub fn delay_blocking(&self, longest: Duration) {
        if let Runs::Simulated { blocking_ms, .. } = &self.inner.runs {
            blocking_ms.store(u64::try_from(longest.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
        }
    }

    /// Lets no task of this scope, its children and those that it is a child of run until [`Scope::go_on`], as a process stands
    /// still that its machine does not run for a while. Time goes on meanwhile. Only where an executor of a simulation runs
    /// them.
    pub fn stand_still(&self) {
        if let Runs::Simulated { standstill, .. } = &self.inner.runs {
            standstill.begin();
        }
    }

    /// Undoes [`Scope::stand_still`].
    pub fn go_on(&self) {
        if let Runs::Simulated { standstill, .. } = &self.inner.runs {
            standstill.end();
        }
    }

    /// Becomes ready once this scope or an ancestor was asked to stop.
    pub fn cancelled(&self) -> impl Future<Output = ()> + Send + 'static {
        self.inner.cancel.clone().cancelled_owned()
    }

    /// Whether this scope or an ancestor was asked to stop.
    pub fn is_cancelled(&self) -> bool {
        self.inner.cancel.is_cancelled()
    }

    /// Asks the tasks of this scope and of its children to stop; they do so in their own time.
    pub fn cancel(&self) {
        self.inner.cancel.cancel();
    }

    /// Ends every task of this scope and of its children where it next waits, as a crash does. Nothing spawned later
    /// runs. Blocking work that has begun on the pool runs to its end.
    pub fn abort(&self) {
        self.inner.cancel.cancel();
        self.inner.abort();
    }

    /// Waits until every task of this scope and of its children has ended, at most for `bound`; whether they have.
    pub async fn join(&self, clock: &dyn Clock, bound: Duration) -> bool {
        let Some(tracker) = self.inner.trackers.first() else {
            return true;
        };
        tracker.close();
        let timeout = clock.sleep(bound);
        tokio::select! {
            biased;
            () = tracker.wait() => true,
            () = timeout => false,
        }
    }

    fn tokens(&self) -> Vec<TaskTrackerToken> {
        self.inner.trackers.iter().map(TaskTracker::token).collect()
    }
}

impl Inner {
    fn abort(&self) {
        let (live, children) = {
            let mut tasks = self.tasks.lock();
            tasks.aborted = true;
            (std::mem::take(&mut tasks.live), std::mem::take(&mut tasks.children))
        };
        for handle in live.values() {
            handle.abort();
        }
        for child in children.iter().filter_map(Weak::upgrade) {
            child.abort();
        }
    }
}

/// A running task. It is ready when the task ends; dropping it lets the task go on.
#[derive(Debug)]
pub struct TaskHandle<T> {
    name: &'static str,
    join: Join<T>,
}

#[derive(Debug)]
enum Join<T> {
    Tokio(JoinHandle<T>),
    Simulated(SimTask<T>),
}

impl<T> Join<T> {
    fn abort_handle(&self) -> Abort {
        match self {
            Self::Tokio(join) => Abort::Tokio(join.abort_handle()),
            Self::Simulated(task) => Abort::Simulated(task.abort_handle()),
        }
    }
}

#[derive(Debug)]
enum Abort {
    Tokio(AbortHandle),
    Simulated(SimAbort),
}

impl Abort {
    fn abort(&self) {
        match self {
            Self::Tokio(handle) => handle.abort(),
            Self::Simulated(task) => task.abort(),
        }
    }
}

impl<T> TaskHandle<T> {
    /// Ends the task where it next waits.
    pub fn abort(&self) {
        self.join.abort_handle().abort();
    }

    /// Whether the task has ended.
    pub fn is_finished(&self) -> bool {
        match &self.join {
            Join::Tokio(join) => join.is_finished(),
            Join::Simulated(task) => task.is_finished(),
        }
    }
}

impl<T> Future for TaskHandle<T> {
    type Output = Result<T, TaskError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let name = self.name;
        match &mut self.join {
            Join::Tokio(join) => Pin::new(join).poll(context).map_err(|error| task_error(name, error)),
            Join::Simulated(task) => Pin::new(task).poll(context).map_err(|end| match end {
                SimEnd::Aborted => TaskError::Aborted { task: name },
                SimEnd::Panicked(payload) => {
                    TaskError::Panicked { task: name, message: panic_message(payload.as_ref()) }
                }
            }),
        }
    }
}

/// Takes a task off its scope's list when it ends, however it ends.
struct Registration {
    scope: Arc<Inner>,
    id: u64,
    name: &'static str,
    /// Set under the lock of the scope's tasks.
    ended: Arc<AtomicBool>,
    _tokens: Vec<TaskTrackerToken>,
}

impl Drop for Registration {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tracing::error!(task = self.name, scope = %self.scope.name, "task panicked");
        }
        let mut tasks = self.scope.tasks.lock();
        self.ended.store(true, Ordering::Relaxed);
        tasks.live.remove(&self.id);
    }
}

fn task_error(task: &'static str, error: JoinError) -> TaskError {
    match error.try_into_panic() {
        Ok(payload) => TaskError::Panicked { task, message: panic_message(payload.as_ref()) },
        Err(_) => TaskError::Aborted { task },
    }
}

fn panic_message(payload: &(dyn std::any::Any + Send)) -> String {
    if let Some(text) = payload.downcast_ref::<&str>() {
        (*text).to_owned()
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text.clone()
    } else {
        "no message".to_owned()
    }
}
