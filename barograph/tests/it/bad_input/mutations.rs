//! Random mutations of good requests, ten thousand in all, from one seed.

use std::sync::Arc;

use env::{Rng, SeededRng};
use model::{BucketSpan, Exemplar, Histogram, Labels, Metadata, MetricType, Value};
use testkit::remote_write::{CaseRequest, RW1_CONTENT_TYPE, RW2_CONTENT_TYPE, TENANT};
use wire::encode::{Rw1Writer, Rw2Writer};
use wire::histogram::HistogramSample;
use wire::snappy;

use super::Victim;
use crate::http::Connection;
use crate::remote_write_cases::send;
use crate::support::now_ms;

/// Mutated messages, compressed again.
const MESSAGES: u64 = 6_000;

/// Mutated bodies as they are sent.
const BODIES: u64 = 2_000;

/// Mutated heads.
const HEADS: u64 = 2_000;

const SEED: u64 = 20_261_121;

/// Good messages with floats, histograms, exemplars and metadata, in both versions.
fn messages(now_ms: i64) -> [(&'static str, Vec<u8>); 2] {
    let histogram = histogram(now_ms);
    let exemplar =
        Exemplar { labels: Labels::from_pairs([("trace_id", "abcdef")]), value: 1.0, timestamp_ms: now_ms };
    let metadata = Metadata {
        metric_type: MetricType::Counter,
        help: "what it counts".to_owned(),
        unit: "seconds".to_owned(),
    };
    let mut v1 = Rw1Writer::default();
    let mut v2 = Rw2Writer::default();
    for name in ["first", "second", "third"] {
        v1.label("__name__", name).label("job", "mutated");
        v1.sample(now_ms, 1.0).exemplar(&exemplar).end_series();
        v2.label("__name__", name).label("job", "mutated");
        v2.sample(now_ms, 1.0, now_ms - 1_000).exemplar(&exemplar).metadata(&metadata).end_series();
    }
    v1.label("__name__", "native").histogram(&histogram).end_series();
    v2.label("__name__", "native").histogram(&histogram).end_series();
    v1.metadata("first", &metadata);
    [(RW1_CONTENT_TYPE, v1.message().to_vec()), (RW2_CONTENT_TYPE, v2.message().to_vec())]
}

/// Changes one to eight places: a flipped bit, another byte, bytes cut out, bytes repeated, an extreme number, the end.
fn mutate(bytes: &mut Vec<u8>, rng: &SeededRng) {
    for _ in 0..=rng.below(8) {
        let at = rng.below(bytes.len() as u64) as usize;
        let Some(byte) = bytes.get_mut(at) else { return };
        match rng.below(6) {
            0 => *byte ^= 1 << rng.below(8),
            1 => *byte = rng.next_u64() as u8,
            2 => drop(bytes.drain(at..(at + 1 + rng.below(4) as usize).min(bytes.len()))),
            3 => {
                let end = (at + 1 + rng.below(16) as usize).min(bytes.len());
                let copy = bytes[at..end].to_vec();
                bytes.splice(at..at, copy);
            }
            4 => drop(bytes.splice(at..=at, [0xff, 0xff, 0xff, 0xff, 0x7f])),
            _ => bytes.truncate(at),
        }
    }
}

/// What became of the requests.
#[derive(Debug, Default)]
struct Outcomes {
    taken: u32,
    refused: u32,
    closed: u32,
}

#[test]
fn ten_thousand_mutated_requests() {
    let victim = Victim::start(&[]);
    let (rng, messages) = (SeededRng::new(SEED), messages(now_ms()));
    let mut connection = victim.connect();
    let mut outcomes = Outcomes::default();
    for round in 0..MESSAGES + BODIES {
        let (content_type, message) = &messages[rng.below(2) as usize];
        let body = if round < MESSAGES {
            let mut message = message.clone();
            mutate(&mut message, &rng);
            snappy::compress(&message)
        } else {
            let mut body = snappy::compress(message);
            mutate(&mut body, &rng);
            body
        };
        let request = CaseRequest {
            tenant: Some(TENANT),
            content_type: (*content_type).to_owned(),
            content_encoding: "snappy".to_owned(),
            body,
            sent: [0; 3],
        };
        let response = send(&mut connection, &request)
            .unwrap_or_else(|error| panic!("round {round}, {request:?}: {error}"));
        match response.status {
            200 | 204 => outcomes.taken += 1,
            400..=499 if response.body.trim().len() > 10 => outcomes.refused += 1,
            _ => panic!("round {round}, {request:?}: {response:?}"),
        }
        if response.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close")) {
            connection = victim.connect();
        }
    }
    for round in 0..HEADS {
        mutated_head(&victim, &rng, &mut outcomes).unwrap_or_else(|wrong| panic!("head {round}: {wrong}"));
    }
    let Outcomes { taken, refused, closed } = outcomes;
    assert!(taken > 100 && refused > 4_000 && closed < 2_000, "{outcomes:?}");
    victim.check();
}

fn mutated_head(victim: &Victim, rng: &SeededRng, outcomes: &mut Outcomes) -> Result<(), String> {
    let heads = [
        "POST /api/v1/push HTTP/1.1\r\nHost: x\r\nX-Scope-OrgID: a\r\nContent-Type: application/x-protobuf\r\n\
         Content-Encoding: snappy\r\nContent-Length: 2\r\n\r\n\x01\x00",
        "GET /prometheus/api/v1/query?query=up%7Ba%3D%22b%22%7D&time=1 HTTP/1.1\r\nHost: x\r\nX-Scope-OrgID: a\r\n\r\n",
        "POST /prometheus/api/v1/query_range HTTP/1.1\r\nHost: x\r\nX-Scope-OrgID: a\r\nContent-Length: 34\r\n\
         Content-Type: application/x-www-form-urlencoded\r\n\r\nquery=up%5B5m%5D&start=0&end=1&step=1",
    ];
    let mut head = heads[rng.below(heads.len() as u64) as usize].as_bytes().to_vec();
    mutate(&mut head, rng);
    let mut connection = Connection::open(victim.addr()).map_err(|error| error.to_string())?;
    // The server may have closed already.
    let _ = connection.send(&head);
    connection.finish();
    let response = connection.response();
    let shown = String::from_utf8_lossy(&head);
    match response.map_err(|error| format!("{shown:?}: {error}"))? {
        None => outcomes.closed += 1,
        Some(response) if response.status < 300 => outcomes.taken += 1,
        Some(response) if (400..500).contains(&response.status) => outcomes.refused += 1,
        Some(response) => return Err(format!("{shown:?}: {response:?}")),
    }
    Ok(())
}

/// A native histogram of two buckets.
fn histogram(timestamp_ms: i64) -> HistogramSample {
    let histogram = Histogram {
        count: 8,
        sum: 11.5,
        zero_threshold: 1e-128,
        zero_count: 2,
        positive_spans: vec![BucketSpan { offset: 0, length: 2 }],
        positive_buckets: vec![2, 2],
        ..Histogram::default()
    };
    HistogramSample { timestamp_ms, start_timestamp_ms: 0, value: Value::Histogram(Arc::new(histogram)) }
}
