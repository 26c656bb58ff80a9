//! Remote read: samples and streamed chunks.

use std::collections::BTreeMap;

use axum::body::Body;
use http::{Request, StatusCode};
use model::{BucketSpan, Histogram, Labels, TimeRange, Value};
use proto::Chunk;
use wire::protobuf::{FieldValue, Fields, put_bytes_field, put_varint, put_varint_field, varint};
use wire::rw1;

use crate::fake::{Api, Fake, NOW_MS, api, api_with, chunks};

type Samples = BTreeMap<Labels, Vec<(i64, Value)>>;

/// A query: from, to, and matchers with their operators.
type Query<'a> = (i64, i64, &'a [(u64, &'a str, &'a str)]);

fn request(queries: &[Query<'_>], accepted: &[u64]) -> Vec<u8> {
    let mut out = Vec::new();
    for (start, end, matchers) in queries {
        let mut query = Vec::new();
        put_varint_field(&mut query, 1, *start as u64);
        put_varint_field(&mut query, 2, *end as u64);
        for (op, name, value) in *matchers {
            let mut matcher = Vec::new();
            put_varint_field(&mut matcher, 1, *op);
            put_bytes_field(&mut matcher, 2, name.as_bytes());
            put_bytes_field(&mut matcher, 3, value.as_bytes());
            put_bytes_field(&mut query, 3, &matcher);
        }
        put_bytes_field(&mut out, 1, &query);
    }
    accepted.iter().for_each(|kind| put_varint_field(&mut out, 2, *kind));
    out
}

async fn send(api: &Api, message: &[u8]) -> (StatusCode, String, Vec<u8>) {
    let body = Body::from(wire::snappy::compress(message));
    api.send_binary(Request::post("/prometheus/api/v1/read").body(body).unwrap()).await
}

/// The results of an answer with samples, one for each query.
fn samples(body: &[u8]) -> Vec<Samples> {
    let message = wire::snappy::decompress(body, 1 << 30).unwrap();
    Fields::new(&message).map(|result| query_result(result.unwrap().bytes().unwrap())).collect()
}

/// A query's result, which is encoded as a remote write request is.
fn query_result(result: &[u8]) -> Samples {
    let mut samples = Samples::new();
    for field in rw1::request(result) {
        let rw1::RequestField::TimeSeries { body, .. } = field.unwrap() else { panic!("no series") };
        let (mut labels, mut of_series) = (Vec::new(), Vec::new());
        for field in rw1::series(body) {
            match field.unwrap() {
                rw1::SeriesField::Label(l) => {
                    labels.push((String::from_utf8_lossy(l.name), String::from_utf8_lossy(l.value)));
                }
                rw1::SeriesField::Sample(s) => of_series.push((s.timestamp_ms, Value::Float(s.value))),
                rw1::SeriesField::Histogram(body) => {
                    let histogram = wire::histogram::decode(body).unwrap();
                    of_series.push((histogram.timestamp_ms, histogram.value));
                }
                rw1::SeriesField::Exemplar(_) => panic!("an exemplar"),
            }
        }
        assert!(labels.is_sorted() && of_series.is_sorted_by_key(|(at, _)| *at));
        assert!(samples.insert(Labels::from_pairs(labels), of_series).is_none(), "a series twice");
    }
    samples
}

/// A frame: the query's number, the labels, the chunks.
type Frame = (u64, Labels, Vec<Chunk>);

fn frames(mut body: &[u8]) -> Vec<Frame> {
    let mut frames = Vec::new();
    while !body.is_empty() {
        let mut position = 0;
        let len = varint(body, &mut position).unwrap() as usize;
        let (checksum, rest) = body[position..].split_first_chunk::<4>().unwrap();
        let (message, rest) = rest.split_at(len);
        assert_eq!(u32::from_be_bytes(*checksum), castagnoli(message));
        frames.push(frame(message));
        body = rest;
    }
    frames
}

/// CRC-32C, bit by bit.
fn castagnoli(bytes: &[u8]) -> u32 {
    let update = |crc: u32, byte: &u8| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0x82f6_3b78 * (crc & 1)))
    };
    !bytes.iter().fold(!0, update)
}

fn frame(message: &[u8]) -> Frame {
    let (mut query, mut labels, mut chunks) = (0, Vec::new(), Vec::new());
    for field in Fields::new(message).map(Result::unwrap) {
        match (field.number, field.value) {
            (1, FieldValue::Bytes(series)) => {
                for field in Fields::new(series).map(Result::unwrap) {
                    let texts: Vec<_> = Fields::new(field.bytes().unwrap()).map(Result::unwrap).collect();
                    if field.number == 1 {
                        let text = |i: usize| String::from_utf8(texts[i].bytes().unwrap().to_vec()).unwrap();
                        labels.push((text(0), text(1)));
                    } else {
                        let range = TimeRange::new(texts[0].int64().unwrap(), texts[1].int64().unwrap());
                        chunks.push(Chunk {
                            range: range.unwrap(),
                            encoding: u8::try_from(texts[2].varint().unwrap()).unwrap().try_into().unwrap(),
                            data: texts[3].bytes().unwrap().to_vec().into(),
                        });
                    }
                }
            }
            (2, FieldValue::Varint(number)) => query = number,
            other => panic!("{other:?}"),
        }
    }
    (query, Labels::from_pairs(labels), chunks)
}

/// The samples of frames of one query. Every sample of a chunk has to be in the chunk's range.
fn decoded(frames: &[Frame]) -> Samples {
    let mut samples = Samples::new();
    for (_, labels, chunks) in frames {
        let of_series = samples.entry(labels.clone()).or_default();
        for chunk in chunks {
            let mut cursor = chunk::cursor(chunk.encoding, &chunk.data).unwrap();
            let mut times = Vec::new();
            while let Some((at, value)) = cursor.next_sample().unwrap() {
                times.push(at);
                of_series.push((at, value.to_value()));
            }
            assert_eq!((times[0], *times.last().unwrap()), (chunk.range.start_ms(), chunk.range.end_ms()));
        }
        assert!(of_series.is_sorted_by(|a, b| a.0 < b.0), "{of_series:?}");
    }
    samples
}

fn histogram(n: u64) -> Value {
    let n = n as i64;
    Value::Histogram(
        Histogram {
            schema: 1,
            count: 3 * n as u64,
            sum: n as f64,
            positive_spans: vec![BucketSpan { offset: 0, length: 2 }],
            positive_buckets: vec![n, n],
            ..Histogram::default()
        }
        .into(),
    )
}

/// Floats, histograms, both in one series, and late samples in overlapping chunks.
fn data() -> (Fake, Samples) {
    let at = |i: i64| NOW_MS - 60_000 + i * 1_000;
    let floats: Vec<_> = (0..40).map(|i| (at(i), Value::Float(i as f64))).collect();
    let histograms: Vec<_> = (0..20).map(|i| (at(i), histogram(i as u64 + 1))).collect();
    let mixed: Vec<_> = (0..30)
        .map(|i| (at(i), if i / 5 % 2 == 0 { Value::Float(1.0) } else { histogram(i as u64) }))
        .collect();
    let mut samples = Samples::new();
    let mut fake = Fake::default();
    for (job, values) in [("floats", floats.clone()), ("histograms", histograms), ("mixed", mixed)] {
        let labels = [("__name__", "m"), ("job", job)];
        fake = fake.samples(&labels, &values);
        samples.insert(Labels::from_pairs(labels), values);
    }
    let (even, odd): (Vec<_>, Vec<_>) = floats.iter().cloned().partition(|(at, _)| at / 1_000 % 2 == 0);
    fake = fake.samples(&[("__name__", "m"), ("job", "late")], &even);
    let late = fake.series.iter_mut().find(|s| s.labels.get("job") == Some("late")).unwrap();
    late.chunks.extend(chunks(&odd));
    late.chunks.sort_by_key(|c| c.range.start_ms());
    samples.insert(late.labels.clone(), floats);
    (fake, samples)
}

/// What is meant: the samples of series within a range.
fn within(samples: &Samples, start: i64, end: i64, job: impl Fn(&str) -> bool) -> Samples {
    let of_series = |(labels, values): (&Labels, &Vec<(i64, Value)>)| {
        let values: Vec<_> = values.iter().filter(|(at, _)| (start..=end).contains(at)).cloned().collect();
        (job(labels.get_or_empty("job")) && !values.is_empty()).then(|| (labels.clone(), values))
    };
    samples.iter().filter_map(of_series).collect()
}

fn assert_same(found: &Samples, expected: &Samples) {
    assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    for (labels, values) in expected {
        let found = &found[labels];
        assert_eq!(found.len(), values.len(), "{labels}");
        for ((at, value), (found_at, found)) in values.iter().zip(found) {
            // Hints about resets depend on where chunks begin.
            let same = match (value, found) {
                (Value::Histogram(a), Value::Histogram(b)) => {
                    (a.count, a.sum, &a.positive_buckets) == (b.count, b.sum, &b.positive_buckets)
                }
                (a, b) => a.same_bits(b),
            };
            assert!(at == found_at && same, "{labels}: {value:?} {found:?}");
        }
    }
}

const EQ: u64 = 0;
const NEQ: u64 = 1;
const RE: u64 = 2;
const NRE: u64 = 3;

#[tokio::test]
async fn samples_and_chunks_of_every_kind() {
    let (fake, samples_of) = data();
    for replicas in [1, 3] {
        let api = api_with(vec![fake.clone(); replicas], &[], &[]);
        for (start, end) in
            [(0, NOW_MS), (NOW_MS - 50_500, NOW_MS - 37_000), (NOW_MS - 50_000, NOW_MS - 50_000), (5, 4)]
        {
            for (matchers, jobs) in [
                (&[(EQ, "__name__", "m")][..], "floats histograms late mixed"),
                (&[(RE, "job", "f.*|late")][..], "floats late"),
                (
                    &[(EQ, "__name__", "m"), (NEQ, "job", "floats"), (NRE, "job", "mi.+")][..],
                    "histograms late",
                ),
                (&[][..], "floats histograms late mixed"),
                (&[(EQ, "__name__", "nothing")][..], ""),
            ] {
                let expected = within(&samples_of, start, end, |job| jobs.split(' ').any(|j| j == job));
                let query: Query<'_> = (start, end, matchers);
                let (status, content_type, body) = send(&api, &request(&[query], &[])).await;
                assert_eq!((status.as_u16(), content_type.as_str()), (200, "application/x-protobuf"));
                assert_same(&samples(&body)[0], &expected);

                let (status, content_type, body) = send(&api, &request(&[query], &[9, 1, 0])).await;
                assert_eq!(status.as_u16(), 200);
                assert_eq!(
                    content_type,
                    "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse"
                );
                let frames = frames(&body);
                assert_same(&decoded(&frames), &expected);
                assert!(frames.iter().all(|f| f.0 == 0) && frames.is_sorted_by(|a, b| a.1 < b.1));
            }
        }
    }
}

#[tokio::test]
async fn several_queries_and_small_frames() {
    let (fake, samples_of) = data();
    let api = api_with(vec![fake], &[("remote_read_max_frame_bytes", "1KiB")], &[]);
    let long: Vec<_> = (0..5_000_i64).map(|i| (i * 1_000, Value::Float(i as f64 * 1.1))).collect();
    let queries: [Query<'_>; 3] = [
        (0, NOW_MS, &[(EQ, "job", "nothing")]),
        (0, NOW_MS, &[(EQ, "job", "floats")]),
        (0, NOW_MS, &[(EQ, "job", "mixed")]),
    ];
    let (_, _, body) = send(&api, &request(&queries, &[0])).await;
    let results = samples(&body);
    assert_eq!(results.len(), 3);
    assert!(results[0].is_empty());
    assert_same(&results[2], &within(&samples_of, 0, NOW_MS, |job| job == "mixed"));
    let (_, _, body) = send(&api, &request(&queries, &[1])).await;
    assert_eq!(frames(&body).iter().map(|f| f.0).collect::<Vec<_>>(), [1, 2]);

    let api = api_with(
        vec![Fake::default().samples(&[("__name__", "long")], &long)],
        &[("remote_read_max_frame_bytes", "1KiB")],
        &[],
    );
    let (_, _, body) = send(&api, &request(&[(0, NOW_MS, &[])], &[1])).await;
    let frames = frames(&body);
    assert!(frames.len() > 5, "{} frames", frames.len());
    assert_same(&decoded(&frames), &Samples::from([(Labels::from_pairs([("__name__", "long")]), long)]));
}

#[tokio::test]
async fn wrong_requests_and_limits() {
    let (fake, _) = data();
    let limited = api_with(vec![fake.clone()], &[("remote_read_sample_limit", "10")], &[]);
    let all: Query<'_> = (0, NOW_MS, &[(EQ, "job", "floats")]);
    let few = api_with(vec![fake.clone()], &[], &[("max_fetched_series_per_query", "1")]);
    let api = api(fake);
    let text = |(status, _, body): (StatusCode, String, Vec<u8>)| {
        (status.as_u16(), String::from_utf8(body).unwrap())
    };
    let (status, error) = text(send(&limited, &request(&[all], &[])).await);
    assert_eq!((status, error.as_str()), (400, "exceeded sample limit (10)\n"));
    // Streamed chunks have no such limit.
    assert_eq!(send(&limited, &request(&[all], &[1])).await.0, StatusCode::OK);
    for accepted in [0, 1] {
        let (status, error) = text(send(&few, &request(&[(0, NOW_MS, &[])], &[accepted])).await);
        assert!(status == 422 && error.contains("max_fetched_series_per_query"), "{status} {error}");
    }
    let (status, error) = text(send(&api, &request(&[all], &[5])).await);
    assert_eq!(
        (status, error.as_str()),
        (
            400,
            "server does not support any of the requested response types: [5]; supported: map[SAMPLES:{} STREAMED_XOR_CHUNKS:{}]\n"
        )
    );
    for (matcher, expected) in [
        ((7, "a", "b"), "invalid matcher type\n"),
        ((RE, "a", "("), "error parsing regexp: missing closing ): `(`"),
    ] {
        let (status, error) = text(send(&api, &request(&[(0, 1, &[matcher])], &[])).await);
        assert!(status == 400 && error.starts_with(expected), "{status} {error}");
    }
    for body in [&b""[..], b"no snappy", b"\xff\xff\xff\xff\x0f\x00", &wire::snappy::compress(b"\x0a\xff")] {
        let request = Request::post("/api/v1/read").body(Body::from(body.to_vec())).unwrap();
        let (status, error) = text(api.send_binary(request).await);
        assert!(status == 400 && error.starts_with("cannot read the request: "), "{status} {error}");
    }
    let mut too_large = Vec::new();
    put_varint(&mut too_large, 5 << 20);
    too_large.resize(5 << 20, 0);
    let request = Request::post("/api/v1/read").body(Body::from(too_large)).unwrap();
    assert_eq!(api.send_binary(request).await.0, StatusCode::PAYLOAD_TOO_LARGE);
}
