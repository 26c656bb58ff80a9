//! The metastore: the control plane's memory. Who is there (leases), what was agreed (records), and everybody told of
//! changes (watches), replicated over one, three or five nodes by Raft, kept in RocksDB.
//!
//! * `state`: the state machine, pure.
//! * `store`: log and state on disk, openraft's storage.
//! * `raft`: what nodes say to each other.
//! * `node`: starting, founding or joining a cluster, leading. `service`, `watch`: what others ask of a node.
//!
//! Nothing here is called per write or query of the data plane, which goes on without it.

mod admin;
mod config;
mod convert;
mod error;
mod gate;
mod leases;
mod metrics;
mod node;
mod observe;
mod raft;
mod refused;
mod restore;
mod runtime;
mod service;
pub mod state;
mod status;
pub mod store;
pub mod types;
mod watch;

pub use config::{MetastoreConfig, Peer};
pub use error::StartError;
pub use node::{Deps, Metastore};
pub use restore::{RestoreError, Restored, check_backup, restore};
pub use runtime::{Context, ScopedRuntime};
