//! What all processes of a run have in common, and what one of them is made of.

use std::sync::Arc;
use std::time::Duration;

use bucket::Bucket;
use env::{Clock, FileSystem, Scope, SimExecutor};
use membership::{Client, MembershipConfig};
use rpc::grpc::{
    ChannelPool, ClientPolicy, Dial, GrpcConfig, GrpcMetrics, GrpcService, InvalidSecret, Routes,
    ServerPolicy,
};
use settings::{Secret, Setting as _};
use telemetry::Registry;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::draw::Draw;
use crate::mutant::Mutant;
use crate::network::Network;
use crate::node::Role;
use crate::oracle::Oracle;
use crate::storage::Storage;
use crate::trace::Trace;

/// When every run begins, by clocks without skew: 2026-01-01, in milliseconds since the Unix epoch.
pub(crate) const START_MS: i64 = 1_767_225_600_000;
/// Where every process keeps its data.
pub(crate) const DATA: &str = "/data";
/// How long samples are kept.
pub(crate) const RETENTION: Duration = Duration::from_secs(24 * 60 * 60);
/// How many zones have a copy of a sample.
pub(crate) const REPLICATION_FACTOR: u8 = 3;
/// The ring that ingesters are in.
pub(crate) const RING: &str = "ingester";

/// How long leases last that are not renewed.
pub(crate) const LEASE_TTL: Duration = Duration::from_secs(3);
/// How long calls of the metastore may take, and each attempt at one of its nodes.
pub(crate) const CALL_TIMEOUT: Duration = Duration::from_secs(5);
pub(crate) const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a node may say nothing before a view follows another one, and how far behind the node itself may be.
pub(crate) const SILENCE_TIMEOUT: Duration = Duration::from_secs(6);
pub(crate) const MAX_STALENESS: Duration = Duration::from_secs(5);

const SECRET: &str = "known to all machines of the simulation";

/// What all processes of a run share. Clones are the same.
#[derive(Clone)]
pub(crate) struct Site {
    pub(crate) seed: u64,
    pub(crate) executor: SimExecutor,
    pub(crate) network: Network,
    pub(crate) trace: Trace,
    pub(crate) oracle: Oracle,
    /// The names of the machines with a voter of the metastore.
    pub(crate) voters: Arc<Vec<String>>,
    /// What is built wrong in this run.
    pub(crate) mutant: Option<Mutant>,
    /// The bucket, in runs that have one.
    pub(crate) storage: Option<Storage>,
    /// How many series a block is to have at most.
    pub(crate) max_block_series: u64,
}

/// Which of several configurations a process has, within what the rest of the cluster works with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Variant(pub(crate) u64);

impl Variant {
    /// The value that this variant has of a setting, whose number tells it from other settings.
    pub(crate) fn of<T: Copy>(self, setting: u64, values: [T; 3]) -> T {
        let [usual, second, third] = values;
        if self.0 == 0 {
            return usual;
        }
        match xxh3_64_with_seed(&setting.to_le_bytes(), self.0) % 3 {
            0 => usual,
            1 => second,
            _ => third,
        }
    }
}

/// One attempt of a process to run.
#[derive(Clone)]
pub(crate) struct Process {
    pub(crate) site: Site,
    pub(crate) name: String,
    /// Empty for roles that are in no zone.
    pub(crate) zone: String,
    pub(crate) scope: Scope,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) draw: Draw,
    pub(crate) fs: Arc<dyn FileSystem>,
    pub(crate) registry: Registry,
    pub(crate) variant: Variant,
    metrics: GrpcMetrics,
}

impl Process {
    pub(crate) fn new(
        site: &Site,
        (name, zone): (&str, &str),
        scope: Scope,
        clock: Arc<dyn Clock>,
        (draw, fs): (Draw, Arc<dyn FileSystem>),
    ) -> Self {
        let registry = Registry::new();
        let metrics = GrpcMetrics::register(&registry, Arc::clone(&clock));
        let (name, zone) = (name.to_owned(), zone.to_owned());
        let variant = Variant::default();
        Self { site: site.clone(), name, zone, scope, clock, draw, fs, registry, variant, metrics }
    }

    /// Where others reach it.
    pub(crate) fn address(&self) -> String {
        address(&self.name)
    }

    /// The way to others.
    pub(crate) fn dial(&self) -> Result<Arc<dyn Dial>, InvalidSecret> {
        let policy = ClientPolicy::new(&grpc(), self.metrics.clone(), Arc::clone(&self.clock))?;
        Ok(self.site.network.dial(&self.name, policy, &self.scope))
    }

    /// The bucket, where the run has one, as processes of this role have it.
    pub(crate) fn bucket(&self, role: Role) -> Option<Bucket> {
        self.site.storage.as_ref().map(|storage| storage.bucket(self, role))
    }

    /// Serves `routes` to others.
    pub(crate) fn serve(&self, routes: Routes) -> Result<(), InvalidSecret> {
        let policy = ServerPolicy::new(&grpc(), self.metrics.clone(), Arc::clone(&self.clock))?;
        self.site.network.listen(&self.address(), &self.scope, GrpcService::new(routes, policy));
        Ok(())
    }

    /// A client of the metastore.
    pub(crate) fn client(&self, dial: &Arc<dyn Dial>) -> Client {
        let config = MembershipConfig {
            addresses: self.site.voters.iter().map(|name| address(name)).collect(),
            call_timeout: CALL_TIMEOUT,
            attempt_timeout: ATTEMPT_TIMEOUT,
            lease_ttl: LEASE_TTL,
            save_interval: Duration::from_millis(200),
            silence_timeout: SILENCE_TIMEOUT,
            max_staleness: MAX_STALENESS,
        };
        let pool = Arc::new(ChannelPool::new(Arc::clone(dial)));
        Client::new(config, pool, Arc::clone(&self.clock), self.draw.rng(), &self.registry)
    }
}

/// gRPC as all processes are told.
pub(crate) fn grpc() -> GrpcConfig {
    GrpcConfig { cluster_secret: Secret::parse(SECRET).unwrap_or_default(), ..GrpcConfig::default() }
}

/// Where a machine is reached.
pub(crate) fn address(machine: &str) -> String {
    format!("{machine}:9095")
}
