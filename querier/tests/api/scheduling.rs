//! Tenants side by side, memory that queries share, and what becomes of queries that nobody waits for.

use std::time::Duration;

use axum::body::Body;
use env::Clock;
use http::Request;
use http_body_util::BodyExt;

use crate::fake::{Api, Fake, api_with, escape};

/// Sends a query for a tenant of many.
async fn query_of(api: &Api, tenant: &str, query: &str) -> (u16, String) {
    let path = format!("/api/v1/query?query={}", escape(query));
    let request = Request::get(path).header("x-scope-orgid", tenant).body(Body::empty()).unwrap();
    let answer = api.send(request).await;
    (answer.status.as_u16(), answer.body)
}

pub(crate) fn value(api: &Api, name: &str) -> f64 {
    let samples = api.registry.gather();
    samples.iter().filter(|s| s.name == name).map(|s| s.value).sum()
}

/// `series` series with a sample a second for `seconds` seconds, which share their chunks.
pub(crate) fn many(series: usize, seconds: i64) -> Fake {
    let samples: Vec<_> = (0..seconds).rev().map(|s| (s, f64::from((s * 7 % 13) as i32))).collect();
    let mut fake = Fake::default().floats(&[("__name__", "up"), ("i", "0000000")], &samples);
    let first = fake.series.remove(0);
    fake.series = (0..series)
        .map(|i| {
            let mut series = first.clone();
            series.labels =
                model::Labels::from_pairs([("__name__", "up".to_owned()), ("i", format!("{i:07}"))]);
            series
        })
        .collect();
    fake
}

#[tokio::test]
async fn a_tenant_reaches_its_own_bounds_first() {
    let hanging = Fake { hangs: true, ..Fake::default() };
    let limits = [("max_concurrent_queries", "1"), ("max_queued_queries", "1")];
    let api = api_with(vec![hanging], &[], &limits);
    let mut first = Box::pin(api.get("query?query=up"));
    let mut second = Box::pin(api.get("query?query=up"));
    assert!(futures::poll!(&mut first).is_pending() && futures::poll!(&mut second).is_pending());
    assert_eq!(value(&api, "barograph_querier_queries_running"), 1.0);
    assert_eq!(value(&api, "barograph_querier_queue_length"), 1.0);
    let refused = api.get("query?query=up").await;
    assert_eq!(refused.status.as_u16(), 429);
    assert_eq!(refused.retry_after.as_deref(), Some("2"));
    assert!(refused.body.contains(r#""errorType":"too_many_requests""#), "{refused:?}");
    let metrics = api.registry.encode_openmetrics();
    let counted = r#"barograph_querier_queries_refused_total{reason="tenant_queue_full"} 1"#;
    assert!(metrics.contains(counted), "{metrics}");
    // Whose client goes away leaves the queue.
    drop(second);
    assert_eq!(value(&api, "barograph_querier_queue_length"), 0.0);
    assert_eq!(value(&api, "barograph_querier_queue_left_total"), 1.0);
    assert_eq!(value(&api, "barograph_querier_queries_canceled_total"), 1.0);
    drop(first);
    assert_eq!(value(&api, "barograph_querier_queries_running"), 0.0);
}

/// Requests that read whole series out have a queue of their own, in which tenants have the same shares.
#[tokio::test]
async fn federations_of_a_tenant_wait_for_each_other_and_no_query_waits_for_them() {
    let hanging = Fake { hangs: true, ..Fake::default() };
    let limits = [("max_concurrent_queries", "1"), ("max_queued_queries", "1")];
    let api = api_with(vec![hanging], &[], &limits);
    let federate = || Box::pin(api.send(Request::get("/federate?match[]=up").body(Body::empty()).unwrap()));
    let (mut first, mut second) = (federate(), federate());
    assert!(futures::poll!(&mut first).is_pending() && futures::poll!(&mut second).is_pending());
    assert_eq!(value(&api, "barograph_querier_reads_running"), 1.0);
    assert_eq!(value(&api, "barograph_querier_read_queue_length"), 1.0);
    let refused = federate().await;
    assert_eq!((refused.status.as_u16(), refused.retry_after.as_deref()), (429, Some("2")), "{refused:?}");
    let mut query = Box::pin(api.get("query?query=up"));
    assert!(futures::poll!(&mut query).is_pending());
    assert_eq!(value(&api, "barograph_querier_queries_running"), 1.0);
    drop(first);
    assert!(futures::poll!(&mut second).is_pending());
    assert_eq!(value(&api, "barograph_querier_reads_running"), 1.0);
    assert_eq!(value(&api, "barograph_querier_read_queue_length"), 0.0);
}

#[tokio::test]
async fn queries_share_memory_and_small_ones_always_find_some() {
    // Forty thousand series of some forty bytes each and their chunks are more than what every query is granted.
    let api = api_with(vec![many(40_000, 20)], &[("max_total_memory_bytes", "1MiB")], &[]);
    let (status, body) = query_of(&api, "anonymous", "sum(up)").await;
    assert_eq!(status, 422, "{body}");
    assert!(body.contains("max_total_memory_bytes: 1048576"), "{body}");
    assert_eq!(query_of(&api, "anonymous", r#"sum(up{i=~"00000.."})"#).await.0, 200);
    assert_eq!(value(&api, "barograph_querier_query_memory_bytes"), 0.0);
    // With enough for one and a half, a second finds too little, and is told to come back.
    let send = || Request::get("/api/v1/query?query=up").body(Body::empty()).unwrap();
    let held = |api: &Api| value(api, "barograph_querier_query_memory_bytes");
    let alone = api_with(vec![many(40_000, 20)], &[], &[]);
    let answer = alone.open(send()).await;
    let budget = ((held(&alone) * 1.5) as u64).to_string();
    drop(answer);
    assert_eq!(held(&alone), 0.0, "an answer that nobody reads any more is not held");
    let api = api_with(vec![many(40_000, 20)], &[("max_total_memory_bytes", &budget)], &[]);
    let answer = api.open(send()).await;
    assert_eq!(answer.status().as_u16(), 200);
    assert!(held(&api) > 0.0, "an answer that is not sent is held");
    let refused = api.send(send()).await;
    assert_eq!(refused.status.as_u16(), 503, "{}", refused.body.get(..300).unwrap_or(&refused.body));
    assert_eq!(refused.retry_after.as_deref(), Some("5"));
    assert_eq!(query_of(&api, "anonymous", r#"sum(up{i=~"00000.."})"#).await.0, 200);
    drop(answer.into_body().collect().await.unwrap());
    assert_eq!(value(&api, "barograph_querier_query_memory_bytes"), 0.0);
    assert_eq!(api.send(send()).await.status.as_u16(), 200);
}

/// The evaluation would take minutes. How soon it stops once nobody waits is printed, and bounded loosely: other
/// programs run on this machine. What bounds it tightly is the work between two looks, which the engine's tests count.
#[tokio::test]
async fn evaluation_stops_when_the_client_goes_away() {
    let api = api_with(vec![many(2_000, 1_200)], &[], &[]);
    let query = escape("quantile_over_time(0.5,up[10m])");
    let path = format!("query_range?query={query}&start=1699999450&end=1700000000&step=0.05");
    let clock = env::SystemClock::new();
    let running = value(&api, "barograph_querier_queries_running");
    assert_eq!(running, 0.0);
    {
        let mut query = Box::pin(api.get(&path));
        let begun = clock.monotonic();
        // Until it evaluates for some time.
        while clock.monotonic() - begun < Duration::from_millis(300) {
            tokio::select! {
                biased;
                answer = &mut query => panic!("it is done already: {:?}", answer.status),
                () = tokio::time::sleep(Duration::from_millis(10)) => {}
            }
        }
        assert_eq!(value(&api, "barograph_querier_queries_running"), 1.0);
    }
    let left = clock.monotonic();
    while value(&api, "barograph_querier_queries_running") > 0.0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert!(clock.monotonic() - left < Duration::from_secs(5), "it goes on though nobody waits for it");
    }
    eprintln!("stopped after {:?}", clock.monotonic() - left);
    assert_eq!(value(&api, "barograph_querier_query_memory_bytes"), 0.0);
}

/// Regular expressions are compiled away from the threads that serve everybody; what is wrong with them is told as ever.
#[tokio::test]
async fn expressions_that_are_dear_to_parse_are_refused_in_the_same_words() {
    let api = api_with(vec![many(1, 10)], &[("max_concurrent", "1")], &[]);
    for query in [r#"{__name__=~"(.{1000}){1000}"}"#, r#"up{i!~"("}"#] {
        let (status, body) = query_of(&api, "anonymous", query).await;
        assert_eq!(status, 400, "{body}");
        assert!(
            body.contains(r#""errorType":"bad_data","error":"invalid parameter \"query\": 1:"#),
            "{body}"
        );
    }
    assert_eq!(query_of(&api, "anonymous", r#"up{i=~"0.*"}"#).await.0, 200);
    assert_eq!(value(&api, "barograph_querier_queries_running"), 0.0);
}
