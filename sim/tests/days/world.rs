//! The cluster with its bucket, its compactors and what was written, as time goes on.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bucket::faults::Faults;
use bucket::{BackendKind, Backing, Bucket, BucketConfig, BucketDeps, TenantBucket};
use compactor::{Alone, Compactor, CompactorConfig, CompactorLimits, Deps};
use env::{Clock as _, CrashMode, ManualClock, Scope, SeededRng, SimFs};
use model::{TenantId, Value};
use promql::{QueryTime, QueryValue};
use querier::Querier;
use settings::Overrides;
use telemetry::Registry;

use crate::answers::{self, ALL, QUESTIONS};
use crate::cluster::Cluster;
use crate::data::{STEP_MS, STEPS_PER_HOUR, Samples, rows};

const HOUR_MS: i64 = 3_600_000;
/// When it begins: an edge of every window, and after whatever the machine's own clock says, which servers write down.
pub(crate) const BEGIN_MS: i64 = 168 * HOUR_MS * 6_700;
/// How much time a block of an ingester has.
const WINDOW_MS: i64 = 2 * HOUR_MS;
/// With more series a block is divided.
const MAX_SERIES: u64 = 6;
/// So often it is looked whether something has come about, ...
const LOOKS: u32 = 30_000;
/// ... with as much time in between. After some, what has failed is due again, ...
const LOOK_EVERY: Duration = Duration::from_millis(2);

const LOOKS_BEFORE_REPETITION: u32 = 1_000;
/// ... within so much of the clock's time.
const REPETITION: Duration = Duration::from_secs(61);

/// Everything.
pub(crate) struct World {
    pub(crate) clock: ManualClock,
    backing: Backing,
    pub(crate) cluster: Cluster,
    /// Has everything, and no bucket.
    reference: Cluster,
    pub(crate) tenants: Vec<TenantId>,
    pub(crate) written: BTreeMap<TenantId, Samples>,
    /// How many steps have been written.
    steps: i64,
    /// Up to when is asked.
    until_ms: i64,
    /// The answers as they should be.
    expected: BTreeMap<(TenantId, usize), String>,
    /// A querier that lives on, beside those that know nothing.
    old: Querier,
    asked: usize,
    seeds: u64,
}

/// A compactor's machine.
pub(crate) struct Machine {
    pub(crate) fs: SimFs,
    pub(crate) faults: Faults,
    seed: u64,
}

impl Machine {
    pub(crate) fn new(seed: u64) -> Self {
        Self { fs: SimFs::new(seed), faults: Faults::new(), seed }
    }

    /// What was not synced is gone, or some of it, and nothing fails any more.
    pub(crate) fn crash(&mut self, mode: CrashMode) {
        self.fs = self.fs.crash(mode);
        self.faults = Faults::new();
    }

    /// A process that has just been started on it.
    pub(crate) fn start(&mut self, backing: &Backing, clock: &ManualClock) -> Compactor {
        self.seed += 1000;
        let way = Arc::new(self.faults.clone());
        let deps = Deps {
            fs: Arc::new(self.fs.clone()),
            clock: Arc::new(clock.clone()),
            rng: Arc::new(SeededRng::new(self.seed)),
            scope: Scope::simulated("compactor"),
            registry: Registry::new(),
            dir: PathBuf::from("/compactor"),
            bucket: bucket_over(backing.clone().through(way), clock, self.seed),
            limits: Overrides::fixed(CompactorLimits {
                compactor_max_block_series: MAX_SERIES,
                ..CompactorLimits::default()
            }),
            replicas: 3,
            owners: Arc::new(Alone),
        };
        // Folders are listed seldom: that is a request for each mark.
        let config =
            CompactorConfig { list_interval: Duration::from_secs(6 * 3_600), ..CompactorConfig::default() };
        Compactor::build(config, deps)
    }
}

/// A bucket over objects. Time does not go on while somebody waits for it: what failed is repeated at once, and nothing is too late.
pub(crate) fn bucket_over(backing: Backing, clock: &ManualClock, seed: u64) -> Bucket {
    let config = BucketConfig {
        backend: BackendKind::S3,
        name: "days".to_owned(),
        attempts: 4,
        first_wait: Duration::ZERO,
        longest_wait: Duration::ZERO,
        request_timeout: Duration::from_secs(600),
        operation_timeout: Duration::from_secs(3_600),
        // Time goes on by steps: what queriers know is never older than one.
        index_refresh: Duration::from_secs(1),
        ..BucketConfig::default()
    };
    let deps = BucketDeps {
        clock: Arc::new(clock.clone()),
        rng: Arc::new(SeededRng::new(seed)),
        registry: Registry::new(),
    };
    Bucket::new(backing, &config, deps)
}

impl World {
    pub(crate) async fn new(backing: Backing, tenants: &[&str]) -> Self {
        let clock = ManualClock::new(BEGIN_MS);
        let buckets = (1..=3).map(|seed| Some(bucket_over(backing.clone(), &clock, seed))).collect();
        let cluster = Cluster::start(&clock, buckets).await;
        let reference = Cluster::start(&clock, vec![None]).await;
        let old = cluster.querier(Some(bucket_over(backing.clone(), &clock, 4)), &SimFs::new(4));
        let tenants = tenants.iter().map(|name| TenantId::new(name).expect("a tenant")).collect();
        let (written, expected) = Default::default();
        Self {
            clock,
            backing,
            cluster,
            reference,
            tenants,
            written,
            steps: 0,
            until_ms: BEGIN_MS,
            expected,
            old,
            asked: 0,
            seeds: 10,
        }
    }

    pub(crate) fn backing(&self) -> &Backing {
        &self.backing
    }

    /// What a tenant has in the bucket.
    pub(crate) fn bucket(&self, tenant: &TenantId) -> TenantBucket {
        TenantBucket::new(&bucket_over(self.backing.clone(), &self.clock, 5), tenant).expect("it has tenants")
    }

    pub(crate) fn now_ms(&self) -> i64 {
        self.clock.now_ms()
    }

    /// Lets time pass, and everybody do what it is time for.
    pub(crate) async fn pass(&self, duration: Duration) {
        self.clock.advance(duration);
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
    }

    /// Writes an hour. One zone after the other misses a part of it.
    pub(crate) async fn write_hour(&mut self) {
        let hour = self.steps / STEPS_PER_HOUR;
        for step in self.steps..self.steps + STEPS_PER_HOUR {
            let at_ms = self.now_ms();
            let misses = usize::try_from(hour % 4).expect("small");
            let is_away = step % STEPS_PER_HOUR < 5;
            if let Some(member) = self.cluster.ingesters.get(misses) {
                member.is_away.store(is_away, Ordering::Relaxed);
            }
            for tenant in self.tenants.clone() {
                let rows = rows(tenant.as_str(), step, at_ms);
                if rows.is_empty() {
                    continue;
                }
                self.cluster.write(&tenant, &rows).await;
                self.reference.write(&tenant, &rows).await;
                let samples = self.written.entry(tenant).or_default();
                for row in rows {
                    samples.entry(row.labels).or_default().insert(row.at_ms, row.value);
                }
            }
            self.pass(Duration::from_millis(STEP_MS.unsigned_abs())).await;
        }
        self.steps += STEPS_PER_HOUR;
        self.cluster.ingesters.iter().for_each(|member| member.is_away.store(false, Ordering::Relaxed));
        self.know_answers().await;
    }

    /// Notes what answers have to be from now on.
    async fn know_answers(&mut self) {
        self.until_ms = self.now_ms();
        let querier = self.reference.querier(None, &SimFs::new(6));
        for tenant in &self.tenants {
            for number in 0..QUESTIONS {
                let answer = answers::ask(&querier, tenant, number, (BEGIN_MS, self.until_ms)).await;
                let answer = answer.expect("all is in memory");
                self.expected.insert((tenant.clone(), number), answer);
            }
        }
    }

    /// In how many windows that are cut by now tenants have samples, all tenants together.
    fn windows(&self) -> usize {
        let edge_ms = (self.now_ms() - HOUR_MS).div_euclid(WINDOW_MS) * WINDOW_MS;
        let of_tenant = |samples: &Samples| {
            let times = samples.values().flat_map(BTreeMap::keys);
            let windows =
                times.map(|at| at.div_euclid(WINDOW_MS)).filter(|window| (window + 1) * WINDOW_MS <= edge_ms);
            windows.collect::<BTreeSet<_>>().len()
        };
        self.written.values().map(of_tenant).sum()
    }

    /// Waits until ingesters have cut and shipped all windows that are over.
    pub(crate) async fn shipped(&self) {
        let windows = self.windows();
        for look in 0.. {
            let is_done = self.cluster.ingesters.iter().all(|member| {
                let cut = member.metric("barograph_ingester_blocks_cut_total");
                let shipped = member.metric("barograph_ingester_shipped_blocks_total");
                cut >= windows as f64 && cut == shipped
            });
            if is_done {
                return;
            }
            assert!(
                look < LOOKS,
                "not everything has been cut and shipped: {windows} windows; {}",
                self.failures()
            );
            tokio::time::sleep(LOOK_EVERY).await;
            if look % LOOKS_BEFORE_REPETITION == LOOKS_BEFORE_REPETITION - 1 {
                self.pass(REPETITION).await;
            }
        }
    }

    /// What ingesters say of what fails.
    fn failures(&self) -> String {
        let texts = self.cluster.ingesters.iter().map(|member| member.registry.encode_openmetrics());
        let told: Vec<String> = texts
            .flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>())
            .filter(|line| line.contains("fail") || line.contains("_blocks_"))
            .filter(|line| !line.starts_with('#'))
            .collect();
        told.join("\n")
    }

    /// Asks the next few questions, of a querier that has known the bucket from its beginning.
    pub(crate) async fn answers_some(&mut self, context: &str) {
        self.answers(3, &self.old.clone(), context).await;
    }

    /// Asks all questions, and for all samples there are, of one that knows nothing yet.
    pub(crate) async fn answers_all(&mut self, context: &str) {
        let querier = self.new_querier();
        self.answers(QUESTIONS, &querier, context).await;
        for tenant in &self.tenants {
            let time = QueryTime::Instant(self.until_ms);
            let answer = answers::query(&querier, tenant, ALL, time).await;
            let Ok(QueryValue::Matrix(series)) = answer else { panic!("{context}: {answer:?}") };
            assert_eq!(answers::samples(&series), self.plain(tenant), "{context}: {tenant}");
        }
    }

    async fn answers(&mut self, count: usize, querier: &Querier, context: &str) {
        // What is known of blocks is a second old by now.
        self.pass(Duration::from_secs(1)).await;
        for tenant in &self.tenants {
            for number in (self.asked..self.asked + count).map(|number| number % QUESTIONS) {
                let answer = answers::ask(querier, tenant, number, (BEGIN_MS, self.until_ms)).await;
                let answer = answer.unwrap_or_else(|why| panic!("{context}: {tenant}: {why}"));
                let expected = &self.expected[&(tenant.clone(), number)];
                assert!(
                    answer == *expected,
                    "{context}: {tenant}, question {number}:\n{answer}\nis not\n{expected}"
                );
            }
        }
        self.asked += count;
    }

    fn new_querier(&mut self) -> Querier {
        self.seeds += 1;
        let bucket = bucket_over(self.backing.clone(), &self.clock, self.seeds);
        self.cluster.querier(Some(bucket), &SimFs::new(self.seeds))
    }

    /// The samples of a tenant as a query for all of them has them: without stale markers.
    fn plain(&self, tenant: &TenantId) -> Vec<(model::Labels, i64, String)> {
        let mut all = Vec::new();
        for (labels, samples) in &self.written[tenant] {
            for (at, value) in samples {
                let is_stale = matches!(value, Value::Float(value) if model::is_stale_nan(*value));
                if !is_stale {
                    all.push((labels.clone(), *at, answers::value_text(value)));
                }
            }
        }
        all
    }
}
