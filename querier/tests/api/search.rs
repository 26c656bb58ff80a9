//! The search API.

use model::MetricType;

use crate::fake::{Api, Fake, NOW_MS, api, api_with, family};

fn fake() -> Fake {
    let mut fake = Fake::default()
        .floats(&[("__name__", "http_requests_total"), ("instance", "localhost:9090")], &[(60, 1.0)])
        .floats(&[("__name__", "http_errors"), ("instance", "localhost:9091")], &[(60, 1.0)])
        .floats(&[("__name__", "my_http"), ("instance", "<other>")], &[(60, 1.0)])
        .floats(&[("__name__", "old_http"), ("zone", "x")], &[(7_200, 1.0)]);
    fake.metadata = vec![family("http_requests_total", MetricType::Counter, "All <requests>.")];
    fake
}

async fn expect(api: &Api, path: &str, lines: &[&str]) {
    let answer = api.get(&format!("search/{path}")).await;
    assert_eq!(answer.body, lines.iter().map(|line| format!("{line}\n")).collect::<String>(), "{path}");
    assert_eq!(answer.status.as_u16(), 200);
    assert_eq!(answer.content_type, "application/x-ndjson; charset=utf-8");
}

const END: &str = r#"{"status":"success","has_more":false}"#;

#[tokio::test]
async fn metric_names() {
    let api = api(fake());
    expect(
        &api,
        "metric_names",
        &[r#"{"results":[{"name":"http_errors"},{"name":"http_requests_total"},{"name":"my_http"}]}"#, END],
    )
    .await;
    expect(
        &api,
        "metric_names?search[]=http_req&sort_by=score&include_metadata=true&limit=5",
        &[r#"{"results":[{"name":"http_requests_total","type":"counter","help":"All \u003crequests\u003e."}]}"#, END],
    )
    .await;
    expect(
        &api,
        "metric_names?search[]=http&sort_by=score&include_score=true&limit=2",
        &[
            r#"{"results":[{"name":"http_errors","score":1},{"name":"http_requests_total","score":1}]}"#,
            r#"{"status":"success","has_more":true}"#,
        ],
    )
    .await;
    expect(&api, "metric_names?search[]=nothing", &[r#"{"results":[]}"#, END]).await;
    expect(
        &api,
        "metric_names?search[]=HTTP_ER&case_sensitive=false",
        &[r#"{"results":[{"name":"http_errors"}]}"#, END],
    )
    .await;
    let all_of_time = format!("metric_names?search[]=old&start=0&end={}", NOW_MS / 1_000);
    expect(&api, &all_of_time, &[r#"{"results":[{"name":"old_http"}]}"#, END]).await;
    expect(
        &api,
        "metric_names?batch_size=2&sort_by=alpha&sort_dir=dsc",
        &[
            r#"{"results":[{"name":"my_http"},{"name":"http_requests_total"}]}"#,
            r#"{"results":[{"name":"http_errors"}]}"#,
            END,
        ],
    )
    .await;
    let posted = api.post("search/metric_names", "search[]=my_").await;
    assert_eq!(posted.body, format!("{}\n{END}\n", r#"{"results":[{"name":"my_http"}]}"#));
}

#[tokio::test]
async fn label_names_and_values() {
    let api = api(fake());
    expect(&api, "label_names", &[r#"{"results":[{"name":"__name__"},{"name":"instance"}]}"#, END]).await;
    expect(
        &api,
        "label_values?label=instance&match[]=http_errors&match[]=my_http",
        &[r#"{"results":[{"value":"\u003cother\u003e"},{"value":"localhost:9091"}]}"#, END],
    )
    .await;
    expect(
        &api,
        "label_values?label=instance&search[]=localhots&fuzz_alg=jarowinkler&fuzz_threshold=80",
        &[r#"{"results":[{"value":"localhost:9090"},{"value":"localhost:9091"}]}"#, END],
    )
    .await;
}

#[tokio::test]
async fn what_a_tenants_limit_cuts_off_is_said() {
    let api = api_with(vec![fake()], &[], &[("max_label_values_limit", "2")]);
    expect(
        &api,
        "metric_names",
        &[
            r#"{"results":[{"name":"http_errors"},{"name":"http_requests_total"}],"warnings":["results truncated due to limit"]}"#,
            END,
        ],
    )
    .await;
}

#[tokio::test]
async fn wrong_requests() {
    let api = api_with(vec![fake()], &[("search_max_limit", "50")], &[]);
    for (query, message) in [
        ("start=2&end=1", "end timestamp must not be before start timestamp"),
        ("start=x", "invalid time value for 'start': cannot parse \"x\" to a valid timestamp"),
        ("fuzz_threshold=101", "invalid fuzz_threshold \"101\": must be 0-100"),
        ("fuzz_alg=x", "unsupported fuzz_alg \"x\": must be one of [subsequence jarowinkler]"),
        ("case_sensitive=x", "invalid case_sensitive \"x\": must be boolean"),
        ("include_score=2", "invalid include_score \"2\": must be boolean"),
        ("sort_dir=asc", "sort_dir is only valid when sort_by is set"),
        ("sort_by=score&sort_dir=asc&search[]=a", "sort_dir is not supported for sort_by=score"),
        ("sort_by=alpha&sort_dir=x", "invalid sort_dir \"x\": must be \"asc\" or \"dsc\""),
        ("sort_by=score", "sort_by=score requires search[] to be set"),
        ("sort_by=x", "invalid sort_by \"x\" for label_names: must be \"alpha\" or \"score\""),
        ("limit=0", "invalid limit \"0\": must be a positive integer"),
        ("limit=51", "limit 51 exceeds the configured maximum (50, see --querier.search-max-limit)"),
        ("batch_size=x", "invalid batch_size \"x\": must be a positive integer"),
    ] {
        api.expect_error(&format!("search/label_names?{query}"), 400, "bad_data", message).await;
    }
    let terms = "search[]=a&".repeat(33);
    let message = "too many search[] terms: got 33, maximum is 32";
    api.expect_error(&format!("search/label_names?{terms}"), 400, "bad_data", message).await;
    let message = "missing required parameter \"label\"";
    api.expect_error("search/label_values", 400, "bad_data", message).await;
    // Without a limit there are as many as may be asked for.
    let many = (0..60).fold(Fake::default(), |fake, i| {
        fake.floats(&[("__name__", &format!("metric_{i:02}"))], &[(60, 1.0)])
    });
    let answer = api_with(vec![many], &[("search_max_limit", "50")], &[]).get("search/metric_names").await;
    assert_eq!(answer.body.matches("\"name\"").count(), 50);
    assert!(answer.body.ends_with("{\"status\":\"success\",\"has_more\":true}\n"), "{answer:?}");
}
