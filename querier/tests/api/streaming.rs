//! Selections that are read while their query runs: the same answers and errors in less memory.

use std::time::Duration;

use proto::{Code, Error};

use crate::fake::{Api, Fake, api_with, escape};
use crate::scheduling::{many, value};

/// Everything that is larger than this is streamed.
const SMALL: (&str, &str) = ("stream_selections_from", "1KiB");

/// The path of a range query over ten minutes, of as many steps as make the engine want series by shards.
fn range(query: &str) -> String {
    format!("query_range?query={}&start=1699999400&end=1700000000&step=20", escape(query))
}

/// Series of very different sizes, with gaps, in two metrics.
fn mixed() -> Fake {
    let mut fake = Fake::default();
    for i in 0..300i64 {
        let samples: Vec<_> = (0..70)
            .rev()
            .filter(|k| (i + k) % 11 > 0)
            .map(|k| {
                (k * 10, ((i * 7_919 + k * 104_729) % 1_000_003) as f64 * 10f64.powi((i % 23) as i32 - 11))
            })
            .collect();
        let (i, job) = (format!("{i:03}"), format!("{}", i % 7));
        let name = if samples.len() % 2 == 0 { "size" } else { "requests_total" };
        fake = fake.floats(&[("__name__", name), ("i", &i), ("job", &job)], &samples);
    }
    fake
}

#[tokio::test]
async fn answers_are_the_same() {
    let replicas = || vec![mixed(), mixed()];
    let held = api_with(replicas(), &[], &[]);
    let streamed = api_with(replicas(), &[SMALL], &[]);
    for query in [
        "size",
        "sum(size)",
        "sum by (job) (rate(requests_total[1m]))",
        "avg without (i) (size)",
        "stddev(size)",
        "quantile by (job) (0.3, size)",
        "topk(3, size)",
        "count(size) by (job)",
        "max_over_time(sum by (job) (size)[2m:20s])",
        // Together, or the same series twice.
        "sum(size) - sum(size{job=\"3\"})",
        "size - size",
        "sum by (job) (size) / on (job) sum by (job) (requests_total)",
        "rate(requests_total[1m]) unless on (i) (size > 5)",
        "{__name__=~\".+\"}",
        "size / 0 > bool -size",
    ] {
        let expected = held.get(&range(query)).await;
        assert_eq!(expected.status.as_u16(), 200, "{query}: {}", expected.body);
        assert!(expected.body.contains("\"values\""), "{query} has no result");
        assert_eq!(expected, streamed.get(&range(query)).await, "{query}");
        let instant = format!("query?query={}", escape(query));
        assert_eq!(held.get(&instant).await, streamed.get(&instant).await, "{query}, instant");
    }
    // Counting samples reads series a second time.
    let counted = streamed.get(&(range("sum(size)") + "&stats=all")).await;
    assert!(counted.body.contains("totalQueryableSamplesPerStep"), "{}", counted.body);
    assert!(held.get(&(range("sum(size)") + "&stats=all")).await.status.is_success());
    let seen = |api: &Api| value(api, "barograph_querier_fetched_series_sum");
    assert_eq!(seen(&held), seen(&streamed), "as many series are counted");
}

#[tokio::test]
async fn memory_is_that_of_parts() {
    // Some forty megabytes of series and chunks, of which eight are granted.
    let little = ("max_total_memory_bytes", "14MiB");
    let query = "query?query=sum(up)";
    let large = ("stream_selections_from", "1GiB");
    let held = api_with(vec![many(150_000, 20)], &[little, large], &[]).get(query).await;
    assert_eq!(held.status.as_u16(), 422, "{}", held.body);
    let api = api_with(vec![many(150_000, 20)], &[little, SMALL], &[]);
    let answer = api.get(query).await;
    assert_eq!(answer.status.as_u16(), 200, "{}", answer.body);
    // Sums over a range, too, as long as there are few of them.
    let answer = api.get(&range("sum(up)")).await;
    assert_eq!(answer.status.as_u16(), 200, "{}", answer.body);
    assert_eq!(value(&api, "barograph_querier_query_memory_bytes"), 0.0);
    // Who needs the series twice has to hold them.
    let twice = api.get(&format!("query?query={}", escape("up - up"))).await;
    assert_eq!(twice.status.as_u16(), 422, "{}", twice.body);
}

#[tokio::test]
async fn what_goes_wrong_on_the_way_is_told_as_ever() {
    let limits = [("max_fetched_chunks_per_query", "5000")];
    let api = api_with(vec![many(10_000, 20)], &[SMALL], &limits);
    let answer = api.get("query?query=sum(up)").await;
    assert_eq!(answer.status.as_u16(), 422, "{}", answer.body);
    assert!(answer.body.contains("max_fetched_chunks_per_query"), "{}", answer.body);
    let error = Error::new(Code::Unavailable, "the ingester has gone");
    let fake = Fake { ends_after: Some((1_000, Some(error))), ..many(10_000, 20) };
    for config in [&[][..], &[SMALL]] {
        let api = api_with(vec![fake.clone()], config, &[]);
        let answer = api.get("query?query=sum(up)").await;
        assert_eq!(answer.status.as_u16(), 503, "{}", answer.body);
        assert!(answer.body.contains("the ingester has gone"), "{}", answer.body);
        assert_eq!(value(&api, "barograph_querier_query_memory_bytes"), 0.0);
    }
}

/// An evaluation that waits for a part ends with the query that nobody waits for, and at its timeout.
#[tokio::test]
async fn an_evaluation_that_waits_for_series_ends_with_its_query() {
    let fake = Fake { ends_after: Some((1_000, None)), ..many(10_000, 20) };
    let api = api_with(vec![fake], &[SMALL], &[]);
    let running = || value(&api, "barograph_querier_queries_running");
    {
        let mut query = Box::pin(api.get("query?query=sum(up)"));
        for _ in 0..30 {
            tokio::select! {
                biased;
                answer = &mut query => panic!("it is done already: {answer:?}"),
                () = tokio::time::sleep(Duration::from_millis(5)) => {}
            }
        }
        assert_eq!(running(), 1.0);
    }
    while running() > 0.0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(value(&api, "barograph_querier_query_memory_bytes"), 0.0);
    let (answer, ()) =
        tokio::join!(api.get("query?query=sum(up)&timeout=1s"), api.pass(Duration::from_secs(1)));
    assert_eq!(answer.status.as_u16(), 503, "{}", answer.body);
    assert!(answer.body.contains("query timed out"), "{}", answer.body);
    while running() > 0.0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
