//! Mimir's cardinality API, `status/tsdb`, rules and alerts.

use axum::body::Body;
use http::Request;

use crate::fake::{Api, Fake, api, api_with, escape};

fn fake() -> Fake {
    Fake::default()
        .floats(&[("__name__", "up"), ("instance", "a"), ("job", "node")], &[(60, 1.0)])
        .floats(&[("__name__", "up"), ("instance", "b"), ("job", "node")], &[(60, 1.0)])
        .floats(&[("__name__", "up"), ("instance", "<c>"), ("job", "web")], &[(7_200, 1.0)])
        .floats(&[("__name__", "load"), ("instance", "a")], &[(60, 1.0)])
}

async fn expect(api: &Api, path: &str, body: &str) {
    let answer = api.get(path).await;
    assert_eq!(answer.body, body, "{path}");
    assert_eq!((answer.status.as_u16(), answer.content_type.as_str()), (200, "application/json"));
}

async fn refused(api: &Api, path: &str, status: u16, text: &str) {
    let answer = api.get(path).await;
    assert_eq!((answer.status.as_u16(), answer.body), (status, format!("{text}\n")), "{path}");
    assert_eq!(answer.content_type, "text/plain; charset=utf-8", "{path}");
}

#[tokio::test]
async fn label_names() {
    let api = api(fake());
    expect(
        &api,
        "cardinality/label_names",
        r#"{"label_values_count_total":7,"label_names_count":3,"cardinality":[{"label_name":"instance","label_values_count":3},{"label_name":"__name__","label_values_count":2},{"label_name":"job","label_values_count":2}]}"#,
    )
    .await;
    expect(
        &api,
        "cardinality/label_names?limit=1&count_method=active",
        r#"{"label_values_count_total":5,"label_names_count":3,"cardinality":[{"label_name":"__name__","label_values_count":2}]}"#,
    )
    .await;
    let selector = escape(r#"{job="web"}"#);
    expect(
        &api,
        &format!("cardinality/label_names?limit=0&selector={selector}"),
        r#"{"label_values_count_total":3,"label_names_count":3,"cardinality":[]}"#,
    )
    .await;
    let form = api.post("cardinality/label_names", "limit=0").await;
    assert_eq!(form.body, r#"{"label_values_count_total":7,"label_names_count":3,"cardinality":[]}"#);
}

#[tokio::test]
async fn label_values() {
    let api = api(fake());
    expect(
        &api,
        "cardinality/label_values?label_names[]=job&label_names[]=instance&label_names[]=nothing",
        r#"{"series_count_total":4,"labels":[{"label_name":"instance","label_values_count":3,"series_count":4,"cardinality":[{"label_value":"a","series_count":2},{"label_value":"\u003cc\u003e","series_count":1},{"label_value":"b","series_count":1}]},{"label_name":"job","label_values_count":2,"series_count":3,"cardinality":[{"label_value":"node","series_count":2},{"label_value":"web","series_count":1}]}]}"#,
    )
    .await;
    expect(
        &api,
        "cardinality/label_values?label_names[]=job&count_method=active&limit=1&selector=up",
        r#"{"series_count_total":3,"labels":[{"label_name":"job","label_values_count":1,"series_count":2,"cardinality":[{"label_value":"node","series_count":2}]}]}"#,
    )
    .await;
}

#[tokio::test]
async fn replicas_know_the_same_values() {
    let other = fake().floats(&[("__name__", "up"), ("instance", "z"), ("job", "node")], &[(60, 1.0)]);
    let api = api_with(vec![fake(), other], &[], &[]);
    let answer = api.get("cardinality/label_names?limit=1").await;
    assert_eq!(
        answer.body,
        r#"{"label_values_count_total":8,"label_names_count":3,"cardinality":[{"label_name":"instance","label_values_count":4}]}"#
    );
    let answer = api.get("cardinality/active_series?selector=up").await;
    assert_eq!(
        answer.body,
        r#"{"data":[{"__name__":"up","instance":"a","job":"node"},{"__name__":"up","instance":"b","job":"node"},{"__name__":"up","instance":"z","job":"node"}]}"#
    );
}

#[tokio::test]
async fn wrong_requests() {
    let api = api(fake());
    for (path, text) in [
        ("label_names?limit=501", "'limit' param cannot be greater than '500'"),
        ("label_names?limit=-1", "'limit' param cannot be less than '0'"),
        ("label_names?limit=x", "strconv.Atoi: parsing \"x\": invalid syntax"),
        ("label_names?limit=1&limit=2", "multiple 'limit' params are not allowed"),
        ("label_names?selector=a&selector=b", "multiple 'selector' params are not allowed"),
        (
            "label_names?count_method=x",
            "invalid 'count_method' param 'x'. valid options are: [active,inmemory]",
        ),
        ("label_values", "'label_names[]' param is required"),
        ("label_values?label_names[]=", "invalid 'label_names' param ''"),
        ("active_series", "missing 'selector' parameter"),
        ("active_native_histogram_metrics", "missing 'selector' parameter"),
    ] {
        refused(&api, &format!("cardinality/{path}"), 400, text).await;
    }
    let answer = api.get("cardinality/label_names?selector=%7B").await;
    assert!(answer.body.starts_with("failed to parse selector: 1:2: parse error"), "{answer:?}");
    let limits = [
        ("cardinality_analysis_max_results", "3"),
        ("cardinality_max_active_series", "1"),
        ("cardinality_max_label_values", "2"),
        ("label_values_max_cardinality_label_names_per_request", "1"),
    ];
    let api = api_with(vec![fake()], &[], &limits);
    refused(&api, "cardinality/label_names?limit=4", 400, "'limit' param cannot be greater than '3'").await;
    refused(&api, "cardinality/label_names", 422, "too many values").await;
    refused(
        &api,
        "cardinality/label_values?label_names[]=a&label_names[]=b",
        400,
        "label values cardinality request label names limit (limit: 1 actual: 2) exceeded",
    )
    .await;
    refused(
        &api,
        "cardinality/active_series?selector=up",
        413,
        "too many active series; name fewer with the selector (cardinality_max_active_series)",
    )
    .await;
    let api = api_with(vec![fake()], &[], &[("cardinality_analysis_enabled", "false")]);
    for path in ["label_names", "label_values?label_names[]=a", "active_series?selector=up"] {
        let text = "cardinality analysis is disabled for the tenant: anonymous";
        refused(&api, &format!("cardinality/{path}"), 400, text).await;
    }
}

#[tokio::test]
async fn active_series_in_frames() {
    let api = api(fake());
    let request = |encoding: &str| {
        Request::get("/prometheus/api/v1/cardinality/active_series?selector=load")
            .header("accept-encoding", encoding)
            .body(Body::empty())
            .unwrap()
    };
    let (_, _, plain) = api.send_binary(request("identity")).await;
    assert_eq!(plain, br#"{"data":[{"__name__":"load","instance":"a"}]}"#);
    let (status, content_type, framed) = api.send_binary(request("x-snappy-framed")).await;
    assert_eq!((status.as_u16(), content_type.as_str()), (200, "application/json"));
    // The identifier that every stream of frames begins with.
    assert_eq!(framed.get(..10), Some(&b"\xff\x06\x00\x00sNaPpY"[..]));
    assert!(framed.windows(9).any(|w| w == b"{\"data\":["), "{framed:?}");
}

#[tokio::test]
async fn native_histogram_metrics() {
    let mut fake = fake();
    for (series, buckets) in
        fake.series.iter_mut().filter(|s| s.labels.get("job") == Some("node")).zip([3, 8])
    {
        series.buckets = Some(buckets);
    }
    expect(
        &api(fake),
        "cardinality/active_native_histogram_metrics?selector=%7Binstance!%3D%22%22%7D",
        r#"{"data":[{"metric":"up","series_count":2,"bucket_count":11,"avg_bucket_count":5.5,"min_bucket_count":3,"max_bucket_count":8}]}"#,
    )
    .await;
}

#[tokio::test]
async fn tsdb_status() {
    let api = api(fake());
    api.expect(
        "status/tsdb?limit=2",
        r#"{"headStats":{"numSeries":4,"numLabelPairs":7,"chunkCount":4,"minTime":1699992800000,"maxTime":1699999940000},"seriesCountByMetricName":[{"name":"up","value":3},{"name":"load","value":1}],"labelValueCountByLabelName":[{"name":"instance","value":3},{"name":"__name__","value":2}],"memoryInBytesByLabelName":[{"name":"__name__","value":8},{"name":"instance","value":8}],"seriesCountByLabelValuePair":[{"name":"__name__=up","value":3},{"name":"instance=a","value":2}]}"#,
    )
    .await;
    let empty = crate::fake::api(Fake::default());
    let answer = empty.get("status/tsdb").await;
    assert!(
        answer.body.contains(r#""minTime":9223372036854775807,"maxTime":-9223372036854775808}"#),
        "{answer:?}"
    );
    for (limit, message) in [
        ("0", "limit must be a positive number"),
        ("-1", "limit must be a positive number"),
        ("x", "limit must be a positive number"),
        ("10001", "limit must not exceed 10000"),
    ] {
        api.expect_error(&format!("status/tsdb?limit={limit}"), 400, "bad_data", message).await;
    }
}
