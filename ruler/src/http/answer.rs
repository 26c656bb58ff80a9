//! Answers: the envelope that Prometheus' API has.

use axum::response::{IntoResponse as _, Response};
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};
use serde::Serialize;

#[derive(Serialize)]
struct Success<'a, T> {
    status: &'static str,
    data: &'a T,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Failure<'a> {
    status: &'static str,
    error_type: &'static str,
    error: &'a str,
}

/// A success with this data.
pub(super) fn success(data: &impl Serialize) -> Response {
    json(StatusCode::OK, &Success { status: "success", data })
}

/// A request that is wrong.
pub(super) fn bad_data(error: &str) -> Response {
    json(StatusCode::BAD_REQUEST, &Failure { status: "error", error_type: "bad_data", error })
}

/// Something that is not known at the moment.
pub(super) fn unavailable(error: &str) -> Response {
    let failure = Failure { status: "error", error_type: "unavailable", error };
    json(StatusCode::SERVICE_UNAVAILABLE, &failure)
}

fn json(status: StatusCode, value: &impl Serialize) -> Response {
    let text = match serde_json::to_string(value) {
        Ok(text) => text,
        Err(error) => return (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    };
    let mut response = (status, text).into_response();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
