//! The gRPC listener: bounded connections, HTTP/2 windows, keepalive, and a drain that ends.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use env::{Clock, Scope};
use futures::future::BoxFuture;
use hyper::server::conn::http2;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use prometheus_client::metrics::counter::Counter;
use telemetry::LogRateLimit;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::server::TlsStream;
use tonic::service::Routes;

use super::config::{GrpcConfig, window};
use super::connect::Duplex;
use super::executor::ScopeExecutor;
use super::service::{GrpcService, ServerPolicy};
use super::tls::Tls;
use crate::server::Drain;

/// How long accepting pauses when the process has no file descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How much of a call's body may come in one piece. With HTTP/2's own 16 KiB a write of some hundred kilobytes takes as
/// many calls of the system as it has pieces, on both sides.
const MAX_FRAME_BYTES: u32 = 1 << 20;
/// How long a TLS handshake may take.
const HANDSHAKE_TIME: Duration = Duration::from_secs(5);
/// Refused handshakes are logged so often: whoever scans ports must not fill a disk.
const HANDSHAKE_LOG_INTERVAL: Duration = Duration::from_secs(10);

/// The largest headers of a call: ours have a path, a secret, trace context, and little else.
const MAX_HEADER_BYTES: u32 = 64 << 10;

/// A bound gRPC listener.
pub struct GrpcServer {
    listener: TcpListener,
    local_addr: SocketAddr,
    config: GrpcConfig,
    policy: ServerPolicy,
    scope: Scope,
    clock: Arc<dyn Clock>,
    tls: Option<Tls>,
    handshakes: Arc<LogRateLimit<()>>,
}

impl GrpcServer {
    /// Listens on `addr`. Connections that come before [`Self::serve`] wait.
    ///
    /// # Errors
    /// When the address cannot be had.
    pub async fn bind(
        addr: SocketAddr,
        config: GrpcConfig,
        policy: ServerPolicy,
        scope: &Scope,
        clock: Arc<dyn Clock>,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind(addr).await?;
        Ok(Self {
            local_addr: listener.local_addr()?,
            listener,
            config,
            policy,
            scope: scope.child("grpc"),
            clock,
            tls: None,
            handshakes: Arc::new(LogRateLimit::new(HANDSHAKE_LOG_INTERVAL)),
        })
    }

    /// The same, over TLS.
    pub fn with_tls(self, tls: Option<Tls>) -> Self {
        Self { tls, ..self }
    }

    /// The address, with the port that was chosen where 0 was asked for.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Serves `routes` until `shutdown`, then lets calls that have begun end within the drain's bound.
    pub async fn serve(self, routes: Routes, shutdown: impl Future<Output = ()>) -> Drain {
        let service = GrpcService::new(routes, self.policy.clone());
        let connections = Arc::new(Semaphore::new(self.config.max_connections));
        let mut shutdown = pin!(shutdown);
        loop {
            let Ok(permit) = Arc::clone(&connections).acquire_owned().await else { break };
            let stream = tokio::select! {
                biased;
                () = &mut shutdown => break,
                stream = self.accept() => stream,
            };
            let served = self.connection(stream, service.clone());
            let open = OpenConnection::new(&self.policy);
            // The task ends with its connection; nobody waits for it but the scope.
            drop(self.scope.spawn("grpc connection", async move {
                served.await;
                drop((open, permit));
            }));
        }
        drop(self.listener);
        self.scope.cancel();
        if self.scope.join(&*self.clock, self.config.drain_timeout).await {
            return Drain::Complete;
        }
        self.scope.abort();
        Drain::Cut
    }

    async fn accept(&self) -> TcpStream {
        loop {
            match self.listener.accept().await {
                Ok((stream, _peer)) => match stream.set_nodelay(true) {
                    Ok(()) => return stream,
                    Err(error) => tracing::debug!(%error, "connection closed before it was served"),
                },
                Err(error) => {
                    tracing::warn!(%error, "cannot accept gRPC connections");
                    self.clock.sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// Serves one connection to its end; once the scope is cancelled, to the end of the calls at hand.
    fn connection(
        &self,
        stream: TcpStream,
        service: GrpcService,
    ) -> impl Future<Output = ()> + Send + 'static {
        let (protocol, cancelled) = (protocol(&self.config, &self.scope), self.scope.cancelled());
        let handshake = self.tls.clone().map(|tls| Handshake {
            tls,
            timeout: self.clock.sleep(HANDSHAKE_TIME),
            failures: self.policy.metrics().handshake_failures.clone(),
            log: Arc::clone(&self.handshakes),
            now: self.clock.monotonic(),
        });
        async move {
            match handshake {
                None => serve(protocol, stream, service, cancelled).await,
                Some(handshake) => {
                    if let Some(stream) = handshake.complete(stream).await {
                        serve(protocol, stream, service, cancelled).await;
                    }
                }
            }
        }
    }
}

/// HTTP/2 as the configuration wants it, with its tasks in `scope`.
fn protocol(config: &GrpcConfig, scope: &Scope) -> http2::Builder<ScopeExecutor> {
    let mut protocol = http2::Builder::new(ScopeExecutor::new(scope.clone()));
    protocol
        .timer(TokioTimer::new())
        .initial_stream_window_size(window(config.stream_window))
        .initial_connection_window_size(window(config.connection_window))
        .max_frame_size(MAX_FRAME_BYTES)
        .max_concurrent_streams(config.max_streams)
        .max_header_list_size(MAX_HEADER_BYTES)
        .keep_alive_interval(config.keepalive_interval)
        .keep_alive_timeout(config.keepalive_timeout)
        .auto_date_header(false);
    protocol
}

/// Serves one connection that is not TCP to its end, with its tasks in `scope`; once that is cancelled, to the end of the
/// calls at hand.
pub async fn serve_connection(
    config: &GrpcConfig,
    stream: Box<dyn Duplex>,
    service: GrpcService,
    scope: &Scope,
) {
    serve(protocol(config, scope), stream, service, scope.cancelled()).await;
}

/// Serves one connection to its end; once `cancelled`, to the end of the calls at hand.
async fn serve<S>(
    protocol: http2::Builder<ScopeExecutor>,
    stream: S,
    service: GrpcService,
    cancelled: impl Future<Output = ()>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let connection = protocol.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
    let mut connection = pin!(connection);
    let served = tokio::select! {
        biased;
        served = connection.as_mut() => served,
        () = cancelled => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = served {
        tracing::debug!(%error, "gRPC connection ended early");
    }
}

/// The begin of a connection over TLS.
struct Handshake {
    tls: Tls,
    timeout: BoxFuture<'static, ()>,
    failures: Counter,
    log: Arc<LogRateLimit<()>>,
    now: Duration,
}

impl Handshake {
    /// The connection once both sides have been verified. Otherwise `None`, which is counted and, within bounds, logged.
    async fn complete(self, stream: TcpStream) -> Option<TlsStream<TcpStream>> {
        let peer = stream.peer_addr().ok();
        let error = tokio::select! {
            biased;
            accepted = self.tls.accept(stream) => match accepted {
                Ok(stream) => return Some(stream),
                Err(error) => error,
            },
            () = self.timeout => io::ErrorKind::TimedOut.into(),
        };
        self.failures.inc();
        if let Some(held_back) = self.log.allow(&(), self.now) {
            tracing::warn!(?peer, %error, held_back, "a gRPC connection was refused in its TLS handshake");
        }
        None
    }
}

/// An open connection, as far as metrics are concerned.
struct OpenConnection {
    policy: ServerPolicy,
}

impl OpenConnection {
    fn new(policy: &ServerPolicy) -> Self {
        policy.metrics().connections.inc();
        Self { policy: policy.clone() }
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.policy.metrics().connections.dec();
    }
}
