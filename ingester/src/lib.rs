//! The ingester: takes samples in, keeps them safe in a write-ahead log, and serves recent data from an in-memory head
//! shared by all tenants. When it leaves, it hands over what it has to those who own it then. Nothing here knows about other
//! roles or connections, and only [`presence`], which a process composes around an ingester, about the metastore.

mod blocks;
mod canonical;
mod cardinality;
mod chains;
mod checksums;
mod chunk_cache;
mod chunk_reader;
mod chunk_store;
mod codec;
mod config;
mod data_dir;
mod disk_watch;
mod error;
mod gate;
mod hand_over;
mod head;
pub mod http;
mod identity;
mod index;
mod lost;
mod maintenance;
mod metrics;
pub mod presence;
mod push;
mod read_buffers;
mod record;
mod recovery;
mod select;
mod service;
mod snapshot;
mod standing;
mod take_over;

pub use config::{IngesterConfig, Limits, WalSync};
pub use error::StartError;
pub use hand_over::{HandOverError, HandedOver};
pub use identity::{Identity, Wishes};
pub use presence::Presence;
pub use service::{Deps, Ingester, Restored};

#[cfg(test)]
mod tests;
