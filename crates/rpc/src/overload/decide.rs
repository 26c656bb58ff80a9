//! What is shed, from what was measured. Pure: no clock is read and nothing is measured here.

use std::time::Duration;

/// What is refused.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Shedding {
    /// Nothing.
    #[default]
    Nothing = 0,
    /// Reads: what they need is dear, and their clients can ask again.
    Reads = 1,
    /// Reads and writes.
    Everything = 2,
}

impl Shedding {
    /// As metrics and logs call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Reads => "reads",
            Self::Everything => "reads and writes",
        }
    }

    fn less(self) -> Self {
        match self {
            Self::Everything => Self::Reads,
            Self::Reads | Self::Nothing => Self::Nothing,
        }
    }
}

/// From where on something is refused.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Thresholds {
    /// The part of the memory, from 0 to 1, from which on reads are shed.
    pub memory_reads: f64,
    /// The same for writes; not below that for reads.
    pub memory_writes: f64,
    /// How late tasks run when reads are shed; zero: never for this.
    pub delay_reads: Duration,
    /// The same for writes; not below that for reads, unless it is zero.
    pub delay_writes: Duration,
    /// How long everything must have been better than the thresholds, by a tenth, before less is shed.
    pub recovery: Duration,
}

/// What was measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measured {
    /// The part of its memory that the process has; 0 where nobody knows.
    pub memory: f64,
    /// How late a task ran.
    pub delay: Duration,
}

/// So many measurements in a row must be late: one pause of the machine is no overload.
pub const DELAYS: usize = 5;

/// Under a threshold by so much counts as better.
const BETTER: f64 = 0.9;

/// Decides what is shed: more at once, less in steps and only after a while.
#[derive(Debug, Clone)]
pub struct Decider {
    thresholds: Thresholds,
    delays: [Duration; DELAYS],
    next: usize,
    shedding: Shedding,
    /// Since when less would do.
    better_since: Option<Duration>,
}

impl Decider {
    /// A decider that sheds nothing.
    pub fn new(thresholds: Thresholds) -> Self {
        let delays = [Duration::ZERO; DELAYS];
        Self { thresholds, delays, next: 0, shedding: Shedding::Nothing, better_since: None }
    }

    /// What is shed from `now`, a time that never goes back, until the next measurement.
    pub fn decide(&mut self, now: Duration, measured: Measured) -> Shedding {
        if let Some(slot) = self.delays.get_mut(self.next) {
            *slot = measured.delay;
        }
        self.next = (self.next + 1) % DELAYS;
        let needed = self.needed(measured.memory, 1.0);
        if needed > self.shedding {
            (self.shedding, self.better_since) = (needed, None);
        } else if self.needed(measured.memory, BETTER) < self.shedding {
            let since = *self.better_since.get_or_insert(now);
            if now.saturating_sub(since) >= self.thresholds.recovery {
                (self.shedding, self.better_since) = (self.shedding.less(), None);
            }
        } else {
            self.better_since = None;
        }
        self.shedding
    }

    /// The delay that all of the last measurements had at least.
    pub fn delay(&self) -> Duration {
        self.delays.iter().min().copied().unwrap_or_default()
    }

    /// What the measurements ask for, were the thresholds `scale` times what they are.
    fn needed(&self, memory: f64, scale: f64) -> Shedding {
        let Thresholds { memory_reads, memory_writes, delay_reads, delay_writes, .. } = self.thresholds;
        let delay = self.delay();
        let late = |threshold: Duration| !threshold.is_zero() && delay >= threshold.mul_f64(scale);
        if memory >= memory_writes * scale || late(delay_writes) {
            Shedding::Everything
        } else if memory >= memory_reads * scale || late(delay_reads) {
            Shedding::Reads
        } else {
            Shedding::Nothing
        }
    }
}
