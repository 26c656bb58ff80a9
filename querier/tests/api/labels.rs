//! `series`, `labels`, label values, `metadata`, `query_exemplars`.

use model::{Exemplar, Labels, MetricType};

use crate::fake::{Api, Fake, NOW_MS, api, api_with, escape, family};

fn fake() -> Fake {
    let mut fake = Fake::default()
        .floats(&[("__name__", "up"), ("job", "node")], &[(60, 1.0)])
        .floats(&[("__name__", "up"), ("job", "<b>")], &[(3_600, 1.0)])
        .floats(&[("__name__", "http.requests"), ("http.status", "200")], &[(60, 1.0)]);
    fake.metadata = vec![
        family("http.requests", MetricType::Counter, "All <requests>."),
        family("up", MetricType::Gauge, "Whether it is up."),
    ];
    fake
}

#[tokio::test]
async fn series_by_matchers_and_range() {
    let api = api(fake());
    api.expect("series?match[]=up", r#"[{"__name__":"up","job":"<b>"},{"__name__":"up","job":"node"}]"#)
        .await;
    api.expect(
        &format!("series?match[]=up%7Bjob=%22node%22%7D&match[]={}", escape(r#"{"http.requests"}"#)),
        r#"[{"__name__":"http.requests","http.status":"200"},{"__name__":"up","job":"node"}]"#,
    )
    .await;
    let recent = NOW_MS / 1_000 - 600;
    api.expect(&format!("series?match[]=up&start={recent}"), r#"[{"__name__":"up","job":"node"}]"#).await;
    api.expect(&format!("series?match[]=up&start={recent}&end=1"), "[]").await;
    api.expect("series?match[]=nothing", "[]").await;
}

#[tokio::test]
async fn names_and_values() {
    let api = api(fake());
    api.expect("labels", r#"["__name__","http.status","job"]"#).await;
    api.expect("labels?match[]=up", r#"["__name__","job"]"#).await;
    api.expect("label/job/values", r#"["\u003cb\u003e","node"]"#).await;
    api.expect("label/__name__/values", r#"["http.requests","up"]"#).await;
    api.expect("label/__name__/values?match[]=up", r#"["up"]"#).await;
    api.expect("label/U__http_2e_status/values", r#"["200"]"#).await;
    api.expect("label/http.status/values", r#"["200"]"#).await;
    api.expect("label/nothing/values", "[]").await;
}

#[tokio::test]
async fn limits_cut_and_say_so() {
    let warning = r#""warnings":["results truncated due to limit"]"#;
    let api = api(fake());
    for (path, data) in [
        ("labels?limit=1", r#"["__name__"]"#),
        ("label/job/values?limit=1", r#"["\u003cb\u003e"]"#),
        ("series?match[]=up&limit=1", r#"[{"__name__":"up","job":"<b>"}]"#),
    ] {
        let answer = api.get(path).await;
        assert_eq!(answer.body, format!(r#"{{"status":"success","data":{data},{warning}}}"#));
    }
    api.expect("labels?limit=3", r#"["__name__","http.status","job"]"#).await;

    // A tenant's own limits cut as well, whatever the request says.
    let limits =
        [("max_series_query_limit", "1"), ("max_label_names_limit", "2"), ("max_label_values_limit", "1")];
    let api = api_with(vec![fake()], &[], &limits);
    for path in ["labels?limit=100", "label/job/values", "series?match[]=up&limit=0"] {
        let answer = api.get(path).await;
        assert!(answer.body.ends_with(&format!("{warning}}}")), "{path}: {answer:?}");
    }
}

#[tokio::test]
async fn replicas_are_merged() {
    let other = Fake::default()
        .floats(&[("__name__", "up"), ("job", "node")], &[(60, 1.0)])
        .floats(&[("__name__", "up"), ("job", "zebra"), ("zone", "1")], &[(60, 1.0)]);
    let api = api_with(vec![fake(), other], &[], &[]);
    api.expect("labels", r#"["__name__","http.status","job","zone"]"#).await;
    api.expect("label/job/values", r#"["\u003cb\u003e","node","zebra"]"#).await;
    api.expect(
        "series?match[]=up",
        r#"[{"__name__":"up","job":"<b>"},{"__name__":"up","job":"node"},{"__name__":"up","job":"zebra","zone":"1"}]"#,
    )
    .await;
}

#[tokio::test]
async fn metadata() {
    let api = api(fake());
    let http = r#""http.requests":[{"type":"counter","unit":"","help":"All \u003crequests\u003e."}]"#;
    let up = r#""up":[{"type":"gauge","unit":"","help":"Whether it is up."}]"#;
    api.expect("metadata", &format!("{{{http},{up}}}")).await;
    api.expect("metadata?metric=up", &format!("{{{up}}}")).await;
    api.expect("metadata?limit=1", &format!("{{{http}}}")).await;
    api.expect("metadata?limit=0", "{}").await;
    api.expect("metadata?limit=-1&limit_per_metric=1", &format!("{{{http},{up}}}")).await;
    api.expect("metadata?metric=nothing", "{}").await;
}

#[tokio::test]
async fn metadata_of_replicas_is_merged() {
    let mut second = fake();
    second.metadata = vec![
        family("up", MetricType::Gauge, "Whether it is up."),
        family("up", MetricType::Unknown, "Another text."),
    ];
    let api = api_with(vec![fake(), second], &[], &[]);
    api.expect(
        "metadata?metric=up",
        r#"{"up":[{"type":"gauge","unit":"","help":"Whether it is up."},{"type":"unknown","unit":"","help":"Another text."}]}"#,
    )
    .await;
    api.expect(
        "metadata?metric=up&limit_per_metric=1",
        r#"{"up":[{"type":"gauge","unit":"","help":"Whether it is up."}]}"#,
    )
    .await;
}

fn with_exemplars() -> Api {
    let exemplar = |ms, value, id: &str| Exemplar {
        labels: Labels::from_pairs([("trace_id", id)]),
        value,
        timestamp_ms: ms,
    };
    let mut fake = fake();
    let series = fake.series.iter_mut().find(|s| s.labels.get("job") == Some("node")).unwrap();
    series.exemplars = vec![exemplar(NOW_MS - 1_500, 0.25, "a"), exemplar(NOW_MS, 6.0, "b<")];
    let mut replica = fake.clone();
    let series = replica.series.iter_mut().find(|s| s.labels.get("job") == Some("node")).unwrap();
    series.exemplars.insert(1, exemplar(NOW_MS - 1_000, 1.0, "c"));
    api_with(vec![fake, replica], &[], &[])
}

#[tokio::test]
async fn exemplars() {
    let api = with_exemplars();
    let a = r#"{"labels":{"trace_id":"a"},"value":"0.25","timestamp":1699999998.500}"#;
    let c = r#"{"labels":{"trace_id":"c"},"value":"1","timestamp":1699999999}"#;
    let b = r#"{"labels":{"trace_id":"b<"},"value":"6","timestamp":1700000000}"#;
    let of = |exemplars: &str| {
        format!(r#"[{{"seriesLabels":{{"__name__":"up","job":"node"}},"exemplars":[{exemplars}]}}]"#)
    };
    api.expect("query_exemplars?query=up", &of(&format!("{a},{c},{b}"))).await;
    // Any expression will do: its selectors count.
    api.expect("query_exemplars?query=sum(rate(up[5m]))", &of(&format!("{a},{c},{b}"))).await;
    api.expect("query_exemplars?query=up&start=1700000000", &of(b)).await;
    api.expect("query_exemplars?query=nothing", "[]").await;
    let nothing = api.get("query_exemplars?query=1").await;
    assert_eq!((nothing.status.as_u16(), nothing.body.as_str()), (204, ""));
}
