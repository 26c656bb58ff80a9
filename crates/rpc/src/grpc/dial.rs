//! From an address to a channel.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use env::Scope;
use http::{Request, Response};
use parking_lot::Mutex;
use tonic::body::Body;
use tonic::transport::{Channel, Endpoint};
use tower::Service;

use super::channel::{ClientPolicy, GrpcChannel};
use super::config::{GrpcConfig, window};
use super::connect::{Connect, Connector};
use super::executor::ScopeExecutor;
use super::tls::{Tls, TlsConnect};

/// Calls that wait for their turn on one connection; more wait at their callers.
const QUEUED_PER_CONNECTION: usize = 1024;

/// An address that nothing can be at.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{address:?} is not an address; give host:port")]
pub struct InvalidAddress {
    /// What was given.
    pub address: String,
}

/// The way from this instance to others.
pub trait Dial: Send + Sync + 'static {
    /// The channel to what listens at `address` (host:port). Nothing is connected yet: that happens with the first
    /// call, and again after a connection broke.
    ///
    /// # Errors
    /// Where the address cannot be one.
    fn dial(&self, address: &str) -> Result<GrpcChannel, InvalidAddress>;
}

/// HTTP/2 over TCP, or over what else carries bytes.
#[derive(Clone)]
pub struct TcpDial {
    config: GrpcConfig,
    policy: Arc<ClientPolicy>,
    scope: Scope,
    tls: Option<Tls>,
    connect: Option<Connector>,
}

impl TcpDial {
    /// Connections whose tasks run in `scope`.
    pub fn new(config: GrpcConfig, policy: ClientPolicy, scope: &Scope) -> Self {
        Self { config, policy: Arc::new(policy), scope: scope.child("grpc-client"), tls: None, connect: None }
    }

    /// The same, over TLS.
    pub fn with_tls(self, tls: Option<Tls>) -> Self {
        Self { tls, ..self }
    }

    /// The same over connections that `connect` makes, which has the say over TLS, too.
    pub fn with_connect(self, connect: Arc<dyn Connect>) -> Self {
        Self { connect: Some(Connector(connect)), ..self }
    }

    fn connection(&self, endpoint: &Endpoint) -> Channel {
        match (&self.connect, &self.tls) {
            (Some(connect), _) => endpoint.connect_with_connector_lazy(connect.clone()),
            (None, Some(tls)) => endpoint.connect_with_connector_lazy(TlsConnect::new(tls.clone())),
            (None, None) => endpoint.connect_lazy(),
        }
    }

    fn endpoint(&self, address: &str) -> Result<Endpoint, InvalidAddress> {
        let invalid = || InvalidAddress { address: address.to_owned() };
        let authority: http::uri::Authority = address.parse().map_err(|_| invalid())?;
        if authority.port_u16().is_none() || authority.host().is_empty() || address.contains('@') {
            return Err(invalid());
        }
        let config = &self.config;
        let endpoint = Endpoint::from_shared(format!("http://{address}")).map_err(|_| invalid())?;
        Ok(endpoint
            .connect_timeout(config.connect_timeout)
            .initial_stream_window_size(window(config.stream_window))
            .initial_connection_window_size(window(config.connection_window))
            .http2_keep_alive_interval(config.keepalive_interval)
            .keep_alive_timeout(config.keepalive_timeout)
            .keep_alive_while_idle(true)
            .buffer_size(QUEUED_PER_CONNECTION)
            .tcp_nodelay(true)
            .executor(ScopeExecutor::new(self.scope.clone())))
    }
}

impl std::fmt::Debug for TcpDial {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TcpDial").field("tls", &self.tls.is_some()).finish_non_exhaustive()
    }
}

impl Dial for TcpDial {
    fn dial(&self, address: &str) -> Result<GrpcChannel, InvalidAddress> {
        let endpoint = self.endpoint(address)?;
        let connections = (0..self.config.connections_per_peer).map(|_| self.connection(&endpoint)).collect();
        Ok(GrpcChannel::new(Connections::new(connections), Arc::clone(&self.policy)))
    }
}

/// Connections to one peer, used in turn.
struct Connections {
    all: Vec<Channel>,
    next: Arc<AtomicUsize>,
    /// The one whose turn it is, and which is ready.
    current: usize,
}

impl Connections {
    fn new(all: Vec<Channel>) -> Self {
        Self { all, next: Arc::default(), current: 0 }
    }
}

impl Clone for Connections {
    fn clone(&self) -> Self {
        let current = self.next.fetch_add(1, Ordering::Relaxed) % self.all.len().max(1);
        Self { all: self.all.clone(), next: Arc::clone(&self.next), current }
    }
}

impl Service<Request<Body>> for Connections {
    type Response = Response<Body>;
    type Error = tonic::transport::Error;
    type Future = <Channel as Service<Request<Body>>>::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        match self.all.get_mut(self.current) {
            Some(channel) => channel.poll_ready(context),
            None => Poll::Ready(Ok(())),
        }
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let channel = self.all.get_mut(self.current).expect("a peer has at least one connection");
        channel.call(request)
    }
}

/// Channels by address, so that everybody in a process shares the connections to a peer.
pub struct ChannelPool {
    dial: Arc<dyn Dial>,
    channels: Mutex<BTreeMap<String, GrpcChannel>>,
}

impl ChannelPool {
    /// A pool without channels.
    pub fn new(dial: Arc<dyn Dial>) -> Self {
        Self { dial, channels: Mutex::default() }
    }

    /// The channel to an address: the one that there is, or a new one.
    ///
    /// # Errors
    /// Where the address cannot be one.
    pub fn get(&self, address: &str) -> Result<GrpcChannel, InvalidAddress> {
        let mut channels = self.channels.lock();
        if let Some(channel) = channels.get(address) {
            return Ok(channel.clone());
        }
        let channel = self.dial.dial(address)?;
        channels.insert(address.to_owned(), channel.clone());
        Ok(channel)
    }

    /// Forgets the addresses that nobody needs any more. Calls at work go on. Whoever watches the members calls this,
    /// so that the pool has as many channels as the cluster has instances.
    pub fn retain(&self, keep: impl Fn(&str) -> bool) {
        self.channels.lock().retain(|address, _| keep(address));
    }

    /// How many channels there are.
    pub fn len(&self) -> usize {
        self.channels.lock().len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl std::fmt::Debug for ChannelPool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChannelPool").field("channels", &self.len()).finish_non_exhaustive()
    }
}
