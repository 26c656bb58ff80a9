//! When a request is repeated, and how long everything may take.

use std::time::Duration;

use env::Rng;

use crate::config::BucketConfig;

/// The one retry policy; those of the libraries beneath are switched off.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Policy {
    pub(crate) request_timeout: Duration,
    pub(crate) operation_timeout: Duration,
    pub(crate) attempts: u32,
    pub(crate) first_wait: Duration,
    pub(crate) longest_wait: Duration,
    pub(crate) hedge_after: Option<Duration>,
}

impl Policy {
    pub(crate) fn new(config: &BucketConfig) -> Self {
        Self {
            request_timeout: config.request_timeout,
            operation_timeout: config.operation_timeout,
            attempts: config.attempts,
            first_wait: config.first_wait,
            longest_wait: config.longest_wait,
            hedge_after: Some(config.hedge_after).filter(|after| !after.is_zero()),
        }
    }

    /// How long to wait after so many attempts, the first included: a random part of a span that doubles.
    pub(crate) fn wait(&self, attempts: u32, rng: &dyn Rng) -> Duration {
        let doubled = 1u32.checked_shl(attempts.saturating_sub(1)).unwrap_or(u32::MAX);
        let most = self.first_wait.saturating_mul(doubled).min(self.longest_wait);
        let nanos = u64::try_from(most.as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(rng.below(nanos.saturating_add(1)))
    }
}

#[cfg(test)]
mod tests {
    use env::SeededRng;

    use super::*;

    #[test]
    fn waits_double_and_are_random_below_their_bound() {
        let policy = Policy::new(&BucketConfig::default());
        let rng = SeededRng::new(1);
        for (attempts, most_ms) in [(1, 200), (2, 400), (4, 1600), (12, 10_000), (60, 10_000)] {
            let waits: Vec<_> = (0..200).map(|_| policy.wait(attempts, &rng)).collect();
            let most = Duration::from_millis(most_ms);
            assert!(waits.iter().all(|wait| *wait <= most));
            assert!(
                waits.iter().any(|wait| *wait > most * 3 / 4) && waits.iter().any(|wait| *wait < most / 4)
            );
        }
    }
}
