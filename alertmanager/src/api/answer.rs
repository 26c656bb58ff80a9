//! Answers: JSON as upstream writes it, and faults of requests in its words.

use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use serde::Serialize;

use crate::notify::escape_html;

/// How long a client is asked to wait where there is no room, in seconds.
const RETRY_AFTER_SECONDS: u64 = 5;

/// An answer in place of what was asked for. Boxed, since results would be large with it.
pub(super) type Refused = Box<Response>;

/// A value in JSON.
pub(super) fn json(status: StatusCode, value: &impl Serialize) -> Response {
    let text = match serde_json::to_string(value) {
        Ok(text) => escape_html(&text),
        Err(error) => return (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    };
    let mut response = (status, text).into_response();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// A message: what the specification calls a bad request.
pub(super) fn message(status: StatusCode, text: &str) -> Response {
    json(status, &text)
}

/// A bad request.
pub(super) fn bad(text: &str) -> Response {
    message(StatusCode::BAD_REQUEST, text)
}

#[derive(Serialize)]
struct Fault<'a> {
    code: u16,
    message: &'a str,
}

/// A request that does not follow the specification.
pub(super) fn fault(status: StatusCode, code: u16, message: &str) -> Response {
    json(status, &Fault { code, message })
}

/// There is no room: it may be tried again later.
pub(super) fn overloaded(text: &str) -> Response {
    let mut response = message(StatusCode::SERVICE_UNAVAILABLE, text);
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(RETRY_AFTER_SECONDS));
    response
}
