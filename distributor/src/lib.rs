//! The distributor: the front door for writes. It validates, limits, deduplicates, relabels and hashes series, and
//! replicates each to the ingesters that the ring names. It keeps nothing: what it has answered with success is on a
//! quorum of ingesters.
//!
//! The way of a write: [`http`] negotiates and bounds, [`Distributor`] decompresses, the walk makes frames of
//! series in place and groups them by ingester, the push sends the groups and combines the answers series by series.
//! Nothing here knows what an ingester does with a series.

mod config;
mod error;
mod ha;
mod inflight;
mod metrics;
mod negotiate;
mod push;
mod rate;
mod service;
mod tenants;
mod walk;

pub mod http;

pub use config::{DistributorConfig, WriteLimits};
pub use error::WriteError;
pub use ha::{Election, HaTracker, MetastoreHaTracker, MetastoreHaTrackerDeps};
pub use service::{Deps, Distributor};
