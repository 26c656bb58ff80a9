//! The ruler: it evaluates rules on time, writes what they record, and tells Alertmanagers what they alert of.
//!
//! What rules mean is in the crate `rules`, which decides and does nothing. Here is who does: [`Ruler`] reads files, keeps what
//! tenants set by the API that Mimir has for it, and runs a task for each group; a task asks the querier, hands results to the
//! group, writes what comes out through the distributor, and gives alerts to the queues of Alertmanagers. Queriers,
//! distributors and Alertmanagers are known as [`proto`]'s traits only. In a cluster, what tenants set is in the metastore, and
//! groups are shared out among all rulers.

mod config;
mod error;
mod evaluate;
mod files;
mod group;
mod http;
mod metrics;
mod notify;
mod restore;
mod running;
mod service;
mod shares;
mod stored;
mod takeover;
mod taking;
mod template_queries;
mod told;
mod turns;
mod write;

pub use config::{RulerConfig, RulerLimits};
pub use error::{LoadError, StartError};
pub use notify::{Alertmanagers, Discover, NameServers, Target};
pub use service::{Deps, Ruler};
pub use shares::{ClusterDeps, RulerService};
