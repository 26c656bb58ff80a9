//! Traces: spans of requests, their way from process to process, and their export over OTLP.
//!
//! Spans that belong to requests have the target [`TARGET`]. Without an exporter nobody wants them, and making one costs
//! a load and a branch; so they stand around a request and its parts, never around a sample. Context travels as W3C Trace
//! Context (`traceparent`, `tracestate`): [`inject`] and [`continue_from`].

mod context;
mod export;

pub(crate) use context::sampled;
pub use context::{continue_from, current_trace_id, fail, inject, is_active, is_continued};
pub(crate) use export::tracer;
pub use export::{TraceConfig, TraceError, Tracing, check_headers};

/// The target of spans that are exported.
pub const TARGET: &str = "trace";

/// A span that begins a trace, or continues that of a caller from another process ([`continue_from`]). The arguments are
/// those of [`tracing::info_span!`] behind the target.
#[macro_export]
macro_rules! root_span {
    ($($arguments:tt)+) => {
        $crate::trace::__tracing::info_span!(target: "trace", $($arguments)+)
    };
}

/// A span of a part of a request: none where the code that runs belongs to no trace, so that what a process does for itself
/// makes no traces. The arguments are those of [`tracing::info_span!`] behind the target.
#[macro_export]
macro_rules! request_span {
    ($($arguments:tt)+) => {
        match $crate::trace::is_active() {
            true => $crate::root_span!($($arguments)+),
            false => $crate::trace::__tracing::Span::none(),
        }
    };
}

#[doc(hidden)]
pub use tracing as __tracing;
