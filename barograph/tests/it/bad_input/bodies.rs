//! Well-formed HTTP with bodies that are not.

use std::sync::Arc;

use model::{Exemplar, Histogram, Labels, Value};
use testkit::remote_write::{self, RW2_CONTENT_TYPE, TENANT};
use wire::encode::Rw1Writer;
use wire::histogram::HistogramSample;
use wire::snappy;

use super::{Victim, refused};
use crate::http::{get, query_value, request};
use crate::remote_write_cases::{answer, send};
use crate::support::now_ms;

/// A valid message of one sample with these labels, compressed.
fn series(labels: &[(&str, &str)]) -> Vec<u8> {
    let mut writer = Rw1Writer::default();
    for (name, value) in labels {
        writer.label(name, value);
    }
    writer.sample(now_ms(), 1.0).end_series();
    snappy::compress(writer.message())
}

#[test]
fn broken_requests_of_the_cases_are_refused() {
    let Some(cases) = remote_write::cases() else { return };
    let victim = Victim::start(&[]);
    let now_ms = now_ms();
    let mut refusals = 0;
    for case in cases {
        let requests = case.requests(now_ms).expect("a known case");
        let mut connection = victim.connect();
        for request in &requests {
            let answer = answer(&send(&mut connection, request).expect("an answer"));
            if answer.status < 300 {
                continue;
            }
            refusals += 1;
            assert!((400..500).contains(&answer.status), "{}: {answer:?}", case.id);
            assert!(answer.body.trim().len() > 5, "{}: nothing is named in {answer:?}", case.id);
        }
    }
    assert!(refusals > 25, "only {refusals} requests were refused");
    victim.check();
}

#[test]
fn compression_that_is_broken_or_a_bomb() {
    let victim = Victim::start(&[]);
    refused(&victim.push(b""), 400, "snappy");
    refused(&victim.push(b"not snappy at all"), 400, "snappy");
    refused(&victim.push(b"\xff\xff\xff\xff\xff\xff"), 400, "snappy");
    // Declares 4 GiB, and 64 MiB that do not follow.
    refused(&victim.push(b"\xff\xff\xff\xff\x0f"), 413, "4294967295");
    refused(&victim.push(b"\x80\x80\x80\x20\x00"), 400, "snappy");
    // Declares one byte more, and one byte less, than there are.
    let good = snappy::compress(&[0; 100]);
    for declared in [99, 101] {
        let mut wrong = good.clone();
        wrong[0] = declared;
        refused(&victim.push(&wrong), 400, "snappy");
    }
    let zeros = snappy::compress(&vec![0; 200 << 20]);
    assert!(zeros.len() < 20 << 20, "{}", zeros.len());
    refused(&victim.push(&zeros), 413, "209715200");
    // Below the limit, so that it is decompressed.
    let zeros = snappy::compress(&vec![0; 90 << 20]);
    refused(&victim.push(&zeros), 400, "prometheus.WriteRequest");
    for _ in 0..50 {
        refused(&victim.push(b"\xff\xff\xff\xff\x0f"), 413, "4294967295");
        // 96 MiB.
        refused(&victim.push(b"\x80\x80\x80\x30"), 400, "snappy");
    }
    victim.check();
}

#[test]
fn a_body_that_is_too_large_is_refused() {
    let victim = Victim::start(&[]);
    let mut connection = victim.connect();
    let head = format!(
        "POST /api/v1/push HTTP/1.1\r\nHost: x\r\nX-Scope-OrgID: {TENANT}\r\nContent-Type: application/x-protobuf\r\n\
         Content-Encoding: snappy\r\nContent-Length: 9999999999999\r\n\r\n"
    );
    connection.send(head.as_bytes()).expect("sent");
    let response = connection.response().expect("HTTP").expect("an answer");
    refused(&response, 413, "9999999999999");

    // One that does not say how large it is.
    let mut connection = victim.connect();
    let head = head.replace("Content-Length: 9999999999999", "Transfer-Encoding: chunked");
    connection.send(head.as_bytes()).expect("sent");
    let mut chunk = b"100000\r\n".to_vec();
    chunk.resize(chunk.len() + (1 << 20), 0);
    chunk.extend_from_slice(b"\r\n");
    // What is too much is read as well, so that the answer is not lost in a reset connection.
    (0..120).try_for_each(|_| connection.send(&chunk)).expect("sent");
    let response = connection.response().expect("HTTP").expect("an answer");
    refused(&response, 413, "");
    victim.check();
}

#[test]
fn protobuf_that_is_broken() {
    let victim = Victim::start(&[]);
    let message = |bytes: &[u8]| victim.push(&snappy::compress(bytes));
    // A field that says that it is longer than the message; a varint without an end; a group; field number 0.
    for bytes in
        [&b"\x0a\xff\xff\xff\x0f"[..], &[0x0a; 1], &[0xff; 11], b"\x0b", b"\x00\x00", b"\x0a\x03\x0a\x7f\x00"]
    {
        refused(&message(bytes), 400, "prometheus.WriteRequest");
    }
    // A series that is nothing but the sample's time, cut at every byte.
    let mut writer = Rw1Writer::default();
    writer.label("__name__", "cut").sample(now_ms(), 1.0).end_series();
    let whole = writer.message().to_vec();
    for cut in 1..whole.len() {
        refused(&message(&whole[..cut]), 400, "");
    }
    // Deep nesting: a length-delimited field in a length-delimited field, and so on.
    let mut nested = Vec::new();
    for _ in 0..10_000 {
        let mut outer = vec![0x0a];
        let mut length = nested.len();
        while length >= 0x80 {
            outer.push((length & 0x7f) as u8 | 0x80);
            length >>= 7;
        }
        outer.push(length as u8);
        outer.extend_from_slice(&nested);
        nested = outer;
    }
    refused(&message(&nested), 400, "");
    victim.check();
}

#[test]
fn labels_that_are_no_labels() {
    let victim = Victim::start(&[]);
    let megabyte = "x".repeat(1 << 20);
    refused(&victim.push(&series(&[("__name__", "long_value"), ("a", &megabyte)])), 400, "long_value");
    refused(&victim.push(&series(&[("__name__", "long_name"), (&megabyte, "a")])), 400, "long_name");
    refused(&victim.push(&series(&[("__name__", &megabyte)])), 400, "2048");
    refused(&victim.push(&series(&[("__name__", "twice"), ("a", "1"), ("a", "2")])), 400, "twice");
    refused(&victim.push(&series(&[("__name__", "nameless"), ("", "1")])), 400, "nameless");
    let names: Vec<String> = (0..100_000).map(|i| format!("l{i:06}")).collect();
    let mut many = vec![("__name__", "many")];
    many.extend(names.iter().map(|name| (name.as_str(), "x")));
    refused(&victim.push(&series(&many)), 400, "many");
    // An answer does not repeat the megabyte.
    let response = victim.push(&series(&[("__name__", &megabyte), ("a", &megabyte)]));
    assert!(response.body.len() < 10_000, "an answer of {} bytes", response.body.len());
    // Not UTF-8: in the name of the metric, of a label, and in a value.
    let good = series(&[("__name__", "utf_eight"), ("label_q", "value_q")]);
    let message = snappy::decompress(&good, 1 << 20).expect("compressed above");
    for text in ["utf_eight", "label_q", "value_q"] {
        let at = message.windows(text.len()).position(|w| w == text.as_bytes()).expect("in the message");
        for wrong in [0xff, 0xc0, 0x80, 0xf5] {
            let mut broken = message.to_vec();
            broken[at] = wrong;
            refused(&victim.push(&snappy::compress(&broken)), 400, "utf-8");
        }
    }
    victim.check();
}

#[test]
fn histograms_and_exemplars_that_are_wrong() {
    let victim = Victim::start(&[]);
    let histogram = |count| {
        let value = Value::Histogram(Arc::new(Histogram { count, zero_count: 5, ..Histogram::default() }));
        let mut writer = Rw1Writer::default();
        writer.label("__name__", "native");
        let sample = HistogramSample { timestamp_ms: now_ms(), start_timestamp_ms: 0, value };
        writer.histogram(&sample).end_series();
        victim.push(&snappy::compress(writer.message()))
    };
    assert_eq!(histogram(5).status, 204);
    refused(&histogram(100), 400, "count is 100, but its buckets add up to 5");

    let labels = Labels::from_pairs([("trace_id", "trace_q")]);
    let exemplar = Exemplar { labels, value: 1.0, timestamp_ms: now_ms() };
    let mut writer = Rw1Writer::default();
    writer.label("__name__", "with_exemplar").sample(now_ms(), 1.0).exemplar(&exemplar).end_series();
    let mut message = writer.message().to_vec();
    let at = message.windows(7).position(|w| w == b"trace_q").expect("in the message");
    message[at] = 0xff;
    refused(&victim.push(&snappy::compress(&message)), 400, "utf-8");
    victim.check();
}

#[test]
fn requests_of_version_2_that_make_much_of_little() {
    let victim = Victim::start(&[]);
    let push = |message: &[u8]| {
        let headers =
            [("Content-Type", RW2_CONTENT_TYPE), ("Content-Encoding", "snappy"), ("X-Scope-OrgID", TENANT)];
        let body = snappy::compress(message);
        victim.connect().request("POST", "/api/v1/push", &headers, &body).expect("an answer")
    };
    // Millions of empty symbols, of empty series.
    for field in [b"\x22\x00", b"\x2a\x00"] {
        let response = push(&field.repeat(5 << 20));
        assert!(
            (400..500).contains(&response.status),
            "{} for {field:?}: {}",
            response.status,
            response.body.len()
        );
        assert!(response.body.len() < 10_000, "an answer of {} bytes", response.body.len());
    }
    victim.check();
}

#[test]
fn queries_that_are_no_queries() {
    let victim = Victim::start(&[]);
    assert_eq!(victim.push(&series(&[("__name__", "up"), ("a", "x")])).status, 204);
    let ask = |path: &str| {
        let answer =
            victim.connect().request("GET", path, &[("X-Scope-OrgID", TENANT)], b"").expect("an answer");
        assert!((400..500).contains(&answer.status), "{path:.80}: {answer:?}");
        assert!(answer.body.contains("\"error\""), "{path:.80}: {answer:?}");
        assert!(answer.body.len() < 70_000, "an answer of {} bytes", answer.body.len());
    };
    let query = |text: &str| ask(&format!("/prometheus/api/v1/query?query={}", query_value(text)));
    query("");
    query("up{");
    query("\"");
    query(&"(".repeat(10_000));
    query(&"-".repeat(10_000));
    // These may be answered, but not at length.
    for pattern in
        ["(x{1000}){1000}".to_owned(), "(a*)*".repeat(2_000), "(".repeat(5_000) + &")".repeat(5_000)]
    {
        let text = query_value(&format!("{{a=~\"{pattern}\"}}"));
        let (status, body) = request(
            victim.addr(),
            &format!("/prometheus/api/v1/query?query={text}"),
            &[("X-Scope-OrgID", TENANT)],
        );
        assert!((200..500).contains(&status), "{pattern:.80}: {status} {body:.80}");
    }
    query("up[99999999999999999999y]");
    ask("/prometheus/api/v1/query?query=%zz");
    ask("/prometheus/api/v1/query?query=%ff");
    ask("/prometheus/api/v1/query?query=up&time=tomorrow");
    ask("/prometheus/api/v1/query_range?query=up&start=0&end=9999999999&step=0.001");
    ask("/prometheus/api/v1/query_range?query=up&start=10&end=0&step=1");
    ask("/prometheus/api/v1/query_range?query=up&start=0&end=10&step=0");
    ask("/prometheus/api/v1/series");
    ask("/prometheus/api/v1/series?match[]=%7B%7D");
    ask("/prometheus/api/v1/labels?limit=-1");
    assert_eq!(get(victim.addr(), "/prometheus/api/v1/query?query=up").0, 401, "no tenant");
    victim.check();
}
