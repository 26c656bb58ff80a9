//! Chance: every part of a run draws from numbers of its own, so that leaving one fault out does not change the others.

use std::sync::Arc;
use std::time::Duration;

use env::{Rng, SeededRng};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Numbers of one part of a run.
#[derive(Clone)]
pub(crate) struct Draw(Arc<SeededRng>);

impl Draw {
    /// The numbers of the part called `part` in the run of `seed`.
    pub(crate) fn new(seed: u64, part: &str) -> Self {
        Self(Arc::new(SeededRng::new(xxh3_64_with_seed(part.as_bytes(), seed))))
    }

    /// As a role takes them.
    pub(crate) fn rng(&self) -> Arc<dyn Rng> {
        Arc::clone(&self.0) as Arc<dyn Rng>
    }

    /// The next number, of all that there are.
    pub(crate) fn number(&self) -> u64 {
        self.0.next_u64()
    }

    /// A number from `low` to `high`, both included.
    pub(crate) fn between(&self, low: u64, high: u64) -> u64 {
        low + self.0.below(high.saturating_sub(low).saturating_add(1))
    }

    /// Whether something happens that happens `per_mille` times in a thousand.
    pub(crate) fn chance(&self, per_mille: u64) -> bool {
        self.0.below(1000) < per_mille
    }

    /// A time between two.
    pub(crate) fn time(&self, low: Duration, high: Duration) -> Duration {
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        Duration::from_micros(self.between(micros(low), micros(high)))
    }

    /// One of several; `None` where there are none.
    pub(crate) fn one<'a, T>(&self, of: &'a [T]) -> Option<&'a T> {
        let at = self.0.below(of.len() as u64);
        of.get(usize::try_from(at).unwrap_or(0))
    }
}
