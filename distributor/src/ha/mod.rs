//! Pairs of Prometheus servers that scrape the same: of each pair, one replica's samples are taken.
//!
//! The first replica that is seen is elected; another is once the elected one has been silent for the failover timeout.
//! Elections are in the memory of the one process that there is, or, where distributors are many, in the metastore.

mod memory;
mod metastore;
mod pairs;

use std::time::Duration;

use async_trait::async_trait;
use model::TenantId;

pub(crate) use memory::MemoryHaTracker;
pub use metastore::{MetastoreHaTracker, MetastoreHaTrackerDeps};

/// What to do with a sample of a replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Election {
    /// Its replica is elected: take it.
    Elected,
    /// Another replica is: leave it out.
    NotElected,
    /// The tenant has too many pairs already.
    TooManyClusters,
    /// Nobody is, or not any more: [`HaTracker::elect`] has to be awaited first.
    Undecided,
}

/// Who decides which replica of an HA pair is the one.
#[async_trait]
pub trait HaTracker: Send + Sync {
    /// Notes that `replica` of the pair `cluster` was heard of at `now` (monotonic), and says whether it is elected.
    fn observe(
        &self,
        tenant: &TenantId,
        cluster: &str,
        replica: &str,
        max_clusters: usize,
        now: Duration,
    ) -> Election;

    /// Sees to it that a pair of which [`HaTracker::observe`] did not know has an election: with `replica`, unless
    /// somebody else was faster.
    async fn elect(&self, tenant: &TenantId, cluster: &str, replica: &str, max_clusters: usize);
}
