//! Three ingesters in three zones behind a distributor, of which one misses some writes; and one ingester that misses nothing, whose
//! samples never leave it: what others answer is compared with what is in it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bucket::Bucket;
use distributor::{Distributor, DistributorConfig, WriteLimits};
use env::{Clock, CrashMode, ManualClock, Scope, SeededRng, SimFs};
use ingester::{Ingester, IngesterConfig, Limits};
use model::TenantId;
use proto::{
    Error, IngesterRead, IngesterWrite, PushRequest, PushResponse, Version, Write as _, WriteRequest,
};
use querier::{
    Blocks, BlocksConfig, BlocksDeps, FixedIngesters, Ingesters, Querier, QuerierConfig, QuerierLimits,
    ZoneDeps, ZoneIngesters,
};
use ring::{Instance, InstanceId, Quorum, Ring, RingView};
use settings::Overrides;
use telemetry::Registry;
use tokio::sync::watch;

use crate::data::{Row, body};

/// How long samples are kept.
const RETENTION: Duration = Duration::from_secs(10 * 86_400);
const ZONES: [&str; 3] = ["a", "b", "c"];

/// Ingesters, and the way to write to them.
pub(crate) struct Cluster {
    pub(crate) ingesters: Vec<Member>,
    view: Arc<RingView>,
    distributor: Arc<Distributor>,
    clock: ManualClock,
}

/// An ingester.
pub(crate) struct Member {
    pub(crate) ingester: Ingester,
    scope: Scope,
    fs: SimFs,
    pub(crate) registry: Registry,
    /// Whether it misses what is written now.
    pub(crate) is_away: Arc<AtomicBool>,
}

/// An ingester as the distributor has it.
struct Reached {
    ingester: Ingester,
    is_away: Arc<AtomicBool>,
}

#[async_trait]
impl IngesterWrite for Reached {
    async fn push(&self, request: PushRequest) -> Result<PushResponse, Error> {
        if self.is_away.load(Ordering::Relaxed) {
            return Err(Error::unavailable("it is away", Duration::from_secs(1)));
        }
        self.ingester.push(request).await
    }
}

impl Cluster {
    /// Ingesters in as many zones as there are buckets for them, `None` for one that keeps all it has.
    pub(crate) async fn start(clock: &ManualClock, buckets: Vec<Option<Bucket>>) -> Self {
        let disks = (1..).take(buckets.len()).map(SimFs::new).collect();
        Self::start_on(clock, buckets, (1, disks)).await
    }

    /// The same, on these disks, with random numbers from this seed on.
    pub(crate) async fn start_on(
        clock: &ManualClock,
        buckets: Vec<Option<Bucket>>,
        (seed, disks): (u64, Vec<SimFs>),
    ) -> Self {
        let names = ZONES.iter().take(buckets.len()).map(|zone| InstanceId::new(&format!("ingester-{zone}")));
        let places = names.clone().zip(ZONES).map(|(id, zone)| (id, Some(Arc::from(zone))));
        let quorum = Quorum::at_bootstrap(3, buckets.len());
        let ring = Ring::new(Instance::all_active(places), quorum).expect("places make a ring");
        let view = Arc::new(RingView::fixed(ring));
        let mut members = Vec::new();
        for (((number, bucket), id), fs) in (seed..).zip(buckets).zip(names.clone()).zip(disks) {
            members.push(Member::start(clock, number, id.as_str(), (bucket, fs)).await);
        }
        let writers = names.zip(&members).map(|(id, member)| {
            let reached = Reached { ingester: member.ingester.clone(), is_away: Arc::clone(&member.is_away) };
            (id, Arc::new(reached) as Arc<dyn IngesterWrite>)
        });
        let deps = distributor::Deps {
            clock: Arc::new(clock.clone()),
            scope: Scope::simulated("distributor"),
            registry: Registry::new(),
            ingesters: Arc::new(writers.collect::<BTreeMap<_, _>>()),
            view: watch::channel(Arc::clone(&view)).1,
            limits: Overrides::fixed(WriteLimits::default()),
        };
        let distributor = Distributor::build(DistributorConfig::default(), deps);
        Self { ingesters: members, view, distributor, clock: clock.clone() }
    }

    /// Writes rows, which have to be taken whole.
    pub(crate) async fn write(&self, tenant: &TenantId, rows: &[Row]) {
        let request = WriteRequest { tenant: tenant.clone(), version: Version::V1, body: body(rows) };
        let answer = self.distributor.write(request).await.expect("a quorum is there");
        assert_eq!(answer.error, None, "tenant {tenant}");
    }

    /// Ends all of it as a crash does; what the disks have then.
    pub(crate) async fn crash(self, mode: CrashMode) -> Vec<SimFs> {
        drop(self.distributor);
        let mut disks = Vec::new();
        for Member { ingester, scope, fs, .. } in self.ingesters {
            scope.abort();
            drop(ingester);
            scope.join(&self.clock, Duration::from_secs(3_600)).await;
            disks.push(fs.crash(mode));
        }
        disks
    }

    /// A querier that knows nothing yet, over these ingesters, and over blocks if there is a bucket.
    pub(crate) fn querier(&self, bucket: Option<Bucket>, fs: &SimFs) -> Querier {
        let readers = |config: &_, clock: &_, registry: &_| self.readers(config, clock, registry);
        self.querier_over(readers, bucket, fs).0
    }

    /// A querier over others who read in their place, and its metrics.
    pub(crate) fn querier_over(
        &self,
        readers: impl FnOnce(&QuerierConfig, &Arc<dyn Clock>, &Registry) -> Arc<dyn Ingesters>,
        bucket: Option<Bucket>,
        fs: &SimFs,
    ) -> (Querier, Registry) {
        let (registry, scope) = (Registry::new(), Scope::simulated("querier"));
        let clock: Arc<dyn Clock> = Arc::new(self.clock.clone());
        let blocks = bucket.map(|bucket| {
            let deps = BlocksDeps {
                bucket,
                clock: Arc::clone(&clock),
                scope: scope.clone(),
                registry: registry.clone(),
                fs: Arc::new(fs.clone()),
                dir: PathBuf::from("/querier/blocks"),
            };
            Blocks::new(BlocksConfig::default(), deps)
        });
        let config =
            QuerierConfig { active_query_log: false, compute_threads: 1, ..QuerierConfig::default() };
        let deps = querier::Deps {
            ingesters: readers(&config, &clock, &registry),
            blocks,
            limits: Overrides::fixed(QuerierLimits::default()),
            clock,
            scope,
            registry: registry.clone(),
            fs: Arc::new(fs.clone()),
            dir: PathBuf::from("/querier"),
        };
        (Querier::build(config, deps), registry)
    }

    fn readers(
        &self,
        config: &QuerierConfig,
        clock: &Arc<dyn Clock>,
        registry: &Registry,
    ) -> Arc<dyn Ingesters> {
        let own = |member: &Member| Arc::new(member.ingester.clone()) as Arc<dyn IngesterRead>;
        if let [only] = self.ingesters.as_slice() {
            return Arc::new(FixedIngesters::new(vec![own(only)]));
        }
        let ids = self.view.ring().instances().iter().map(|instance| instance.id.clone());
        let by_zone =
            self.ingesters.iter().zip(ZONES).map(|(member, zone)| (format!("ingester-{zone}"), own(member)));
        let by_zone: BTreeMap<String, Arc<dyn IngesterRead>> = by_zone.collect();
        let readers = ids.filter_map(|id| Some((id.clone(), Arc::clone(by_zone.get(id.as_str())?))));
        let deps = ZoneDeps {
            view: watch::channel(Arc::clone(&self.view)).1,
            readers: Arc::new(readers.collect::<BTreeMap<_, _>>()),
            clock: Arc::clone(clock),
            registry: registry.clone(),
            retention: RETENTION,
        };
        Arc::new(ZoneIngesters::new(config, deps))
    }
}

impl Member {
    async fn start(
        clock: &ManualClock,
        number: u64,
        name: &str,
        (bucket, fs): (Option<Bucket>, SimFs),
    ) -> Self {
        let (registry, scope) = (Registry::new(), Scope::simulated(name));
        let deps = ingester::Deps {
            fs: Arc::new(fs.clone()),
            clock: Arc::new(clock.clone()),
            scope: scope.clone(),
            registry: registry.clone(),
            dir: PathBuf::from("/ingester"),
            retention: RETENTION,
            limits: Overrides::fixed(Limits {
                out_of_order_time_window: Duration::from_secs(2 * 3_600),
                ..Limits::default()
            }),
            instance: name.to_owned(),
            rng: Arc::new(SeededRng::new(number)),
            bucket,
        };
        // What has been cut is shipped at once rather than within two minutes.
        let config =
            IngesterConfig { block_upload_jitter: Duration::from_millis(1), ..IngesterConfig::default() };
        let ingester = Ingester::start(config, deps).await.expect("an empty disk is no problem");
        Self { ingester, scope, fs, registry, is_away: Arc::default() }
    }

    /// The value of a metric without labels.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        metric(&self.registry, name)
    }
}

/// The value of a metric without labels.
pub(crate) fn metric(registry: &Registry, name: &str) -> f64 {
    let text = registry.encode_openmetrics();
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok());
    value.unwrap_or_else(|| panic!("there is no {name} in {text}"))
}
