//! Errors of the Prometheus API: a closed set of types, each with its status.

use http::StatusCode;
use proto::{Code, Error};
use std::time::Duration;
use thiserror::Error as ThisError;

/// The `errorType` of a failed request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorType {
    /// It took longer than allowed.
    Timeout,
    /// The client went away.
    Canceled,
    /// The request is well-formed but cannot be executed, limits included.
    Execution,
    /// A parameter is missing or wrong.
    BadData,
    /// A fault of ours.
    Internal,
    /// The tenant has more queries waiting than it may.
    TooManyRequests,
    /// Overloaded, or too little of the data can be reached.
    Unavailable,
    /// There is no such thing.
    NotFound,
}

impl ErrorType {
    /// As the API spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Canceled => "canceled",
            Self::Execution => "execution",
            Self::BadData => "bad_data",
            Self::Internal => "internal",
            Self::TooManyRequests => "too_many_requests",
            Self::Unavailable => "unavailable",
            Self::NotFound => "not_found",
        }
    }

    /// The status that goes with it, as in Prometheus.
    pub fn status(self) -> StatusCode {
        match self {
            Self::BadData => StatusCode::BAD_REQUEST,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Execution => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Canceled => client_closed_request(),
            Self::TooManyRequests => StatusCode::TOO_MANY_REQUESTS,
            Self::Timeout | Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

/// nginx' status for a client that went away before the answer; no standard one exists.
fn client_closed_request() -> StatusCode {
    StatusCode::from_u16(Code::Canceled.http_status()).unwrap_or(StatusCode::BAD_REQUEST)
}

/// A failed request of the Prometheus API.
#[derive(Debug, Clone, PartialEq, Eq, ThisError)]
#[error("{message}")]
pub struct ApiError {
    /// Its type.
    pub kind: ErrorType,
    /// What is wrong, in upstream's words where upstream has words for it.
    pub message: String,
    /// When to come back.
    pub retry_after: Option<Duration>,
    /// Another status than that of the type: a tenant's limit is a 429.
    status: Option<StatusCode>,
}

impl ApiError {
    /// An error of this type.
    pub fn new(kind: ErrorType, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), retry_after: None, status: None }
    }

    /// A request that is wrong.
    pub fn bad_data(message: impl Into<String>) -> Self {
        Self::new(ErrorType::BadData, message)
    }

    /// A request that cannot be executed.
    pub fn execution(message: impl Into<String>) -> Self {
        Self::new(ErrorType::Execution, message)
    }

    /// The value of `parameter` is wrong because of `reason`.
    pub fn invalid_parameter(parameter: &str, reason: impl std::fmt::Display) -> Self {
        Self::bad_data(format!("invalid parameter \"{parameter}\": {reason}"))
    }

    /// Too many queries are waiting.
    pub fn overloaded(message: impl Into<String>, retry_after: Duration) -> Self {
        Self { retry_after: Some(retry_after), ..Self::new(ErrorType::Unavailable, message) }
    }

    /// Too many queries of one tenant are waiting.
    pub fn too_many_requests(message: impl Into<String>, retry_after: Duration) -> Self {
        Self { retry_after: Some(retry_after), ..Self::new(ErrorType::TooManyRequests, message) }
    }

    /// The status of the answer.
    pub fn status(&self) -> StatusCode {
        self.status.unwrap_or_else(|| self.kind.status())
    }
}

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        let (kind, status) = match error.code {
            Code::InvalidArgument => (ErrorType::BadData, None),
            Code::Unauthenticated
            | Code::PermissionDenied
            | Code::TooLarge
            | Code::UnsupportedMediaType
            | Code::TenantLimit => (ErrorType::BadData, StatusCode::from_u16(error.code.http_status()).ok()),
            Code::NotFound => (ErrorType::NotFound, None),
            Code::Unprocessable => (ErrorType::Execution, None),
            Code::Unavailable => (ErrorType::Unavailable, None),
            Code::DeadlineExceeded => (ErrorType::Timeout, None),
            Code::Canceled => (ErrorType::Canceled, None),
            Code::Internal => (ErrorType::Internal, None),
        };
        Self { kind, message: error.message, retry_after: error.retry_after, status }
    }
}
