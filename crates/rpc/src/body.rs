//! Reading a request's body within bounds of size and time.

use std::time::Duration;

use axum::body::{Body, HttpBody};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use proto::{Code, Error};

/// At most this much is reserved because a client says that it will come; beyond it the buffer grows as bytes arrive.
const MAX_RESERVED_BYTES: u64 = 1 << 20;

/// Bounds of a request's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BodyLimits {
    /// The largest body in bytes, as it comes over the wire.
    pub max_bytes: u64,
    /// How long the whole body may take to arrive.
    pub read_timeout: Duration,
}

/// The whole body. A body that arrives in one piece is not copied.
///
/// # Errors
/// [`Code::TooLarge`] as soon as more than `max_bytes` are announced or have come, [`Code::InvalidArgument`] where the
/// client is too slow, breaks off or breaks the framing.
pub async fn read_body(body: Body, limits: BodyLimits) -> Result<Bytes, Error> {
    let announced = body.size_hint();
    if announced.lower() > limits.max_bytes {
        return Err(too_large(announced.lower(), limits));
    }
    match tokio::time::timeout(limits.read_timeout, collect(body, announced.exact(), limits)).await {
        Ok(result) => result,
        Err(_) => Err(Error::invalid(format!(
            "the request's body did not arrive within {} s",
            limits.read_timeout.as_secs_f64()
        ))),
    }
}

async fn collect(mut body: Body, announced: Option<u64>, limits: BodyLimits) -> Result<Bytes, Error> {
    let Some(first) = next(&mut body).await? else {
        return Ok(Bytes::new());
    };
    let Some(second) = next(&mut body).await? else {
        return within(first.len(), limits).map(|()| first);
    };
    let reserve = announced.unwrap_or(0).min(MAX_RESERVED_BYTES) as usize;
    let mut whole = BytesMut::with_capacity(reserve.max(first.len() + second.len()));
    whole.extend_from_slice(&first);
    whole.extend_from_slice(&second);
    within(whole.len(), limits)?;
    while let Some(data) = next(&mut body).await? {
        within(whole.len() + data.len(), limits)?;
        whole.extend_from_slice(&data);
    }
    Ok(whole.freeze())
}

/// The next piece with data; trailers are dropped.
async fn next(body: &mut Body) -> Result<Option<Bytes>, Error> {
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|e| Error::invalid(format!("the request's body broke off: {e}")))?;
        if let Ok(data) = frame.into_data()
            && !data.is_empty()
        {
            return Ok(Some(data));
        }
    }
    Ok(None)
}

fn within(bytes: usize, limits: BodyLimits) -> Result<(), Error> {
    if bytes as u64 > limits.max_bytes {
        return Err(too_large(bytes as u64, limits));
    }
    Ok(())
}

fn too_large(bytes: u64, limits: BodyLimits) -> Error {
    Error::new(
        Code::TooLarge,
        format!("the request's body has {bytes} bytes or more; at most {} are allowed", limits.max_bytes),
    )
}
