//! Where parts of a query run at the same time: the trait that whoever has threads implements. Results do not depend on
//! it: parts are computed each for itself, and what comes out of them is put together in the order of the parts.

use std::fmt::Debug;

/// So many series are computed together in one part of a query.
const PART_SERIES: usize = 64;

/// Series are not worth dividing below so much work, in series times steps: waking a thread costs some microseconds.
const DIVIDED_FROM: usize = 32_768;

/// What a series costs at least, in steps: reading it.
const STEPS_TO_READ: usize = 32;

/// Runs parts of queries, perhaps at the same time.
pub trait Executor: Send + Sync + Debug {
    /// How many parts can run at the same time, at least 1. With 1, queries are not divided.
    fn width(&self) -> usize;

    /// Of how many series a part consists where so many are computed at so many steps; all of them, if dividing is not worth
    /// it. It changes nothing but the time that the query takes.
    fn part_series(&self, series: usize, steps: usize) -> usize {
        let work = series.saturating_mul(steps.max(STEPS_TO_READ));
        if self.width() > 1 && work >= DIVIDED_FROM { PART_SERIES } else { usize::MAX }
    }

    /// Calls `part` with every number below `parts`, each once, in any order and perhaps at the same time. Returns when all
    /// calls have returned.
    fn run(&self, parts: usize, part: &(dyn Fn(usize) + Sync));
}
