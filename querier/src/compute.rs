//! The threads on which parts of queries run.

use env::{ComputePool, Scope};

use crate::config::QuerierConfig;

/// The engine's executor: a pool of the querier's own, which never serves I/O.
#[derive(Debug)]
pub(crate) struct Compute(ComputePool);

impl Compute {
    /// As many threads as configured; in a simulation none besides the one that asks, so that all runs in one order.
    pub(crate) fn new(config: &QuerierConfig, scope: &Scope) -> Self {
        if scope.is_simulated() {
            return Self(ComputePool::inline());
        }
        let width = match config.compute_threads {
            0 => ComputePool::processors(),
            threads => threads,
        };
        let pool = ComputePool::new("query", width).unwrap_or_else(|error| {
            tracing::warn!(%error, width, "no threads for queries: each runs on one");
            ComputePool::inline()
        });
        Self(pool)
    }
}

impl promql::Executor for Compute {
    fn width(&self) -> usize {
        self.0.width()
    }

    fn run(&self, parts: usize, part: &(dyn Fn(usize) + Sync)) {
        self.0.run(parts, part);
    }
}
