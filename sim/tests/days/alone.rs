//! An ingester that is alone, its bucket and its compactor: whatever is cut, shipped, merged, forgotten, or lost by a crash, a querier
//! that leaves out the blocks that the ingester covers answers as one that reads all of them, and as a plain map. Others put blocks
//! into the bucket, too.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bucket::faults::Faults;
use bucket::{Backing, TenantBucket};
use env::{Clock as _, CrashMode, ManualClock, Rng as _, SeededRng, SimFs};
use ingester::Ingester;
use model::{Labels, TenantId, Value};
use promql::{QueryTime, QueryValue};
use proto::{
    CoveringSelection, Error, ExemplarsRequest, FamilyMetadata, IngesterRead, LabelNamesRequest,
    LabelValuesRequest, MetadataRequest, SelectRequest, SelectStream, SeriesExemplars, SeriesRequest,
    TenantStats,
};
use querier::{FixedIngesters, Querier};
use telemetry::Registry;
use ulid::Ulid;

use crate::answers::{self, ALL, QUESTIONS};
use crate::cluster::{Cluster, metric};
use crate::data::{STEP_MS, STEPS_PER_HOUR, Samples, rows};
use crate::world::{BEGIN_MS, Machine, bucket_over};

const HOUR: Duration = Duration::from_secs(3_600);
const LEFT_OUT: &str = "barograph_querier_blocks_left_out_total";
const CHUNKS_READ: &str = "barograph_querier_blocks_chunks_read_total";
const CUT: &str = "barograph_ingester_blocks_cut_total";
const SHIPPED: &str = "barograph_ingester_shipped_blocks_total";

/// What an ingester is made to say of the blocks that it covers.
#[derive(Clone, Copy)]
enum Says {
    /// Nothing.
    Nothing,
    /// What it would say itself, and one block more.
    OneMore(Ulid),
}

/// The ingester, made to say something else.
struct Misquoted(Ingester, Says);

#[async_trait]
impl IngesterRead for Misquoted {
    async fn select(&self, request: SelectRequest) -> Result<SelectStream, Error> {
        self.0.select(request).await
    }

    async fn select_covering(&self, request: SelectRequest) -> Result<CoveringSelection, Error> {
        let mut selection = self.0.select_covering(request).await?;
        match self.1 {
            Says::Nothing => selection.covered.clear(),
            Says::OneMore(block) => drop(selection.covered.insert(block)),
        }
        Ok(selection)
    }

    async fn series(&self, request: SeriesRequest) -> Result<Vec<Labels>, Error> {
        self.0.series(request).await
    }

    async fn label_names(&self, request: LabelNamesRequest) -> Result<Vec<String>, Error> {
        self.0.label_names(request).await
    }

    async fn label_values(&self, request: LabelValuesRequest) -> Result<Vec<String>, Error> {
        self.0.label_values(request).await
    }

    async fn metadata(&self, request: MetadataRequest) -> Result<Vec<FamilyMetadata>, Error> {
        self.0.metadata(request).await
    }

    async fn exemplars(&self, request: ExemplarsRequest) -> Result<Vec<SeriesExemplars>, Error> {
        self.0.exemplars(request).await
    }

    async fn stats(&self, tenant: &TenantId) -> Result<TenantStats, Error> {
        self.0.stats(tenant).await
    }
}

/// What there is, and what was seen of it.
struct Alone {
    rng: SeededRng,
    clock: ManualClock,
    backing: Backing,
    tenant: TenantId,
    own: Cluster,
    /// Another process that puts its blocks there, and is not asked.
    other: Cluster,
    machine: Machine,
    written: Samples,
    steps: i64,
    seen: Seen,
}

#[derive(Debug, Default)]
struct Seen {
    left_out: f64,
    chunks_read: f64,
    merged: usize,
    lies: usize,
    lies_found: usize,
    restarts: usize,
}

impl Alone {
    async fn new(seed: u64) -> Self {
        let clock = ManualClock::new(BEGIN_MS);
        let backing = Backing::faulty_memory(&Faults::new());
        let bucket = |seed| Some(bucket_over(backing.clone(), &clock, seed));
        let own = Cluster::start(&clock, vec![bucket(seed)]).await;
        // Whose blocks have other names.
        let disk = SimFs::new(seed + 1_000);
        let other = Cluster::start_on(&clock, vec![bucket(seed + 1_000)], (seed + 1_000, vec![disk])).await;
        Self {
            rng: SeededRng::new(seed),
            clock: clock.clone(),
            backing,
            tenant: TenantId::new("everything").expect("a tenant"),
            own,
            other,
            machine: Machine::new(seed + 2_000),
            written: Samples::new(),
            steps: 0,
            seen: Seen::default(),
        }
    }

    async fn pass(&self, duration: Duration) {
        self.clock.advance(duration);
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
    }

    /// Waits until what has been cut is shipped.
    async fn settle(&self) {
        for _ in 0..2_000 {
            let is_settled = [&self.own, &self.other].into_iter().flat_map(|cluster| &cluster.ingesters);
            let mut all = is_settled.map(|member| member.metric(CUT) <= member.metric(SHIPPED));
            if all.all(|settled| settled) {
                return;
            }
            self.pass(Duration::from_secs(1)).await;
        }
        panic!("what was cut is not shipped");
    }

    /// Writes an hour: to this one all, to the other one series of its own and some of the same.
    async fn write_hour(&mut self) {
        for step in self.steps..self.steps + STEPS_PER_HOUR {
            let at_ms = self.clock.now_ms();
            let own = rows("everything", step, at_ms);
            let mut other = Vec::new();
            if step / STEPS_PER_HOUR % 3 == 0 {
                other = rows("little", step, at_ms);
                other.extend(rows("everything", step, at_ms).into_iter().take(2));
                self.other.write(&self.tenant, &other).await;
            }
            self.own.write(&self.tenant, &own).await;
            for row in own.into_iter().chain(other) {
                self.written.entry(row.labels).or_default().insert(row.at_ms, row.value);
            }
            self.pass(Duration::from_millis(STEP_MS.unsigned_abs())).await;
        }
        self.steps += STEPS_PER_HOUR;
    }

    /// The process ends, with what its disk has then, and is started again.
    async fn restart(&mut self) {
        let mode = [CrashMode::LoseAll, CrashMode::KeepAll, CrashMode::Torn][self.rng.below(3) as usize];
        let seed = self.rng.below(1 << 40);
        let bucket = Some(bucket_over(self.backing.clone(), &self.clock, seed));
        let none = Cluster::start(&self.clock, vec![None]).await;
        let disks = std::mem::replace(&mut self.own, none).crash(mode).await;
        self.own = Cluster::start_on(&self.clock, vec![bucket], (seed, disks)).await;
        self.seen.restarts += 1;
    }

    /// Something that happens now and then.
    async fn happen(&mut self) {
        match self.rng.below(10) {
            0 => self.restart().await,
            1 => self.own.ingesters[0].ingester.flush().await.expect("the bucket is there"),
            2 => self.pass(3 * HOUR).await,
            3..=6 => {
                let compactor = self.machine.start(&self.backing, &self.clock);
                let looked = compactor.look(&self.tenant).await.expect("the bucket is there");
                assert_eq!((looked.failed_jobs, looked.set_aside.len()), (0, 0));
            }
            _ => {}
        }
        // What the other one has is asked of its blocks.
        self.other.ingesters[0].ingester.flush().await.expect("the bucket is there");
    }

    /// A querier of the ingester, or of one that is made to say something else.
    fn querier(&self, says: Option<Says>) -> (Querier, Registry) {
        let ingester = self.own.ingesters[0].ingester.clone();
        let reader: Arc<dyn IngesterRead> = match says {
            None => Arc::new(ingester),
            Some(says) => Arc::new(Misquoted(ingester, says)),
        };
        let bucket = bucket_over(self.backing.clone(), &self.clock, 9);
        let readers = |_: &_, _: &_, _: &_| Arc::new(FixedIngesters::new(vec![reader])) as Arc<_>;
        self.own.querier_over(readers, Some(bucket), &SimFs::new(9))
    }

    /// All samples, as a querier has them.
    async fn all(&self, querier: &Querier) -> Vec<(Labels, i64, String)> {
        let time = QueryTime::Instant(self.clock.now_ms());
        match answers::query(querier, &self.tenant, ALL, time).await {
            Ok(QueryValue::Matrix(series)) => answers::samples(&series),
            other => panic!("{other:?}"),
        }
    }

    fn plain(&self) -> Vec<(Labels, i64, String)> {
        let all =
            self.written.iter().flat_map(|(labels, samples)| samples.iter().map(move |one| (labels, one)));
        let is_stale = |value: &Value| matches!(value, Value::Float(value) if model::is_stale_nan(*value));
        all.filter(|(_, (_, value))| !is_stale(value))
            .map(|(labels, (at, value))| (labels.clone(), *at, answers::value_text(value)))
            .collect()
    }

    async fn check(&mut self, context: &str) {
        // What queriers know of blocks is a second old at most.
        self.pass(Duration::from_secs(2)).await;
        let expected = self.plain();
        let (silent, _) = self.querier(Some(Says::Nothing));
        let (querier, registry) = self.querier(None);
        assert!(self.all(&silent).await == expected, "{context}: all blocks are read");
        let found = self.all(&querier).await;
        assert!(found == expected, "{context}: {}", difference(&found, &expected));
        let until_ms = self.clock.now_ms();
        let from_ms = until_ms - i64::try_from(self.rng.below(12)).expect("small") * 3_600_000;
        for number in 0..QUESTIONS {
            let times = (from_ms, until_ms);
            let [one, other] = [&silent, &querier].map(|of| answers::ask(of, &self.tenant, number, times));
            let (one, other) = (one.await, other.await);
            assert!(one == other, "{context}: question {number}:\n{one:?}\nis not\n{other:?}");
        }
        self.seen.left_out += metric(&registry, LEFT_OUT);
        self.seen.chunks_read += metric(&registry, CHUNKS_READ);
        let sources = self.sources().await;
        if let Some(block) = sources.iter().nth(self.rng.below(sources.len().max(1) as u64) as usize) {
            let (liar, _) = self.querier(Some(Says::OneMore(*block)));
            self.seen.lies += 1;
            self.seen.lies_found += usize::from(self.all(&liar).await != expected);
        }
    }

    /// The names of blocks that heads have made, of those in the bucket and of what was merged.
    async fn sources(&mut self) -> BTreeSet<Ulid> {
        let bucket = bucket_over(self.backing.clone(), &self.clock, 8);
        let bucket = TenantBucket::new(&bucket, &self.tenant).expect("it has tenants");
        let index = bucket.index().await.expect("memory").map(|(index, _)| index).unwrap_or_default();
        let mut sources = BTreeSet::new();
        for block in &index.blocks {
            self.seen.merged += usize::from(block.compaction_level > 1);
            sources.extend(bucket.meta(block.id).await.expect("it is listed").compaction.sources);
        }
        sources
    }
}

/// Where two answers differ first.
fn difference(found: &[(Labels, i64, String)], expected: &[(Labels, i64, String)]) -> String {
    let keyed = |all: &[(Labels, i64, String)]| -> BTreeMap<(Labels, i64), String> {
        all.iter().map(|(labels, at, value)| ((labels.clone(), *at), value.clone())).collect()
    };
    let (found, expected) = (keyed(found), keyed(expected));
    let missing = expected.iter().find(|(key, value)| found.get(*key) != Some(*value));
    let more = found.keys().find(|key| !expected.contains_key(*key));
    format!("{} of {} samples; {missing:?} is missing, {more:?} is too much", found.len(), expected.len())
}

#[tokio::test]
async fn answers_are_the_same_whatever_blocks_are_left_out() {
    let mut seen = Vec::new();
    for seed in 1..=16 {
        let mut alone = Alone::new(seed).await;
        for hour in 0..30 {
            alone.write_hour().await;
            alone.settle().await;
            alone.happen().await;
            alone.settle().await;
            alone.check(&format!("seed {seed}, hour {hour}")).await;
        }
        seen.push(alone.seen);
    }
    println!("{seen:#?}");
    let sum = |of: fn(&Seen) -> f64| seen.iter().map(of).sum::<f64>();
    assert!(sum(|seen| seen.left_out) > 500.0 && sum(|seen| seen.chunks_read) > 500.0, "{seen:#?}");
    assert!(sum(|seen| seen.merged as f64) > 50.0 && sum(|seen| seen.restarts as f64) > 5.0, "{seen:#?}");
    assert!(sum(|seen| seen.lies_found as f64) > 20.0, "{seen:#?}");
}
