//! The HTTP side of every role: tenant resolution, bodies within bounds, error responses, and the headers of the
//! Prometheus API. It knows nothing of writes, queries or storage.

pub mod api;
pub mod body;
pub mod panic;
pub mod response;
pub mod tenant;

pub use body::{BodyLimits, read_body};
pub use response::error_response;
pub use tenant::{TENANT_HEADER, Tenant, TenantLayer, TenantResolver};
