//! PromQL: syntax, plan, functions and evaluation over a `SeriesSource`.
//!
//! Pure: nothing here knows about clocks, sockets, files, threads or logs.

pub mod ast;
pub mod error;
pub mod syntax;
pub mod text;

pub use error::ParseError;
pub use syntax::pretty::pretty;
pub use syntax::{ParseOptions, parse, parse_metric_prefix, parse_series_selector};
