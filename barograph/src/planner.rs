//! The planner of tenants' shards in this process: every distributor has one, and one of them plans at a time.

use std::sync::Arc;

use membership::shards::{self, AskIngesters, ShardsDeps};
use proto::IngesterReaders;

use crate::cluster::Cluster;
use crate::compose::Parts;

/// Starts the planner as soon as this process has its lease. `ingesters` are asked how many series tenants have.
pub(crate) fn start(parts: &Parts, cluster: &Cluster, ingesters: Arc<dyn IngesterReaders>) {
    let scope = parts.scope.child("planner");
    let asked = AskIngesters { readers: ingesters, clock: Arc::clone(&parts.clock), scope: scope.clone() };
    let config = parts.config.shards.clone();
    let (client, watcher, rings) = (cluster.client(), cluster.watcher(), cluster.view());
    let (instance, keep) = (parts.name.clone(), parts.config.process.retention);
    let lease = cluster.lease();
    let within = scope.clone();
    // It ends with its scope; nobody waits for it.
    drop(scope.spawn("planner", async move {
        let (lease, counts) = (lease.await, Arc::new(asked));
        let held = Box::new(move || lease.held());
        shards::start(
            config,
            ShardsDeps { client, watcher, rings, held, instance, counts, keep, scope: within },
        );
    }));
}
