//! The metastore as processes of the cluster see it.
//!
//! * [`Client`]: calls, with failover between nodes, the leader's address remembered, and retries within a budget.
//! * [`Watcher`]: a [`View`] of the records under some prefixes, kept current, and kept on disk, so that a process
//!   starts with its last view while the metastore is down.
//! * [`LeaseHolder`]: the process' own lease, registered and renewed.
//! * [`Ownership`]: which units of work are this process', fenced by its lease; [`Share`]: the same where two at once would be
//!   seen outside, with the metastore gone, too.
//! * [`Peers`]: the way to the other processes of a role.
//! * [`records`]: what is under which key, with its type.
//! * [`rings`]: from a view to the ring that roles work with.
//! * [`shards`]: the planner of how many ingesters tenants use.
//! * [`Lifecycle`]: the place of this process in a ring, from joining to leaving.

mod client;
mod config;
mod lease;
mod lifecycle;
mod metrics;
mod ownership;
mod peers;
pub mod records;
pub mod rings;
mod saved;
pub mod shards;
mod share;
mod view;
mod watcher;

pub use client::{Client, WatchStream};
pub use config::MembershipConfig;
pub use lease::{Held, LeaseHolder};
pub use lifecycle::{Announcement, Lifecycle, Place, WrongPlace};
pub use ownership::{Grant, Ownership, OwnershipDeps, live};
pub use peers::{Peers, STANDING_TIMEOUT};
pub use saved::SavedViewError;
pub use share::{Addresses, HEARD, Heard, Own, Share, Steady, addresses};
pub use view::{Changed, View, ViewError};
pub use watcher::{Watcher, WatcherDeps};
