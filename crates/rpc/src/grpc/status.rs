//! Errors on the wire: our codes, in the details of a gRPC status.

use std::time::Duration;

use bytes::Bytes;
use prost::Message as _;
use proto::rpc::{ErrorCode, ErrorDetail};
use proto::{Code, Error};
use tonic::{Status, TimeoutExpired};

/// The status that carries an error to another process.
pub fn to_status(error: &Error) -> Status {
    let (wire, grpc) = codes(error.code);
    let retry_after_ms = error.retry_after.map(|d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX));
    let detail = ErrorDetail { code: wire.into(), retry_after_ms };
    Status::with_details(grpc, error.message.clone(), Bytes::from(detail.encode_to_vec()))
}

/// The error that a status carries. One that is not of ours (a connection that broke, a proxy) goes by its gRPC code.
pub fn from_status(status: &Status) -> Error {
    let detail = ErrorDetail::decode(status.details()).ok();
    let coded = detail.as_ref().and_then(|detail| code(detail.code()));
    let code = coded.unwrap_or_else(|| foreign(status));
    let retry_after = detail.and_then(|detail| detail.retry_after_ms).map(Duration::from_millis);
    let message = match status.message() {
        "" => format!("the call failed: {}", status.code()),
        message => message.to_owned(),
    };
    Error { code, message, retry_after }
}

fn codes(code: Code) -> (ErrorCode, tonic::Code) {
    match code {
        Code::InvalidArgument => (ErrorCode::InvalidArgument, tonic::Code::InvalidArgument),
        Code::Unauthenticated => (ErrorCode::Unauthenticated, tonic::Code::Unauthenticated),
        Code::PermissionDenied => (ErrorCode::PermissionDenied, tonic::Code::PermissionDenied),
        Code::NotFound => (ErrorCode::NotFound, tonic::Code::NotFound),
        Code::TooLarge => (ErrorCode::TooLarge, tonic::Code::OutOfRange),
        Code::UnsupportedMediaType => (ErrorCode::UnsupportedMediaType, tonic::Code::InvalidArgument),
        Code::Unprocessable => (ErrorCode::Unprocessable, tonic::Code::FailedPrecondition),
        Code::TenantLimit => (ErrorCode::TenantLimit, tonic::Code::ResourceExhausted),
        Code::Unavailable => (ErrorCode::Unavailable, tonic::Code::Unavailable),
        Code::DeadlineExceeded => (ErrorCode::DeadlineExceeded, tonic::Code::DeadlineExceeded),
        Code::Canceled => (ErrorCode::Canceled, tonic::Code::Cancelled),
        Code::Internal => (ErrorCode::Internal, tonic::Code::Internal),
    }
}

fn code(wire: ErrorCode) -> Option<Code> {
    Some(match wire {
        ErrorCode::Unspecified => return None,
        ErrorCode::InvalidArgument => Code::InvalidArgument,
        ErrorCode::Unauthenticated => Code::Unauthenticated,
        ErrorCode::PermissionDenied => Code::PermissionDenied,
        ErrorCode::NotFound => Code::NotFound,
        ErrorCode::TooLarge => Code::TooLarge,
        ErrorCode::UnsupportedMediaType => Code::UnsupportedMediaType,
        ErrorCode::Unprocessable => Code::Unprocessable,
        ErrorCode::TenantLimit => Code::TenantLimit,
        ErrorCode::Unavailable => Code::Unavailable,
        ErrorCode::DeadlineExceeded => Code::DeadlineExceeded,
        ErrorCode::Canceled => Code::Canceled,
        ErrorCode::Internal => Code::Internal,
    })
}

/// What a status means that no server of ours made, but the transport on the way.
fn foreign(status: &Status) -> Code {
    match status.code() {
        tonic::Code::InvalidArgument => Code::InvalidArgument,
        tonic::Code::Unauthenticated => Code::Unauthenticated,
        tonic::Code::PermissionDenied => Code::PermissionDenied,
        tonic::Code::NotFound => Code::NotFound,
        tonic::Code::OutOfRange => Code::TooLarge,
        tonic::Code::FailedPrecondition => Code::Unprocessable,
        tonic::Code::DeadlineExceeded => Code::DeadlineExceeded,
        // The transport says so of a deadline, too.
        tonic::Code::Cancelled if status.message() == TimeoutExpired(()).to_string() => {
            Code::DeadlineExceeded
        }
        // A connection that cannot be made, or that broke, has one of these; another replica may do better. (Who cancels
        // a call sees no status of it: one that was "cancelled" was on a connection that ended.)
        tonic::Code::Unavailable
        | tonic::Code::Unknown
        | tonic::Code::ResourceExhausted
        | tonic::Code::Cancelled => Code::Unavailable,
        _ => Code::Internal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Code; 12] = [
        Code::InvalidArgument,
        Code::Unauthenticated,
        Code::PermissionDenied,
        Code::NotFound,
        Code::TooLarge,
        Code::UnsupportedMediaType,
        Code::Unprocessable,
        Code::TenantLimit,
        Code::Unavailable,
        Code::DeadlineExceeded,
        Code::Canceled,
        Code::Internal,
    ];

    #[test]
    fn every_error_comes_back_as_it_was() {
        for code in ALL {
            for retry_after in [None, Some(Duration::from_millis(1500))] {
                let error = Error { code, message: "what happened".to_owned(), retry_after };
                assert_eq!(from_status(&to_status(&error)), error);
            }
        }
    }

    #[test]
    fn a_status_of_nobody_of_ours_goes_by_its_code() {
        let error = from_status(&Status::unavailable("tcp connect error"));
        assert_eq!((error.code, error.message.as_str()), (Code::Unavailable, "tcp connect error"));
        assert_eq!(from_status(&Status::new(tonic::Code::DataLoss, "")).code, Code::Internal);
        assert_eq!(from_status(&Status::cancelled("operation was canceled")).code, Code::Unavailable);
        assert_eq!(from_status(&Status::cancelled("Timeout expired")).code, Code::DeadlineExceeded);
    }
}
