//! The context of a trace: from headers, into headers, and of the code that runs.

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator as _};
use opentelemetry::trace::{TraceContextExt, TraceId};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// W3C Trace Context, section 3.2.
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Makes `span` a child of the span that a caller names in `headers`, if it names one. To be called before the span is
/// entered.
pub fn continue_from(span: &Span, headers: &HeaderMap) {
    if span.is_disabled() {
        return;
    }
    let parent = TraceContextPropagator::new().extract(&Headers(headers));
    // Without a layer for traces the span is disabled, and nobody has entered it yet.
    let _ = span.set_parent(parent);
}

/// Names `span` in the headers of a call that it makes.
pub fn inject(span: &Span, headers: &mut HeaderMap) {
    if span.is_disabled() {
        return;
    }
    TraceContextPropagator::new().inject_context(&span.context(), &mut HeadersMut(headers));
}

/// Marks `span` as failed. The message stands in its status.
pub fn fail(span: &Span, message: impl Into<String>) {
    if !span.is_disabled() {
        span.set_status(opentelemetry::trace::Status::error(message.into()));
    }
}

/// Whether the code that runs belongs to a trace, exported or not.
pub fn is_active() -> bool {
    opentelemetry::Context::map_current(TraceContextExt::has_active_span)
}

/// Whether `headers` name the span of a caller.
pub fn is_continued(headers: &HeaderMap) -> bool {
    headers.contains_key(TRACEPARENT)
}

/// The trace of the code that runs, as 32 hexadecimal digits, if it is one that is exported.
pub fn current_trace_id() -> Option<String> {
    sampled().map(|id| id.to_string())
}

/// The trace of the code that runs, if it is one that is exported.
pub(crate) fn sampled() -> Option<TraceId> {
    opentelemetry::Context::map_current(|context| {
        if !context.has_active_span() {
            return None;
        }
        let span = context.span();
        let span = span.span_context();
        (span.is_valid() && span.is_sampled()).then(|| span.trace_id())
    })
}

struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(HeaderName::as_str).collect()
    }
}

struct HeadersMut<'a>(&'a mut HeaderMap);

impl Injector for HeadersMut<'_> {
    fn set(&mut self, key: &str, value: String) {
        // Ids and flags are hexadecimal; a state that came with the request was a header before.
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(key), HeaderValue::try_from(value)) {
            self.0.insert(name, value);
        }
    }
}
