//! How requests leave: over the network, as `http_config` says, or through what the role was handed in its place.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, Request, Response};

use super::{Answer, MAX_ANSWER_BYTES, Surroundings, plain_client, transport};
use crate::config::HttpConfig;
use crate::notify::{BuildError, SendError};

/// What takes requests to receivers in the place of the network, for simulations: every receiver that is told over HTTP, with
/// its requests as they are. TLS, proxies and redirects of `http_config` are the network's, and not there.
#[async_trait]
pub trait ReceiverNetwork: Send + Sync {
    /// Takes a request to its receiver, and its answer back.
    ///
    /// # Errors
    /// Why there is no answer. The receiver may have the request all the same; it is sent again.
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, String>;
}

/// How requests leave.
pub(super) enum Sender {
    Network(reqwest::Client),
    Given(Arc<dyn ReceiverNetwork>),
}

impl Sender {
    pub(super) fn new(config: &HttpConfig, around: &Surroundings) -> Result<Self, BuildError> {
        match &around.network {
            Some(given) => Ok(Self::Given(Arc::clone(given))),
            None => plain_client(config, around).map(Self::Network),
        }
    }

    /// Sends a request, and reads its answer as far as anybody looks at it.
    pub(super) async fn send(
        &self,
        method: Method,
        url: &str,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Answer, SendError> {
        match self {
            Self::Network(client) => {
                let request = client.request(method, url).headers(headers).body(body);
                let response = request.send().await.map_err(|error| transport(&error))?;
                read(response).await
            }
            Self::Given(network) => {
                let request = Request::builder().method(method).uri(url).body(body);
                let mut request = request.map_err(|error| SendError::for_good(error.to_string()))?;
                *request.headers_mut() = headers;
                let (head, body) = network.send(request).await.map_err(SendError::for_now)?.into_parts();
                let body = body.slice(..body.len().min(MAX_ANSWER_BYTES));
                Ok(Answer { status: head.status.as_u16(), headers: head.headers, body })
            }
        }
    }
}

async fn read(mut response: reqwest::Response) -> Result<Answer, SendError> {
    let status = response.status().as_u16();
    let headers = std::mem::take(response.headers_mut());
    let mut body = BytesMut::new();
    while body.len() < MAX_ANSWER_BYTES
        && let Some(piece) = response.chunk().await.map_err(|error| transport(&error))?
    {
        let room = MAX_ANSWER_BYTES - body.len();
        body.extend_from_slice(&piece[..piece.len().min(room)]);
    }
    Ok(Answer { status, headers, body: body.freeze() })
}
