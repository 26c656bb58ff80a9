//! The HTTP/1.1 listener: bounded connections, header size and idle time, and a drain that ends.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use env::{Clock, Scope};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use settings::ByteSize;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::metrics::HttpMetrics;
use crate::panic::catch_panic_layer;
use crate::trace::HttpTraceLayer;

/// How long accepting pauses when the process has no file descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

settings::section! {
    /// Bounds of the HTTP listener.
    pub struct ServerConfig ("server") {
        /// How many connections are served at the same time. Further ones wait in the kernel's queue.
        http_max_connections: usize = "8192", range "1"..="1000000";
        /// How long a connection may take for the headers of a request, the idle time before it included. Clients keep
        /// connections open, so it should be longer than the distance of their requests.
        http_idle_timeout: Duration = "2m", range "1s"..="1h";
        /// The largest headers of a request, its first line included.
        http_max_header_bytes: ByteSize = "64KiB", range "8KiB"..="1MiB";
        /// How long a request's body may take to arrive.
        http_body_timeout: Duration = "30s", range "1s"..="1h";
        /// How long requests that have begun may take to end once the process was asked to stop.
        http_drain_timeout: Duration = "20s", range "0"..="10m";
        /// Whether answers have a `Date` header.
        http_date_header: bool = "true";
    }
}

/// A bound listener.
pub struct HttpServer {
    listener: TcpListener,
    local_addr: SocketAddr,
    config: ServerConfig,
    metrics: HttpMetrics,
    scope: Scope,
    clock: Arc<dyn Clock>,
}

/// How serving ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drain {
    /// Every request got its answer.
    Complete,
    /// Some requests took longer than the drain may; their connections were cut.
    Cut,
}

impl HttpServer {
    /// Listens on `addr`. Connections that come before [`Self::serve`] wait.
    ///
    /// # Errors
    /// When the address cannot be had.
    pub async fn bind(
        addr: SocketAddr,
        config: ServerConfig,
        metrics: HttpMetrics,
        scope: &Scope,
        clock: Arc<dyn Clock>,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind(addr).await?;
        Ok(Self {
            local_addr: listener.local_addr()?,
            listener,
            config,
            metrics,
            scope: scope.child("http"),
            clock,
        })
    }

    /// The address, with the port that was chosen where 0 was asked for.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Serves `router` until `shutdown`, then lets requests that have begun end within the drain's bound. A panic in a
    /// handler becomes a 500 and a log line, and every request is counted and, with a collector, traced.
    pub async fn serve(self, router: Router, shutdown: impl Future<Output = ()>) -> Drain {
        let router = router.layer(catch_panic_layer()).layer(self.metrics.layer()).layer(HttpTraceLayer);
        let mut shutdown = pin!(shutdown);
        let connections = Arc::new(Semaphore::new(self.config.http_max_connections));
        loop {
            let accepted = tokio::select! {
                biased;
                () = &mut shutdown => break,
                accepted = self.accept(&connections) => accepted,
            };
            let Some((stream, permit)) = accepted else { break };
            let served = self.connection(stream, router.clone());
            let open = self.metrics.connection();
            // The task ends with its connection; nobody waits for it but the scope.
            drop(self.scope.spawn("http connection", async move {
                served.await;
                drop((open, permit));
            }));
        }
        drop(self.listener);
        self.scope.cancel();
        if self.scope.join(&*self.clock, self.config.http_drain_timeout).await {
            return Drain::Complete;
        }
        tracing::warn!(
            seconds = self.config.http_drain_timeout.as_secs_f64(),
            "requests did not end within the drain timeout; cutting their connections"
        );
        self.scope.abort();
        Drain::Cut
    }

    /// The next connection, once fewer than the maximum are open.
    async fn accept(
        &self,
        connections: &Arc<Semaphore>,
    ) -> Option<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
        let permit = Arc::clone(connections).acquire_owned().await.ok()?;
        loop {
            match self.listener.accept().await {
                Ok((stream, _peer)) => {
                    // Answers are written whole; waiting for more to send would only delay them.
                    if let Err(error) = stream.set_nodelay(true) {
                        tracing::debug!(%error, "connection closed before it was served");
                        continue;
                    }
                    return Some((stream, permit));
                }
                Err(error) if is_of_connection(&error) => {}
                Err(error) => {
                    tracing::warn!(%error, "cannot accept connections");
                    self.clock.sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// Serves one connection to its end; once the scope is cancelled, to the end of the request at hand.
    fn connection(&self, stream: TcpStream, router: Router) -> impl Future<Output = ()> + Send + 'static {
        let connection =
            self.protocol().serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
        let cancelled = self.scope.cancelled();
        async move {
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
                tracing::debug!(error = %chain(&error), "connection ended early");
            }
        }
    }

    fn protocol(&self) -> http1::Builder {
        let mut protocol = http1::Builder::new();
        protocol
            .timer(TokioTimer::new())
            .header_read_timeout(self.config.http_idle_timeout)
            .max_header_size(self.config.http_max_header_bytes.as_usize())
            .auto_date_header(self.config.http_date_header)
            .keep_alive(true);
        protocol
    }
}

/// Whether accepting failed because of the one connection, not because of us.
fn is_of_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
    )
}

/// An error with its causes.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
