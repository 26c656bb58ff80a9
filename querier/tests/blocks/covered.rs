//! Blocks of which ingesters have everything are not read; all others are, whatever their times; and answers are the same.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use block::meta::{Compaction, Thanos};
use bucket::IndexedBlock;
use env::{Rng as _, SeededRng};
use futures::StreamExt;
use model::{Labels, TenantId};
use proto::{
    CoveringSelection, Error, ExemplarsRequest, FamilyMetadata, IngesterRead, LabelNamesRequest,
    LabelValuesRequest, MetadataRequest, SelectRequest, SelectStream, SeriesChunks, SeriesExemplars,
    SeriesRequest, TenantStats,
};
use serde_json::json;
use ulid::Ulid;

use crate::support::{Api, Data, NOW_MS, World, encode, escape};

const TENANT: &str = "anonymous";
const LEFT_OUT: &str = "barograph_querier_blocks_left_out_total";
const CHUNKS_READ: &str = "barograph_querier_blocks_chunks_read_total";

/// When samples begin.
const BEGIN_MS: i64 = NOW_MS - 2_000_000;
const STEP_MS: i64 = 1_000;

/// Samples by series, and by the number of their step.
type Samples = BTreeMap<u64, BTreeMap<i64, f64>>;

/// An ingester that says of blocks that it covers them.
#[derive(Clone, Default)]
struct Covering {
    samples: Samples,
    covered: BTreeSet<Ulid>,
    /// Whether it fails behind its first series.
    fails: bool,
}

#[async_trait]
impl IngesterRead for Covering {
    async fn select(&self, _: SelectRequest) -> Result<SelectStream, Error> {
        let series = data(&self.samples, 5).into_iter().map(|(labels, chunks)| {
            let chunks = chunks.iter().map(|chunk| encode(chunk)).collect();
            Ok(vec![SeriesChunks { labels, chunks }])
        });
        let fails = self.fails.then(|| Error::unavailable("it has forgotten", Duration::from_secs(1)));
        let series: Vec<_> = match fails {
            Some(error) => series.take(1).chain([Err(error)]).collect(),
            None => series.collect(),
        };
        Ok(futures::stream::iter(series).boxed())
    }

    async fn select_covering(&self, request: SelectRequest) -> Result<CoveringSelection, Error> {
        Ok(CoveringSelection { series: self.select(request).await?, covered: self.covered.clone() })
    }

    async fn series(&self, _: SeriesRequest) -> Result<Vec<Labels>, Error> {
        Ok(self.samples.keys().map(|series| labels(*series)).collect())
    }

    async fn label_names(&self, _: LabelNamesRequest) -> Result<Vec<String>, Error> {
        Ok(Vec::new())
    }

    async fn label_values(&self, _: LabelValuesRequest) -> Result<Vec<String>, Error> {
        Ok(Vec::new())
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

fn labels(series: u64) -> Labels {
    Labels::from_pairs([("__name__", "m"), ("series", series.to_string().as_str())])
}

/// Samples in chunks of so many.
fn data(samples: &Samples, chunk: usize) -> Data {
    let of = |(series, samples): (&u64, &BTreeMap<i64, f64>)| {
        let all: Vec<_> = samples.iter().map(|(step, value)| (BEGIN_MS + step * STEP_MS, *value)).collect();
        (labels(*series), all.chunks(chunk).map(<[_]>::to_vec).collect())
    };
    samples.iter().filter(|(_, samples)| !samples.is_empty()).map(of).collect()
}

/// Adds samples; of two at one time the larger one stays.
fn merge(into: &mut Samples, from: &Samples) {
    for (series, samples) in from {
        let own = into.entry(*series).or_default();
        for (step, value) in samples {
            own.entry(*step).and_modify(|known| *known = known.max(*value)).or_insert(*value);
        }
    }
}

fn steps(series: u64, steps: std::ops::Range<i64>) -> Samples {
    Samples::from([(series, steps.map(|step| (step, step as f64)).collect())])
}

/// A block as a head makes it.
async fn cut(world: &mut World, samples: &Samples) -> Ulid {
    world.add(TENANT, &data(samples, 7), &vec![]).await.ulid
}

/// A block that was merged of others.
async fn merged(world: &mut World, ulid: Ulid, sources: &[Ulid], samples: &Samples) {
    let mut meta = world.add_as(TENANT, ulid, &data(samples, 11), &vec![]).await;
    meta.compaction = Compaction { level: 2, sources: sources.to_vec(), ..Compaction::default() };
    meta.thanos = Some(Thanos { source: "compactor".to_owned(), ..Thanos::default() });
    let of_tenant = world.of(TENANT);
    let name = of_tenant.file(ulid, "meta.json");
    world.bucket.put(&name, meta.encode().into()).await.expect("memory takes it");
    let entry = IndexedBlock::of(&meta, NOW_MS / 1000);
    of_tenant.update_index(|index| index.add(entry.clone())).await.expect("memory takes it");
}

/// All samples there are.
async fn all(api: &Api) -> Samples {
    let query = escape("m[1h]");
    let found = api.data(&format!("query?query={query}&time={}", NOW_MS / 1000)).await;
    let series = found["result"].as_array().cloned().unwrap_or_default();
    let samples = |one: &serde_json::Value| {
        let values = one["values"].as_array().cloned().unwrap_or_default();
        values
            .iter()
            .map(|value| {
                let at_ms = (value[0].as_f64().expect("a time") * 1000.0).round() as i64;
                (
                    (at_ms - BEGIN_MS) / STEP_MS,
                    value[1].as_str().expect("a number").parse().expect("a number"),
                )
            })
            .collect()
    };
    let name = |one: &serde_json::Value| {
        one["metric"]["series"].as_str().expect("a label").parse().expect("a number")
    };
    series.iter().map(|one| (name(one), samples(one))).collect()
}

#[tokio::test]
async fn what_ingesters_cover_is_not_read() {
    let mut world = World::new();
    let samples = steps(0, 0..50);
    let covered = BTreeSet::from([cut(&mut world, &steps(0, 0..30)).await]);
    let ingester = Covering { samples: samples.clone(), covered, fails: false };
    let (api, metrics) = world.counted_api(vec![Arc::new(ingester.clone())], &[]);
    assert_eq!(all(&api).await, samples);
    assert_eq!((metrics.get(LEFT_OUT), metrics.get(CHUNKS_READ)), (1.0, 0.0));
    let newest = api.data(&format!("query?query=m&time={}", (BEGIN_MS + 20_000) / 1000)).await;
    assert_eq!(newest["result"][0]["value"][1], "20");
    assert_eq!((metrics.get(LEFT_OUT), metrics.get(CHUNKS_READ)), (2.0, 0.0));
    // Somebody puts samples of the same time there, and another ingester's block comes.
    let other = steps(1, 0..10);
    cut(&mut world, &other).await;
    world.pass(120);
    let expected: Samples = samples.clone().into_iter().chain(other).collect();
    assert_eq!(all(&api).await, expected);
    assert_eq!((metrics.get(LEFT_OUT), metrics.get(CHUNKS_READ)), (3.0, 2.0));
    assert_eq!(api.data("label/series/values").await, json!(["0", "1"]));
    // Who covers nothing is asked beside all blocks.
    let silent = Covering { covered: BTreeSet::new(), ..ingester };
    let (api, metrics) = world.counted_api(vec![Arc::new(silent)], &[]);
    assert_eq!(all(&api).await, expected);
    assert_eq!((metrics.get(LEFT_OUT), metrics.get(CHUNKS_READ)), (0.0, 7.0));
}

#[tokio::test]
async fn a_merged_block_is_left_out_if_all_of_its_sources_are_covered() {
    let mut world = World::new();
    let (a, b) = (Ulid(100), Ulid(101));
    merged(&mut world, Ulid(200), &[a, b], &steps(0, 0..30)).await;
    let of = |samples: Samples, covered: &[Ulid]| -> Arc<dyn IngesterRead> {
        Arc::new(Covering { samples, covered: covered.iter().copied().collect(), fails: false })
    };
    let (api, metrics) = world.counted_api(vec![of(steps(0, 0..15), &[a])], &[]);
    assert_eq!(all(&api).await, steps(0, 0..30), "another one's samples are in it");
    assert_eq!(metrics.get(LEFT_OUT), 0.0);
    // Both together.
    let both = vec![of(steps(0, 0..15), &[a]), of(steps(0, 15..35), &[b])];
    let (api, metrics) = world.counted_api(both, &[]);
    assert_eq!(all(&api).await, steps(0, 0..35));
    assert_eq!((metrics.get(LEFT_OUT), metrics.get(CHUNKS_READ)), (1.0, 0.0));
}

/// The word of an ingester that does not come to its end is worth nothing: there is no answer then.
#[tokio::test]
async fn an_ingester_that_fails_after_its_word_was_taken_fails_the_query() {
    let mut world = World::new();
    let mut samples = steps(0, 0..30);
    merge(&mut samples, &steps(1, 0..30));
    let covered = BTreeSet::from([cut(&mut world, &samples).await]);
    let api = world.api(vec![Arc::new(Covering { samples, covered, fails: true })], &[]);
    let query = format!("query?query={}&time={}", escape("m[1h]"), NOW_MS / 1000);
    let (status, body) = api.get(&query).await;
    assert_eq!((status, &body["errorType"]), (503, &json!("unavailable")), "{body}");
}

/// What an ingester has, and what is in the bucket.
struct Case {
    ingester: Covering,
    world: World,
    expected: Samples,
    blocks: BTreeSet<Ulid>,
}

/// Windows of an ingester, whole or with something that it has forgotten, cut into one block or two, merged or not, beside blocks of
/// others.
async fn case(seed: u64) -> Case {
    let rng = SeededRng::new(seed);
    let mut case = Case {
        ingester: Covering::default(),
        world: World::new(),
        expected: Samples::new(),
        blocks: BTreeSet::new(),
    };
    for window in 0..5 {
        let random = |density: u64| {
            let step_of =
                |step: &i64| rng.below(density) == 0 && (window * 40..window * 40 + 40).contains(step);
            let series = |_: &u64| rng.below(3) > 0;
            let samples = |_| {
                let steps = (0..200).filter(step_of);
                steps.map(|step| (step, rng.below(50) as f64)).collect::<BTreeMap<i64, f64>>()
            };
            let all = (0..4).filter(series).map(|series| (series, samples(series)));
            all.filter(|(_, samples)| !samples.is_empty()).collect::<Samples>()
        };
        let mut of_window: Vec<(Ulid, Samples)> = Vec::new();
        let forgets = rng.below(3) == 0;
        for _ in 0..1 + rng.below(2) {
            let own = random(3);
            if own.is_empty() {
                continue;
            }
            // What the ingester has already stays as it is: it has one value of each time.
            let mut cut_from: Samples = own;
            for (series, samples) in &mut cut_from {
                let known = case.ingester.samples.entry(*series).or_default();
                samples.iter_mut().for_each(|(step, value)| *value = *known.entry(*step).or_insert(*value));
            }
            let name = cut(&mut case.world, &cut_from).await;
            if !forgets {
                case.ingester.covered.insert(name);
            }
            of_window.push((name, cut_from));
        }
        if forgets {
            for samples in case.ingester.samples.values_mut() {
                samples.retain(|step, _| *step < window * 40 || rng.below(2) == 0);
            }
        }
        if rng.below(2) == 0 {
            let others = random(5);
            if !others.is_empty() {
                of_window.push((cut(&mut case.world, &others).await, others));
            }
        }
        if rng.below(2) == 0 && of_window.len() > 1 {
            let some = &of_window[rng.below(2) as usize..];
            let mut samples = Samples::new();
            some.iter().for_each(|(_, one)| merge(&mut samples, one));
            let sources: Vec<Ulid> = some.iter().map(|(name, _)| *name).collect();
            let name = Ulid(1_000 + window as u128);
            merged(&mut case.world, name, &sources, &samples).await;
            // Sometimes the sources have been deleted since.
            if rng.below(2) == 0 {
                for source in &sources {
                    let remove = |index: &mut bucket::BucketIndex| {
                        index.remove(*source);
                        true
                    };
                    case.world.of(TENANT).update_index(remove).await.expect("memory takes it");
                }
            }
        }
        for (name, samples) in &of_window {
            case.blocks.insert(*name);
            merge(&mut case.expected, samples);
        }
    }
    merge(&mut case.expected, &case.ingester.samples);
    case.ingester.samples.retain(|_, samples| !samples.is_empty());
    case.expected.retain(|_, samples| !samples.is_empty());
    case
}

#[tokio::test]
async fn answers_are_the_same_whatever_is_left_out() {
    let (mut left_out, mut read, mut lies, mut found) = (0.0, 0.0, 0, 0);
    for seed in 0..80 {
        let Case { ingester, world, expected, blocks } = case(seed).await;
        let silent = Covering { covered: BTreeSet::new(), ..ingester.clone() };
        assert_eq!(all(&world.api(vec![Arc::new(silent)], &[])).await, expected, "seed {seed}: all are read");
        let (api, metrics) = world.counted_api(vec![Arc::new(ingester.clone())], &[]);
        assert_eq!(all(&api).await, expected, "seed {seed}");
        left_out += metrics.get(LEFT_OUT);
        read += metrics.get(CHUNKS_READ);
        // One that says of one block too many that it covers it.
        for name in blocks.difference(&ingester.covered) {
            let mut liar = ingester.clone();
            liar.covered.insert(*name);
            lies += 1;
            found += usize::from(all(&world.api(vec![Arc::new(liar)], &[])).await != expected);
        }
    }
    assert!(left_out > 100.0 && read > 100.0, "{left_out} blocks left out, {read} chunks read");
    assert!(found > 50, "{found} of {lies} lies were found");
}
