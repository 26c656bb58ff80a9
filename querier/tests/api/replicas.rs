//! Several ingesters hold the same series: their answers are merged, and no sample comes twice or is lost.

use std::collections::BTreeMap;

use model::{Labels, Value};
use proptest::prelude::*;
use proto::Chunk;
use querier::{QueryRequest, QueryTime, QueryValue, StatsWanted};

use crate::fake::{Fake, FakeSeries, NOW_MS, api_with, chunks};

/// What the samples of one series are, wherever they are held.
fn samples() -> impl Strategy<Value = Vec<(i64, f64)>> {
    let times = proptest::collection::btree_set(1..600i64, 1..80);
    times.prop_flat_map(|times| {
        let n = times.len();
        let values = proptest::collection::vec(prop_oneof![-5.0..5.0, Just(f64::INFINITY), Just(-0.0)], n);
        values.prop_map(move |values| times.iter().copied().zip(values).collect())
    })
}

/// For each sample, which of three replicas hold it (at least one), and whether it came out of order there.
fn placement(n: usize) -> impl Strategy<Value = Vec<(u8, bool)>> {
    proptest::collection::vec((1u8..8, any::<bool>()), n)
}

fn held(samples: &[(i64, f64)], placement: &[(u8, bool)], replica: u8) -> Vec<Chunk> {
    let of = |late: bool| {
        let mine =
            samples.iter().zip(placement).filter(|(_, (mask, l))| mask >> replica & 1 == 1 && *l == late);
        let mine: Vec<_> =
            mine.map(|((at, v), _)| (NOW_MS - 600_000 + at * 1_000, Value::Float(*v))).collect();
        chunks(&mine)
    };
    let mut all = [of(false), of(true)].concat();
    all.sort_by_key(|c| c.range.start_ms());
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn every_sample_once((samples, placement) in samples().prop_flat_map(|s| (Just(s.clone()), placement(s.len())))) {
        let fakes = (0..3).map(|replica| Fake {
            series: vec![FakeSeries {
                labels: Labels::from_pairs([("__name__", "m")]),
                chunks: held(&samples, &placement, replica),
                ..FakeSeries::default() }],
            ..Fake::default()
        });
        let api = api_with(fakes.collect(), &[], &[]);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let answer = runtime.block_on(api.get("query?query=m[10m]"));
        let json: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
        let got: Vec<(i64, String)> = json["data"]["result"][0]["values"]
            .as_array()
            .unwrap()
            .iter()
            .map(|pair| (pair[0].as_f64().unwrap() as i64, pair[1].as_str().unwrap().to_owned()))
            .collect();
        let print = |v: f64| if v == f64::INFINITY { "+Inf".to_owned() } else { format!("{v}") };
        let expected: Vec<_> = samples.iter().map(|(at, v)| (NOW_MS / 1_000 - 600 + at, print(*v))).collect();
        prop_assert_eq!(got, expected);
    }

    #[test]
    fn every_series_once(sets in proptest::collection::vec(proptest::collection::btree_set("[a-c]{1,3}", 0..12), 1..4)) {
        let mut expected = BTreeMap::new();
        let fakes = sets.iter().map(|jobs| {
            jobs.iter().fold(Fake::default(), |fake, job| {
                expected.insert(job.clone(), 1);
                fake.floats(&[("__name__", "m"), ("job", job)], &[(0, 1.0)])
            })
        });
        let api = api_with(fakes.collect(), &[], &[]);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let answer = runtime.block_on(api.get("query?query=m"));
        let json: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
        let got: Vec<String> = json["data"]["result"]
            .as_array()
            .unwrap()
            .iter()
            .map(|s| s["metric"]["job"].as_str().unwrap().to_owned())
            .collect();
        prop_assert_eq!(got, expected.into_keys().collect::<Vec<_>>());
    }
}

/// Where replicas disagree, a sample wins over a stale marker and then the larger bits win, in whatever order they
/// are asked.
#[tokio::test]
async fn disagreement_has_one_answer() {
    let with = |value: f64| Fake::default().floats(&[("__name__", "m")], &[(30, 1.0), (0, value)]);
    for (a, b, expected) in [(model::stale_nan(), 1.0, "1"), (2.0, 3.0, "3"), (2.0, -1.0, "-1")] {
        for fakes in [vec![with(a), with(b)], vec![with(b), with(a)]] {
            let api = api_with(fakes, &[], &[]);
            let expected = format!(
                r#"{{"resultType":"vector","result":[{{"metric":{{"__name__":"m"}},"value":[1700000000,"{expected}"]}}]}}"#
            );
            api.expect("query?query=m", &expected).await;
        }
    }
}

/// Merging relies on order; an ingester without it is found out rather than believed.
#[tokio::test]
async fn series_out_of_order_are_an_error() {
    let mut fake = Fake::default()
        .floats(&[("__name__", "m"), ("job", "a")], &[(0, 1.0)])
        .floats(&[("__name__", "m"), ("job", "b")], &[(0, 1.0)]);
    fake.series.swap(0, 1);
    let api = api_with(vec![fake], &[], &[]);
    let message = r#"an ingester sent series {__name__="m", job="a"} out of order"#;
    api.expect_error("query?query=m", 500, "internal", message).await;
}

/// The roles inside the process ask without HTTP.
#[tokio::test]
async fn the_querier_answers_without_http() {
    let api = api_with(vec![Fake::default().floats(&[("__name__", "m")], &[(0, 1.0)])], &[], &[]);
    let response = api
        .querier
        .query(QueryRequest {
            tenant: model::TenantId::anonymous(),
            query: "m".to_owned(),
            time: QueryTime::Instant(NOW_MS),
            lookback: None,
            timeout: None,
            stats: StatsWanted::None,
            class: querier::QueryClass::User,
        })
        .await
        .unwrap();
    assert!(matches!(response.value, QueryValue::Vector(samples) if samples.len() == 1));
}
