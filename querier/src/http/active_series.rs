//! Lists of active series, written while they are sent, and what they say about native histograms.

use std::collections::BTreeMap;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures::StreamExt;
use http::HeaderValue;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};

use crate::cardinality::ActiveSeriesItems;
use crate::error::ApiError;

use super::float::push_value;
use super::json::{push_labels, push_text};

/// The encoding of lists in snappy frames, as Mimir names it.
pub(super) const FRAMED: &str = "x-snappy-framed";

/// How many bytes are handed on at a time, about.
const PIECE_BYTES: usize = 64 << 10;

/// The list as JSON, in snappy frames where they are wanted.
pub(super) fn answer(series: ActiveSeriesItems, framed: bool) -> Response {
    let encoder = framed.then(wire::snappy::FrameEncoder::new);
    let list = List { series, encoder, buffer: b"{\"data\":[".to_vec(), items: 0, ended: false };
    let pieces = futures::stream::unfold(list, List::next_piece);
    let mut response = Response::new(Body::from_stream(pieces));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if framed {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static(FRAMED));
    }
    response
}

/// A list being written.
struct List {
    series: ActiveSeriesItems,
    encoder: Option<wire::snappy::FrameEncoder>,
    buffer: Vec<u8>,
    items: u64,
    ended: bool,
}

impl List {
    async fn next_piece(mut self) -> Option<(Result<Bytes, std::convert::Infallible>, Self)> {
        if self.ended {
            return None;
        }
        while self.buffer.len() < PIECE_BYTES && !self.ended {
            match self.series.next().await {
                Some(Ok(series)) => {
                    if self.items > 0 {
                        self.buffer.push(b',');
                    }
                    self.items += 1;
                    push_labels(&mut self.buffer, &series.labels);
                }
                // The status has been sent: as in Mimir the list says itself that it is not complete.
                Some(Err(error)) => {
                    self.buffer.extend_from_slice(b"],\"status\":\"error\",\"error\":");
                    push_text(&mut self.buffer, &format!("error merging partial responses: {error}"));
                    self.buffer.push(b'}');
                    self.ended = true;
                }
                None => {
                    self.buffer.extend_from_slice(b"]}");
                    self.ended = true;
                }
            }
        }
        let plain = std::mem::take(&mut self.buffer);
        let piece = match &mut self.encoder {
            Some(encoder) => encoder.encode(&plain),
            None => plain,
        };
        Some((Ok(piece.into()), self))
    }
}

/// How many buckets the native histograms of a metric have.
#[derive(Debug, Clone, Copy)]
pub(super) struct Buckets {
    series: u64,
    buckets: u64,
    min: u64,
    max: u64,
}

impl Buckets {
    /// By metric name, those that have native histograms.
    pub(super) async fn by_metric(mut series: ActiveSeriesItems) -> Result<BTreeMap<String, Self>, ApiError> {
        let mut metrics = BTreeMap::new();
        while let Some(series) = series.next().await {
            let series = series?;
            let (Some(name), Some(buckets)) = (series.labels.metric_name(), series.buckets) else { continue };
            let buckets = u64::from(buckets);
            let none = Self { series: 0, buckets: 0, min: u64::MAX, max: 0 };
            let metric: &mut Self = metrics.entry(name.to_owned()).or_insert(none);
            metric.series += 1;
            metric.buckets += buckets;
            metric.min = metric.min.min(buckets);
            metric.max = metric.max.max(buckets);
        }
        Ok(metrics)
    }

    pub(super) fn push(&self, out: &mut Vec<u8>, metric: &str) {
        out.extend_from_slice(b"{\"metric\":");
        push_text(out, metric);
        let Self { series, buckets, min, max } = self;
        out.extend_from_slice(
            format!(",\"series_count\":{series},\"bucket_count\":{buckets},\"avg_bucket_count\":").as_bytes(),
        );
        push_value(out, *buckets as f64 / *series as f64);
        out.extend_from_slice(format!(",\"min_bucket_count\":{min},\"max_bucket_count\":{max}}}").as_bytes());
    }
}
