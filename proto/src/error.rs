//! One closed set of error codes for everything that crosses a role's boundary, mapped once to HTTP.

use std::time::Duration;

use thiserror::Error;

/// What kind of failure it is. Callers branch on this, never on the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Code {
    /// The request is wrong and will never succeed.
    InvalidArgument,
    /// No valid credentials, or no tenant where one is needed.
    Unauthenticated,
    /// The tenant may not do this.
    PermissionDenied,
    /// There is no such thing.
    NotFound,
    /// The body is larger than allowed.
    TooLarge,
    /// Content type or encoding that is not understood.
    UnsupportedMediaType,
    /// The request is well-formed but cannot be executed (a query error, a query limit).
    Unprocessable,
    /// A limit of this tenant; never used for overload of ours.
    TenantLimit,
    /// We are overloaded, or too few replicas answered: come back later.
    Unavailable,
    /// It took longer than the deadline allows.
    DeadlineExceeded,
    /// The caller went away.
    Canceled,
    /// A fault of ours.
    Internal,
}

impl Code {
    /// The HTTP status of this code.
    pub fn http_status(self) -> u16 {
        match self {
            Self::InvalidArgument => 400,
            Self::Unauthenticated => 401,
            Self::PermissionDenied => 403,
            Self::NotFound => 404,
            Self::TooLarge => 413,
            Self::UnsupportedMediaType => 415,
            Self::Unprocessable => 422,
            Self::TenantLimit => 429,
            Self::Canceled => 499,
            Self::Internal => 500,
            Self::Unavailable => 503,
            Self::DeadlineExceeded => 504,
        }
    }

    /// Whether the same request may succeed later.
    pub fn is_retryable(self) -> bool {
        matches!(self, Self::TenantLimit | Self::Unavailable | Self::DeadlineExceeded | Self::Internal)
    }
}

/// A failure that crosses a role's boundary.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{message}")]
pub struct Error {
    /// Its kind.
    pub code: Code,
    /// A sentence that names the offending thing and what would be right.
    pub message: String,
    /// When to come back; set with [`Code::TenantLimit`] and [`Code::Unavailable`].
    pub retry_after: Option<Duration>,
}

impl Error {
    /// An error of this kind, saying this.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), retry_after: None }
    }

    /// A request that is wrong.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(Code::InvalidArgument, message)
    }

    /// A fault of ours.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(Code::Internal, message)
    }

    /// Overload, or too few replicas: come back after `retry_after`.
    pub fn unavailable(message: impl Into<String>, retry_after: Duration) -> Self {
        Self { code: Code::Unavailable, message: message.into(), retry_after: Some(retry_after) }
    }

    /// One of the tenant's own limits: come back after `retry_after`.
    pub fn tenant_limit(message: impl Into<String>, retry_after: Duration) -> Self {
        Self { code: Code::TenantLimit, message: message.into(), retry_after: Some(retry_after) }
    }
}
