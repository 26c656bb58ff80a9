//! What goes wrong with a bucket, and what to do about it.

use std::fmt;
use std::time::Duration;

use thiserror::Error;

use crate::http::Refusal;

/// What was to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Read an object.
    Get,
    /// Read a range of one.
    GetRange,
    /// Ask about one.
    Head,
    /// Write one.
    Put,
    /// Write one, if it is as expected.
    PutConditional,
    /// Write one in pieces.
    Upload,
    /// List objects.
    List,
    /// Remove one.
    Delete,
}

impl Operation {
    /// Its name in metrics and messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::GetRange => "get_range",
            Self::Head => "head",
            Self::Put => "put",
            Self::PutConditional => "put_conditional",
            Self::Upload => "upload",
            Self::List => "list",
            Self::Delete => "delete",
        }
    }
}

/// What kind of failure it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// There is no such object.
    NotFound,
    /// There is no such bucket.
    NoSuchBucket,
    /// The object is another than expected, or is there although it was to be new.
    Conflict,
    /// Who we are is known, but not allowed to do this.
    Forbidden,
    /// Who we are is not known.
    Credentials,
    /// The answer did not come in time.
    Timeout,
    /// The server asks for fewer requests.
    Throttled,
    /// The server cannot be reached, or fails.
    Unavailable,
    /// The object is larger than it may be here, or shorter than it should be.
    Size,
    /// The request is not one that the server understands, or it is for another region.
    Configuration,
    /// Anything else.
    Other,
}

impl ErrorKind {
    /// Its name in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::NoSuchBucket => "no_such_bucket",
            Self::Conflict => "conflict",
            Self::Forbidden => "forbidden",
            Self::Credentials => "credentials",
            Self::Timeout => "timeout",
            Self::Throttled => "throttled",
            Self::Unavailable => "unavailable",
            Self::Size => "size",
            Self::Configuration => "configuration",
            Self::Other => "other",
        }
    }

    /// Whether trying again may help.
    pub fn is_retryable(self) -> bool {
        matches!(self, Self::Timeout | Self::Throttled | Self::Unavailable)
    }

    fn advice(self) -> &'static str {
        match self {
            Self::NotFound => "there is no such object",
            Self::NoSuchBucket => {
                "there is no such bucket; make it, or correct bucket.name and bucket.region"
            }
            Self::Conflict => "the object has changed meanwhile",
            Self::Forbidden => "the credentials do not allow it; extend what they allow on this bucket",
            Self::Credentials => {
                "the credentials are refused; correct bucket.access_key_id and bucket.secret_access_key, or what the environment gives"
            }
            Self::Timeout => "no answer in time; look at the server, or raise bucket.request_timeout",
            Self::Throttled => "the server asks for fewer requests; lower bucket.max_requests",
            Self::Unavailable => "the server cannot be reached or fails; look at it, and at bucket.endpoint",
            Self::Size => "its size is not what it may be",
            Self::Configuration => {
                "the server does not take such requests; correct bucket.endpoint, bucket.region and bucket.addressing"
            }
            Self::Other => "it failed",
        }
    }
}

/// An operation on a bucket that failed.
#[derive(Debug, Error)]
#[error("{bucket}: {} of {object}: {}{}", operation.as_str(), kind.advice(), Attempts(*attempts))]
pub struct BucketError {
    /// Which bucket.
    pub bucket: String,
    /// Which object, or the beginning of several.
    pub object: String,
    /// What was to be done with it.
    pub operation: Operation,
    /// What kind of failure it was.
    pub kind: ErrorKind,
    /// How often it was tried.
    pub attempts: u32,
    /// What was said.
    #[source]
    pub source: Failure,
}

struct Attempts(u32);

impl fmt::Display for Attempts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 | 1 => Ok(()),
            attempts => write!(f, " (tried {attempts} times)"),
        }
    }
}

/// One attempt that failed.
#[derive(Debug, Error)]
pub enum Failure {
    /// The store said so.
    #[error("{0}")]
    Store(#[source] Box<object_store::Error>),
    /// There was no answer in time.
    #[error("no answer within {within:?}")]
    TimedOut {
        /// How long was waited.
        within: Duration,
    },
    /// Fewer bytes came than there should be.
    #[error("{wanted} bytes were to be read, {came} came")]
    Short {
        /// How many were to be read.
        wanted: u64,
        /// How many came.
        came: u64,
    },
    /// The object is larger than is read at once.
    #[error("it has {bytes} bytes, at most {limit} are read")]
    TooLarge {
        /// How large it is.
        bytes: u64,
        /// How large it may be.
        limit: u64,
    },
    /// There is more than is listed at once.
    #[error("more than {limit} objects begin with it")]
    TooMany {
        /// How many may.
        limit: usize,
    },
    /// What was to be uploaded cannot be read.
    #[error("what was to be uploaded cannot be read: {0}")]
    Source(#[source] std::io::Error),
}

impl From<object_store::Error> for Failure {
    fn from(error: object_store::Error) -> Self {
        Self::Store(Box::new(error))
    }
}

impl Failure {
    /// What kind of failure it is.
    pub(crate) fn kind(&self) -> ErrorKind {
        use object_store::Error as E;
        let error = match self {
            Self::Store(error) => &**error,
            Self::TimedOut { .. } => return ErrorKind::Timeout,
            // The connection broke where nobody noticed; it may come whole the next time.
            Self::Short { .. } => return ErrorKind::Unavailable,
            Self::TooLarge { .. } | Self::TooMany { .. } => return ErrorKind::Size,
            Self::Source(_) => return ErrorKind::Other,
        };
        if let Some(refusal) = Refusal::in_chain(error) {
            return refusal.kind();
        }
        match error {
            E::NotFound { .. } => ErrorKind::NotFound,
            E::AlreadyExists { .. } | E::Precondition { .. } | E::NotModified { .. } => ErrorKind::Conflict,
            E::PermissionDenied { .. } => ErrorKind::Forbidden,
            E::Unauthenticated { .. } => ErrorKind::Credentials,
            E::InvalidPath { .. } | E::NotSupported { .. } | E::NotImplemented { .. } => ErrorKind::Other,
            E::UnknownConfigurationKey { .. } => ErrorKind::Configuration,
            // A connection that broke, a disk that failed: another attempt is worth it.
            _ => ErrorKind::Unavailable,
        }
    }
}
