//! A process with a compactor.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ::compactor::{Compactor, CompactorConfig, CompactorLimits, Deps, Leased, LeasedDeps};
use bytes::Bytes;
use membership::records::LEASES;
use membership::{Ownership, OwnershipDeps};
use settings::Overrides;

use super::front::lease;
use super::{BootError, Part, Role, surroundings};
use crate::mutant::Mutant;
use crate::site::{DATA, Process, REPLICATION_FACTOR};
use crate::storage::{DELETION_DELAY, LADDER};

/// How much longer than the moment in which a job is finished the lease has to hold.
const MARGIN: Duration = Duration::from_millis(300);

/// Looks often, so that a run has many rounds, and waits only as long as ingesters take.
fn config(process: &Process) -> CompactorConfig {
    let deletes_early = process.site.mutant == Some(Mutant::DeletesEarly);
    CompactorConfig {
        interval: Duration::from_secs(2),
        ranges: LADDER.to_vec(),
        wait: Duration::from_secs(6),
        settle: Duration::from_secs(2),
        deletion_delay: if deletes_early { Duration::ZERO } else { DELETION_DELAY },
        list_interval: Duration::from_secs(6),
        partial_after: Duration::from_secs(20),
        concurrency: process.variant.of(1, [1, 2, 3]),
        retry_wait: Duration::from_secs(1),
        lease_margin: MARGIN,
        ..CompactorConfig::default()
    }
}

pub(super) async fn boot(process: Process) -> Result<Part, BootError> {
    let Some(bucket) = process.bucket(Role::Compactor) else { return Err(BootError::NoBucket) };
    let around = surroundings(&process, vec![Bytes::from_static(LEASES.as_bytes())]).await?;
    let lease = lease(&process, Role::Compactor, &around);
    let owning = OwnershipDeps {
        lease: lease.clone(),
        instance: process.name.as_str().into(),
        clock: Arc::clone(&process.clock),
        scope: process.scope.child("owners"),
        margin: MARGIN,
    };
    let ownership = Ownership::start(Role::Compactor.name(), &around.watcher, owning);
    let leased = Leased::new(LeasedDeps {
        client: around.client,
        ownership,
        lease: lease.clone(),
        instance: process.name.clone(),
        clock: Arc::clone(&process.clock),
        margin: MARGIN,
    });
    let limits = CompactorLimits {
        // With few series a block, tenants are divided.
        compactor_max_block_series: process.site.max_block_series,
        ..CompactorLimits::default()
    };
    let deps = Deps {
        fs: Arc::clone(&process.fs),
        clock: Arc::clone(&process.clock),
        rng: process.draw.rng(),
        scope: process.scope.child("compactor"),
        registry: process.registry.clone(),
        dir: Path::new(DATA).join("compactor"),
        bucket,
        limits: Overrides::fixed(limits),
        replicas: u32::from(REPLICATION_FACTOR),
        owners: Arc::new(leased),
    };
    let compactor = Compactor::build(config(&process), deps);
    compactor.start();
    Ok(Part::Compactor(lease))
}
