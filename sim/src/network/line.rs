//! A line from a machine to an address: what generated clients call.

use std::fmt;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use tokio::sync::mpsc;
use tonic::Status;
use tonic::body::Body;
use tower::Service;

use super::{Answer, Call, Network, broken};

/// So many pieces of an answer wait for their caller.
const PIECES: usize = 16;

/// What travels back from a call.
pub(super) enum Piece {
    Head(Box<http::response::Parts>),
    Frame(Frame<Bytes>),
    /// There is no more.
    End,
    /// There is no more, and there should have been.
    Broken(Status),
}

impl Piece {
    /// The piece with other data, if it has any.
    pub(super) fn map_data(self, map: impl FnOnce(&Bytes) -> Bytes) -> Self {
        match self {
            Self::Frame(frame) => Self::Frame(frame.map_data(|data| map(&data))),
            other => other,
        }
    }
}

impl fmt::Display for Piece {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Head(head) => match head.headers.get("grpc-status") {
                Some(status) => write!(f, "head, status {}", status.to_str().unwrap_or("?")),
                None => f.write_str("head"),
            },
            Self::Frame(frame) => match (frame.data_ref(), frame.trailers_ref()) {
                (Some(data), _) => write!(f, "{} bytes", data.len()),
                (_, Some(trailers)) => {
                    let status = trailers.get("grpc-status").and_then(|status| status.to_str().ok());
                    write!(f, "trailers, status {}", status.unwrap_or("?"))
                }
                (None, None) => f.write_str("a frame"),
            },
            Self::End => f.write_str("end"),
            Self::Broken(status) => f.write_str(status.message()),
        }
    }
}

/// From a machine to an address.
#[derive(Clone)]
pub(super) struct Line {
    pub(super) network: Network,
    pub(super) from: String,
    pub(super) to: String,
}

impl Service<Request<Body>> for Line {
    type Response = Response<Body>;
    type Error = Status;
    type Future = Answer;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Answer {
        let line = self.clone();
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await?.to_bytes();
            let (answer, mut pieces) = mpsc::channel(PIECES);
            line.network.send(Call { from: line.from, to: line.to, head, body }, answer);
            match pieces.recv().await {
                Some(Piece::Head(head)) => Ok(Response::from_parts(*head, rest(pieces))),
                Some(Piece::Broken(status)) => Err(status),
                Some(Piece::Frame(_) | Piece::End) | None => Err(broken("the answer has no head")),
            }
        })
    }
}

/// The body of an answer whose head has come.
fn rest(pieces: mpsc::Receiver<Piece>) -> Body {
    let frames = futures::stream::unfold(Some(pieces), |pieces| async move {
        let mut pieces = pieces?;
        match pieces.recv().await {
            Some(Piece::Frame(frame)) => Some((Ok(frame), Some(pieces))),
            Some(Piece::Broken(status)) => Some((Err(status), None)),
            Some(Piece::Head(_) | Piece::End) | None => None,
        }
    });
    Body::new(StreamBody::new(frames))
}
