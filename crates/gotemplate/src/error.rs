//! What is wrong with a template, in Go's words and with Go's positions.

use thiserror::Error;

/// A text that is no template.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{message}")]
pub struct ParseError {
    /// The whole message: `template: name:line: what is wrong`.
    pub message: String,
    /// The line it was found at, from 1.
    pub line: usize,
}

/// An execution that failed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{message}")]
pub struct ExecError {
    /// The whole message: `template: name:line:column: executing "name" at <what>: what is wrong`.
    pub message: String,
}
