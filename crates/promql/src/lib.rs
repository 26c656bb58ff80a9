//! PromQL: syntax, plan, functions and evaluation over a [`SeriesSource`].
//!
//! Pure: nothing here knows about clocks, sockets, files, threads or logs.
//!
//! A query goes through four stages: [`parse`] makes a syntax tree, [`Engine::prepare`] a plan (times resolved, what
//! is the same at every step marked), [`PreparedQuery::selections`] tells what it will read, and [`Engine::run`]
//! evaluates it. Series are columns over the steps of the query, handed on one by one, so that aggregations fold them
//! as they come; sums are taken in 64 virtual shards and along a fixed tree, so that they come out the same bit for bit
//! in whatever parts they are computed.
//!
//! Results are those of Prometheus 3.14, except where that depends on the order in which its storage or its hash maps
//! give out series: ties of `topk` and `bottomk` break by labels, and `limitk` takes the first series by labels. Lengths
//! of time are kept in milliseconds.

pub mod ast;
pub mod engine;
pub mod error;
mod eval;
mod functions;
mod plan;
pub mod syntax;
pub mod text;

pub use engine::annotations::{Annotation, Annotations, Severity};
pub use engine::budget::SharedMemory;
pub use engine::error::{ErrorKind, QueryError};
pub use engine::executor::Executor;
pub use engine::options::EngineOptions;
pub use engine::run::{Engine, PreparedQuery, QueryTime};
pub use engine::sample_counts::SampleCounts;
pub use engine::source::{
    SampleCursor, Samples, SelectHints, SelectedSeries, SeriesBatch, SeriesSet, SeriesSource, SourceError,
};
pub use engine::value::{InstantSample, QueryResult, QueryStats, QueryValue, RangeSeries, SampleValue};
pub use error::ParseError;
pub use syntax::pretty::pretty;
pub use syntax::{ParseOptions, parse, parse_metric_prefix, parse_series_selector};
