//! Why a query failed.

use thiserror::Error;

use crate::error::ParseError;

/// What kind of failure it was; the API maps it to an error type and a status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The query or its parameters are not valid.
    BadData,
    /// The query is valid, but cannot be evaluated on this data.
    Execution,
    /// It would hold more samples or memory than is allowed.
    TooLarge,
    /// Other queries hold the memory that it would need.
    Overloaded,
    /// Its deadline passed.
    Timeout,
    /// It was cancelled.
    Canceled,
    /// The data could not be read.
    Source,
    /// A fault of the engine's own.
    Internal,
}

/// Why a query failed. Displayed as its message.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{message}")]
pub struct QueryError {
    /// What kind of failure it was.
    pub kind: ErrorKind,
    /// What is wrong, in the words of Prometheus where clients see them.
    pub message: String,
}

impl QueryError {
    /// The query cannot be evaluated on this data.
    pub fn execution(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Execution, message)
    }

    /// The query or its parameters are not valid.
    pub fn bad_data(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::BadData, message)
    }

    /// A fault of the engine's own.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Internal, message)
    }

    /// An error of any kind.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    pub(crate) fn same_labelset() -> Self {
        Self::execution("vector cannot contain metrics with the same labelset")
    }
}

impl From<ParseError> for QueryError {
    fn from(error: ParseError) -> Self {
        Self::bad_data(error.to_string())
    }
}
