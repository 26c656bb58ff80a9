//! Processes without data: distributors and queriers.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use distributor::{Distributor, DistributorConfig, WriteLimits};
use membership::LeaseHolder;
use membership::shards::{self, AskIngesters, ShardsConfig, ShardsDeps};
use proto::metastore::Lease;
use querier::{
    Blocks, BlocksConfig, BlocksDeps, Querier, QuerierConfig, QuerierLimits, ZoneDeps, ZoneIngesters,
};
use rpc::ingester::RemoteIngesters;
use settings::{ByteSize, Overrides};

use super::{BootError, Part, Role, Surroundings, job, surroundings};
use crate::site::{DATA, Process, RETENTION};

/// Writes under way in one distributor; few, so that bursts are more.
pub(crate) const MAX_PUSHES: usize = 12;
/// Queries under way in one querier.
const MAX_QUERIES: usize = 2;
/// Queries that wait in one querier.
pub(crate) const MAX_QUEUED: usize = 4;

pub(super) fn lease(process: &Process, role: Role, around: &Surroundings) -> LeaseHolder {
    let roles = vec![role.name().to_owned()];
    let lease = Lease { instance: process.name.clone(), roles, ..Lease::default() };
    LeaseHolder::start(around.client.clone(), lease, &process.scope.child("membership"))
}

fn remote(process: &Process, around: &Surroundings) -> RemoteIngesters {
    RemoteIngesters::new(Arc::clone(&around.dial), around.view.clone(), process.draw.rng())
}

pub(super) async fn distributor(process: Process) -> Result<Part, BootError> {
    let around = surroundings(&process, shards::prefixes()).await?;
    let deps = distributor::Deps {
        clock: Arc::clone(&process.clock),
        scope: process.scope.child("distributor"),
        registry: process.registry.clone(),
        ingesters: process.site.writers(remote(&process, &around), &process.scope),
        view: around.view.clone(),
        limits: Overrides::fixed(WriteLimits::default()),
    };
    let config = DistributorConfig {
        max_inflight_push_requests: MAX_PUSHES,
        remote_timeout: Duration::from_secs(process.variant.of(1, [10, 2, 5])),
        ..DistributorConfig::default()
    };
    let distributor = Distributor::build(config, deps);
    let lease = lease(&process, Role::Distributor, &around);
    job::start(&process, around.client.clone(), lease.clone());
    plan_shards(&process, around, lease.clone());
    Ok(Part::Distributor(distributor, lease))
}

/// Every distributor has a planner of tenants' shards, and one of them plans at a time.
fn plan_shards(process: &Process, around: Surroundings, lease: LeaseHolder) {
    let readers = Arc::new(remote(process, &around));
    let scope = process.scope.child("planner");
    let counts = AskIngesters { readers, clock: Arc::clone(&process.clock), scope: scope.clone() };
    let config = ShardsConfig { interval: Duration::from_secs(5), ..ShardsConfig::default() };
    let Surroundings { client, watcher, view: rings, .. } = around;
    let (held, counts) = (Box::new(move || lease.held()), Arc::new(counts));
    let instance = process.name.clone();
    let deps = ShardsDeps { client, watcher, rings, held, instance, counts, keep: RETENTION, scope };
    shards::start(config, deps);
}

/// The blocks of the bucket, if there is one.
fn blocks(process: &Process) -> Option<Blocks> {
    let config = BlocksConfig {
        read_marked_for: Duration::from_secs(6),
        header_idle: Duration::from_secs(10),
        header_disk: ByteSize(process.variant.of(21, [1 << 20, 0, 3000])),
        cache_memory: ByteSize(process.variant.of(22, [1 << 20, 20_000, 0])),
        cache_disk: ByteSize(process.variant.of(23, [1 << 20, 30_000, 0])),
        max_parallel_opens: process.variant.of(24, [16, 1, 3]),
        ..BlocksConfig::default()
    };
    let deps = BlocksDeps {
        bucket: process.bucket(Role::Querier)?,
        clock: Arc::clone(&process.clock),
        scope: process.scope.clone(),
        registry: process.registry.clone(),
        fs: Arc::clone(&process.fs),
        dir: Path::new(DATA).join("querier").join("blocks"),
    };
    Some(Blocks::new(config, deps))
}

pub(super) async fn querier(process: Process) -> Result<Part, BootError> {
    let around = surroundings(&process, Vec::new()).await?;
    let config = QuerierConfig {
        active_query_log: false,
        max_concurrent: MAX_QUERIES,
        max_queued: MAX_QUEUED,
        zone_hedge_after: Duration::from_millis(process.variant.of(1, [500, 20, 2000])),
        ..QuerierConfig::default()
    };
    let zones = ZoneDeps {
        view: process.site.view_of_querier(around.view.clone(), &process.scope),
        readers: process.site.readers(remote(&process, &around)),
        clock: Arc::clone(&process.clock),
        registry: process.registry.clone(),
        retention: RETENTION,
    };
    let deps = querier::Deps {
        ingesters: Arc::new(ZoneIngesters::new(&config, zones)),
        blocks: blocks(&process),
        limits: Overrides::fixed(QuerierLimits::default()),
        clock: Arc::clone(&process.clock),
        scope: process.scope.clone(),
        registry: process.registry.clone(),
        fs: Arc::clone(&process.fs),
        dir: Path::new(DATA).join("querier"),
    };
    let querier = Querier::build(config, deps);
    Ok(Part::Querier(querier, lease(&process, Role::Querier, &around)))
}
