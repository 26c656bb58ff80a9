//! Remote read: series as other Prometheus servers and tools read them, as samples or as streamed chunks.

mod chunks;
mod fit;
mod samples;

use axum::extract::{Request, State};
use axum::response::Response;
use model::{MatchOp, Matcher, TimeRange};
use rpc::{BodyLimits, Tenant, read_body};
use wire::remote_read::{SAMPLES, STREAMED_XOR_CHUNKS};

use crate::error::ApiError;
use crate::service::{Querier, oldest_ms};

use super::FORM_TIMEOUT;
use super::plain::PlainError;

/// The largest request, compressed and not. Queries are matchers and times; they do not get into megabytes.
const MAX_REQUEST_BYTES: usize = 4 << 20;

/// What stands for matchers that may be regular expressions.
const ANY_REGEX: &str = "=~";

/// One query of a request.
#[derive(Debug)]
struct ReadQuery {
    /// `None` where nothing can be in it.
    range: Option<TimeRange>,
    /// At least one.
    matchers: Vec<Matcher>,
}

/// How the answer is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ResponseType {
    Samples,
    Chunks,
}

pub(super) async fn read(
    State(querier): State<Querier>,
    Tenant(tenant): Tenant,
    request: Request,
) -> Result<Response, PlainError> {
    let limits = BodyLimits { max_bytes: MAX_REQUEST_BYTES as u64, read_timeout: FORM_TIMEOUT };
    let body = read_body(request.into_body(), limits).await?;
    let oldest = oldest_ms(querier.clock(), &querier.limits(&tenant));
    // Which of the matchers are regular expressions is known only once the message has been read.
    let decoded = querier.compile(std::iter::once(ANY_REGEX), move || decode(&body, oldest)).await?;
    let (queries, response_type) = decoded?;
    let turn = querier.turn_to_read(&tenant).await?;
    match response_type {
        ResponseType::Samples => samples::answer(&querier, &tenant, queries).await,
        ResponseType::Chunks => chunks::answer(querier, tenant, queries, turn).await,
    }
}

fn decode(body: &[u8], oldest: i64) -> Result<(Vec<ReadQuery>, ResponseType), ApiError> {
    let malformed = |e: wire::WireError| ApiError::bad_data(format!("cannot read the request: {e}"));
    let message = wire::snappy::decompress(body, MAX_REQUEST_BYTES).map_err(malformed)?;
    let request = wire::remote_read::request(&message).map_err(malformed)?;
    let response_type = negotiate(&request.accepted)?;
    let query = |query: &wire::remote_read::Query<'_>| {
        let mut matchers = query.matchers.iter().map(matcher).collect::<Result<Vec<_>, _>>()?;
        if matchers.is_empty() {
            // No condition means every series; a selection needs one that says so.
            matchers.push(Matcher::new("__name__", MatchOp::Regex, ".*").map_err(|e| bad_matcher(&e))?);
        }
        Ok(ReadQuery { range: TimeRange::new(query.start_ms.max(oldest), query.end_ms), matchers })
    };
    let queries = request.queries.iter().map(query).collect::<Result<Vec<_>, ApiError>>()?;
    Ok((queries, response_type))
}

fn matcher(matcher: &wire::remote_read::Matcher<'_>) -> Result<Matcher, ApiError> {
    let op = match matcher.op {
        0 => MatchOp::Equal,
        1 => MatchOp::NotEqual,
        2 => MatchOp::Regex,
        3 => MatchOp::NotRegex,
        _ => return Err(ApiError::bad_data("invalid matcher type")),
    };
    let text = |bytes| {
        std::str::from_utf8(bytes).map_err(|_| ApiError::bad_data("a matcher's name or value is not UTF-8"))
    };
    Matcher::new(text(matcher.name)?, op, text(matcher.value)?).map_err(|e| bad_matcher(&e))
}

fn bad_matcher(error: &model::MatcherError) -> ApiError {
    ApiError::bad_data(error.to_string())
}

/// The first kind of answer that is understood on both sides.
fn negotiate(accepted: &[u64]) -> Result<ResponseType, ApiError> {
    if accepted.is_empty() {
        return Ok(ResponseType::Samples);
    }
    let known = accepted.iter().find_map(|kind| match *kind {
        SAMPLES => Some(ResponseType::Samples),
        STREAMED_XOR_CHUNKS => Some(ResponseType::Chunks),
        _ => None,
    });
    known.ok_or_else(|| {
        let names: Vec<_> = accepted.iter().map(u64::to_string).collect();
        ApiError::bad_data(format!(
            "server does not support any of the requested response types: [{}]; \
             supported: map[SAMPLES:{{}} STREAMED_XOR_CHUNKS:{{}}]",
            names.join(" ")
        ))
    })
}

/// What is said of a series whose chunks cannot be read.
fn damaged(labels: &model::Labels, error: &::chunk::ChunkError) -> ApiError {
    ApiError::new(crate::ErrorType::Internal, format!("series {labels} is damaged: {error}"))
}
