//! A process with a voter of the metastore.

use std::sync::Arc;
use std::time::Duration;

use ::metastore::store::MemoryEngine;
use ::metastore::{Deps, Metastore, MetastoreConfig, Peer};

use super::{BootError, Part};
use crate::site::{Process, address, grpc};

pub(super) async fn boot(process: Process, engine: MemoryEngine) -> Result<Part, BootError> {
    let peer = |name: &String| Peer { name: name.clone(), address: address(name) };
    let config = MetastoreConfig {
        name: process.name.clone(),
        voters: process.site.voters.iter().map(peer).collect(),
        // Small enough that a run of a minute has snapshots.
        snapshot_entries: process.variant.of(1, [60, 20, 200]),
        kept_entries: process.variant.of(2, [20, 5, 50]),
        watch_progress_interval: Duration::from_secs(2),
        ..MetastoreConfig::default()
    };
    let deps = Deps {
        engine: Arc::new(engine),
        clock: Arc::clone(&process.clock),
        rng: process.draw.rng(),
        scope: process.scope.clone(),
        registry: process.registry.clone(),
        dial: process.dial()?,
        address: process.address(),
        max_message_bytes: grpc().max_message_bytes(),
    };
    let metastore = Metastore::start(config, deps).await?;
    process.serve(metastore.routes())?;
    Ok(Part::Metastore(metastore))
}
