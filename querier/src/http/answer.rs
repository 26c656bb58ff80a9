//! Answers of the API: the envelope around data, and the stream in which large results leave.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use promql::{InstantSample, QueryTime, QueryValue, RangeSeries, SampleValue};
use telemetry::request_span;
use tracing::Span;

use crate::error::ApiError;
use crate::report::Report;

use super::float::{push_plain, push_timestamp, push_value};
use super::histogram::push_histogram;
use super::json::{push_array, push_labels, push_text, push_texts};

/// How much of a result is written at a time, about.
const PIECE_BYTES: usize = 64 << 10;

/// How many warnings, and how many infos, an answer has at most; of more, the rest is counted.
const MAX_ANNOTATIONS: usize = 10;

/// Warnings and infos about a result.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Annotations {
    /// What may make the result wrong.
    pub(crate) warnings: Vec<String>,
    /// What is worth knowing.
    pub(crate) infos: Vec<String>,
}

/// A success whose data `push` writes.
pub(crate) fn success(annotations: &Annotations, push: impl FnOnce(&mut Vec<u8>)) -> Response {
    let mut out = b"{\"status\":\"success\",\"data\":".to_vec();
    push(&mut out);
    push_end(&mut out, annotations);
    json(StatusCode::OK, Body::from(out))
}

/// A success with a query's result, written while it is sent.
pub(crate) fn query_success(
    value: QueryValue,
    time: QueryTime,
    stats: Option<String>,
    annotations: Annotations,
    report: Report,
) -> Response {
    let mut pieces = Pieces::new(value, time, stats, annotations, report);
    let first = pieces.next().unwrap_or_default();
    let Some(second) = pieces.next() else {
        return json(StatusCode::OK, Body::from(first));
    };
    let pieces = [first, second].into_iter().chain(pieces);
    let stream = futures::stream::iter(pieces.map(Ok::<_, std::convert::Infallible>));
    json(StatusCode::OK, Body::from_stream(stream))
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut out = b"{\"status\":\"error\",\"errorType\":".to_vec();
        push_text(&mut out, self.kind.as_str());
        out.extend_from_slice(b",\"error\":");
        push_text(&mut out, &self.message);
        out.push(b'}');
        let mut response = json(self.status(), Body::from(out));
        if let Some(after) = self.retry_after {
            response.headers_mut().insert(RETRY_AFTER, rpc::response::retry_after(after));
        }
        response
    }
}

fn json(status: StatusCode, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn type_name(value: &QueryValue) -> &'static str {
    match value {
        QueryValue::Scalar(_) => "scalar",
        QueryValue::String(_) => "string",
        QueryValue::Vector(_) => "vector",
        QueryValue::Matrix(_) => "matrix",
    }
}

/// Everything behind the data.
fn push_end(out: &mut Vec<u8>, annotations: &Annotations) {
    push_annotations(out, "warnings", "warning", &annotations.warnings);
    push_annotations(out, "infos", "info", &annotations.infos);
    out.push(b'}');
}

fn push_annotations(out: &mut Vec<u8>, key: &str, kind: &str, texts: &[String]) {
    if texts.is_empty() {
        return;
    }
    let omitted = texts.len().saturating_sub(MAX_ANNOTATIONS);
    let note = (omitted > 0).then(|| format!("{omitted} more {kind} annotations omitted"));
    out.extend_from_slice(b",\"");
    out.extend_from_slice(key.as_bytes());
    out.extend_from_slice(b"\":");
    let shown = texts.iter().take(MAX_ANNOTATIONS).chain(note.as_ref());
    push_texts(out, shown.map(String::as_str));
}

/// The answer to a query, piece by piece.
struct Pieces {
    items: Items,
    /// The time of the samples of an instant vector, or the first of a range.
    at_ms: i64,
    times: Times,
    stats: Option<String>,
    annotations: Annotations,
    buffer: Vec<u8>,
    state: State,
    /// Learns how long writing takes, and lets go of what the query holds with the last piece.
    report: Report,
    /// Ends with the last piece, or when the client goes away.
    _span: Span,
}

enum State {
    Start,
    Between,
    Ended,
}

/// What is left of a result.
enum Items {
    /// Scalars and strings, which are written with the start.
    None,
    Vector(std::vec::IntoIter<InstantSample>),
    Matrix(std::vec::IntoIter<RangeSeries>),
}

impl Pieces {
    fn new(
        value: QueryValue,
        time: QueryTime,
        stats: Option<String>,
        annotations: Annotations,
        report: Report,
    ) -> Self {
        let (at_ms, step_ms) = match time {
            QueryTime::Instant(at_ms) => (at_ms, 1),
            QueryTime::Range { start_ms, step_ms, .. } => (start_ms, step_ms.max(1)),
        };
        let mut buffer = b"{\"status\":\"success\",\"data\":{\"resultType\":\"".to_vec();
        buffer.extend_from_slice(type_name(&value).as_bytes());
        buffer.extend_from_slice(b"\",\"result\":[");
        let items = match value {
            QueryValue::Scalar(value) => {
                push_timestamp(&mut buffer, at_ms);
                buffer.extend_from_slice(b",\"");
                push_plain(&mut buffer, value);
                buffer.push(b'"');
                Items::None
            }
            QueryValue::String(bytes) => {
                push_timestamp(&mut buffer, at_ms);
                buffer.push(b',');
                push_text(&mut buffer, &String::from_utf8_lossy(&bytes));
                Items::None
            }
            QueryValue::Vector(samples) => Items::Vector(samples.into_iter()),
            QueryValue::Matrix(series) => Items::Matrix(series.into_iter()),
        };
        let times = Times::new(at_ms, step_ms);
        let span = request_span!("querier.encode");
        Self { items, at_ms, times, stats, annotations, buffer, state: State::Start, report, _span: span }
    }

    /// Writes the next item; whether there was one.
    fn push_item(&mut self) -> bool {
        let comma: &[u8] = match self.state {
            State::Start => b"",
            State::Between | State::Ended => b",",
        };
        let out = &mut self.buffer;
        match &mut self.items {
            Items::None => return false,
            Items::Vector(samples) => match samples.next() {
                Some(sample) => {
                    out.extend_from_slice(comma);
                    push_sample(out, &mut self.times, self.at_ms, &sample);
                }
                None => return false,
            },
            Items::Matrix(series) => match series.next() {
                Some(series) => {
                    out.extend_from_slice(comma);
                    push_series(out, &series, &mut self.times);
                }
                None => return false,
            },
        }
        self.state = State::Between;
        true
    }
}

impl Iterator for Pieces {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        if matches!(self.state, State::Ended) {
            return None;
        }
        let begun = self.report.now();
        while self.buffer.len() < PIECE_BYTES {
            if self.push_item() {
                continue;
            }
            self.state = State::Ended;
            self.buffer.push(b']');
            if let Some(stats) = &self.stats {
                self.buffer.extend_from_slice(b",\"stats\":");
                self.buffer.extend_from_slice(stats.as_bytes());
            }
            self.buffer.push(b'}');
            push_end(&mut self.buffer, &self.annotations);
            break;
        }
        self.report.encoded(self.report.now().saturating_sub(begun));
        Some(std::mem::take(&mut self.buffer).into())
    }
}

/// The beginnings of points, `[time,"`, of a query's steps: all series have the same times, so each is written once.
struct Times {
    start_ms: i64,
    step_ms: i64,
    text: Vec<u8>,
    /// Where in `text` the beginning for each step ends.
    ends: Vec<usize>,
}

impl Times {
    /// Steps for which beginnings are kept at most: as many as a range query may have.
    const MAX: usize = 11_001;

    fn new(start_ms: i64, step_ms: i64) -> Self {
        Self { start_ms, step_ms, text: Vec::new(), ends: Vec::new() }
    }

    /// Appends the beginning of a point. `step` is about where the time is among the steps: the one after the last time.
    fn push(&mut self, out: &mut Vec<u8>, step: &mut usize, timestamp_ms: i64) {
        let at = |step: usize| self.start_ms.wrapping_add(self.step_ms.wrapping_mul(step as i64));
        while *step < Self::MAX && at(*step) < timestamp_ms {
            *step += 1;
        }
        if *step >= Self::MAX || at(*step) != timestamp_ms {
            return push_begin(out, timestamp_ms);
        }
        while self.ends.len() <= *step {
            let at = self.start_ms.wrapping_add(self.step_ms.wrapping_mul(self.ends.len() as i64));
            push_begin(&mut self.text, at);
            self.ends.push(self.text.len());
        }
        let start = step.checked_sub(1).map_or(0, |before| self.ends[before]);
        out.extend_from_slice(&self.text[start..self.ends[*step]]);
    }
}

/// `[time,"`.
fn push_begin(out: &mut Vec<u8>, timestamp_ms: i64) {
    out.push(b'[');
    push_timestamp(out, timestamp_ms);
    out.extend_from_slice(b",\"");
}

fn push_sample(out: &mut Vec<u8>, times: &mut Times, at_ms: i64, sample: &InstantSample) {
    out.extend_from_slice(b"{\"metric\":");
    push_labels(out, &sample.labels);
    match &sample.value {
        SampleValue::Float(value) => {
            out.extend_from_slice(b",\"value\":");
            push_float_point(out, times, &mut 0, at_ms, *value);
        }
        SampleValue::Histogram(histogram) => {
            out.extend_from_slice(b",\"histogram\":");
            push_histogram_point(out, at_ms, histogram);
        }
    }
    out.push(b'}');
}

fn push_series(out: &mut Vec<u8>, series: &RangeSeries, times: &mut Times) {
    out.extend_from_slice(b"{\"metric\":");
    push_labels(out, &series.labels);
    if !series.floats.is_empty() {
        out.extend_from_slice(b",\"values\":");
        let mut step = 0;
        push_array(out, &series.floats, |out, (t, v)| push_float_point(out, times, &mut step, *t, *v));
    }
    if !series.histograms.is_empty() {
        out.extend_from_slice(b",\"histograms\":");
        push_array(out, &series.histograms, |out, (t, h)| push_histogram_point(out, *t, h));
    }
    out.push(b'}');
}

fn push_float_point(out: &mut Vec<u8>, times: &mut Times, step: &mut usize, timestamp_ms: i64, value: f64) {
    times.push(out, step, timestamp_ms);
    push_value(out, value);
    out.extend_from_slice(b"\"]");
}

fn push_histogram_point(out: &mut Vec<u8>, timestamp_ms: i64, histogram: &model::FloatHistogram) {
    out.push(b'[');
    push_timestamp(out, timestamp_ms);
    out.push(b',');
    push_histogram(out, histogram);
    out.push(b']');
}
