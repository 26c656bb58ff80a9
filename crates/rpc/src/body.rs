//! Reading a request's body within bounds of size and time.

use std::time::Duration;

use axum::body::{Body, HttpBody};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use proto::{Code, Error};

/// At most this much is reserved because a client says that it will come; beyond it the buffer grows as bytes arrive.
const MAX_RESERVED_BYTES: u64 = 1 << 20;

/// A body that is too large is read to its end, and thrown away, up to so many times what is allowed: a client that is
/// still sending when the connection closes sees a reset instead of the answer, and would send it all again.
const DISCARDED_TIMES_MAX: u64 = 4;
/// Nor is it waited for longer than this.
const DISCARD_TIME: Duration = Duration::from_secs(2);

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
/// [`Code::TooLarge`] where more than `max_bytes` are announced or come, [`Code::InvalidArgument`] where the client is too
/// slow, breaks off or breaks the framing.
pub async fn read_body(mut body: Body, limits: BodyLimits) -> Result<Bytes, Error> {
    let announced = body.size_hint();
    let reading = async {
        let collected = match announced.lower() > limits.max_bytes {
            true => Err(too_large(announced.lower(), limits)),
            false => collect(&mut body, announced.exact(), limits).await,
        };
        if collected.as_ref().is_err_and(|e| e.code == Code::TooLarge) {
            let rest = discard(&mut body, limits.max_bytes.saturating_mul(DISCARDED_TIMES_MAX));
            // Whatever comes of it, the answer is the same.
            let _ = tokio::time::timeout(DISCARD_TIME, rest).await;
        }
        collected
    };
    match tokio::time::timeout(limits.read_timeout, reading).await {
        Ok(result) => result,
        Err(_) => Err(Error::invalid(format!(
            "the request's body did not arrive within {} s",
            limits.read_timeout.as_secs_f64()
        ))),
    }
}

/// Reads what is left, unless that is more than `max_bytes`.
async fn discard(body: &mut Body, max_bytes: u64) {
    let mut left = max_bytes;
    while body.size_hint().lower() <= left
        && let Ok(Some(data)) = next(body).await
    {
        left = left.saturating_sub(data.len() as u64);
        if left == 0 {
            return;
        }
    }
}

async fn collect(body: &mut Body, announced: Option<u64>, limits: BodyLimits) -> Result<Bytes, Error> {
    let Some(first) = next(body).await? else {
        return Ok(Bytes::new());
    };
    let Some(second) = next(body).await? else {
        return within(first.len(), limits).map(|()| first);
    };
    let reserve = announced.unwrap_or(0).min(MAX_RESERVED_BYTES) as usize;
    let mut whole = BytesMut::with_capacity(reserve.max(first.len() + second.len()));
    whole.extend_from_slice(&first);
    whole.extend_from_slice(&second);
    within(whole.len(), limits)?;
    while let Some(data) = next(body).await? {
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
