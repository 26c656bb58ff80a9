//! gRPC between the processes of a cluster: one seam, which production and simulation fill.
//!
//! * A caller is given a [`Dial`] and asks it for the channel to an address. [`GrpcChannel`] is what every generated
//!   client takes: `IngesterClient::new(channel).max_decoding_message_size(channel.max_message_bytes())`.
//! * A callee hands [`GrpcServer::serve`] its services as [`Routes`]; each generated server gets
//!   `.max_decoding_message_size(config.max_message_bytes())` too.
//! * In production [`TcpDial`] connects, with HTTP/2 over TCP. A simulation implements [`Dial`] over its own network
//!   with [`GrpcChannel::new`], and calls the same [`GrpcService`] on the other side: secret, deadlines, bounds and
//!   metrics are in [`GrpcChannel`] and [`GrpcService`], not in the transport.
//! * A deadline that a caller sets (`Request::set_timeout`) travels with the call, ends it on both sides, and is in the
//!   extensions of the request as [`Deadline`], so that the callee can pass on what is left. Without one, an answer
//!   must begin within `grpc.timeout`; a stream may then go on for ever.
//! * [`GrpcChannel::guarded`] adds a [`Breaker`] and bounds on what is under way to a peer; calls to ingesters have them.
//! * Errors are [`proto::Error`] on both sides: [`to_status`] and [`from_status`].
//!
//! * With [`Tls`] ([`TcpDial::with_tls`], [`GrpcServer::with_tls`]) both sides of a connection show certificates. It says
//!   who may connect; the cluster's secret is still on every call.
//!
//! In one process roles call each other's traits directly, and nothing here is used.

mod breaker;
mod channel;
mod config;
mod connect;
mod deadline;
mod dial;
mod executor;
mod metrics;
mod peer;
mod retry;
mod secret;
mod server;
mod service;
mod status;
mod tls;
mod trace;

pub use breaker::{Admitted, Breaker, BreakerPolicy, Change};
pub use channel::{ClientPolicy, GrpcChannel};
pub use config::GrpcConfig;
pub use connect::{Connect, Duplex};
pub use deadline::Deadline;
pub use dial::{ChannelPool, Dial, InvalidAddress, TcpDial};
pub use executor::ScopeExecutor;
pub use metrics::GrpcMetrics;
pub use retry::{Backoff, RetryBudget};
pub use secret::{ClusterSecret, InvalidSecret};
pub use server::{GrpcServer, serve_connection};
pub use service::{GrpcService, ServerPolicy};
pub use status::{from_status, to_status};
pub use tls::{GrpcTlsConfig, Tls, TlsError};
pub use tonic::service::Routes;
