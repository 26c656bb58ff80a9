//! Federation, as upstream's own cases have it.

use axum::body::Body;
use http::Request;
use model::histogram::{CUSTOM_BUCKETS_SCHEMA, CounterResetHint};
use model::{BucketSpan, FloatHistogram, Value};
use wire::protobuf::{Fields, varint};

use crate::fake::{Api, Fake, NOW_MS, api, escape};

const PROTOBUF: &str =
    "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited";

fn fake() -> Fake {
    Fake::default()
        .floats(
            &[("__name__", "test_metric1"), ("foo", "bar"), ("instance", "i")],
            &[(120, 9.0), (60, 10_000.0)],
        )
        .floats(&[("__name__", "test_metric1"), ("foo", "boo"), ("instance", "i")], &[(60, 1.0)])
        .floats(&[("__name__", "test_metric2"), ("foo", "boo"), ("instance", "i")], &[(60, 1.0)])
        .floats(&[("__name__", "test_metric_without_labels")], &[(60, 1_001.0)])
        .floats(&[("__name__", "test_metric_stale")], &[(120, 1.0), (60, model::stale_nan())])
        .floats(&[("__name__", "test_metric_old")], &[(299, 981.0)])
        .floats(&[("__name__", "test_metric_too_old")], &[(301, 1.0)])
        .floats(&[("nameless", "x")], &[(60, 1.0)])
}

fn get(path: &str, accept: &str) -> Request<Body> {
    Request::get(path).header("accept", accept).body(Body::empty()).unwrap()
}

async fn text(api: &Api, query: &str, accept: &str) -> (u16, String, String) {
    let answer = api.send(get(&format!("/federate?{query}"), accept)).await;
    let at = |seconds: i64| (NOW_MS - seconds * 1_000).to_string();
    let body = answer.body.replace(&at(60), "T60").replace(&at(299), "T299");
    (answer.status.as_u16(), answer.content_type, body)
}

#[tokio::test]
async fn upstreams_cases() {
    let api = api(fake());
    let metric1 = "# TYPE test_metric1 untyped\ntest_metric1{foo=\"bar\",instance=\"i\"} 10000 T60\n\
                   test_metric1{foo=\"boo\",instance=\"i\"} 1 T60\n";
    let metric2 = "# TYPE test_metric2 untyped\ntest_metric2{foo=\"boo\",instance=\"i\"} 1 T60\n";
    let boo = "# TYPE test_metric1 untyped\ntest_metric1{foo=\"boo\",instance=\"i\"} 1 T60\n";
    let old = "# TYPE test_metric_old untyped\ntest_metric_old{instance=\"\"} 981 T299\n";
    let without =
        "# TYPE test_metric_without_labels untyped\ntest_metric_without_labels{instance=\"\"} 1001 T60\n";
    for (selectors, expected) in [
        (&[][..], String::new()),
        (&["does_not_match_anything"], String::new()),
        (&["test_metric1"], metric1.to_owned()),
        (&["test_metric2"], metric2.to_owned()),
        (&["test_metric_without_labels"], without.to_owned()),
        (&["test_metric_stale"], String::new()),
        (&["test_metric_old"], old.to_owned()),
        (&["test_metric_too_old"], String::new()),
        (&["{foo='boo'}"], format!("{boo}{metric2}")),
        (&["test_metric1", "test_metric2"], format!("{metric1}{metric2}")),
        (&["{__name__=~'test_metric1'}", "{foo='bar'}"], metric1.to_owned()),
        (&["{__name__=~'.+'}"], format!("{metric1}{metric2}{old}{without}")),
        (&["{foo='',__name__=~'.+'}"], format!("{old}{without}")),
        (&["{nameless='x'}"], String::new()),
    ] {
        let query: Vec<_> = selectors.iter().map(|s| format!("match[]={}", escape(s))).collect();
        let (status, content_type, body) = text(&api, &query.join("&"), "*/*").await;
        assert_eq!((status, body), (200, expected), "{selectors:?}");
        assert_eq!(content_type, "text/plain; version=0.0.4; charset=utf-8; escaping=underscores");
    }
    for (selector, position) in [("-not-a-valid-metric-name", "1:1"), ("not-a-valid-metric-name", "1:4")] {
        let (status, content_type, body) = text(&api, &format!("match[]={selector}"), "*/*").await;
        assert_eq!((status, body), (400, format!("{position}: parse error: unexpected <op:->\n")));
        assert_eq!(content_type, "text/plain; charset=utf-8");
    }
    assert_eq!(api.send(get("/prometheus/federate", "*/*")).await.status.as_u16(), 200);
    let posted = Request::post("/federate").body(Body::empty()).unwrap();
    assert_eq!(api.send(posted).await.status.as_u16(), 405);
}

fn span(offset: i32, length: u32) -> BucketSpan {
    BucketSpan { offset, length }
}

fn odd() -> Fake {
    let at = NOW_MS - 60_000;
    let native = FloatHistogram {
        schema: 1,
        count: 7.0,
        sum: 99.5,
        zero_threshold: 0.001,
        zero_count: 2.0,
        positive_spans: vec![span(0, 1), span(1, 1)],
        positive_buckets: vec![1.0, 2.0],
        negative_spans: vec![span(-1, 1)],
        negative_buckets: vec![2.0],
        ..FloatHistogram::default()
    };
    let gauge = FloatHistogram { counter_reset_hint: CounterResetHint::Gauge, ..native.clone() };
    let custom = FloatHistogram {
        schema: CUSTOM_BUCKETS_SCHEMA,
        count: 6.0,
        sum: 1.234,
        positive_spans: vec![span(0, 2), span(2, 1)],
        positive_buckets: vec![3.0, 2.0, 1.0],
        custom_values: vec![0.1, 0.2, 0.5, 1.0, 2.0],
        ..FloatHistogram::default()
    };
    let histogram = |h: FloatHistogram| [(at, Value::FloatHistogram(h.into()))];
    Fake::default()
        .samples(&[("__name__", "m"), ("kind", "a native")], &histogram(native))
        .samples(&[("__name__", "m"), ("kind", "b gauge")], &histogram(gauge))
        .samples(&[("__name__", "m"), ("kind", "c custom")], &histogram(custom))
        .samples(&[("__name__", "m"), ("kind", "d float")], &[(at, Value::Float(0.5))])
        .floats(
            &[("__name__", "odd.name"), ("label with \"quotes\"", "a\\b\n\"c\""), ("x:y", "1")],
            &[(60, f64::NAN)],
        )
}

#[tokio::test]
async fn text_of_what_it_cannot_say_and_of_odd_names() {
    let api = api(odd());
    let (_, _, body) = text(&api, "match[]=m", "text/plain").await;
    assert_eq!(
        body,
        "# TYPE m histogram\n\
         m_bucket{kind=\"c custom\",instance=\"\",le=\"0.1\"} 3 T60\n\
         m_bucket{kind=\"c custom\",instance=\"\",le=\"0.2\"} 5 T60\n\
         m_bucket{kind=\"c custom\",instance=\"\",le=\"0.5\"} 5 T60\n\
         m_bucket{kind=\"c custom\",instance=\"\",le=\"1\"} 5 T60\n\
         m_bucket{kind=\"c custom\",instance=\"\",le=\"2\"} 6 T60\n\
         m_bucket{kind=\"c custom\",instance=\"\",le=\"+Inf\"} 6 T60\n\
         m_sum{kind=\"c custom\",instance=\"\"} 1.234 T60\n\
         m_count{kind=\"c custom\",instance=\"\"} 6 T60\n\
         # TYPE m untyped\n\
         m{kind=\"d float\",instance=\"\"} 0.5 T60\n"
    );
    let query = format!("match[]={}", escape(r#"{"odd.name"}"#));
    for (escaping, expected) in [
        (
            "allow-utf-8",
            "# TYPE \"odd.name\" untyped\n\
             {\"odd.name\",\"label with \\\"quotes\\\"\"=\"a\\\\b\\n\\\"c\\\"\",\"x:y\"=\"1\",instance=\"\"} NaN T60\n",
        ),
        (
            "underscores",
            "# TYPE odd_name untyped\n\
             odd_name{label_with__quotes_=\"a\\\\b\\n\\\"c\\\"\",\"x:y\"=\"1\",instance=\"\"} NaN T60\n",
        ),
    ] {
        let (_, content_type, body) = text(&api, &query, &format!("text/plain;escaping={escaping}")).await;
        assert_eq!(body, expected);
        assert!(content_type.ends_with(&format!("escaping={escaping}")), "{content_type}");
    }
}

/// The fields of a message: numbers, and values as they are.
fn fields(message: &[u8]) -> Vec<(u32, String)> {
    let value = |field: &wire::protobuf::Field<'_>| match field.value {
        wire::protobuf::FieldValue::Varint(n) => n.to_string(),
        wire::protobuf::FieldValue::Fixed64(bits) => f64::from_bits(bits).to_string(),
        wire::protobuf::FieldValue::Fixed32(n) => n.to_string(),
        wire::protobuf::FieldValue::Bytes(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) if !text.is_empty() && text.chars().all(|c| !c.is_control()) => text.to_owned(),
            _ => format!("{:?}", fields(bytes)),
        },
    };
    Fields::new(message).map(|field| field.map(|f| (f.number, value(&f))).unwrap()).collect()
}

#[tokio::test]
async fn protobuf_says_everything() {
    let api = api(odd());
    let request = get("/federate?match[]=m", PROTOBUF);
    let (status, content_type, body) = api.send_binary(request).await;
    assert_eq!(status.as_u16(), 200);
    assert_eq!(
        content_type,
        "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited; escaping=underscores"
    );
    let (mut rest, mut families) = (&body[..], Vec::new());
    while !rest.is_empty() {
        let mut position = 0;
        let len = varint(rest, &mut position).unwrap() as usize;
        families.push(&rest[position..position + len]);
        rest = &rest[position + len..];
    }
    // A histogram, a gauge histogram, a histogram again, an untyped value: a family each, as upstream has it.
    let kinds: Vec<_> = families
        .iter()
        .map(|family| {
            Fields::new(family).map(Result::unwrap).find(|f| f.number == 3).unwrap().varint().unwrap()
        })
        .collect();
    assert_eq!(kinds, [4, 5, 4, 3]);
    let metric = |family: usize| {
        let field = Fields::new(families[family]).map(Result::unwrap).find(|f| f.number == 4).unwrap();
        field.bytes().unwrap()
    };
    let part = |family: usize, number: u32| {
        let field = Fields::new(metric(family)).map(Result::unwrap).find(|f| f.number == number);
        field.and_then(|f| f.bytes().ok()).map(fields).unwrap_or_default()
    };
    let histogram: Vec<_> = part(0, 7).into_iter().map(|(n, v)| format!("{n}={v}")).collect();
    assert_eq!(
        histogram,
        [
            "4=7",
            "2=99.5",
            "5=2",
            "6=0.001",
            "8=2",
            "9=[(1, \"1\"), (2, \"1\")]",
            "11=2",
            "12=[(1, \"0\"), (2, \"1\")]",
            "12=[(1, \"2\"), (2, \"1\")]",
            "14=1",
            "14=2"
        ]
    );
    let custom: Vec<_> = part(2, 7).into_iter().map(|(n, v)| format!("{n}={v}")).collect();
    assert_eq!(custom.len(), 7);
    assert_eq!(custom[..3], ["4=6", "2=1.234", "3=[(4, \"3\"), (2, \"0.1\")]"]);
    assert_eq!(part(3, 5), [(1, "0.5".to_owned())]);
    assert!(fields(metric(3)).contains(&(6, (NOW_MS - 60_000).to_string())));
}
