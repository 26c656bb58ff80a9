//! The metastore as processes of the cluster see it.
//!
//! * [`Client`]: calls, with failover between nodes, the leader's address remembered, and retries within a budget.
//! * [`Watcher`]: a [`View`] of the records under some prefixes, kept current, and kept on disk, so that a process
//!   starts with its last view while the metastore is down.
//! * [`LeaseHolder`]: the process' own lease, registered and renewed.
//! * [`records`]: what is under which key, with its type.
//!
//! Nothing here knows the ring: whoever needs one makes it from a view.

mod client;
mod config;
mod lease;
mod metrics;
pub mod records;
mod saved;
mod view;
mod watcher;

pub use client::{Client, WatchStream};
pub use config::MembershipConfig;
pub use lease::{Held, LeaseHolder};
pub use saved::SavedViewError;
pub use view::{Changed, View, ViewError};
pub use watcher::{Watcher, WatcherDeps};
