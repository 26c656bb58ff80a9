//! Plain-text answers for errors that are not those of a structured API.

use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use proto::Error;

/// The answer to a request that failed with `error`: its status, its message as text, and `Retry-After` where the
/// error says when to come back.
pub fn error_response(error: &Error) -> Response {
    let mut response = Response::new(Body::from(error.message.clone() + "\n"));
    *response.status_mut() = status(error);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    if let Some(after) = error.retry_after {
        headers.insert(RETRY_AFTER, retry_after(after));
    }
    response
}

/// What is said of a path that leads nowhere, in Go's words, which clients of Prometheus know.
pub async fn not_found() -> Response {
    (StatusCode::NOT_FOUND, "404 page not found\n").into_response()
}

/// What is said of a method that a path does not have. The header `Allow` says which it has.
pub async fn method_not_allowed() -> Response {
    (StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed\n").into_response()
}

/// The HTTP status of an error.
pub fn status(error: &Error) -> StatusCode {
    StatusCode::from_u16(error.code.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// `after` as the value of a `Retry-After` header: whole seconds, rounded up, at least one.
pub fn retry_after(after: Duration) -> HeaderValue {
    let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
    HeaderValue::from(seconds.max(1))
}
