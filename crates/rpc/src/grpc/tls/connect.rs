//! The caller's side: a TCP connection to the peer, and the handshake over it.

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use http::Uri;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tower::Service;

use super::{Tls, server_name};

/// Connects to peers over TLS.
#[derive(Debug, Clone)]
pub(crate) struct TlsConnect {
    tls: Tls,
}

impl TlsConnect {
    pub(crate) fn new(tls: Tls) -> Self {
        Self { tls }
    }
}

impl Service<Uri> for TlsConnect {
    type Response = TokioIo<TlsStream<TcpStream>>;
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<Self::Response>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, peer: Uri) -> Self::Future {
        let shared = Arc::clone(&self.tls.shared);
        Box::pin(async move {
            let (Some(host), Some(port)) = (peer.host(), peer.port_u16()) else {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidInput,
                    format!("{peer} has no host and port"),
                ));
            };
            // An IPv6 address stands in brackets in a URL.
            let host = host.trim_start_matches('[').trim_end_matches(']');
            let name = match &shared.server_name {
                Some(name) => name.clone(),
                None => server_name(host).map_err(|e| io::Error::new(io::ErrorKind::InvalidInput, e))?,
            };
            let stream = TcpStream::connect((host, port)).await?;
            stream.set_nodelay(true)?;
            let config = Arc::clone(&shared.sides.lock().client);
            Ok(TokioIo::new(TlsConnector::from(config).connect(name, stream).await?))
        })
    }
}
