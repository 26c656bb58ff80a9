//! Answers in plain text, of endpoints that do not speak the API's JSON: remote read, federation, cardinality.

use axum::response::{IntoResponse, Response};
use http::HeaderValue;
use http::header::{CONTENT_TYPE, HeaderName, RETRY_AFTER};

use crate::error::ApiError;

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const CONTENT_TYPE_OPTIONS: HeaderName = HeaderName::from_static("x-content-type-options");

/// A failed request of such an endpoint.
#[derive(Debug)]
pub(super) struct PlainError(pub(super) ApiError);

impl<E: Into<ApiError>> From<E> for PlainError {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for PlainError {
    fn into_response(self) -> Response {
        let Self(error) = self;
        let mut response = (error.status(), format!("{error}\n")).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, TEXT);
        headers.insert(CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        if let Some(after) = error.retry_after {
            headers.insert(RETRY_AFTER, rpc::response::retry_after(after));
        }
        response
    }
}
