//! A token bucket.

use std::time::Duration;

/// Tokens that come at a rate and gather up to a burst.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TokenBucket {
    tokens: f64,
    at: Duration,
}

impl TokenBucket {
    /// A full bucket.
    pub(crate) fn full(burst: f64, now: Duration) -> Self {
        Self { tokens: burst, at: now }
    }

    /// Takes `amount` tokens, all or none; whether they were there. Rate and burst may change from call to call.
    pub(crate) fn take(&mut self, amount: f64, rate: f64, burst: f64, now: Duration) -> bool {
        let elapsed = now.saturating_sub(self.at).as_secs_f64();
        self.at = self.at.max(now);
        self.tokens = (self.tokens + elapsed * rate).min(burst);
        let enough = amount <= self.tokens;
        if enough {
            self.tokens -= amount;
        }
        enough
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fills_at_the_rate_up_to_the_burst() {
        let at = Duration::from_secs;
        let mut bucket = TokenBucket::full(20.0, at(100));
        let mut take = |amount, now| bucket.take(amount, 10.0, 20.0, now);
        assert!(take(20.0, at(100)));
        assert!(!take(1.0, at(100)));
        assert!(take(10.0, at(101)));
        assert!(!take(1.0, at(101)));
        assert!(!take(21.0, at(1_000)), "a request larger than the burst never fits");
        assert!(take(20.0, at(1_000)));
        assert!(!take(1.0, at(900)), "time that goes back brings nothing");
        assert!(take(10.0, at(1_001)));
    }
}
