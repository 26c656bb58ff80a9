//! Why a whole write is refused, and what the sender is told.

use std::time::Duration;

use proto::{Code, Error};
use thiserror::Error as ThisError;
use wire::WireError;

/// How long a tenant that is over its own rate is told to wait.
const RATE_RETRY_AFTER: Duration = Duration::from_secs(1);

/// A write of which nothing is stored, or not known to be.
#[derive(Debug, Clone, PartialEq, ThisError)]
pub enum WriteError {
    /// The body is not what it says it is.
    #[error("the body is not a {expected}: {source}")]
    Malformed {
        /// What it should be.
        expected: &'static str,
        /// What is wrong with it.
        source: WireError,
    },
    /// The body is too large.
    #[error("the write has {bytes} bytes decompressed; at most {max} are allowed ({limit})")]
    TooLarge {
        /// How many bytes it has, or says it has.
        bytes: usize,
        /// How many are allowed.
        max: usize,
        /// The limit that says so.
        limit: &'static str,
    },
    /// More symbols than a request may have.
    #[error("the request has more than {max} symbols")]
    TooManySymbols {
        /// How many are allowed.
        max: usize,
    },
    /// The tenant's rate.
    #[error(
        "the tenant is over its ingestion rate: {samples} samples came, {rate} per second with bursts of \
         {burst} are allowed (ingestion_rate, ingestion_burst_size)"
    )]
    RateLimited {
        /// How many came.
        samples: u64,
        /// The rate.
        rate: f64,
        /// The burst size.
        burst: u64,
    },
    /// Too much is under way.
    #[error("too many writes are under way: {limit} is {max}")]
    Overloaded {
        /// The limit that is reached.
        limit: &'static str,
        /// What it is.
        max: u64,
        /// What the client is told to wait.
        retry_after: Duration,
    },
    /// HA pairs of the request have no elected replica.
    #[error("the HA pairs of the request still had elections to hold after {walks} attempts")]
    NoElection {
        /// How often it was tried.
        walks: u32,
        /// What the client is told to wait.
        retry_after: Duration,
    },
    /// Too few ingesters answered.
    #[error("{series} of {all} series could not be stored on enough ingesters: {reason}")]
    NoQuorum {
        /// How many series.
        series: usize,
        /// Of how many.
        all: usize,
        /// The first failure.
        reason: String,
        /// What the client is told to wait.
        retry_after: Duration,
    },
}

impl WriteError {
    /// The same error, seen from a body in which the series that was walked begins at `start`.
    pub(crate) fn shifted(self, start: usize) -> Self {
        match self {
            Self::Malformed { expected, source } => {
                Self::Malformed { expected, source: source.shifted(start) }
            }
            other => other,
        }
    }
}

impl From<WriteError> for Error {
    fn from(error: WriteError) -> Self {
        let message = error.to_string();
        match error {
            WriteError::Malformed { .. } | WriteError::TooManySymbols { .. } => Self::invalid(message),
            WriteError::TooLarge { .. } => Self::new(Code::TooLarge, message),
            WriteError::RateLimited { .. } => Self::tenant_limit(message, RATE_RETRY_AFTER),
            WriteError::Overloaded { retry_after, .. }
            | WriteError::NoElection { retry_after, .. }
            | WriteError::NoQuorum { retry_after, .. } => Self::unavailable(message, retry_after),
        }
    }
}
