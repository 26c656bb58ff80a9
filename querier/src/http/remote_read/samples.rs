//! Answers with samples: one message, compressed as a whole.

use ::chunk::{Merged, run_length};
use axum::body::Body;
use axum::response::Response;
use http::HeaderValue;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use model::{TenantId, TimeRange, Value};
use proto::SeriesChunks;
use wire::encode::Rw1Writer;
use wire::histogram::HistogramSample;
use wire::protobuf::put_bytes_field;

use crate::error::{ApiError, ErrorType};
use crate::select::{Budget, Selection, Wanted};
use crate::service::Querier;

use super::super::plain::PlainError;
use super::{ReadQuery, damaged};

/// The largest answer before it is compressed. Who wants more reads chunks, or a shorter time.
const MAX_ANSWER_BYTES: usize = 1 << 30;

pub(super) async fn answer(
    querier: &Querier,
    tenant: &TenantId,
    queries: Vec<ReadQuery>,
) -> Result<Response, PlainError> {
    let mut budget = Budget::new(&querier.limits(tenant));
    let mut message = Vec::new();
    for query in queries {
        let mut result = QueryResult::new(querier.config().remote_read_sample_limit, message.len());
        if let Some(range) = query.range {
            let readers = querier.sources().readers(tenant, range)?;
            let wanted = Wanted::all(&query.matchers, range);
            let mut selection = Selection::open(&readers, tenant, &wanted, &budget).await?;
            while let Some(series) = selection.next(&mut budget).await? {
                result.add(&series, range)?;
            }
        }
        put_bytes_field(&mut message, 1, result.writer.message());
    }
    let compress = move || wire::snappy::compress(&message);
    let compressed = querier.scope().run_blocking(compress).await;
    let compressed = compressed.map_err(|e| ApiError::new(ErrorType::Unavailable, e.to_string()))?;
    let mut response = Response::new(Body::from(compressed));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
    headers.insert(CONTENT_ENCODING, HeaderValue::from_static("snappy"));
    Ok(response)
}

/// The answer to one query, written series by series.
struct QueryResult {
    writer: Rw1Writer,
    /// 0 for no limit.
    sample_limit: u64,
    samples: u64,
    /// Bytes of the answers to earlier queries.
    bytes_before: usize,
}

impl QueryResult {
    fn new(sample_limit: u64, bytes_before: usize) -> Self {
        Self { writer: Rw1Writer::default(), sample_limit, samples: 0, bytes_before }
    }

    /// Adds a series, unless it has no sample in the range.
    fn add(&mut self, series: &SeriesChunks, range: TimeRange) -> Result<(), ApiError> {
        let (mut chunks, mut last_ms) = (&series.chunks[..], None);
        while !chunks.is_empty() {
            let (run, rest) = chunks.split_at(run_length(chunks));
            chunks = rest;
            let mut merged = Merged::new(run, range);
            while let Some((at, value)) = merged.next_sample().map_err(|e| damaged(&series.labels, &e))? {
                if last_ms.is_some_and(|last| at <= last) {
                    continue;
                }
                if last_ms.is_none() {
                    series.labels.iter().for_each(|(name, value)| {
                        self.writer.label(name, value);
                    });
                }
                last_ms = Some(at);
                self.count()?;
                self.sample(at, value);
            }
        }
        if last_ms.is_some() {
            self.writer.end_series();
        }
        if self.bytes_before + self.writer.message().len() > MAX_ANSWER_BYTES {
            return Err(ApiError::bad_data(format!(
                "the answer has more than {MAX_ANSWER_BYTES} bytes; read a shorter time, fewer series, or streamed chunks"
            )));
        }
        Ok(())
    }

    fn count(&mut self) -> Result<(), ApiError> {
        self.samples += 1;
        if self.sample_limit > 0 && self.samples > self.sample_limit {
            return Err(ApiError::bad_data(format!("exceeded sample limit ({})", self.sample_limit)));
        }
        Ok(())
    }

    fn sample(&mut self, timestamp_ms: i64, value: Value) {
        match value {
            Value::Float(float) => self.writer.sample(timestamp_ms, float),
            value => self.writer.histogram(&HistogramSample { timestamp_ms, start_timestamp_ms: 0, value }),
        };
    }
}
