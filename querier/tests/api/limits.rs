//! Limits of tenants, concurrency and time.

use std::time::Duration;

use crate::fake::{Fake, api_with};

fn three_series() -> Fake {
    ["a", "b", "c"].iter().fold(Fake::default(), |fake, job| {
        fake.floats(&[("__name__", "up"), ("job", job)], &[(3_700, 1.0), (60, 1.0), (0, 2.0)])
    })
}

#[tokio::test]
async fn series_and_bytes_of_a_query() {
    let error = |answer: &crate::fake::Answer, name: &str| {
        assert_eq!(answer.status.as_u16(), 422, "{answer:?}");
        assert!(answer.body.contains(r#""errorType":"execution""#), "{answer:?}");
        assert!(answer.body.contains(name), "{answer:?}");
    };
    // The merged series count, not those of each replica.
    let replicas = || vec![three_series(), three_series()];
    let api = api_with(replicas(), &[], &[("max_fetched_series_per_query", "3")]);
    assert_eq!(api.get("query?query=up").await.status.as_u16(), 200);
    let api = api_with(vec![three_series()], &[], &[("max_fetched_chunk_bytes_per_query", "50")]);
    error(&api.get("query?query=up").await, "max_fetched_chunk_bytes_per_query");
    let chunks = |most| api_with(vec![three_series()], &[], &[("max_fetched_chunks_per_query", most)]);
    assert_eq!(chunks("3").get("query?query=up").await.status.as_u16(), 200);
    error(&chunks("2").get("query?query=up").await, "max_fetched_chunks_per_query");
    // Each replica stays below the limit, together they do not.
    let single = |job| Fake::default().floats(&[("__name__", "up"), ("job", job)], &[(0, 1.0)]);
    let api = api_with(vec![single("a"), single("b")], &[], &[("max_fetched_series_per_query", "1")]);
    error(&api.get("query?query=up").await, "max_fetched_series_per_query");
}

#[tokio::test]
async fn samples_in_memory() {
    let samples: Vec<_> = (0..1_200).rev().map(|s| (s, 1.0)).collect();
    let fake = Fake::default().floats(&[("__name__", "up")], &samples);
    let api = api_with(vec![fake], &[("max_samples", "1000")], &[]);
    api.expect_error(
        "query?query=up[1h]",
        422,
        "execution",
        "query processing would load too many samples into memory in query execution",
    )
    .await;
    assert_eq!(api.get("query?query=up[10m]").await.status.as_u16(), 200);
}

#[tokio::test]
async fn length_of_a_query() {
    let api = api_with(vec![three_series()], &[], &[("max_total_query_length", "1h")]);
    api.expect_error(
        "query_range?query=up&start=0&end=3601&step=10",
        400,
        "bad_data",
        "the total query time range exceeds the limit (query length: 1h1s, limit: 1h, max_total_query_length); \
         query a shorter range",
    )
    .await;
    let answer = api.get("query_range?query=up&start=0&end=3600&step=10").await;
    assert_eq!(answer.status.as_u16(), 200);
}

#[tokio::test]
async fn old_data_is_not_queried() {
    let api = api_with(vec![three_series()], &[], &[("max_query_lookback", "1h")]);
    let series = |values: &str| {
        let of = |job: &str| format!(r#"{{"metric":{{"__name__":"up","job":"{job}"}},"values":[{values}]}}"#);
        format!(r#"{{"resultType":"matrix","result":[{},{},{}]}}"#, of("a"), of("b"), of("c"))
    };
    api.expect("query?query=up[2h]", &series(r#"[1699999940,"1"],[1700000000,"2"]"#)).await;
    api.expect("query?query=up&time=1699996500", r#"{"resultType":"vector","result":[]}"#).await;
    api.expect("series?match[]=up&end=1699996000", "[]").await;
}

#[tokio::test]
async fn label_queries_keep_to_the_newest_part() {
    let fake = Fake::default()
        .floats(&[("__name__", "old")], &[(7_200, 1.0)])
        .floats(&[("__name__", "new")], &[(60, 1.0)]);
    let api = api_with(vec![fake], &[], &[("max_labels_query_length", "1h")]);
    api.expect("label/__name__/values", r#"["new"]"#).await;
    api.expect("label/__name__/values?start=1699990000&end=1699994000", r#"["old"]"#).await;
}

#[tokio::test]
async fn time_runs_out() {
    let hanging = || Fake { hangs: true, ..Fake::default() };
    let message = "query timed out in query preparation";
    let api = api_with(vec![hanging()], &[("timeout", "10s")], &[]);
    tokio::join!(
        api.expect_error("query?query=up", 503, "timeout", message),
        api.pass(Duration::from_secs(10))
    );
    // A request may ask for less, not for more.
    tokio::join!(
        api.expect_error("query?query=up&timeout=1s", 503, "timeout", message),
        api.pass(Duration::from_secs(1))
    );
    tokio::join!(
        api.expect_error("query?query=up&timeout=1h", 503, "timeout", message),
        api.pass(Duration::from_secs(10))
    );
    let metrics = api.registry.encode_openmetrics();
    assert!(
        metrics.contains(r#"barograph_querier_query_failures_total{error_type="timeout"} 3"#),
        "{metrics}"
    );
}

#[tokio::test]
async fn the_queue_is_bounded_and_waiting_counts() {
    let hanging = Fake { hangs: true, ..Fake::default() };
    let config = [("max_concurrent", "1"), ("max_queued", "1"), ("timeout", "10s")];
    let api = api_with(vec![hanging], &config, &[]);
    let mut running = Box::pin(api.get("query?query=up"));
    assert!(futures::poll!(&mut running).is_pending());
    let mut waiting = Box::pin(api.get("query?query=up"));
    assert!(futures::poll!(&mut waiting).is_pending());
    let refused = api.get("query?query=up").await;
    assert_eq!(refused.status.as_u16(), 503);
    assert_eq!(refused.retry_after.as_deref(), Some("2"));
    assert!(refused.body.contains(r#""errorType":"unavailable""#), "{refused:?}");
    api.clock.advance(Duration::from_secs(10));
    assert!(waiting.await.body.contains("query timed out in query queue"));
    assert!(running.await.body.contains("query timed out in query preparation"));
    // What ended, by whatever end, makes room.
    let mut next = Box::pin(api.get("query?query=up"));
    assert!(futures::poll!(&mut next).is_pending());
    drop(next);
    assert_eq!(api.get("query?query=1").await.status.as_u16(), 200);
}

/// The evaluation would take minutes; it ends soon after nobody waits for it any more, and makes room.
#[tokio::test]
async fn evaluation_stops_when_time_runs_out() {
    let samples: Vec<_> = (0..1_200).rev().map(|s| (s, f64::from((s * 7 % 13) as i32))).collect();
    let fake = (0..2_000).fold(Fake::default(), |mut fake, i| {
        let job = format!("{i:04}");
        match fake.series.first().cloned() {
            None => fake.floats(&[("__name__", "up"), ("job", &job)], &samples),
            Some(mut series) => {
                series.labels = model::Labels::from_pairs([("__name__", "up"), ("job", &job)]);
                fake.series.push(series);
                fake
            }
        }
    });
    let api = api_with(vec![fake], &[("timeout", "10s")], &[]);
    let path = "query_range?query=quantile_over_time(0.5,up[10m])&start=1699999450&end=1700000000&step=0.05";
    tokio::join!(
        api.expect_error(path, 503, "timeout", "query timed out in expression evaluation"),
        api.pass(Duration::from_secs(10))
    );
    let stopped = async {
        while !api.registry.encode_openmetrics().contains("barograph_querier_queries_running 0") {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let in_time = tokio::time::timeout(Duration::from_secs(60), stopped).await;
    assert!(in_time.is_ok(), "the evaluation goes on though nobody waits for it");
}
