//! Random samples in random blocks: what is read is what a plain map has.

use std::collections::{BTreeMap, BTreeSet};

use futures::TryStreamExt;
use model::{Labels, MatchOp, Matcher, TimeRange};
use proptest::prelude::*;
use proto::{IngesterRead, LabelValuesRequest, SelectRequest, SeriesRequest};

use crate::support::{Data, Deleted, World, tenant};

/// The samples of a few series, in any order of time.
type Picked = BTreeMap<u8, BTreeMap<i64, u8>>;

fn labels(series: u8) -> Labels {
    let (a, b) = (series % 3, series / 3 % 3);
    // Labels of some are the beginning of others'.
    let pairs = [("a", a), ("b", b), ("z", series)].into_iter().filter(|(_, value)| *value > 0);
    let pairs = pairs.map(|(name, value)| (name, format!("v{value}")));
    Labels::from_pairs(std::iter::once(("__name__", "m".to_owned())).chain(pairs))
}

fn picked() -> impl Strategy<Value = Picked> {
    let samples = prop::collection::btree_map(-500_i64..500, any::<u8>(), 1..30);
    prop::collection::btree_map(0..24_u8, samples, 1..12)
}

/// A value that two blocks agree on where they have the same sample.
fn value(series: u8, at: i64) -> f64 {
    f64::from_bits(0x7ff8_0000_0000_0000 | (u64::from(series) << 20) | at.unsigned_abs())
}

/// Chunks are as long as the picked numbers say.
fn data(picked: &Picked) -> Data {
    let mut data: Data = Vec::new();
    for (series, samples) in picked {
        let mut chunks: Vec<Vec<(i64, f64)>> = Vec::new();
        for (at, cut) in samples {
            let sample = (*at, value(*series, *at));
            match chunks.last_mut().filter(|_| cut % 5 > 0) {
                Some(chunk) => chunk.push(sample),
                None => chunks.push(vec![sample]),
            }
        }
        data.push((labels(*series), chunks));
    }
    data.sort_by(|a, b| a.0.cmp(&b.0));
    data
}

/// What should be found.
type Plain = BTreeMap<Labels, BTreeMap<i64, u64>>;

fn add(plain: &mut Plain, data: &Data, deleted: &Deleted) {
    for (number, (labels, chunks)) in data.iter().enumerate() {
        for (at, value) in chunks.iter().flatten() {
            let gone =
                deleted.iter().any(|(series, from, to)| *series == number && (*from..=*to).contains(at));
            if !gone {
                plain.entry(labels.clone()).or_default().insert(*at, value.to_bits());
            }
        }
    }
}

fn matchers() -> impl Strategy<Value = Vec<Matcher>> {
    let matcher = (
        prop_oneof![Just("__name__"), Just("a"), Just("b"), Just("z"), Just("none")],
        prop_oneof![
            Just(MatchOp::Equal),
            Just(MatchOp::NotEqual),
            Just(MatchOp::Regex),
            Just(MatchOp::NotRegex)
        ],
        prop_oneof![Just("m"), Just("v1"), Just("v2"), Just(""), Just("v.*"), Just("v1|v7")],
    );
    let matcher = matcher.prop_map(|(name, op, value)| Matcher::new(name, op, value).expect("it is right"));
    prop::collection::vec(matcher, 1..3)
}

async fn selected(
    blocks: &impl IngesterRead,
    matchers: &[Matcher],
    range: TimeRange,
) -> Vec<(Labels, BTreeMap<i64, u64>)> {
    let request = SelectRequest {
        tenant: tenant("t"),
        matchers: matchers.to_vec(),
        range,
        newest_only: false,
        max_series: 1000,
        max_chunk_bytes: 1 << 30,
    };
    let batches: Vec<_> =
        blocks.select(request).await.expect("it is there").try_collect().await.expect("it is there");
    let series = batches.into_iter().flatten().map(|series| {
        assert!(series.chunks.is_sorted_by_key(|chunk| chunk.range.start_ms()), "chunks out of order");
        let mut samples = BTreeMap::new();
        for chunk in &series.chunks {
            let mut cursor = chunk::cursor(chunk.encoding, &chunk.data).expect("a chunk");
            while let Some((at, chunk::ValueRef::Float(value))) = cursor.next_sample().expect("a sample") {
                assert!(chunk.range.contains(at), "a sample outside of its chunk's range");
                if range.contains(at) {
                    assert_eq!(*samples.entry(at).or_insert(value.to_bits()), value.to_bits());
                }
            }
        }
        (series.labels, samples)
    });
    let series: Vec<_> = series.collect();
    assert!(series.is_sorted_by(|a, b| a.0 < b.0), "series out of order");
    series.into_iter().filter(|(_, samples)| !samples.is_empty()).collect()
}

async fn check(
    world: &World,
    plain: &Plain,
    matchers: &[Matcher],
    range: TimeRange,
    config: &[(&str, &str)],
) {
    let blocks = world.blocks(config);
    let matches = |labels: &Labels| matchers.iter().all(|m| m.matches(labels.get_or_empty(m.name())));
    let inside = |samples: &BTreeMap<i64, u64>| {
        samples.range(range.start_ms()..=range.end_ms()).map(|(at, value)| (*at, *value)).collect()
    };
    let expected: Vec<(Labels, BTreeMap<i64, u64>)> = plain
        .iter()
        .filter(|(labels, _)| matches(labels))
        .map(|(labels, samples)| (labels.clone(), inside(samples)))
        .filter(|(_, samples): &(Labels, BTreeMap<i64, u64>)| !samples.is_empty())
        .collect();
    // Cold, and warm.
    for _ in 0..2 {
        assert_eq!(selected(&blocks, matchers, range).await, expected, "{matchers:?} in {range:?}");
    }
    let request = SeriesRequest {
        tenant: tenant("t"),
        matcher_sets: vec![matchers.to_vec(), vec![Matcher::equal("z", "v5")]],
        range: TimeRange::ALL,
        limit: 0,
    };
    let of_either = |labels: &&Labels| matches(labels) || labels.get("z") == Some("v5");
    let series: Vec<Labels> = plain.keys().filter(of_either).cloned().collect();
    assert_eq!(blocks.series(request.clone()).await.expect("it is there"), series);
    let names: BTreeSet<&str> = series.iter().flat_map(Labels::iter).map(|(name, _)| name).collect();
    assert!(blocks.label_names(request.clone()).await.expect("it is there").iter().eq(names.iter()));
    let values: BTreeSet<&str> = series.iter().filter_map(|labels| labels.get("a")).collect();
    let of_a = |series: SeriesRequest| LabelValuesRequest { name: "a".to_owned(), series };
    assert!(blocks.label_values(of_a(request.clone())).await.expect("it is there").iter().eq(values.iter()));
    let all = SeriesRequest { matcher_sets: Vec::new(), limit: 1, ..request };
    let values: BTreeSet<&str> = plain.keys().filter_map(|labels| labels.get("a")).collect();
    assert!(blocks.label_values(of_a(all)).await.expect("it is there").iter().eq(values.iter().take(1)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn what_is_in_blocks_is_read(
        blocks in prop::collection::vec((picked(), prop::collection::vec((0..12_usize, -500_i64..500, 0..200_i64), 0..3)), 1..6),
        matchers in matchers(),
        (start, length) in (-600_i64..600, 0..700_i64),
        cache in prop_oneof![Just("512MiB"), Just("40KiB"), Just("0")],
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let (mut world, mut plain) = (World::new(), Plain::new());
            for (picked, deleted) in &blocks {
                let data = data(picked);
                let deleted: Deleted = deleted.iter().map(|(series, from, more)| (*series, *from, from + more)).collect();
                world.add("t", &data, &deleted).await;
                add(&mut plain, &data, &deleted);
            }
            // A series all of whose samples are gone is not there, but for its name in an index.
            let gone = blocks.iter().any(|(_, deleted)| !deleted.is_empty());
            let range = TimeRange::new(start, start + length).expect("in order");
            let config = [("cache_memory", cache)];
            if gone {
                let expected: Vec<_> = plain.iter().filter(|(labels, _)| {
                    matchers.iter().all(|m| m.matches(labels.get_or_empty(m.name())))
                }).map(|(labels, samples)| (labels.clone(), samples.clone())).collect();
                let found = selected(&world.blocks(&config), &matchers, TimeRange::ALL).await;
                assert_eq!(found, expected);
            } else {
                check(&world, &plain, &matchers, range, &config).await;
            }
        });
    }
}
