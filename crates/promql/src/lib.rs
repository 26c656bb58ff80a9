//! PromQL: syntax, plan, functions and evaluation over a [`SeriesSource`].
//!
//! Pure: nothing here knows about clocks, sockets, files, threads or logs.

pub mod ast;
pub mod engine;
pub mod error;
mod eval;
mod functions;
mod plan;
pub mod syntax;
pub mod text;

pub use engine::annotations::{Annotation, Annotations, Severity};
pub use engine::error::{ErrorKind, QueryError};
pub use engine::options::EngineOptions;
pub use engine::run::{Engine, PreparedQuery, QueryTime};
pub use engine::source::{
    SampleCursor, Samples, SelectHints, SelectedSeries, SeriesSet, SeriesSource, SourceError,
};
pub use engine::value::{InstantSample, QueryResult, QueryStats, QueryValue, RangeSeries, SampleValue};
pub use error::ParseError;
pub use syntax::pretty::pretty;
pub use syntax::{ParseOptions, parse, parse_metric_prefix, parse_series_selector};
