//! A panic in a handler costs one request, not the connection or the process.

use std::any::Any;

use axum::response::Response;
use proto::Error;
use tower_http::catch_panic::CatchPanicLayer;

use crate::response::error_response;

/// Turns a panic into a 500 and a log line. What it was about stays in the log: it may name another tenant's data.
pub fn catch_panic_layer() -> CatchPanicLayer<fn(Box<dyn Any + Send + 'static>) -> Response> {
    CatchPanicLayer::custom(|panic| respond(panic.as_ref()))
}

fn respond(panic: &(dyn Any + Send)) -> Response {
    let message = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("a panic without a message");
    tracing::error!(panic = message, "request handler panicked");
    error_response(&Error::internal("internal error; the log of the server says more"))
}
