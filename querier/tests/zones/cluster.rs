//! Nodes in a ring, written to as a distributor writes, and read through [`ZoneIngesters`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use env::{Clock, ManualClock};
use futures::StreamExt;
use futures::future::BoxFuture;
use model::{Labels, Matcher, SeriesHash, TenantSeed, TimeRange};
use parking_lot::Mutex;
use proto::{Code, Error, IngesterRead, SelectRequest};
use querier::{QuerierConfig, ZoneDeps, ZoneIngesters};
use ring::{Instance, InstanceId, LostRange, Quorum, Ring, RingView, ShardSize, State, WriteShard};
use telemetry::Registry;
use tokio::sync::watch;

use crate::node::{Behaviour, Node, decode, node, tenant};

/// When tests begin.
pub(crate) const NOW_MS: i64 = 1_700_000_000_000;

pub(crate) type Samples = BTreeMap<Labels, BTreeMap<i64, f64>>;

/// A clock by which every wait is over once everybody else has had their turn.
#[derive(Clone)]
pub(crate) struct HastyClock(pub(crate) ManualClock);

impl Clock for HastyClock {
    fn now_ms(&self) -> i64 {
        self.0.now_ms()
    }

    fn monotonic(&self) -> Duration {
        self.0.monotonic()
    }

    fn sleep(&self, _: Duration) -> BoxFuture<'static, ()> {
        Box::pin(turns(20))
    }
}

/// Lets others have their turn, so many times.
async fn turns(count: usize) {
    for _ in 0..count {
        tokio::task::yield_now().await;
    }
}

pub(crate) struct Cluster {
    pub(crate) instances: BTreeMap<InstanceId, (Instance, Arc<Node>)>,
    pub(crate) lost: Vec<LostRange>,
    pub(crate) size: ShardSize,
    pub(crate) clock: ManualClock,
    /// That of the last reader.
    pub(crate) registry: Mutex<Registry>,
    pub(crate) hold: Duration,
    quorum: Quorum,
}

/// `per_zone` instances in each of `zones` zones, or `zones * per_zone` without zones.
pub(crate) fn cluster(zones: usize, per_zone: usize, zoned: bool) -> Cluster {
    let mut cluster = Cluster {
        instances: BTreeMap::new(),
        lost: Vec::new(),
        size: ShardSize::new(1),
        clock: ManualClock::new(NOW_MS),
        registry: Mutex::new(Registry::new()),
        hold: Duration::from_secs(86_400),
        quorum: Quorum::at_bootstrap(3, if zoned { zones } else { zones * per_zone }),
    };
    for number in 0..zones * per_zone {
        let zone = zoned.then(|| format!("zone-{}", number % zones));
        cluster.join(&format!("ingester-{number}"), zone.as_deref(), i64::MIN);
    }
    cluster
}

impl Cluster {
    /// An instance joins and takes writes.
    pub(crate) fn join(&mut self, name: &str, zone: Option<&str>, since_ms: i64) {
        let others: Vec<&[u64]> = self
            .instances
            .values()
            .map(|(instance, _)| instance)
            .filter(|instance| instance.zone.as_deref() == zone)
            .map(|instance| &*instance.tokens)
            .collect();
        let tokens = ring::place(zone, &others);
        let id = InstanceId::new(name);
        let mut instance = Instance::active(id.clone(), zone.map(Arc::from), tokens);
        (instance.member_since_ms, instance.state_since_ms) = (since_ms, since_ms);
        let number = self.instances.len();
        // Some cut chunks elsewhere, as replicas do that missed a sample; some are of the release before.
        let node = node(if number % 3 == 2 { 240_000 } else { 600_000 }, number % 5 == 4);
        self.instances.insert(id, (instance, node));
    }

    pub(crate) fn nodes(&self) -> impl Iterator<Item = &Arc<Node>> {
        self.instances.values().map(|(_, node)| node)
    }

    pub(crate) fn node(&self, number: usize) -> &Arc<Node> {
        self.nodes().nth(number % self.instances.len()).unwrap()
    }

    pub(crate) fn set_state(&mut self, number: usize, state: State) {
        let (count, now) = (self.instances.len(), self.clock.now_ms());
        let (instance, _) = self.instances.values_mut().nth(number % count).unwrap();
        if instance.state != state {
            (instance.state, instance.state_since_ms) = (state, now);
        }
    }

    pub(crate) fn ring(&self) -> Ring {
        let instances = self.instances.values().map(|(instance, _)| instance.clone());
        Ring::new(instances.collect(), self.quorum).unwrap()
    }

    pub(crate) fn view(&self) -> RingView {
        let sizes = [(tenant(), self.size.clone())];
        RingView::new(self.ring(), BTreeMap::new(), self.lost.clone(), sizes)
    }

    /// The ring, and the instances of it that take the tenant's series now.
    pub(crate) fn shard(&self) -> (Ring, WriteShard) {
        let ring = self.ring();
        let shard = ring.write_shard(TenantSeed::of(&tenant()), &self.size);
        (ring, shard)
    }

    /// Writes a sample to those of its replicas that are in `mask`; whether a quorum has it.
    pub(crate) fn write(&self, labels: &Labels, at: i64, value: f64, mask: u8) -> bool {
        self.write_to(&self.shard(), labels, at, value, mask)
    }

    /// The same, with the shard at hand.
    pub(crate) fn write_to(
        &self,
        (ring, shard): &(Ring, WriteShard),
        labels: &Labels,
        at: i64,
        value: f64,
        mask: u8,
    ) -> bool {
        let replicas = shard.lookup(ring, SeriesHash::of(TenantSeed::of(&tenant()), labels));
        let mut stored = 0;
        for (number, replica) in replicas.iter().enumerate() {
            if mask >> number & 1 == 1 {
                let id = &ring.instances()[replica].id;
                self.instances[id].1.write(labels, at, value);
                stored += 1;
            }
        }
        stored >= self.quorum.write_zones()
    }

    /// An instance loses its disk, and says so.
    pub(crate) fn wipe(&mut self, number: usize) {
        let count = self.instances.len();
        let (instance, node) = self.instances.values().nth(number % count).unwrap();
        let had = std::mem::take(&mut *node.series.lock());
        let times = had.values().flat_map(BTreeMap::keys).copied();
        let range = times.filter_map(|at| TimeRange::new(at, at)).reduce(TimeRange::hull);
        self.lost.extend(range.map(|range| LostRange { zone: instance.zone_name().into(), range }));
    }

    pub(crate) fn reader(&self) -> ZoneIngesters {
        self.reader_over(&|id| Some(Arc::clone(&self.instances.get(id)?.1) as Arc<dyn IngesterRead>))
    }

    /// The same, with other readers in the nodes' place.
    pub(crate) fn reader_over(
        &self,
        of: &dyn Fn(&InstanceId) -> Option<Arc<dyn IngesterRead>>,
    ) -> ZoneIngesters {
        let readers: BTreeMap<_, _> =
            self.instances.keys().filter_map(|id| Some((id.clone(), of(id)?))).collect();
        let (_, view) = watch::channel(Arc::new(self.view()));
        let registry = Registry::new();
        *self.registry.lock() = registry.clone();
        let deps = ZoneDeps {
            view,
            readers: Arc::new(readers),
            clock: Arc::new(HastyClock(self.clock.clone())),
            registry: registry.clone(),
            retention: self.hold,
        };
        ZoneIngesters::new(&QuerierConfig::default(), deps)
    }

    /// Whether enough zones can answer: of those that have lost nothing in the range, all of whose instances that may
    /// hold something answer.
    pub(crate) fn can_answer(&self, range: TimeRange) -> bool {
        let (view, seed) = (self.view(), TenantSeed::of(&tenant()));
        let since = self.clock.now_ms() - self.hold.as_millis() as i64 - 600_000;
        let set = view.ring().read_set(seed, &self.size, range, since, view.lost());
        let answers = |i: &usize| {
            let id = &view.ring().instances()[*i].id;
            *self.instances[id].1.behaviour.lock() == Behaviour::Answers
        };
        let whole = set.zones().iter().filter(|zone| zone.counts && zone.instances.iter().all(answers));
        whole.count() >= set.required()
    }
}

pub(crate) fn all_matcher() -> Matcher {
    Matcher::equal("__name__", "m")
}

pub(crate) fn request(range: TimeRange) -> SelectRequest {
    SelectRequest {
        tenant: tenant(),
        matchers: vec![all_matcher()],
        range,
        newest_only: false,
        max_series: 10_000,
        max_chunk_bytes: 1 << 30,
    }
}

/// What a selection gives, with nothing out of order; gives up when nothing happens any more.
pub(crate) async fn select(reader: &dyn IngesterRead, range: TimeRange) -> Result<Samples, Error> {
    let read = async {
        let mut stream = reader.select(request(range)).await?;
        let mut samples = Samples::new();
        while let Some(batch) = stream.next().await {
            for series in batch? {
                let last = samples.last_key_value().map(|(labels, _)| labels);
                assert!(last.is_none_or(|last| *last < series.labels), "series out of order");
                samples.insert(series.labels.clone(), decode(&series));
            }
        }
        Ok(samples)
    };
    patiently(read).await
}

/// The answer, or an error when nothing happens any more.
pub(crate) async fn patiently<T>(read: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    tokio::select! {
        biased;
        answer = read => answer,
        () = turns(2_000) => Err(Error::new(Code::DeadlineExceeded, "nothing happens")),
    }
}

pub(crate) fn run<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

pub(crate) fn labels(number: usize) -> Labels {
    Labels::from_pairs([("__name__", "m".to_owned()), ("instance", format!("host-{number:02}"))])
}
