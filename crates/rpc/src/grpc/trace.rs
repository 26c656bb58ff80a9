//! Spans of calls, on both sides, with the attributes of OpenTelemetry's conventions.

use http::{HeaderMap, Response};
use telemetry::{request_span, root_span, trace};
use tonic::body::Body;
use tonic::{Code, Status};
use tracing::{Span, field};

use crate::trace::TracedBody;

/// The span of a call that is made, which the call names to its callee; none for calls that no request makes, such as
/// heartbeats.
pub(super) fn made(path: &str, headers: &mut HeaderMap) -> Span {
    let (service, method) = names(path);
    let span = request_span!(
        "grpc call",
        otel.name = path.trim_start_matches('/'),
        otel.kind = "client",
        rpc.system = "grpc",
        rpc.service = service,
        rpc.method = method,
        rpc.grpc.status_code = field::Empty,
    );
    trace::inject(&span, headers);
    span
}

/// The span of a call that is served; it continues the caller's, if that has one.
pub(super) fn served(path: &str, headers: &HeaderMap) -> Span {
    if !trace::is_continued(headers) {
        return Span::none();
    }
    let (service, method) = names(path);
    let span = root_span!(
        "grpc",
        otel.name = path.trim_start_matches('/'),
        otel.kind = "server",
        rpc.system = "grpc",
        rpc.service = service,
        rpc.method = method,
        rpc.grpc.status_code = field::Empty,
    );
    trace::continue_from(&span, headers);
    span
}

/// Says in a span what its call came to.
pub(super) fn came_to(span: &Span, code: Code) {
    if span.is_disabled() {
        return;
    }
    span.record("rpc.grpc.status_code", code as i32);
    if code != Code::Ok {
        trace::fail(span, code.description());
    }
}

/// What an answer came to, as far as its head tells.
pub(super) fn code(response: &Response<Body>) -> Code {
    Status::from_header_map(response.headers()).map_or(Code::Ok, |status| status.code())
}

/// An answer whose messages belong to the span, which ends with the last.
pub(super) fn within(span: &Span, response: Response<Body>) -> Response<Body> {
    if span.is_disabled() {
        return response;
    }
    let span = span.clone();
    response.map(|body| Body::new(TracedBody::new(body, span)))
}

fn names(path: &str) -> (&str, &str) {
    path.trim_start_matches('/').rsplit_once('/').unwrap_or((path, ""))
}
