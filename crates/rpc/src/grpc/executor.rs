//! hyper's tasks run in a scope, so that a crash of the instance ends them with it.

use std::future::Future;

use env::Scope;

/// Spawns hyper's tasks in a scope.
#[derive(Debug, Clone)]
pub struct ScopeExecutor {
    scope: Scope,
}

impl ScopeExecutor {
    /// An executor that spawns in `scope`.
    pub fn new(scope: Scope) -> Self {
        Self { scope }
    }
}

impl<F> hyper::rt::Executor<F> for ScopeExecutor
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, future: F) {
        // The task ends with its connection or stream; nobody waits for it but the scope.
        drop(self.scope.spawn("http/2", future));
    }
}
