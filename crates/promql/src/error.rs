//! Why a query does not parse.

use thiserror::Error;

use crate::ast::Span;

/// Why a query does not parse. Displayed as the API renders it: `line:column: parse error: message`; in an empty query
/// there are no positions.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{}: parse error: {message}", place(*line, *column))]
pub struct ParseError {
    /// What is wrong.
    pub message: String,
    /// Where, in bytes of the query.
    pub position: Span,
    /// The line of `position`, from 1; 0 in an empty query.
    pub line: usize,
    /// The column of `position`, in bytes, from 1; 0 in an empty query.
    pub column: usize,
}

impl ParseError {
    pub(crate) fn new(query: &str, position: Span, message: String) -> Self {
        let (line, column) = match query {
            "" => (0, 0),
            _ => line_and_column(query, position.start),
        };
        Self { message, position, line, column }
    }
}

fn place(line: usize, column: usize) -> String {
    if line == 0 { "unknown position".to_owned() } else { format!("{line}:{column}") }
}

/// The line and the column, in bytes, of a byte of a query; both count from 1.
pub fn line_and_column(query: &str, byte: usize) -> (usize, usize) {
    let before = &query.as_bytes()[..byte.min(query.len())];
    let line_start = before.iter().rposition(|b| *b == b'\n').map_or(0, |i| i + 1);
    let line = 1 + before.iter().filter(|b| **b == b'\n').count();
    (line, byte.min(query.len()) - line_start + 1)
}
