//! Simulated processes that stand still for a while, with all their tasks, while the time goes on.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;

/// Whether the tasks of a process stand still, and those that would have run.
#[derive(Debug, Default)]
pub(crate) struct Standstill {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    stands: bool,
    waiting: Vec<Waker>,
}

impl Standstill {
    pub(crate) fn begin(&self) {
        self.state.lock().stands = true;
    }

    pub(crate) fn end(&self) {
        let waiting = {
            let mut state = self.state.lock();
            state.stands = false;
            std::mem::take(&mut state.waiting)
        };
        waiting.into_iter().for_each(Waker::wake);
    }

    /// A future that does nothing during a standstill.
    pub(crate) fn stop<F: Future>(self: &Arc<Self>, future: F) -> Stopped<F> {
        Stopped { standstill: Arc::clone(self), future: Box::pin(future) }
    }

    fn holds(&self, waker: &Waker) -> bool {
        let mut state = self.state.lock();
        if state.stands && !state.waiting.iter().any(|waiting| waiting.will_wake(waker)) {
            state.waiting.push(waker.clone());
        }
        state.stands
    }
}

/// A future that does nothing during a standstill.
pub(crate) struct Stopped<F> {
    standstill: Arc<Standstill>,
    future: Pin<Box<F>>,
}

impl<F: Future> Future for Stopped<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        if self.standstill.holds(context.waker()) {
            return Poll::Pending;
        }
        self.future.as_mut().poll(context)
    }
}
