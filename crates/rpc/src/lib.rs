//! The network side of every role. HTTP: a listener with bounds, tenant resolution, request metrics, error responses,
//! and the headers of the Prometheus API. It knows nothing of writes, queries or storage.
//!
//! A role makes an [`axum::Router`]; the binary merges the routers, puts those with tenants behind a [`TenantLayer`],
//! and hands the whole to [`HttpServer::serve`]. Between processes it is gRPC, see [`grpc`].

pub mod api;
pub mod body;
pub mod grpc;
pub mod ingester;
pub mod metrics;
pub mod overload;
pub mod panic;
pub mod response;
pub mod server;
pub mod tenant;
pub mod trace;

pub use body::{BodyLimits, read_body};
pub use metrics::HttpMetrics;
pub use response::error_response;
pub use server::{Drain, HttpServer, ServerConfig};
pub use tenant::{TENANT_HEADER, Tenant, TenantLayer, TenantResolver};
pub use trace::HttpTraceLayer;
