//! What is wrong with a request, in the words that clients know.

use std::time::Duration;

use proptest::prelude::*;
use proto::{Code, Error};

use crate::fake::{Fake, api, api_with, escape};

#[tokio::test]
async fn parameters_of_queries() {
    let api = api(Fake::default());
    for (path, message) in [
        (
            "query",
            r#"invalid parameter "query": unknown position: parse error: no expression found in input"#,
        ),
        (
            "query?query=up&time=x",
            r#"invalid parameter "time": invalid time value for 'time': cannot parse "x" to a valid timestamp"#,
        ),
        ("query?query=up&timeout=x", r#"invalid parameter "timeout": cannot parse "x" to a valid duration"#),
        (
            "query?query=up&lookback_delta=x",
            r#"error parsing lookback delta duration: cannot parse "x" to a valid duration"#,
        ),
        ("query?query=up&limit=-1", r#"invalid parameter "limit": limit must be non-negative"#),
        ("query?query=up&limit=x", r#"invalid parameter "limit": strconv.Atoi: parsing "x": invalid syntax"#),
        ("query_range?query=up", r#"invalid parameter "start": cannot parse "" to a valid timestamp"#),
        ("query_range?query=up&start=1", r#"invalid parameter "end": cannot parse "" to a valid timestamp"#),
        (
            "query_range?query=up&start=2&end=1&step=1",
            r#"invalid parameter "end": end timestamp must not be before start time"#,
        ),
        (
            "query_range?query=up&start=1&end=2",
            r#"invalid parameter "step": cannot parse "" to a valid duration"#,
        ),
        (
            "query_range?query=up&start=1&end=2&step=0",
            r#"invalid parameter "step": zero or negative query resolution step widths are not accepted. Try a positive integer"#,
        ),
        (
            "query_range?query=up&start=1&end=2&step=-1",
            r#"invalid parameter "step": zero or negative query resolution step widths are not accepted. Try a positive integer"#,
        ),
        (
            "query_range?query=up&start=0&end=11001&step=1",
            "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)",
        ),
        (
            "query_range?query=up[5m]&start=0&end=1&step=1",
            r#"invalid parameter "query": invalid expression type "range vector" for range query, must be Scalar or instant Vector"#,
        ),
        (
            "query_range?query=%22a%22&start=0&end=1&step=1",
            r#"invalid parameter "query": invalid expression type "string" for range query, must be Scalar or instant Vector"#,
        ),
        ("query_exemplars?query=up&start=2&end=1", "end timestamp must not be before start timestamp"),
    ] {
        api.expect_error(path, 400, "bad_data", message).await;
    }
    let ok = api.get("query_range?query=up&start=0&end=11000&step=1").await;
    assert_eq!(ok.status.as_u16(), 200, "{ok:?}");
}

#[tokio::test]
async fn syntax_errors_have_a_place() {
    let api = api(Fake::default());
    let answer = api.get(&format!("query?query={}", escape("up{"))).await;
    assert_eq!(answer.status.as_u16(), 400);
    assert!(
        answer.body.starts_with(r#"{"status":"error","errorType":"bad_data","error":"invalid parameter \"query\": 1:4: parse error: "#),
        "{answer:?}"
    );
}

#[tokio::test]
async fn parameters_of_label_queries() {
    let api = api(Fake::default());
    for (path, message) in [
        ("series", "no match[] parameter provided"),
        (
            "series?match[]={a=%22%22}",
            r#"invalid parameter "match[]": match[] must contain at least one non-empty matcher"#,
        ),
        ("labels?match[]={a=~%22.*%22}", "match[] must contain at least one non-empty matcher"),
        (
            "labels?start=x",
            r#"invalid parameter "start": invalid time value for 'start': cannot parse "x" to a valid timestamp"#,
        ),
        (
            "label/job/values?end=x",
            r#"invalid parameter "end": invalid time value for 'end': cannot parse "x" to a valid timestamp"#,
        ),
        ("label/U__/values", r#"invalid label name: """#),
        ("metadata?limit=x", "limit must be a number"),
        ("metadata?limit_per_metric=x", "limit_per_metric must be a number"),
    ] {
        api.expect_error(path, 400, "bad_data", message).await;
    }
    let answer = api.get(&format!("series?match[]={}", escape("up{"))).await;
    assert_eq!(answer.status.as_u16(), 400);
    assert!(answer.body.contains(r#"invalid parameter \"match[]\": 1:4: parse error: "#), "{answer:?}");
}

#[tokio::test]
async fn failures_of_ingesters_are_failures_of_queries() {
    for (code, status, kind) in [
        (Code::InvalidArgument, 400, "bad_data"),
        (Code::TenantLimit, 429, "bad_data"),
        (Code::Unavailable, 503, "unavailable"),
        (Code::DeadlineExceeded, 503, "timeout"),
        (Code::Canceled, 499, "canceled"),
        (Code::NotFound, 404, "not_found"),
        (Code::Internal, 500, "internal"),
    ] {
        let broken = Fake { failure: Some(Error::new(code, "it is broken")), ..Fake::default() };
        // One that fails is enough: no answer is better than a part of it.
        let healthy = Fake::default().floats(&[("__name__", "up")], &[(0, 1.0)]);
        let api = api_with(vec![healthy, broken], &[], &[]);
        for path in [
            "query?query=up",
            "series?match[]=up",
            "labels",
            "label/job/values",
            "metadata",
            "query_exemplars?query=up",
        ] {
            api.expect_error(path, status, kind, "it is broken").await;
        }
    }
}

#[tokio::test]
async fn limits_that_ingesters_enforce_have_names() {
    let refusing = Fake { failure: Some(Error::new(Code::Unprocessable, "too much")), ..Fake::default() };
    let message = "too much (max_fetched_series_per_query: 7, max_fetched_chunk_bytes_per_query: no limit)";
    let limits = [("max_fetched_series_per_query", "7"), ("max_fetched_chunk_bytes_per_query", "0")];
    api_with(vec![refusing], &[], &limits).expect_error("query?query=up", 422, "execution", message).await;
}

#[tokio::test]
async fn overload_says_when_to_come_back() {
    let overloaded =
        Fake { failure: Some(Error::unavailable("too busy", Duration::from_secs(3))), ..Fake::default() };
    let answer = api(overloaded).get("query?query=up").await;
    assert_eq!(answer.status.as_u16(), 503);
    assert_eq!(answer.retry_after.as_deref(), Some("3"));
}

#[tokio::test]
async fn damaged_chunks_are_named_not_skipped() {
    let mut fake = Fake::default().floats(&[("__name__", "up"), ("job", "x")], &[(10, 1.0), (0, 2.0)]);
    let chunk = &mut fake.series[0].chunks[0];
    chunk.data = chunk.data.slice(..chunk.data.len() - 2);
    let answer = api(fake).get("query?query=up").await;
    assert_eq!(answer.status.as_u16(), 500);
    assert!(answer.body.contains(r#""errorType":"internal""#), "{answer:?}");
    assert!(answer.body.contains("job"), "{answer:?}");
}

#[tokio::test]
async fn unknown_routes_and_methods() {
    let api = api(Fake::default());
    assert_eq!(api.get("nothing").await.status.as_u16(), 404);
    let delete = http::Request::delete("/api/v1/series").body(axum::body::Body::empty()).unwrap();
    assert_eq!(api.send(delete).await.status.as_u16(), 405);
}

/// Parts of requests, right and wrong.
fn parameter() -> impl Strategy<Value = (String, String)> {
    let name = prop_oneof![
        Just("query"),
        Just("time"),
        Just("start"),
        Just("end"),
        Just("step"),
        Just("limit"),
        Just("timeout"),
        Just("match[]"),
        Just("lookback_delta"),
        Just("metric"),
        Just("stats"),
    ];
    let value = prop_oneof![
        any::<String>(),
        any::<f64>().prop_map(|v| v.to_string()),
        any::<i64>().prop_map(|v| v.to_string()),
        "[0-9]{1,19}(ms|[smhdwy])",
        "[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,9})?(Z|[+-][0-9]{2}:[0-9]{2})",
        "(up|\\{job=~\"[a-z.*(|]{0,5}\"\\}|rate\\(up\\[[0-9]{1,9}[smhdwy]\\]\\))( offset -?[0-9]{1,9}[smhdwy])?( @ -?[0-9]{1,15})?",
        Just("-292273086-05-16T16:47:06Z".to_owned()),
        Just("292277025-08-18T07:12:54.999999999Z".to_owned()),
    ];
    (name.prop_map(str::to_owned), value)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Whatever is asked gets an answer in JSON, and none of them is a fault of ours.
    #[test]
    fn nothing_asked_is_a_fault(
        endpoint in prop_oneof![
            Just("query"), Just("query_range"), Just("series"), Just("labels"), Just("label/U__a_/values"),
            Just("metadata"), Just("query_exemplars"), Just("format_query"), Just("parse_query"), Just("status/tsdb"),
        ],
        parameters in proptest::collection::vec(parameter(), 0..6),
    ) {
        let form: String = form_urlencoded::Serializer::new(String::new()).extend_pairs(&parameters).finish();
        let api = api(Fake::default().floats(&[("__name__", "up"), ("job", "x")], &[(60, 1.0), (0, 2.0)]));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let answer = runtime.block_on(api.get(&format!("{endpoint}?{form}")));
        let status = answer.status.as_u16();
        // A query that is given no time may not be through in it.
        let timed_out = parameters.iter().any(|(name, _)| name == "timeout") && answer.body.contains("timed out");
        let known = matches!(status, 200 | 204 | 400 | 422) || (status == 503 && timed_out);
        prop_assert!(known, "{endpoint}?{form}: {answer:?}");
        if status != 204 {
            let json: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
            prop_assert_eq!(json["status"].as_str(), Some(if status == 200 { "success" } else { "error" }));
        }
    }
}
