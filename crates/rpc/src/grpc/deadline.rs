//! Deadlines of calls: the `grpc-timeout` header, and a body that ends with the time.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use env::Clock;
use futures::future::BoxFuture;
use http::header::{HeaderMap, HeaderName};
use http_body::{Frame, SizeHint};
use tonic::Status;
use tonic::body::Body;

/// The header that says how long the caller will wait.
const HEADER: HeaderName = HeaderName::from_static("grpc-timeout");

/// The gRPC protocol allows eight digits.
const MAX_DIGITS: usize = 8;

/// Until when the caller waits: in the extensions of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadline {
    /// In the callee's monotonic time.
    at: Duration,
}

impl Deadline {
    /// The deadline that is `timeout` from now.
    pub fn after(clock: &dyn Clock, timeout: Duration) -> Self {
        Self { at: clock.monotonic().saturating_add(timeout) }
    }

    /// What is left of it; zero once it has passed.
    pub fn remaining(&self, clock: &dyn Clock) -> Duration {
        self.at.saturating_sub(clock.monotonic())
    }
}

/// The timeout that a call carries. One that cannot be read counts as none, as in other implementations.
pub(super) fn timeout(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(HEADER)?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > MAX_DIGITS || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(count * 3600),
        "M" => Duration::from_secs(count * 60),
        "S" => Duration::from_secs(count),
        "m" => Duration::from_millis(count),
        "u" => Duration::from_micros(count),
        "n" => Duration::from_nanos(count),
        _ => return None,
    })
}

/// What a call that took too long comes to.
pub(super) fn exceeded(timeout: Duration) -> Status {
    Status::deadline_exceeded(format!("no answer within {timeout:?}"))
}

/// An answer's body that ends with an error once its deadline has passed.
pub(super) struct DeadlineBody {
    inner: Body,
    expired: BoxFuture<'static, ()>,
    timeout: Duration,
    ended: bool,
}

impl DeadlineBody {
    pub(super) fn new(inner: Body, expired: BoxFuture<'static, ()>, timeout: Duration) -> Self {
        Self { inner, expired, timeout, ended: false }
    }
}

impl http_body::Body for DeadlineBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        if let Poll::Ready(frame) = Pin::new(&mut self.inner).poll_frame(context) {
            return Poll::Ready(frame);
        }
        ready!(self.expired.as_mut().poll(context));
        self.ended = true;
        Poll::Ready(Some(Err(exceeded(self.timeout))))
    }

    fn is_end_stream(&self) -> bool {
        self.ended || self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn read(text: &str) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        headers.insert(HEADER, HeaderValue::from_str(text).unwrap());
        timeout(&headers)
    }

    #[test]
    fn timeouts_are_read_in_every_unit_of_the_protocol() {
        assert_eq!(read("2H"), Some(Duration::from_secs(7200)));
        assert_eq!(read("3M"), Some(Duration::from_secs(180)));
        assert_eq!(read("4S"), Some(Duration::from_secs(4)));
        assert_eq!(read("5m"), Some(Duration::from_millis(5)));
        assert_eq!(read("6u"), Some(Duration::from_micros(6)));
        assert_eq!(read("99999999n"), Some(Duration::from_nanos(99_999_999)));
    }

    #[test]
    fn what_is_no_timeout_is_none() {
        for text in ["", "S", "1", "1x", "-1S", "100000000S", "1.5S"] {
            assert_eq!(read(text), None, "{text:?}");
        }
    }
}
