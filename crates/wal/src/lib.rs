//! The write-ahead log that all tenants of an ingester share: segments, group commit, recovery.
//!
//! A record is bytes plus the hull of its sample times; what is in it, the owner knows. Records are appended from
//! anywhere, committed in groups with one write and one sync each, and then handed to the owner's [`Apply`] in log
//! order, the order in which [`recover`] hands them out again. The format is drawn in `docs/formats/wal.md`.

mod config;
mod error;
mod format;
mod gather;
mod log;
mod metrics;
mod position;
mod queue;
mod recover;
mod scan;
mod segment;
mod task;
mod worker;
mod writer;

pub use config::{ConfigError, SyncMode, WalConfig};
pub use error::{AppendError, CommitError, OpenError, Operation, RecoverError, TruncateError};
pub use log::{Apply, InOrder, Ticket, Wal, WalDeps};
pub use metrics::WalMetrics;
pub use position::{Position, TimeHull};
pub use recover::{Damage, DamageReason, Recovery, recover};
