//! The ingester: takes samples in, keeps them safe in a write-ahead log, and serves recent data from an in-memory head
//! shared by all tenants. Nothing here knows about HTTP, the ring, or other roles.

mod canonical;
mod cardinality;
mod chains;
mod chunk_reader;
mod chunk_store;
mod codec;
mod config;
mod data_dir;
mod error;
mod gate;
mod head;
mod identity;
mod index;
mod lost;
mod maintenance;
mod metrics;
mod push;
mod record;
mod recovery;
mod select;
mod service;
mod snapshot;
mod standing;

pub use config::{IngesterConfig, Limits, WalSync};
pub use error::StartError;
pub use identity::{Identity, Wishes};
pub use service::{Deps, Ingester, Restored};

#[cfg(test)]
mod tests;
