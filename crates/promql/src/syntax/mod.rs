//! From text to syntax tree and back.

pub(crate) mod check;
mod duration;
pub(crate) mod lexer;
pub(crate) mod literal;
mod modifier;
mod parser;
pub mod pretty;
pub(crate) mod print;
mod selector;
pub mod signature;
pub(crate) mod token;

#[cfg(test)]
mod tests;

pub use parser::{
    MAX_DEPTH, MAX_LENGTH_BYTES, ParseOptions, parse, parse_metric_prefix, parse_series_selector,
};
