//! Sending series without copying them: the call `Ingester.Push` as generated code would make it, but for the bodies,
//! which stay where they are. Encoding a message in one piece costs two copies of a request for each replica, which was
//! most of what a replica cost its distributor.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use http::header::{CONTENT_TYPE, HeaderValue, TE};
use http::uri::PathAndQuery;
use http::{Method, Request, Response, Uri, Version};
use http_body::{Frame, SizeHint};
use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint};
use proto::Error;
use proto::ingester as message;
use tonic::body::Body;
use tonic::codec::Codec;
use tonic::{Code, Status, Streaming};
use tower::{Service, ServiceExt};

use super::malformed;
use crate::grpc::GrpcChannel;

/// The method, as in `ingester.proto`.
const PATH: PathAndQuery = PathAndQuery::from_static("/barograph.ingester.v1.Ingester/Push");
/// The number of `PushRequest.bodies`.
const BODIES: u32 = 3;
/// A flag (not compressed), and the message's length in four bytes.
const PREFIX_BYTES: usize = 5;
/// What the key and the length of a field take at most.
const KEY_AND_LENGTH_BYTES: usize = 20;

/// A message in two parts: everything but the bodies with what stands before them, and the bodies.
#[derive(Debug, Clone)]
pub(super) struct Parts {
    head: Bytes,
    bodies: Bytes,
}

impl Parts {
    /// The message without its bodies, and the bodies.
    pub(super) fn new(message: &message::PushRequest, bodies: Bytes) -> Result<Self, Error> {
        let mut head = BytesMut::with_capacity(PREFIX_BYTES + message.encoded_len() + KEY_AND_LENGTH_BYTES);
        head.put_bytes(0, PREFIX_BYTES);
        message.encode_raw(&mut head);
        // Fields may come in any order; the largest is the last.
        encode_key(BODIES, WireType::LengthDelimited, &mut head);
        encode_varint(bodies.len() as u64, &mut head);
        let length = u32::try_from(head.len() - PREFIX_BYTES + bodies.len());
        let length = length.map_err(|_| malformed("series longer than 4 GiB"))?;
        if let Some((_, prefix)) = head.first_chunk_mut::<PREFIX_BYTES>().and_then(|p| p.split_first_mut()) {
            prefix.copy_from_slice(&length.to_be_bytes());
        }
        Ok(Self { head: head.freeze(), bodies })
    }

    /// How long the message is, in bytes.
    pub(super) fn len(&self) -> usize {
        self.head.len() + self.bodies.len()
    }
}

/// Makes the call; with a timeout, the answer has to be there within it.
pub(super) async fn send(
    mut channel: GrpcChannel,
    parts: Parts,
    timeout: Option<Duration>,
) -> Result<message::PushResponse, Status> {
    let max = channel.max_message_bytes();
    let mut call = tonic::Request::new(());
    if let Some(timeout) = timeout {
        call.set_timeout(timeout);
    }
    let mut request = Request::new(Body::new(parts));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = Uri::from(PATH);
    *request.version_mut() = Version::HTTP_2;
    *request.headers_mut() = call.into_parts().0.into_headers();
    request.headers_mut().insert(TE, HeaderValue::from_static("trailers"));
    request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    let ready = channel.ready().await.map_err(Status::from_error)?;
    let response = ready.call(request).await.map_err(Status::from_error)?;
    answer(response, max).await
}

/// The one message of an answer.
async fn answer(response: Response<Body>, max: usize) -> Result<message::PushResponse, Status> {
    if let Some(status) = Status::from_header_map(response.headers())
        && status.code() != Code::Ok
    {
        return Err(status);
    }
    let decoder = tonic_prost::ProstCodec::<(), message::PushResponse>::default().decoder();
    let (head, body) = response.into_parts();
    let mut messages = Streaming::new_response(decoder, body, head.status, None, Some(max));
    let message = messages.message().await?;
    // An error may come behind a message; without one, an answer that ends is none.
    messages.trailers().await?;
    message.ok_or_else(|| Status::internal("an answer without a message"))
}

impl http_body::Body for Parts {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let next = match self.head.is_empty() {
            false => std::mem::take(&mut self.head),
            true => std::mem::take(&mut self.bodies),
        };
        Poll::Ready((!next.is_empty()).then(|| Ok(Frame::data(next))))
    }

    fn is_end_stream(&self) -> bool {
        self.head.is_empty() && self.bodies.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.len() as u64)
    }
}
