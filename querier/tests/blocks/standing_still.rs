//! Time passes between a request's look at the bucket's index and the answers of ingesters, which have forgotten meanwhile what
//! went to new blocks: nothing is missing from an answer, or there is none.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use block::meta::Compaction;
use bucket::faults::{Fault, Faults, Kind};
use bucket::{IndexedBlock, TenantBucket};
use env::ManualClock;
use futures::StreamExt;
use model::{Labels, TenantId};
use proto::{
    Error, ExemplarsRequest, FamilyMetadata, IngesterRead, LabelNamesRequest, LabelValuesRequest,
    MetadataRequest, SelectRequest, SelectStream, SeriesChunks, SeriesExemplars, SeriesRequest, TenantStats,
};
use serde_json::{Value, json};
use tokio::sync::Mutex;
use ulid::Ulid;

use crate::support::{Api, Data, NOW_MS, World, encode, escape};

const TENANT: &str = "anonymous";

/// Longer than ingesters keep what is in the index: two refreshes.
const LONG: Duration = Duration::from_secs(150);

/// When an ingester stands still.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum When {
    /// Before it answers anything.
    AtFirst,
    /// Between its first series and the next ones.
    Between,
}

/// A block that is in the bucket, for its index.
struct Entry {
    bucket: TenantBucket,
    entry: IndexedBlock,
    /// Where the bucket is gone afterwards, what makes it so.
    goes: Option<Faults>,
}

/// An ingester that stands still: then its samples are in the index, and it has forgotten them.
struct Forgetful {
    when: When,
    clock: ManualClock,
    /// Those that are put into the index one after the other, each while it is being asked.
    entries: Mutex<Vec<Entry>>,
    asked: AtomicUsize,
}

impl Forgetful {
    async fn stand_still(clock: &ManualClock, entries: &Mutex<Vec<Entry>>) {
        if let Some(Entry { bucket, entry, goes }) = entries.lock().await.pop() {
            bucket.update_index(|index| index.add(entry.clone())).await.expect("memory takes it");
            goes.iter().for_each(|faults| faults.plan(Kind::Any, 0, Fault::Gone));
            clock.advance(LONG);
        }
    }
}

/// The same, as it is asked.
struct Asked(Arc<Forgetful>);

#[async_trait]
impl IngesterRead for Asked {
    async fn select(&self, _: SelectRequest) -> Result<SelectStream, Error> {
        let ingester = Arc::clone(&self.0);
        ingester.asked.fetch_add(1, Ordering::Relaxed);
        // The series that every ingester has, and that is before the forgotten ones.
        let first = vec![SeriesChunks { labels: labels("a"), chunks: vec![encode(&[(NOW_MS - 1000, 1.0)])] }];
        let answer = futures::stream::unfold((ingester, 0), move |(ingester, batch)| {
            let first = first.clone();
            async move {
                let stops = match ingester.when {
                    When::AtFirst => 0,
                    When::Between => 1,
                };
                if batch == stops {
                    // It is asked for its last series, and reads others' meanwhile.
                    tokio::task::yield_now().await;
                    Forgetful::stand_still(&ingester.clock, &ingester.entries).await;
                }
                (batch == 0).then_some((Ok(first), (ingester, 1)))
            }
        });
        Ok(answer.boxed())
    }

    async fn series(&self, _: SeriesRequest) -> Result<Vec<Labels>, Error> {
        Forgetful::stand_still(&self.0.clock, &self.0.entries).await;
        Ok(vec![labels("a")])
    }

    async fn label_names(&self, _: LabelNamesRequest) -> Result<Vec<String>, Error> {
        Ok(Vec::new())
    }

    async fn label_values(&self, _: LabelValuesRequest) -> Result<Vec<String>, Error> {
        Forgetful::stand_still(&self.0.clock, &self.0.entries).await;
        Ok(vec!["a".to_owned()])
    }

    async fn metadata(&self, _: MetadataRequest) -> Result<Vec<FamilyMetadata>, Error> {
        Ok(Vec::new())
    }

    async fn exemplars(&self, _: ExemplarsRequest) -> Result<Vec<SeriesExemplars>, Error> {
        Ok(Vec::new())
    }

    async fn stats(&self, _: &TenantId) -> Result<TenantStats, Error> {
        Ok(TenantStats { series: 1, samples: 1 })
    }
}

fn labels(instance: &str) -> Labels {
    Labels::from_pairs([("__name__", "up"), ("instance", instance)])
}

fn one_sample(instance: &str) -> Data {
    vec![(labels(instance), vec![vec![(NOW_MS - 2000, 1.0)]])]
}

/// A bucket with a block that is listed.
async fn world() -> World {
    let mut world = World::new();
    world.add(TENANT, &one_sample("listed"), &vec![]).await;
    world
}

/// A block of a series that the index does not have yet.
async fn unlisted(world: &mut World, name: u128, instance: &str) -> Entry {
    let meta = world.add_as(TENANT, Ulid(name), &one_sample(instance), &vec![]).await;
    Entry { bucket: world.of(TENANT), entry: IndexedBlock::of(&meta, NOW_MS / 1000), goes: None }
}

fn api(world: &World, when: When, mut entries: Vec<Entry>) -> (Api, Arc<Forgetful>) {
    entries.reverse();
    let clock = world.clock.clone();
    let ingester =
        Arc::new(Forgetful { when, clock, entries: Mutex::new(entries), asked: AtomicUsize::default() });
    // Time that a query may take is not what this is about.
    let settings = [("timeout", "1h")];
    (world.api(vec![Arc::new(Asked(Arc::clone(&ingester)))], &settings), ingester)
}

async fn instances(api: &Api) -> Result<Vec<String>, (u16, Value)> {
    let query = format!("query?query={}&time={}", escape("last_over_time(up[1h])"), NOW_MS / 1000);
    let (status, body) = api.get(&query).await;
    if status != 200 {
        return Err((status, body));
    }
    let found = body["data"]["result"].as_array().cloned().unwrap_or_default();
    Ok(found.iter().filter_map(|one| Some(one["metric"]["instance"].as_str()?.to_owned())).collect())
}

#[tokio::test]
async fn a_query_that_stood_still_begins_again() {
    let mut world = world().await;
    let moved = unlisted(&mut world, 8, "moved").await;
    let (api, ingester) = api(&world, When::AtFirst, vec![moved]);
    assert_eq!(instances(&api).await, Ok(["a", "listed", "moved"].map(str::to_owned).to_vec()));
    assert_eq!(ingester.asked.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn labels_that_stood_still_are_asked_for_again() {
    let mut world = world().await;
    let moved = unlisted(&mut world, 8, "moved").await;
    let (values, _) = api(&world, When::AtFirst, vec![moved]);
    assert_eq!(values.data("label/instance/values").await, json!(["a", "listed", "moved"]));
    let again = unlisted(&mut world, 9, "again").await;
    let (series, _) = api(&world, When::AtFirst, vec![again]);
    let found = series.data(&format!("series?match[]={}", escape("up"))).await;
    assert_eq!(found.as_array().map(Vec::len), Some(4), "{found}");
}

#[tokio::test]
async fn a_query_that_has_begun_to_answer_fails() {
    let mut world = world().await;
    let moved = unlisted(&mut world, 8, "moved").await;
    let (api, ingester) = api(&world, When::Between, vec![moved]);
    let (status, body) = instances(&api).await.expect_err("something is missing");
    assert_eq!((status, &body["errorType"]), (503, &json!("unavailable")), "{body}");
    assert!(body["error"].as_str().is_some_and(|text| text.contains("took too long")), "{body}");
    assert_eq!(ingester.asked.load(Ordering::Relaxed), 1);
    assert_eq!(instances(&api).await, Ok(["a", "listed", "moved"].map(str::to_owned).to_vec()));
}

#[tokio::test]
async fn a_query_that_stands_still_each_time_fails() {
    let mut world = world().await;
    let mut moved = Vec::new();
    for name in 8..20 {
        moved.push(unlisted(&mut world, name, &format!("moved-{name}")).await);
    }
    let (api, ingester) = api(&world, When::AtFirst, moved);
    let (status, body) = instances(&api).await.expect_err("something is missing");
    assert_eq!(status, 503, "{body}");
    assert_eq!(ingester.asked.load(Ordering::Relaxed), 3);
}

#[tokio::test]
async fn what_was_merged_meanwhile_is_no_reason_to_begin_again() {
    let mut world = World::new();
    let listed = world.add(TENANT, &one_sample("listed"), &vec![]).await;
    let mut merged = world.add_as(TENANT, Ulid(8), &one_sample("listed"), &vec![]).await;
    merged.compaction = Compaction { level: 2, sources: vec![listed.ulid], ..Compaction::default() };
    let of_tenant = world.of(TENANT);
    let name = of_tenant.file(merged.ulid, "meta.json");
    world.bucket.put(&name, merged.encode().into()).await.expect("memory takes it");
    let entry = Entry { bucket: of_tenant, entry: IndexedBlock::of(&merged, NOW_MS / 1000), goes: None };
    let (api, ingester) = api(&world, When::Between, vec![entry]);
    assert_eq!(instances(&api).await, Ok(["a", "listed"].map(str::to_owned).to_vec()));
    assert_eq!(ingester.asked.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_bucket_that_cannot_be_asked_again_makes_the_query_fail() {
    for when in [When::AtFirst, When::Between] {
        let mut world = world().await;
        let entry = unlisted(&mut world, 8, "moved").await;
        let (api, ingester) = api(&world, when, vec![Entry { goes: Some(world.faults.clone()), ..entry }]);
        let (status, body) = instances(&api).await.expect_err("nobody knows what is missing");
        assert_eq!((status, &body["errorType"]), (503, &json!("unavailable")), "{body}");
        assert_eq!(ingester.asked.load(Ordering::Relaxed), 1);
        world.faults.heal();
        assert_eq!(instances(&api).await, Ok(["a", "listed", "moved"].map(str::to_owned).to_vec()));
    }
}
