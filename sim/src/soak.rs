//! Many seeds on several threads, until enough have been run or the time is over.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use env::{Clock, SystemClock};
use parking_lot::Mutex;

use crate::mutant::Mutant;
use crate::network::Carries;
use crate::run::{Options, Outcome, run};

/// Which seeds, and for how long.
#[derive(Debug, Clone)]
pub struct Soak {
    /// The first seed.
    pub first: u64,
    /// How many at most.
    pub count: u64,
    /// On how many threads.
    pub jobs: usize,
    /// For how long at most; a run that has begun goes on to its end.
    pub longest: Option<Duration>,
    /// What travels through the network.
    pub carries: Carries,
    /// What is built wrong.
    pub mutant: Option<Mutant>,
    /// Whether the first seed that fails ends it.
    pub until_failure: bool,
}

impl Soak {
    /// Runs the seeds, and tells of each as it ends.
    pub fn run(&self, tell: impl FnMut(u64, Outcome) + Send) {
        let clock = SystemClock::new();
        let next = AtomicU64::new(0);
        let enough = AtomicBool::new(false);
        let tell = Mutex::new(tell);
        let work = || {
            while !enough.load(Ordering::Relaxed) {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let is_over = self.longest.is_some_and(|longest| clock.monotonic() >= longest);
                if number >= self.count || is_over {
                    return;
                }
                let seed = self.first.saturating_add(number);
                let outcome =
                    run(&Options { mutant: self.mutant, carries: self.carries, ..Options::of(seed) });
                if outcome.failure.is_some() && self.until_failure {
                    enough.store(true, Ordering::Relaxed);
                }
                (tell.lock())(seed, outcome);
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..self.jobs.max(1) {
                scope.spawn(work);
            }
        });
    }
}
