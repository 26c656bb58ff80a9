//! What rulers ask: queries of rules, and the newest samples of series, by which they learn how alerts stood.

use std::sync::Arc;

use async_trait::async_trait;
use model::{FloatHistogram, Labels, TenantId, TimeRange};
use promql::{ParseOptions, QueryTime, QueryValue};
use proto::{Code, Error, InstantQuery, NewestRequest, NewestSample, Query, SeriesChunks};

use crate::error::{ApiError, ErrorType};
use crate::execute::Executor;
use crate::samples::{SeriesReader, Sink};
use crate::select::{Budget, Selection, Wanted};
use crate::service::{Querier, QueryClass, QueryRequest, StatsWanted};

#[async_trait]
impl Query for Querier {
    async fn instant(&self, query: InstantQuery) -> Result<QueryValue, Error> {
        let request = QueryRequest {
            tenant: query.tenant,
            query: query.text,
            time: QueryTime::Instant(query.time_ms),
            lookback: None,
            timeout: None,
            stats: StatsWanted::None,
            class: QueryClass::Rule,
        };
        self.query_of(request, &query.source_tenants).await.map(|response| response.value).map_err(crossing)
    }

    async fn newest(&self, request: NewestRequest) -> Result<Vec<NewestSample>, Error> {
        self.newest_samples(request).await.map_err(crossing)
    }

    fn parse_options(&self, tenant: &TenantId) -> ParseOptions {
        Querier::parse_options(self, tenant)
    }
}

/// An error of the API as other roles know errors.
fn crossing(error: ApiError) -> Error {
    let code = match error.kind {
        ErrorType::Timeout => Code::DeadlineExceeded,
        ErrorType::Canceled => Code::Canceled,
        ErrorType::Execution => Code::Unprocessable,
        ErrorType::BadData => Code::InvalidArgument,
        ErrorType::Internal => Code::Internal,
        ErrorType::TooManyRequests => Code::TenantLimit,
        ErrorType::Unavailable => Code::Unavailable,
        ErrorType::NotFound => Code::NotFound,
    };
    Error { code, message: error.message, retry_after: error.retry_after }
}

/// Reads the series, within the tenant's limits.
pub(crate) async fn newest(inner: &Executor, request: NewestRequest) -> Result<Vec<NewestSample>, ApiError> {
    let NewestRequest { tenant, matchers, range } = request;
    let limits = inner.limits.of(&tenant);
    let mut budget = Budget::new(&limits).with_memory(inner.memory.query());
    let readers = inner.sources.readers(&tenant, range)?;
    let asked = Wanted { matchers: &matchers, range, newest_only: true };
    let mut selection = Selection::open(&readers, &tenant, &asked, &budget).await?;
    let mut found = Vec::new();
    while let Some(series) = selection.next(&mut budget).await? {
        found.extend(newest_of(&series, range)?);
    }
    Ok(found)
}

fn newest_of(series: &SeriesChunks, range: TimeRange) -> Result<Option<NewestSample>, ApiError> {
    let mut reader = SeriesReader::new(&series.chunks, range);
    let mut last = Last::default();
    while reader.read_run(&mut last).map_err(|error| damaged(&series.labels, &error))? {}
    Ok(last.0.map(|(timestamp_ms, value)| NewestSample {
        labels: series.labels.clone(),
        timestamp_ms,
        value,
    }))
}

fn damaged(labels: &Labels, error: &chunk::ChunkError) -> ApiError {
    ApiError::new(ErrorType::Internal, format!("a chunk of {labels} cannot be read: {error}"))
}

/// The newest float.
#[derive(Default)]
struct Last(Option<(i64, f64)>);

impl Sink for Last {
    fn float(&mut self, timestamp_ms: i64, value: f64) {
        self.0 = Some((timestamp_ms, value));
    }

    fn floats(&mut self, timestamps_ms: &[i64], values: &[f64]) {
        if let (Some(timestamp_ms), Some(value)) = (timestamps_ms.last(), values.last()) {
            self.float(*timestamp_ms, *value);
        }
    }

    fn histogram(&mut self, _timestamp_ms: i64, _value: Arc<FloatHistogram>) {}
}
