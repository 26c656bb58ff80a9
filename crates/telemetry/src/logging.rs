//! Log set-up, called once, by `main`.

use std::fmt;
use std::io::IsTerminal as _;
use std::str::FromStr;

use thiserror::Error;
use tracing::{Event, Subscriber};
use tracing_subscriber::filter::{EnvFilter, FilterExt as _, filter_fn};
use tracing_subscriber::fmt::format::{Format, FormatEvent, FormatFields, Writer};
use tracing_subscriber::fmt::{FmtContext, Layer as FmtLayer};
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::trace::{self, TraceConfig, TraceError, Tracing};

/// How log lines look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people: time, level, message, fields.
    #[default]
    Text,
    /// For machines: one JSON object a line.
    Json,
}

impl FromStr for LogFormat {
    type Err = LogError;

    fn from_str(text: &str) -> Result<Self, LogError> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(LogError::Format { format: text.to_owned() }),
        }
    }
}

impl fmt::Display for LogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "text",
            Self::Json => "json",
        })
    }
}

/// What is logged, and how. Lines go to standard error.
#[derive(Debug, Clone)]
pub struct LogConfig {
    /// How lines look.
    pub format: LogFormat,
    /// A level (`info`), or levels by target (`info,ingester=debug`).
    pub filter: String,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { format: LogFormat::Text, filter: "info".to_owned() }
    }
}

/// Why logging could not be set up.
#[derive(Debug, Error)]
pub enum LogError {
    /// Not a format.
    #[error("{format:?} is not a log format; choose text or json")]
    Format {
        /// What was given.
        format: String,
    },
    /// Not a filter.
    #[error(
        "{filter:?} is not a log filter; use a level (error, warn, info, debug, trace) or target=level pairs"
    )]
    Filter {
        /// What was given.
        filter: String,
        /// What is wrong with it.
        #[source]
        source: tracing_subscriber::filter::ParseError,
    },
    /// Spans cannot be exported.
    #[error("traces cannot be set up")]
    Trace(#[from] TraceError),
    /// Called twice in one process.
    #[error("logging is set up already")]
    AlreadySet(#[source] tracing_subscriber::util::TryInitError),
}

/// Checks that `filter` would be accepted by [`init`].
pub fn check_filter(filter: &str) -> Result<(), LogError> {
    parse_filter(filter).map(drop)
}

/// Sends the log of this process to standard error, and its spans to a collector where there is one. Called once, by
/// `main`; with a collector, inside the tokio runtime that exports.
///
/// # Errors
/// Where the filter or the collector's settings are wrong, or when called a second time.
pub fn init(config: &LogConfig, traces: Option<&TraceConfig>) -> Result<Option<Tracing>, LogError> {
    // Spans of requests are not for the log: without a collector nobody wants them, and they cost nothing.
    let logged = filter_fn(|metadata| metadata.target() != trace::TARGET || metadata.is_event());
    let filter = parse_filter(&config.filter)?.and(logged);
    let colours = std::io::stderr().is_terminal();
    let layer = FmtLayer::new().with_writer(std::io::stderr);
    let log = match config.format {
        LogFormat::Text => {
            let format = Format::default().with_target(false).with_ansi(colours);
            layer
                .with_ansi(colours)
                .event_format(WithTrace { format, end: TEXT_END })
                .with_filter(filter)
                .boxed()
        }
        LogFormat::Json => {
            let format = Format::default().json().flatten_event(true);
            layer.json().event_format(WithTrace { format, end: JSON_END }).with_filter(filter).boxed()
        }
    };
    let exported = filter_fn(|metadata| metadata.is_span() && metadata.target() == trace::TARGET);
    let (tracing, spans) = match traces.map(trace::tracer).transpose()? {
        Some((tracing, tracer)) => {
            let layer = tracing_opentelemetry::layer().with_tracer(tracer);
            let layer = layer.with_location(false).with_threads(false).with_target(false).with_level(false);
            (Some(tracing), Some(layer.with_tracked_inactivity(false).with_filter(exported)))
        }
        None => (None, None),
    };
    tracing_subscriber::registry().with(log).with(spans).try_init().map_err(LogError::AlreadySet)?;
    Ok(tracing)
}

/// How the trace is put into a line, and before what.
type End = (fn(&str) -> String, &'static str);

const TEXT_END: End = (|id| format!(" trace_id={id}"), "\n");
const JSON_END: End = (|id| format!(",\"trace_id\":\"{id}\""), "}\n");

/// Lines that name the trace that they belong to, where it is exported and the line does not name one itself.
struct WithTrace<F> {
    format: F,
    end: End,
}

impl<S, N, F> FormatEvent<S, N> for WithTrace<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let id = match event.metadata().fields().field("trace_id") {
            Some(_) => None,
            None => trace::current_trace_id(),
        };
        let Some(id) = id else { return self.format.format_event(context, writer, event) };
        let mut line = String::new();
        self.format.format_event(context, Writer::new(&mut line), event)?;
        let (field, end) = self.end;
        match line.strip_suffix(end) {
            Some(begin) => write!(writer, "{begin}{}{end}", field(&id)),
            None => writer.write_str(&line),
        }
    }
}

fn parse_filter(filter: &str) -> Result<EnvFilter, LogError> {
    let builder = EnvFilter::builder();
    builder.parse(filter).map_err(|source| LogError::Filter { filter: filter.to_owned(), source })
}
