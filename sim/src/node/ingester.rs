//! A process with an ingester.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ::ingester::{Deps, Ingester, IngesterConfig, Limits, Presence};
use membership::{Lifecycle, Place};
use proto::LateIngester;
use proto::metastore::Lease;
use ring::{InstanceId, State};
use rpc::grpc::{Dial, Routes};
use rpc::ingester::{IngesterService, RemoteIngesters, TakeOverService};
use settings::{ByteSize, Overrides};

use super::{BootError, Part, Role, surroundings};
use crate::mutant::Mutant;
use crate::site::{DATA, Process, RETENTION, RING, Site, Variant, grpc};
use crate::storage::WINDOW;

/// How long an ingester that is new in its ring takes no writes: longer than a watch may be silent.
const JOIN_WAIT: Duration = Duration::from_secs(8);
/// How long handing over may take.
const HAND_OVER_TIMEOUT: Duration = Duration::from_secs(60);

/// An ingester that has its place.
#[derive(Clone)]
pub(crate) struct RunningIngester {
    site: Site,
    ingester: Ingester,
    presence: Presence,
    dial: Arc<dyn Dial>,
    rng: Arc<dyn env::Rng>,
    /// Whether it was asked to leave.
    leaving: Arc<AtomicBool>,
}

impl RunningIngester {
    /// Stops as a process does that was asked to.
    pub(crate) async fn stop(&self) {
        self.presence.lifecycle.pause().await;
        self.ingester.stop().await;
    }

    /// Hands over what it has and leaves the ring. Whether it has. As a process does that once, at its end, whoever asks again
    /// has no effect.
    pub(crate) async fn leave(&self) -> bool {
        if self.leaving.swap(true, Ordering::Relaxed) {
            return false;
        }
        let (dial, view) = (Arc::clone(&self.dial), self.presence.view.clone());
        let all = RemoteIngesters::new(dial, view, Arc::clone(&self.rng));
        let successors = self.site.successors(all);
        self.presence.leave(&self.ingester, &*successors, HAND_OVER_TIMEOUT).await
    }
}

/// Writes that wait for the log take up at most so many bytes.
pub(crate) const MAX_PENDING_BYTES: u64 = 64 << 10;

/// How long samples stay with ingesters that are in the bucket: as long as clocks may differ.
const BLOCK_KEEP: Duration = Duration::from_secs(4);

/// Snapshots often, so that a run of a minute has many; a small queue, so that bursts overflow it.
fn config(variant: Variant) -> IngesterConfig {
    let default = IngesterConfig::default();
    IngesterConfig {
        snapshot_interval: Duration::from_secs(variant.of(1, [6, 2, 15])),
        snapshot_wal_size: ByteSize(variant.of(2, [512 << 20, 4 << 10, 16 << 10])),
        chunk_cache_size: ByteSize(variant.of(3, [8 << 20, 0, 1 << 20])),
        wal_max_pending: ByteSize(MAX_PENDING_BYTES),
        block_range: WINDOW,
        block_delay: Some(Duration::from_secs(1)),
        block_late_delay: Duration::from_secs(2),
        // Shipping is asked for when something was cut, and else every half minute.
        block_upload_jitter: Duration::from_millis(1),
        block_keep: BLOCK_KEEP,
        ..default
    }
}

/// With a bucket samples may come late.
fn limits(process: &Process) -> Limits {
    let default = Limits::default();
    match process.site.storage {
        Some(_) => Limits { out_of_order_time_window: Duration::from_secs(60), ..default },
        None => default,
    }
}

pub(super) async fn boot(process: Process) -> Result<Part, BootError> {
    let around = surroundings(&process, Vec::new()).await?;
    let (name, zone) = (process.name.clone(), process.zone.clone());
    let addresses = BTreeMap::from([("grpc".to_owned(), process.address())]);
    let lease = Lease {
        instance: name.clone(),
        roles: vec![Role::Ingester.name().to_owned()],
        zone: zone.clone(),
        addresses: addresses.clone(),
        ..Lease::default()
    };
    let place = Place { ring: RING.to_owned(), instance: name.clone(), zone, addresses };
    let first = Presence::joining(&*process.clock, RETENTION);
    let scope = process.scope.child("membership");
    let lifecycle = Lifecycle::start(around.client, around.watcher, place, lease, first, &scope)?;
    let late = LateIngester::new();
    let (max, shared) = (grpc().max_message_bytes(), Arc::new(late.clone()));
    let routes = Routes::new(IngesterService::serve(Arc::clone(&shared), max))
        .add_service(TakeOverService::serve(shared, max));
    process.serve(routes)?;
    let deps = Deps {
        fs: Arc::clone(&process.fs),
        clock: Arc::clone(&process.clock),
        scope: process.scope.child("ingester"),
        registry: process.registry.clone(),
        dir: Path::new(DATA).join("ingester"),
        retention: RETENTION,
        limits: Overrides::fixed(limits(&process)),
        instance: name.clone(),
        rng: process.draw.rng(),
        bucket: process.bucket(Role::Ingester),
    };
    let ingester = Ingester::start_as(State::Joining, config(process.variant), deps).await?;
    late.set(Arc::new(ingester.clone()));
    let presence = Presence {
        instance: InstanceId::new(&name),
        lifecycle,
        view: around.view,
        clock: Arc::clone(&process.clock),
        scope: process.scope.clone(),
        join_wait: JOIN_WAIT,
    };
    presence.join(&ingester).await?;
    if process.site.mutant == Some(Mutant::LostRangeUnpublished) {
        // As though its record said that nothing was.
        let _ = ingester.published(Vec::new()).await;
    }
    let (dial, rng) = (around.dial, process.draw.rng());
    let leaving = Arc::default();
    Ok(Part::Ingester(Box::new(RunningIngester {
        site: process.site,
        ingester,
        presence,
        dial,
        rng,
        leaving,
    })))
}
