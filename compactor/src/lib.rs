//! The compactor: what ingesters ship becomes few large blocks, each sample once; what is too old goes; what nobody reads any
//! more is removed; what is broken is set aside and said.
//!
//! What is to be done is decided in `compact`, from the bucket's index alone; blocks are merged in `block`. Here that is
//! carried out, so that a crash between any two steps loses nothing and a second compactor at the same work does no harm: new blocks
//! are complete and read back before the index has them, and one conditional write of the index puts them there and marks
//! what they replace, only if all of that is still there. Nothing here knows of ingesters or queriers, or who may reach it.

mod catalog;
mod check;
mod clean;
mod config;
mod error;
mod http;
mod job;
mod metrics;
mod open;
mod owners;
mod service;
mod status;
mod tenant;
mod tenant_deletion;

pub use config::{CompactorConfig, CompactorLimits};
pub use error::CompactError;
pub use owners::{Alone, Hold, Leased, LeasedDeps, Owners};
pub use service::{Compactor, Deps};
pub use status::{JobStatus, Status, TenantStatus};
pub use tenant::Looked;
