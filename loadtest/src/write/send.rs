//! One request until it is acknowledged or given up, with the retries of a Prometheus sender.

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use env::Clock;
use http::StatusCode;
use parking_lot::Mutex;

use super::statistics::Statistics;
use crate::client::{Answer, ClientError};

/// What a sender does with failures.
#[derive(Debug, Clone, Copy)]
pub struct RetryPolicy {
    /// For how long a request is tried again after connection failures and 5xx; zero: never.
    pub keep_trying: Duration,
    /// Whether 429 is tried again too (Prometheus: `retry_on_http_429`).
    pub on_429: bool,
    /// The first wait; each further one is twice as long.
    pub min_backoff: Duration,
    /// The longest wait, unless the server asks for a longer one.
    pub max_backoff: Duration,
}

impl Default for RetryPolicy {
    /// The waits of Prometheus' queue configuration, for five minutes.
    fn default() -> Self {
        Self {
            keep_trying: Duration::from_secs(300),
            on_429: false,
            min_backoff: Duration::from_millis(30),
            max_backoff: Duration::from_secs(5),
        }
    }
}

/// The longest Retry-After that is honoured.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(120);
/// How often a waiting sender looks whether it shall stop.
const STOP_CHECK: Duration = Duration::from_millis(50);

/// How it ended.
#[derive(Debug)]
pub(super) enum Delivery {
    /// With a 2xx.
    Acknowledged(Answer),
    /// With a refusal or without an answer: some samples may have been stored all the same.
    GivenUp,
}

/// Tries until the server accepts or refuses, the policy is exhausted, or `stop` is set. `attempt` is told how many
/// attempts there were before.
pub(super) async fn deliver<F, Fut>(
    policy: &RetryPolicy,
    clock: &dyn Clock,
    stop: &AtomicBool,
    statistics: &Mutex<Statistics>,
    attempt: F,
) -> Delivery
where
    F: Fn(usize) -> Fut,
    Fut: Future<Output = Result<Answer, ClientError>>,
{
    let give_up_at = clock.monotonic() + policy.keep_trying;
    let mut backoff = policy.min_backoff;
    let mut number = 0;
    loop {
        let began = clock.monotonic();
        let outcome = attempt(number).await;
        statistics.lock().answered(clock.monotonic() - began, &outcome);
        let wait = match outcome {
            Ok(answer) if answer.status.is_success() => return Delivery::Acknowledged(answer),
            Ok(answer) if !retryable(answer.status, policy) => return Delivery::GivenUp,
            Ok(answer) => answer.retry_after().map_or(backoff, |wait| wait.min(MAX_RETRY_AFTER)),
            Err(_) => backoff,
        };
        let until = clock.monotonic() + wait;
        if until > give_up_at {
            return Delivery::GivenUp;
        }
        while clock.monotonic() < until {
            if stop.load(Ordering::Relaxed) {
                return Delivery::GivenUp;
            }
            clock.sleep(STOP_CHECK.min(until - clock.monotonic())).await;
        }
        backoff = (backoff * 2).min(policy.max_backoff);
        statistics.lock().retried();
        number += 1;
    }
}

fn retryable(status: StatusCode, policy: &RetryPolicy) -> bool {
    status.is_server_error() || (status == StatusCode::TOO_MANY_REQUESTS && policy.on_429)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use env::SimClock;
    use http::HeaderMap;

    use super::*;

    fn answer(status: u16, retry_after: Option<&str>) -> Result<Answer, ClientError> {
        let mut headers = HeaderMap::new();
        if let Some(seconds) = retry_after {
            headers.insert(http::header::RETRY_AFTER, seconds.parse().unwrap());
        }
        Ok(Answer { status: StatusCode::from_u16(status).unwrap(), headers, body: bytes::Bytes::new() })
    }

    fn refused() -> Result<Answer, ClientError> {
        Err(ClientError::Connection { message: "connection refused".to_owned() })
    }

    /// Answers with these outcomes one after the other; expects whether it was acknowledged in the end, after how many
    /// attempts, and how long was waited.
    async fn check(
        policy: RetryPolicy,
        outcomes: Vec<Result<Answer, ClientError>>,
        expected: (bool, usize, Duration),
    ) {
        let clock = SimClock::new(0, 0);
        let statistics = Mutex::new(Statistics::default());
        let left = RefCell::new(outcomes.into_iter());
        let attempts = RefCell::new(0);
        let attempt = |number| {
            assert_eq!(number, *attempts.borrow());
            *attempts.borrow_mut() += 1;
            let outcome = left.borrow_mut().next().unwrap_or_else(refused);
            async { outcome }
        };
        let delivery = deliver(&policy, &clock, &AtomicBool::new(false), &statistics, attempt).await;
        let acknowledged = matches!(delivery, Delivery::Acknowledged(_));
        assert_eq!((acknowledged, attempts.into_inner(), clock.monotonic()), expected);
    }

    #[tokio::test(start_paused = true)]
    async fn retries_as_prometheus_does() {
        let policy = RetryPolicy::default();
        let ms = Duration::from_millis;
        check(policy, vec![answer(204, None)], (true, 1, ms(0))).await;
        check(policy, vec![answer(400, None)], (false, 1, ms(0))).await;
        check(policy, vec![answer(429, None)], (false, 1, ms(0))).await;
        let with_429 = RetryPolicy { on_429: true, ..policy };
        check(with_429, vec![answer(429, Some("3")), answer(200, None)], (true, 2, ms(3_000))).await;
        check(policy, vec![answer(503, None), refused(), answer(200, None)], (true, 3, ms(30 + 60))).await;
        check(
            policy,
            vec![answer(503, Some("7")), answer(500, None), answer(200, None)],
            (true, 3, ms(7_060)),
        )
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn gives_up_in_time() {
        let never = RetryPolicy { keep_trying: Duration::ZERO, ..RetryPolicy::default() };
        check(never, vec![], (false, 1, Duration::ZERO)).await;
        // 30 + 60 + 120 + 240 ms are waited; another 480 would be too long.
        let shortly = RetryPolicy { keep_trying: Duration::from_millis(500), ..RetryPolicy::default() };
        check(shortly, vec![], (false, 5, Duration::from_millis(450))).await;
    }
}
