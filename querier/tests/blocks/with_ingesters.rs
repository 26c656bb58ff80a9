//! Blocks and ingesters together, through the query API.

use std::sync::Arc;

use async_trait::async_trait;
use futures::StreamExt;
use model::{Labels, TenantId};
use proto::{
    Error, ExemplarsRequest, FamilyMetadata, IngesterRead, LabelNamesRequest, LabelValuesRequest,
    MetadataRequest, SelectRequest, SelectStream, SeriesChunks, SeriesExemplars, SeriesRequest, TenantStats,
};
use serde_json::json;

use crate::support::{Data, NOW_MS, World, encode, escape};

/// An ingester that holds one series, and asks to be left alone where it may.
struct Holder {
    labels: Labels,
    samples: Vec<(i64, f64)>,
    forbidden: bool,
}

#[async_trait]
impl IngesterRead for Holder {
    async fn select(&self, request: SelectRequest) -> Result<SelectStream, Error> {
        assert!(!self.forbidden, "nobody was to ask");
        let chunks =
            self.samples.chunks(3).map(encode).filter(|chunk| chunk.range.overlaps(request.range)).collect();
        let series = SeriesChunks { labels: self.labels.clone(), chunks };
        Ok(futures::stream::iter([Ok(vec![series])]).boxed())
    }

    async fn series(&self, _: SeriesRequest) -> Result<Vec<Labels>, Error> {
        Ok(vec![self.labels.clone()])
    }

    async fn label_names(&self, _: LabelNamesRequest) -> Result<Vec<String>, Error> {
        Ok(self.labels.iter().map(|(name, _)| name.to_owned()).collect())
    }

    async fn label_values(&self, request: LabelValuesRequest) -> Result<Vec<String>, Error> {
        Ok(self.labels.get(&request.name).into_iter().map(str::to_owned).collect())
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

fn samples(range: std::ops::Range<i64>) -> Vec<(i64, f64)> {
    range.map(|i| (NOW_MS - 7_200_000 + i * 60_000, i as f64)).collect()
}

fn labels(instance: &str) -> Labels {
    Labels::from_pairs([("__name__", "up"), ("instance", instance)])
}

#[tokio::test]
async fn a_series_goes_on_from_blocks_into_ingesters() {
    let mut world = World::new();
    let in_block: Data = vec![
        (labels("a"), samples(0..80).chunks(25).map(<[_]>::to_vec).collect()),
        (labels("old"), vec![samples(0..5)]),
    ];
    world.add("anonymous", &in_block, &vec![]).await;
    // The replica's block has others of its samples.
    let replica: Data = vec![(labels("a"), samples(30..90).chunks(7).map(<[_]>::to_vec).collect())];
    world.add("anonymous", &replica, &vec![]).await;
    let holder = Holder { labels: labels("a"), samples: samples(60..121), forbidden: false };
    let api = world.api(vec![Arc::new(holder)], &[]);
    let query = escape("count_over_time(up[3h])");
    let data = api.data(&format!("query?query={query}&time={}", NOW_MS / 1000)).await;
    let values: Vec<(&str, &str)> = data["result"]
        .as_array()
        .unwrap()
        .iter()
        .map(|series| (series["metric"]["instance"].as_str().unwrap(), series["value"][1].as_str().unwrap()))
        .collect();
    assert_eq!(values, [("a", "121"), ("old", "5")]);
    let sums = api
        .data(&format!(
            "query?query={}&time={}",
            escape("sum_over_time(up{instance=\"a\"}[3h])"),
            NOW_MS / 1000
        ))
        .await;
    assert_eq!(sums["result"][0]["value"][1], (0..121).sum::<i64>().to_string());
    assert_eq!(api.data("label/instance/values").await, json!(["a", "old"]));
    assert_eq!(api.data("labels").await, json!(["__name__", "instance"]));
    let series = api.data(&format!("series?match[]={}", escape("up"))).await;
    assert_eq!(series.as_array().unwrap().len(), 2);
}

/// Series, names and values of labels come from the indexes of blocks as from ingesters, by matchers, time and limit.
#[tokio::test]
async fn labels_are_those_of_blocks_and_ingesters() {
    let of = |pairs: &[(&str, &str)]| Labels::from_pairs(pairs.iter().copied());
    let mut world = World::new();
    let old: Data = vec![
        (of(&[("__name__", "load"), ("disk", "sda"), ("instance", "x")]), vec![samples(0..5)]),
        (of(&[("__name__", "up"), ("instance", "b")]), vec![samples(0..10)]),
        (of(&[("__name__", "up"), ("instance", "c"), ("job", "node")]), vec![samples(0..10)]),
    ];
    world.add("anonymous", &old, &vec![]).await;
    let young: Data =
        vec![(of(&[("__name__", "up"), ("instance", "d"), ("zone", "1")]), vec![samples(60..70)])];
    world.add("anonymous", &young, &vec![]).await;
    let holder = Holder { labels: labels("a"), samples: samples(60..121), forbidden: false };
    let api = world.api(vec![Arc::new(holder)], &[]);
    let up = escape("up");
    let seconds = |minute: i64| (NOW_MS - 7_200_000 + minute * 60_000) / 1000;
    let (first, second) =
        (format!("&start={}&end={}", seconds(0), seconds(15)), format!("&start={}", seconds(30)));
    for (path, expected) in [
        ("labels?".to_owned(), json!(["__name__", "disk", "instance", "job", "zone"])),
        (format!("labels?match[]={up}"), json!(["__name__", "instance", "job", "zone"])),
        (format!("labels?match[]={up}{first}"), json!(["__name__", "instance", "job"])),
        (format!("labels?match[]={up}{second}"), json!(["__name__", "instance", "zone"])),
        (format!("labels?{second}"), json!(["__name__", "instance", "zone"])),
        ("label/instance/values?".to_owned(), json!(["a", "b", "c", "d", "x"])),
        (format!("label/instance/values?match[]={up}{first}"), json!(["a", "b", "c"])),
        (format!("label/instance/values?match[]={}", escape("load{disk=~\"sd.\"}")), json!(["a", "x"])),
        (format!("label/instance/values?match[]={up}{second}"), json!(["a", "d"])),
        ("label/disk/values?".to_owned(), json!(["sda"])),
    ] {
        assert_eq!(api.data(&path).await, expected, "{path}");
    }
    let (_, cut) = api.get(&format!("label/instance/values?match[]={up}&limit=2")).await;
    assert_eq!(cut["data"], json!(["a", "b"]));
    assert_eq!(cut["warnings"], json!(["results truncated due to limit"]));
    let found = |body: serde_json::Value| -> Vec<String> {
        let series = body.as_array().cloned().unwrap_or_default();
        series.iter().filter_map(|one| Some(one["instance"].as_str()?.to_owned())).collect()
    };
    assert_eq!(found(api.data(&format!("series?match[]={up}{first}")).await), ["a", "b", "c"]);
    let either = format!("series?match[]={}&match[]=load", escape("up{instance=~\"c|d\"}"));
    assert_eq!(found(api.data(&either).await), ["x", "a", "c", "d"]);
}

#[tokio::test]
async fn who_is_asked_follows_from_the_time() {
    let mut world = World::new();
    let in_block: Data = vec![(labels("a"), vec![samples(0..100)])];
    world.add("anonymous", &in_block, &vec![]).await;
    let settings = [("query_ingesters_within", "1h"), ("query_store_after", "30m")];
    let holder = |forbidden| Holder { labels: labels("a"), samples: samples(50..121), forbidden };
    let value = async |forbidden: bool, at_ms: i64| {
        let api = world.api(vec![Arc::new(holder(forbidden))], &settings);
        let query = escape("count_over_time(up[10m])");
        let data = api.data(&format!("query?query={query}&time={}", at_ms / 1000)).await;
        data["result"][0]["value"][1].as_str().unwrap().to_owned()
    };
    assert_eq!(value(true, NOW_MS - 4_000_000).await, "10");
    assert_eq!(value(false, NOW_MS).await, "10");
    // The bucket is not needed for what is young, but for all else.
    world.faults.plan(bucket::faults::Kind::Any, 0, bucket::faults::Fault::Gone);
    assert_eq!(value(false, NOW_MS).await, "10");
    let api = world.api(vec![Arc::new(holder(false))], &settings);
    let (status, body) = api.get(&format!("query?query=up&time={}", (NOW_MS - 3_000_000) / 1000)).await;
    assert_eq!((status, &body["errorType"]), (503, &json!("unavailable")), "{body}");
    assert!(
        settings::section::with_values::<querier::QuerierConfig>(&[
            ("query_ingesters_within", "1h"),
            ("query_store_after", "2h")
        ])
        .is_err()
    );
}
