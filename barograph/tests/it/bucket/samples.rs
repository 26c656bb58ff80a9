//! Samples of hours that have passed, and a plain map of those that were acknowledged.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use env::{Rng as _, SeededRng};
use model::{BucketSpan, Histogram, Value};
use serde_json::Value as Json;
use wire::encode::Rw1Writer;
use wire::histogram::HistogramSample;

use crate::http::{Connection, get, query_value};
use crate::support::now_ms;

/// Samples are about so far apart.
const STEP_MS: i64 = 30_000;
pub(super) const HOUR_MS: i64 = 3_600_000;

/// How many hours there are at most; the last one has passed.
pub(super) const HOURS: i64 = 12;

/// Series of floats, and behind them series of histograms.
const FLOATS: u64 = 12;
const HISTOGRAMS: u64 = 3;

/// The bits of a float and 0, or those of count and sum of a histogram.
type Bits = [u64; 2];

/// What was acknowledged, and has to be answered, by series and time.
pub(super) struct Samples {
    begin_ms: i64,
    rng: SeededRng,
    known: BTreeMap<String, BTreeMap<i64, Bits>>,
    /// Samples that are written an hour late.
    late: Vec<(u64, i64, f64)>,
}

impl Samples {
    pub(super) fn new(seed: u64) -> Self {
        let begin_ms = (now_ms() - HOURS * HOUR_MS) / HOUR_MS * HOUR_MS;
        Self { begin_ms, rng: SeededRng::new(seed), known: BTreeMap::new(), late: Vec::new() }
    }

    /// Writes the samples of an hour, and those that are late; they have to be acknowledged.
    pub(super) fn write(&mut self, addr: SocketAddr, hour: i64) {
        let mut writer = Rw1Writer::default();
        let begin_ms = self.begin_ms + hour * HOUR_MS;
        let late = std::mem::take(&mut self.late);
        for series in 0..FLOATS {
            begin(&mut writer, &[("__name__", "floats"), ("series", &series.to_string())]);
            let of_series = late.iter().filter(|(of, _, _)| *of == series);
            for (_, at, value) in of_series {
                writer.sample(*at, *value);
                self.note(series, *at, [value.to_bits(), 0]);
            }
            let mut value = 0.0;
            for step in 0..HOUR_MS / STEP_MS {
                let at = begin_ms + step * STEP_MS + self.below(STEP_MS);
                // A counter that is reset now and then, with gaps.
                value = if self.below(50) == 0 { 0.25 } else { value + self.below(1000) as f64 / 8.0 };
                match self.below(20) {
                    0 => {}
                    1 if series < 4 => self.late.push((series, at, value)),
                    _ => {
                        writer.sample(at, value);
                        self.note(series, at, [value.to_bits(), 0]);
                    }
                }
            }
            writer.end_series();
        }
        for series in FLOATS..FLOATS + HISTOGRAMS {
            begin(&mut writer, &[("__name__", "floats"), ("series", &series.to_string())]);
            for step in 0..HOUR_MS / STEP_MS {
                let (at, count) = (begin_ms + step * STEP_MS, step + 1 + self.below(2));
                let sum = count as f64 * 1.25;
                writer.histogram(&HistogramSample {
                    timestamp_ms: at,
                    start_timestamp_ms: 0,
                    value: histogram(count, sum),
                });
                self.note(series, at, [(2.0 * count as f64).to_bits(), sum.to_bits()]);
            }
            writer.end_series();
        }
        push(addr, writer.message());
    }

    fn below(&self, bound: i64) -> i64 {
        self.rng.below(bound.unsigned_abs()).cast_signed()
    }

    fn note(&mut self, series: u64, at: i64, bits: Bits) {
        self.known.entry(series.to_string()).or_default().insert(at, bits);
    }

    /// All samples that a process answers with, or its refusal.
    pub(super) fn ask(&self, addr: SocketAddr) -> Result<BTreeMap<String, BTreeMap<i64, Bits>>, String> {
        let end_ms = self.begin_ms + (HOURS + 1) * HOUR_MS;
        let query = query_value(&format!("floats[{}h]", HOURS + 2));
        let path = format!("/prometheus/api/v1/query?query={query}&time={}", end_ms as f64 / 1000.0);
        let (status, body) = get(addr, &path);
        if status != 200 {
            return Err(format!("{status} {body}"));
        }
        let answer: Json = serde_json::from_str(&body).expect("JSON");
        let series = answer["data"]["result"].as_array().expect("series");
        Ok(series
            .iter()
            .map(|one| (one["metric"]["series"].as_str().expect("text").to_owned(), of(one)))
            .collect())
    }

    /// Everything is answered.
    #[track_caller]
    pub(super) fn check(&self, addr: SocketAddr, context: &str) {
        match self.ask(addr) {
            Ok(found) => self.compare(&found, context),
            Err(refusal) => panic!("{context}: {refusal}"),
        }
    }

    /// Everything is answered, or there is an error: which one, if so.
    #[track_caller]
    pub(super) fn check_or_refusal(&self, addr: SocketAddr, context: &str) -> Option<String> {
        let answer = self.ask(addr);
        if let Ok(found) = &answer {
            self.compare(found, context);
        }
        answer.err()
    }

    #[track_caller]
    fn compare(&self, found: &BTreeMap<String, BTreeMap<i64, Bits>>, context: &str) {
        for (series, samples) in &self.known {
            let own = found.get(series).unwrap_or_else(|| panic!("{context}: series {series} is missing"));
            for (at, bits) in samples {
                let other = own.get(at);
                assert_eq!(other, Some(bits), "{context}: series {series} at {at}");
            }
            assert_eq!(own.len(), samples.len(), "{context}: series {series} has more than was written");
        }
        assert_eq!(found.len(), self.known.len(), "{context}: series that nobody wrote");
    }
}

/// The samples of a series of an answer.
fn of(series: &Json) -> BTreeMap<i64, Bits> {
    let time = |sample: &Json| (sample[0].as_f64().expect("a time") * 1000.0).round() as i64;
    let bits =
        |value: &Json| value.as_str().and_then(|text| text.parse::<f64>().ok()).expect("a number").to_bits();
    let all = |kind: &str| series[kind].as_array().cloned().unwrap_or_default();
    let floats = all("values").into_iter().map(|sample| (time(&sample), [bits(&sample[1]), 0]));
    let histograms = all("histograms")
        .into_iter()
        .map(|sample| (time(&sample), [bits(&sample[1]["count"]), bits(&sample[1]["sum"])]));
    floats.chain(histograms).collect()
}

fn histogram(count: i64, sum: f64) -> Value {
    Value::Histogram(
        Histogram {
            schema: 2,
            count: 2 * count.unsigned_abs(),
            sum,
            positive_spans: vec![BucketSpan { offset: 0, length: 2 }],
            positive_buckets: vec![count, 0],
            ..Histogram::default()
        }
        .into(),
    )
}

pub(super) fn begin(writer: &mut Rw1Writer, labels: &[(&str, &str)]) {
    for (name, value) in labels {
        writer.label(name, value);
    }
}

/// A remote write that has to be acknowledged.
#[track_caller]
pub(super) fn push(addr: SocketAddr, message: &[u8]) {
    let headers = [
        ("Content-Type", "application/x-protobuf"),
        ("Content-Encoding", "snappy"),
        ("X-Prometheus-Remote-Write-Version", "0.1.0"),
    ];
    let body = wire::snappy::compress(message);
    let mut connection = Connection::open(addr).expect("connected");
    let response = connection.request("POST", "/api/v1/push", &headers, &body).expect("an answer");
    assert!(response.status / 100 == 2, "{response:?}");
}
