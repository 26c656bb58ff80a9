//! `query` and `query_range`: results byte for byte.

use std::sync::Arc;

use model::{BucketSpan, FloatHistogram, Histogram, Value, stale_nan};

use crate::fake::{Api, Fake, NOW_MS, api, api_with, escape};

fn up() -> Api {
    api(ups())
}

fn ups() -> Fake {
    Fake::default()
        .floats(
            &[("__name__", "up"), ("instance", "a:9100"), ("job", "node")],
            &[(60, 1.0), (45, 0.0), (30, 1.5), (15, 2.0), (0, 3.0)],
        )
        .floats(
            &[("__name__", "up"), ("instance", "b:9100"), ("job", "<node>&co")],
            &[(310, 7.0), (299, 8.0)],
        )
        .floats(&[("__name__", "down"), ("job", "node")], &[(0, 1.0)])
}

#[tokio::test]
async fn an_instant_selector_takes_the_latest_sample() {
    let api = up();
    api.expect(
        "query?query=up",
        r#"{"resultType":"vector","result":[{"metric":{"__name__":"up","instance":"a:9100","job":"node"},"value":[1700000000,"3"]},{"metric":{"__name__":"up","instance":"b:9100","job":"<node>&co"},"value":[1700000000,"8"]}]}"#,
    )
    .await;
    // Exactly five minutes old is too old; the time of the answer is that of the query.
    api.expect(
        "query?query=up&time=1700000001.5",
        r#"{"resultType":"vector","result":[{"metric":{"__name__":"up","instance":"a:9100","job":"node"},"value":[1700000001.500,"3"]}]}"#,
    )
    .await;
    api.expect(
        "query?query=up%7Binstance%3D%22a:9100%22%7D&time=2023-11-14T22:12:45Z",
        r#"{"resultType":"vector","result":[{"metric":{"__name__":"up","instance":"a:9100","job":"node"},"value":[1699999965,"0"]}]}"#,
    )
    .await;
    api.expect("query?query=nothing", r#"{"resultType":"vector","result":[]}"#).await;
}

#[tokio::test]
async fn offset_at_and_lookback() {
    let api = up();
    let selector = r#"up{job="node"}"#;
    for (query, parameters, value) in [
        (format!("{selector} offset 15s"), "", "2"),
        (format!("{selector} offset 20s"), "", "1.5"),
        (format!("{selector} @ 1699999955"), "", "0"),
        (format!("{selector} @ 1699999970 offset 15s"), "", "0"),
        (format!("{selector} offset -1m"), "&time=1699999945", "3"),
        (selector.to_owned(), "&time=1700000010&lookback_delta=11s", "3"),
        (format!("({selector})"), "", "3"),
    ] {
        let path = format!("query?query={}{parameters}", escape(&query));
        let body = api.get(&path).await.body;
        assert!(body.ends_with(&format!(r#","{value}"]}}]}}}}"#)), "{query}: {body}");
    }
    let path = format!("query?query={}&time=1700000010&lookback_delta=10", escape(selector));
    api.expect(&path, r#"{"resultType":"vector","result":[]}"#).await;
}

#[tokio::test]
async fn a_range_selector_is_open_at_its_left() {
    let api = up();
    api.expect(
        &format!("query?query={}", escape(r#"up{job="node"}[45s]"#)),
        r#"{"resultType":"matrix","result":[{"metric":{"__name__":"up","instance":"a:9100","job":"node"},"values":[[1699999970,"1.5"],[1699999985,"2"],[1700000000,"3"]]}]}"#,
    )
    .await;
    api.expect("query?query=down[1m]%20offset%201h", r#"{"resultType":"matrix","result":[]}"#).await;
}

#[tokio::test]
async fn a_range_query_walks_its_steps() {
    let api = up();
    let query = escape(r#"up{job="node"}"#);
    api.expect(
        &format!("query_range?query={query}&start=1699999930&end=1700000020&step=30"),
        r#"{"resultType":"matrix","result":[{"metric":{"__name__":"up","instance":"a:9100","job":"node"},"values":[[1699999960,"0"],[1699999990,"2"],[1700000020,"3"]]}]}"#,
    )
    .await;
    // A sample serves as many steps as the lookback is long, and no more.
    api.expect(
        &format!("query_range?query={query}&start=1700000200&end=1700000500&step=50"),
        r#"{"resultType":"matrix","result":[{"metric":{"__name__":"up","instance":"a:9100","job":"node"},"values":[[1700000200,"3"],[1700000250,"3"]]}]}"#,
    )
    .await;
    // `@` fixes the time of all steps.
    api.expect(
        &format!("query_range?query={query}%20@%20end()&start=1699999970&end=1699999985&step=15s"),
        r#"{"resultType":"matrix","result":[{"metric":{"__name__":"up","instance":"a:9100","job":"node"},"values":[[1699999970,"2"],[1699999985,"2"]]}]}"#,
    )
    .await;
    api.expect(
        "query_range?query=1.5&start=10&end=20.5&step=5",
        r#"{"resultType":"matrix","result":[{"metric":{},"values":[[10,"1.5"],[15,"1.5"],[20,"1.5"]]}]}"#,
    )
    .await;
}

#[tokio::test]
async fn literals() {
    let api = up();
    api.expect(
        "query?query=1e30&time=1",
        r#"{"resultType":"scalar","result":[1,"1000000000000000000000000000000"]}"#,
    )
    .await;
    api.expect("query?query=Inf&time=1.25", r#"{"resultType":"scalar","result":[1.250,"+Inf"]}"#).await;
    api.expect(
        &format!("query?query={}&time=1", escape("\"<a>\\\"\"")),
        r#"{"resultType":"string","result":[1,"\u003ca\u003e\""]}"#,
    )
    .await;
}

#[tokio::test]
async fn stale_markers_end_a_series() {
    let fake = Fake::default()
        .floats(&[("__name__", "m")], &[(60, 1.0), (45, stale_nan()), (30, f64::NAN), (15, stale_nan())]);
    let api = api(fake);
    api.expect("query?query=m", r#"{"resultType":"vector","result":[]}"#).await;
    api.expect(
        "query_range?query=m&start=1699999940&end=1700000000&step=15",
        r#"{"resultType":"matrix","result":[{"metric":{"__name__":"m"},"values":[[1699999940,"1"],[1699999970,"NaN"]]}]}"#,
    )
    .await;
    api.expect(
        "query?query=m[2m]",
        r#"{"resultType":"matrix","result":[{"metric":{"__name__":"m"},"values":[[1699999940,"1"],[1699999970,"NaN"]]}]}"#,
    )
    .await;
}

fn histogram(count: u64) -> Histogram {
    Histogram {
        schema: 1,
        zero_threshold: 0.001,
        zero_count: 1,
        count: count + 1,
        sum: 2.5,
        positive_spans: vec![BucketSpan { offset: 0, length: 2 }],
        positive_buckets: vec![count as i64, -(count as i64)],
        ..Histogram::default()
    }
}

#[tokio::test]
async fn native_histograms() {
    let integer = Value::Histogram(Arc::new(histogram(4)));
    let float =
        Value::FloatHistogram(Arc::new(FloatHistogram { count: 0.5, sum: -1.0, ..histogram(0).to_float() }));
    let samples = [(NOW_MS - 30_000, Value::Float(9.0)), (NOW_MS - 15_000, float), (NOW_MS, integer)];
    let api = api(Fake::default().samples(&[("__name__", "h")], &samples));
    api.expect(
        "query?query=h",
        r#"{"resultType":"vector","result":[{"metric":{"__name__":"h"},"histogram":[1700000000,{"count":"5","sum":"2.5","buckets":[[3,"-0.001","0.001","1"],[0,"0.7071067811865475","1","4"]]}]}]}"#,
    )
    .await;
    api.expect(
        "query?query=h[1m]",
        r#"{"resultType":"matrix","result":[{"metric":{"__name__":"h"},"values":[[1699999970,"9"]],"histograms":[[1699999985,{"count":"0.5","sum":"-1","buckets":[[3,"-0.001","0.001","1"]]}],[1700000000,{"count":"5","sum":"2.5","buckets":[[3,"-0.001","0.001","1"],[0,"0.7071067811865475","1","4"]]}]]}]}"#,
    )
    .await;
}

#[tokio::test]
async fn limit_cuts_and_says_so() {
    let answer = up().get("query?query=up&limit=1").await.body;
    assert_eq!(
        answer,
        r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{"__name__":"up","instance":"a:9100","job":"node"},"value":[1700000000,"3"]}]},"warnings":["results truncated due to limit"]}"#
    );
    let answer = up().get("query?query=up&limit=2").await.body;
    assert!(!answer.contains("warnings"), "{answer}");
}

#[tokio::test]
async fn large_results_are_whole() {
    let samples: Vec<_> = (0..200).rev().map(|i| (i, f64::from(i as i32) + 0.5)).collect();
    let names: Vec<String> = (0..100).map(|i| format!("{i:03}")).collect();
    let fake =
        names.iter().fold(Fake::default(), |fake, n| fake.floats(&[("__name__", "m"), ("n", n)], &samples));
    let body = api(fake).get("query?query=m[200s]&stats=all").await.body;
    assert!(body.len() > 5 * 65_536, "{}", body.len());
    let parsed: serde_json::Value = serde_json::from_str(&body).unwrap();
    let result = parsed["data"]["result"].as_array().unwrap();
    assert_eq!(result.len(), 100);
    assert!(result.iter().all(|s| s["values"].as_array().unwrap().len() == 200));
    assert!(parsed["data"]["stats"]["samples"].is_object());
}

#[tokio::test]
async fn other_forms_of_the_same_request() {
    let api = up();
    let expected = api.get("query?query=down").await;
    assert_eq!(api.post("query", "query=down").await, expected);
    assert_eq!(api.post("query?query=up", "query=down").await, expected);
    let other = http::Request::get("/prometheus/api/v1/query?query=down");
    assert_eq!(api.send(other.body(axum::body::Body::empty()).unwrap()).await, expected);
}

#[tokio::test]
async fn the_whole_language() {
    let api = up();
    api.expect(
        "query?query=sum(up)%20by%20(job)",
        r#"{"resultType":"vector","result":[{"metric":{"job":"node"},"value":[1700000000,"3"]},{"metric":{"job":"<node>&co"},"value":[1700000000,"8"]}]}"#,
    )
    .await;
    // The same selector twice, and two selectors in one query.
    api.expect(
        &format!("query?query={}", escape(r#"up{job="node"} / up{job="node"} + on(job) down"#)),
        r#"{"resultType":"vector","result":[{"metric":{"job":"node"},"value":[1700000000,"2"]}]}"#,
    )
    .await;
    api.expect(
        &format!(
            "query_range?query={}&start=1699999970&end=1700000000&step=15",
            escape(r#"max_over_time(up{job="node"}[30s]) * 2"#)
        ),
        r#"{"resultType":"matrix","result":[{"metric":{"instance":"a:9100","job":"node"},"values":[[1699999970,"3"],[1699999985,"4"],[1700000000,"6"]]}]}"#,
    )
    .await;
    api.expect(
        &format!("query?query={}", escape(r#"max_over_time(up{job="node"}[1m:15s])[30s:15s]"#)),
        r#"{"resultType":"matrix","result":[{"metric":{"instance":"a:9100","job":"node"},"values":[[1699999980,"1.5"],[1699999995,"2"]]}]}"#,
    )
    .await;
    api.expect("query?query=time()&time=12.5", r#"{"resultType":"scalar","result":[12.500,"12.5"]}"#).await;
}

/// There are two series of `up`, and no query fetches a third.
#[tokio::test]
async fn what_another_selection_has_is_not_fetched_again() {
    let api = api_with(vec![ups()], &[], &[("max_fetched_series_per_query", "2")]);
    for (query, value) in [
        (r#"sum(up{job="node"}) / sum(up)"#, "0.2727272727272727"),
        (r#"sum(up) - sum(up{job="node",instance=~"a.*"})"#, "8"),
        (r#"sum(up{job="node"}) + sum(up{job="<node>&co"}) * 0 + sum(max_over_time(up[10m]))"#, "14"),
        (r#"sum(up{job!="node"}) + sum(up{job="node"}) * 0 + count(up)"#, "10"),
    ] {
        let answer = format!(
            r#"{{"resultType":"vector","result":[{{"metric":{{}},"value":[1700000000,"{value}"]}}]}}"#
        );
        api.expect(&format!("query?query={}", escape(query)), &answer).await;
    }
}

#[tokio::test]
async fn annotations_have_places() {
    let samples = [(60, 1.0), (0, 3.0)];
    let api = api(Fake::default().floats(&[("__name__", "temperature")], &samples));
    let answer = api.get("query?query=rate(temperature[5m])").await.body;
    assert!(
        answer.ends_with(r#"]},"infos":["PromQL info: metric might not be a counter, name does not end in _total/_sum/_count/_bucket: \"temperature\" (1:6)"]}"#),
        "{answer}"
    );
    let answer = api.get("query?query=quantile(2,temperature)").await.body;
    assert!(
        answer.contains(
            r#""warnings":["PromQL warning: quantile value should be between 0 and 1, got 2 (1:10)"]"#
        ),
        "{answer}"
    );
}

#[tokio::test]
async fn execution_errors() {
    let api = up();
    let answer = api
        .get(&format!("query?query={}", escape("up + on(job) group_left() {__name__=~\"up|down\"}")))
        .await;
    assert_eq!(answer.status.as_u16(), 422, "{answer:?}");
    assert!(answer.body.starts_with(r#"{"status":"error","errorType":"execution","error":""#), "{answer:?}");
}
