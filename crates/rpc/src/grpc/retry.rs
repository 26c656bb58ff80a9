//! How often, and how fast, calls are repeated: never so that repetitions make an overload worse.

use std::time::Duration;

use env::Rng;
use parking_lot::Mutex;

/// Thousandths of a repetition that one call earns.
const EARNED_PER_CALL: u64 = 100;
const COST_OF_RETRY: u64 = 1000;

/// Repetitions allowed: a tenth of the calls, and some to begin with.
#[derive(Debug)]
pub struct RetryBudget {
    /// In thousandths of a repetition.
    saved: Mutex<u64>,
    most: u64,
}

impl RetryBudget {
    /// A budget that saves at most `burst` repetitions, and begins with so many.
    pub fn new(burst: u32) -> Self {
        let most = u64::from(burst) * COST_OF_RETRY;
        Self { saved: Mutex::new(most), most }
    }

    /// A call was made for the first time.
    pub fn earn(&self) {
        let mut saved = self.saved.lock();
        *saved = (*saved + EARNED_PER_CALL).min(self.most);
    }

    /// Whether a call may be repeated now; then it counts as done.
    pub fn spend(&self) -> bool {
        let mut saved = self.saved.lock();
        match saved.checked_sub(COST_OF_RETRY) {
            Some(rest) => {
                *saved = rest;
                true
            }
            None => false,
        }
    }
}

/// Waits between attempts: doubling, up to a bound, each shortened by chance, so that callers do not go in step.
#[derive(Debug, Clone)]
pub struct Backoff {
    next: Duration,
    most: Duration,
}

impl Backoff {
    /// Waits from about `first` to about `most`.
    pub fn new(first: Duration, most: Duration) -> Self {
        Self { next: first, most }
    }

    /// How long to wait now: half to all of what is due.
    pub fn wait(&mut self, rng: &dyn Rng) -> Duration {
        let due = self.next.min(self.most);
        self.next = due.saturating_mul(2).min(self.most);
        let micros = u64::try_from(due.as_micros()).unwrap_or(u64::MAX);
        Duration::from_micros(micros / 2 + rng.below(micros / 2 + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenth_of_calls_may_be_repeated() {
        let budget = RetryBudget::new(2);
        assert!(budget.spend());
        assert!(budget.spend());
        assert!(!budget.spend());
        (0..9).for_each(|_| budget.earn());
        assert!(!budget.spend());
        budget.earn();
        assert!(budget.spend());
        assert!(!budget.spend());
    }

    #[test]
    fn what_is_saved_is_bounded() {
        let budget = RetryBudget::new(1);
        (0..1000).for_each(|_| budget.earn());
        assert!(budget.spend());
        assert!(!budget.spend());
    }

    #[test]
    fn waits_double_to_the_bound_and_are_shortened_by_at_most_half() {
        let rng = env::SeededRng::new(1);
        let mut backoff = Backoff::new(Duration::from_millis(10), Duration::from_millis(50));
        for due_ms in [10, 20, 40, 50, 50] {
            let wait = backoff.wait(&rng);
            let due = Duration::from_millis(due_ms);
            assert!(wait >= due / 2 && wait <= due, "{wait:?} of {due:?}");
        }
    }
}
