//! What is told about queries: in their answers, in metrics and in the log.

use std::io::Write;
use std::sync::{Arc, Mutex};

use crate::fake::{Answer, Api, Fake, api, api_with, escape};

fn counters() -> Fake {
    let samples: Vec<_> = (0..60).rev().map(|i| (i * 10, f64::from(60 - i as i32))).collect();
    ["a", "b"].iter().fold(Fake::default(), |fake, job| {
        fake.floats(&[("__name__", "requests_total"), ("job", job)], &samples)
    })
}

fn stats(answer: &Answer) -> serde_json::Value {
    let body: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
    body["data"]["stats"].clone()
}

/// `stats` without its timings, which must all be there and in their order.
fn samples(answer: &Answer) -> String {
    let at = |text: &str| answer.body.find(text).unwrap_or_else(|| panic!("{text} is missing in {answer:?}"));
    let places = [
        "\"stats\":{\"timings\":{\"evalTotalTime\":",
        "\"resultSortTime\":",
        "\"queryPreparationTime\":",
        "\"innerEvalTime\":",
        "\"execQueueTime\":",
        "\"execTotalTime\":",
        "\"samples\":",
    ]
    .map(at);
    assert!(places.is_sorted(), "{answer:?}");
    answer.body[places[6]..].to_owned()
}

async fn range(api: &Api, query: &str, stats: &str) -> Answer {
    let range = "start=1699999950&end=1700000000.5&step=25";
    api.get(&format!("query_range?query={}&{range}&stats={stats}", escape(query))).await
}

#[tokio::test]
async fn samples_by_step() {
    let answer = range(&api(counters()), "sum(rate(requests_total[1m]))", "all").await;
    let samples = samples(&answer);
    let expected = concat!(
        r#""samples":{"totalQueryableSamplesPerStep":[[1699999950,12],[1699999975,12],[1700000000,12]],"#,
        r#""totalQueryableSamples":36,"#,
        r#""samplesReadPerStep":[[1699999950,12],[1699999975,4],[1700000000,6]],"#,
        r#""samplesRead":22,"peakSamples":"#
    );
    assert!(samples.starts_with(expected), "{samples}");
}

#[tokio::test]
async fn totals_and_nothing() {
    let api = api(counters());
    let answer = range(&api, "requests_total", "true").await;
    let expected = r#""samples":{"totalQueryableSamples":6,"samplesRead":6,"peakSamples":"#;
    assert!(samples(&answer).starts_with(expected), "{answer:?}");
    assert!(!range(&api, "requests_total", "").await.body.contains("stats"));
    let answer = range(&api, "requests_total", "1").await;
    assert!(stats(&answer)["samples"].is_object(), "{answer:?}");
    let warning = r#""warnings":["value \"1\" for parameter \"stats\" is deprecated and will be rejected in the next major release, use \"true\" or \"all\""]"#;
    assert!(answer.body.contains(warning), "{answer:?}");
    // Every answer of a query may have them, scalars too.
    let answer = api.get("query?query=1&stats=all").await;
    let expected = r#""samples":{"totalQueryableSamplesPerStep":[[1700000000,0]],"totalQueryableSamples":0,"#;
    assert!(samples(&answer).starts_with(expected), "{answer:?}");
}

/// Lines that were logged while it lives, on this thread.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Lines {
    fn take(&self) -> Vec<serde_json::Value> {
        let text = String::from_utf8(std::mem::take(&mut *self.0.lock().unwrap())).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

fn listen() -> (Lines, tracing::subscriber::DefaultGuard) {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt().json().with_writer(move || writer.clone()).finish();
    (lines, tracing::subscriber::set_default(subscriber))
}

#[tokio::test]
async fn the_query_log_says_what_a_query_cost() {
    let (lines, _guard) = listen();
    let api = api_with(vec![counters()], &[], &[("query_log", "true")]);
    range(&api, "sum(requests_total)", "").await;
    let logged = lines.take();
    let [line] = logged.as_slice() else { panic!("{logged:?}") };
    assert_eq!(line["target"], "query_log");
    let fields = &line["fields"];
    assert_eq!((&fields["tenant"], &fields["status"]), (&"anonymous".into(), &"success".into()));
    assert_eq!(fields["query"], "\"sum(requests_total)\"");
    assert_eq!(
        [&fields["start_ms"], &fields["end_ms"], &fields["step_ms"]],
        [1_699_999_950_000_i64, 1_700_000_000_500, 25_000]
    );
    assert_eq!((&fields["series"], &fields["samples"]), (&2.into(), &70.into()), "{fields}");
    assert!(fields["chunk_bytes"].as_u64() > Some(0), "{fields}");
    for stage in ["queue", "select", "evaluate", "encode", "total"] {
        assert!(fields[format!("{stage}_seconds")].is_f64(), "{fields}");
    }
    // Failures are logged as well, and no text breaks a line.
    api.get(&format!("query?query={}", escape("up +\n\"\u{1b}[31m"))).await;
    let failed = lines.take();
    assert_eq!(failed.len(), 1, "{failed:?}");
    assert_eq!(failed[0]["fields"]["status"], "bad_data");
    assert!(failed[0]["fields"]["error"].as_str().unwrap().contains("parse error"));
    // Off by default.
    let (lines, _guard) = listen();
    range(&crate::fake::api(counters()), "sum(requests_total)", "").await;
    assert!(lines.take().is_empty());
}

#[tokio::test]
async fn slow_queries_are_logged_and_counted() {
    let (lines, _guard) = listen();
    let hanging = Fake { hangs: true, ..Fake::default() };
    let limits = [("slow_query_threshold", "5s")];
    let api = api_with(vec![hanging], &[("timeout", "10s")], &limits);
    tokio::join!(api.get("query?query=up"), api.pass(std::time::Duration::from_secs(10)));
    let logged = lines.take();
    assert_eq!(logged.len(), 1, "{logged:?}");
    let fields = &logged[0]["fields"];
    assert_eq!((&fields["message"], &fields["status"]), (&"slow query".into(), &"timeout".into()));
    assert_eq!(fields["total_seconds"], 10.0);
    assert_eq!(api.get("query?query=1").await.status.as_u16(), 200);
    assert!(lines.take().is_empty(), "a quick one is not logged");
    let metrics = api.registry.encode_openmetrics();
    assert!(metrics.contains("barograph_querier_slow_queries_total 1\n"), "{metrics}");
}
