//! What openraft runs on: tasks in the instance's scope, and the instance's random numbers, so that a crash ends all
//! of it and a simulation repeats. openraft asks for both through functions without a receiver; the context travels
//! with the task.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use env::{Rng, Scope, TaskError, TaskHandle};
use openraft::{AsyncRuntime, OptionalSend, TokioInstant, TokioRuntime};

tokio::task_local! {
    static CONTEXT: Context;
}

/// Where openraft's tasks run, and where its random numbers come from.
#[derive(Clone)]
pub struct Context {
    scope: Scope,
    rng: Arc<dyn Rng>,
}

impl Context {
    /// Tasks in `scope`, numbers from `rng`.
    pub fn new(scope: Scope, rng: Arc<dyn Rng>) -> Self {
        Self { scope, rng }
    }

    /// Runs what makes a Raft node, or anything else of openraft that spawns.
    pub async fn enter<F: Future>(&self, future: F) -> F::Output {
        CONTEXT.scope(self.clone(), future).await
    }

    /// The context of the task at hand. openraft spawns only from tasks that it has spawned itself, and from
    /// `Raft::new`, which runs in [`Context::enter`].
    fn current() -> Self {
        CONTEXT.with(Self::clone)
    }
}

/// openraft's runtime over [`Context`]. Time is tokio's, which a simulation pauses.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct ScopedRuntime;

impl AsyncRuntime for ScopedRuntime {
    type JoinError = TaskError;
    type JoinHandle<T: OptionalSend + 'static> = TaskHandle<T>;
    type Sleep = tokio::time::Sleep;
    type Instant = TokioInstant;
    type TimeoutError = tokio::time::error::Elapsed;
    type Timeout<R, T: Future<Output = R> + OptionalSend> = tokio::time::Timeout<T>;
    type ThreadLocalRng = ContextRng;
    type OneshotSender<T: OptionalSend> = <TokioRuntime as AsyncRuntime>::OneshotSender<T>;
    type OneshotReceiver<T: OptionalSend> = <TokioRuntime as AsyncRuntime>::OneshotReceiver<T>;
    type OneshotReceiverError = <TokioRuntime as AsyncRuntime>::OneshotReceiverError;

    fn spawn<T>(future: T) -> Self::JoinHandle<T::Output>
    where
        T: Future + OptionalSend + 'static,
        T::Output: OptionalSend + 'static,
    {
        let context = Context::current();
        let scope = context.scope.clone();
        scope.spawn("raft", CONTEXT.scope(context, future))
    }

    fn sleep(duration: Duration) -> Self::Sleep {
        tokio::time::sleep(duration)
    }

    fn sleep_until(deadline: Self::Instant) -> Self::Sleep {
        tokio::time::sleep_until(deadline)
    }

    fn timeout<R, F: Future<Output = R> + OptionalSend>(
        duration: Duration,
        future: F,
    ) -> Self::Timeout<R, F> {
        tokio::time::timeout(duration, future)
    }

    fn timeout_at<R, F: Future<Output = R> + OptionalSend>(
        deadline: Self::Instant,
        future: F,
    ) -> Self::Timeout<R, F> {
        tokio::time::timeout_at(deadline, future)
    }

    fn is_panic(join_error: &Self::JoinError) -> bool {
        matches!(join_error, TaskError::Panicked { .. })
    }

    fn thread_rng() -> Self::ThreadLocalRng {
        ContextRng(Context::current().rng)
    }

    fn oneshot<T>() -> (Self::OneshotSender<T>, Self::OneshotReceiver<T>)
    where
        T: OptionalSend,
    {
        TokioRuntime::oneshot()
    }
}

/// The instance's random numbers, as the `rand` crate wants them.
pub struct ContextRng(Arc<dyn Rng>);

impl rand::RngCore for ContextRng {
    fn next_u32(&mut self) -> u32 {
        (self.0.next_u64() >> 32) as u32
    }

    fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        for part in bytes.chunks_mut(8) {
            let random = self.0.next_u64().to_le_bytes();
            part.iter_mut().zip(random).for_each(|(byte, random)| *byte = random);
        }
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), rand::Error> {
        self.fill_bytes(bytes);
        Ok(())
    }
}
