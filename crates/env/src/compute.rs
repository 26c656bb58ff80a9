//! Threads that compute: for work that keeps a processor busy, divided into parts. They wait for nothing but such work,
//! and never serve I/O.

use std::sync::atomic::{AtomicUsize, Ordering};

use rayon_core::{ThreadPool, ThreadPoolBuildError, ThreadPoolBuilder};

/// A fixed number of threads. Whoever brings work helps with it.
#[derive(Debug)]
pub struct ComputePool {
    /// `None` where the caller does everything.
    helpers: Option<ThreadPool>,
    width: usize,
}

impl ComputePool {
    /// A pool in which one caller's work runs on up to `width` threads, its own among them; so there are `width - 1` threads
    /// besides. Their names begin with `name`.
    ///
    /// # Errors
    /// When the system gives no more threads.
    pub fn new(name: &'static str, width: usize) -> Result<Self, ThreadPoolBuildError> {
        if width <= 1 {
            return Ok(Self::inline());
        }
        let pool = ThreadPoolBuilder::new()
            .num_threads(width - 1)
            .thread_name(move |number| format!("{name}-{number}"))
            .build()?;
        Ok(Self { helpers: Some(pool), width })
    }

    /// A pool without threads: the caller does everything, in order. For simulations.
    pub fn inline() -> Self {
        Self { helpers: None, width: 1 }
    }

    /// How many processors this process may use.
    pub fn processors() -> usize {
        std::thread::available_parallelism().map_or(1, usize::from)
    }

    /// On how many threads one caller's work may run.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Calls `part` with every number below `parts`, each once. Returns when all calls have. Threads take the next number
    /// when they have done with one, so parts need not be equally long.
    ///
    /// # Panics
    /// When a part does.
    pub fn run(&self, parts: usize, part: &(dyn Fn(usize) + Sync)) {
        let next = AtomicUsize::new(0);
        let work = || {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= parts {
                    return;
                }
                part(number);
            }
        };
        match &self.helpers {
            Some(pool) if parts > 1 => pool.in_place_scope(|scope| {
                for _ in 1..self.width.min(parts) {
                    scope.spawn(|_| work());
                }
                work();
            }),
            _ => work(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use super::*;

    #[test]
    fn every_part_runs_once_whatever_the_width() {
        for width in [0, 1, 2, 7] {
            let pool = ComputePool::new("test", width).unwrap();
            assert_eq!(pool.width(), width.max(1));
            for parts in [0, 1, 2, 100] {
                let calls: Vec<AtomicU64> = (0..parts).map(|_| AtomicU64::new(0)).collect();
                pool.run(parts, &|number| {
                    calls[number].fetch_add(1, Ordering::Relaxed);
                });
                assert!(calls.iter().all(|calls| calls.load(Ordering::Relaxed) == 1), "{width} {parts}");
            }
        }
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_pool_goes_on() {
        let pool = ComputePool::new("test", 3).unwrap();
        let work = || pool.run(20, &|number| assert_ne!(number, 13, "unlucky"));
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).is_err());
        let sum = AtomicU64::new(0);
        pool.run(20, &|number| {
            sum.fetch_add(number as u64, Ordering::Relaxed);
        });
        assert_eq!(sum.into_inner(), 190);
    }
}
