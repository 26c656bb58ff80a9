//! Connections that are not TCP: what carries their bytes is somebody else's.

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use http::Uri;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tower::Service;

/// Both directions of a connection.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin + 'static> Duplex for S {}

/// How connections come about, where they are not TCP: a simulation has its own. See [`super::TcpDial::with_connect`].
pub trait Connect: Send + Sync + 'static {
    /// Connects to what listens at `address` (host:port).
    fn connect(&self, address: &str) -> BoxFuture<'static, io::Result<Box<dyn Duplex>>>;
}

/// A [`Connect`] as channels take it.
#[derive(Clone)]
pub(super) struct Connector(pub(super) Arc<dyn Connect>);

impl Service<Uri> for Connector {
    type Response = TokioIo<Box<dyn Duplex>>;
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<Self::Response>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let address = uri.authority().map(ToString::to_string).unwrap_or_default();
        let connecting = self.0.connect(&address);
        Box::pin(async move { connecting.await.map(TokioIo::new) })
    }
}
