//! The search API: names of metrics and labels and values of labels that answer search terms, as lines of JSON.

mod filter;
mod score;

use std::collections::BTreeMap;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use model::{Matcher, Metadata, TenantId};
use promql::text::quote::quote;
use proto::MetadataRequest;
use rpc::Tenant;

use crate::error::ApiError;
use crate::labels::{LabelRequest, Limited};
use crate::service::Querier;

use super::float::push_value;
use super::json::{push_array, push_text, push_texts};
use super::params::{Params, parse_int};

use filter::{Algorithm, Filter, Order};

const CONTENT: HeaderValue = HeaderValue::from_static("application/x-ndjson; charset=utf-8");

/// What is searched where nothing else is said: the last hour.
const DEFAULT_RANGE_MS: i64 = 3_600_000;
const DEFAULT_LIMIT: usize = 100;
const DEFAULT_BATCH_SIZE: usize = 100;
/// A request has at most so many terms: each is tried on every text.
const MAX_TERMS: usize = 32;
/// The largest fuzziness threshold, which is given in percent.
const MAX_THRESHOLD: i64 = 100;

/// What all searches are asked.
struct Search {
    start_ms: i64,
    end_ms: i64,
    matcher_sets: Vec<Vec<Matcher>>,
    filter: Filter,
    order: Order,
    include_score: bool,
    limit: usize,
    batch_size: usize,
}

impl Search {
    async fn parse(querier: &Querier, params: &Params, endpoint: &str) -> Result<Self, ApiError> {
        let now = querier.clock().now_ms();
        let start_ms = time(params, "start", now - DEFAULT_RANGE_MS)?;
        let end_ms = time(params, "end", now)?;
        if end_ms < start_ms {
            return Err(ApiError::bad_data("end timestamp must not be before start timestamp"));
        }
        let matcher_sets = params.matcher_sets(querier).await?.map_err(ApiError::bad_data)?;
        let filter = filter(params)?;
        let include_score = boolean(params, "include_score", false)?;
        let order = order(params)?;
        let limit = limit(params, querier.config().search_max_limit)?;
        let batch_size = positive(params, "batch_size")?.unwrap_or(DEFAULT_BATCH_SIZE);
        if !["", "alpha", "score"].contains(&params.get("sort_by")) {
            return Err(ApiError::bad_data(format!(
                "invalid sort_by {} for {endpoint}: must be \"alpha\" or \"score\"",
                quote(params.get("sort_by"))
            )));
        }
        Ok(Self { start_ms, end_ms, matcher_sets, filter, order, include_score, limit, batch_size })
    }

    fn request(&self, tenant: TenantId) -> LabelRequest {
        LabelRequest {
            tenant,
            matcher_sets: self.matcher_sets.clone(),
            start_ms: self.start_ms,
            end_ms: self.end_ms,
            limit: 0,
        }
    }

    /// The answer: batches of results, and a line that says that this was all.
    fn respond(self, found: Limited<String>, key: &'static str, metadata: Option<Families>) -> Response {
        let (results, has_more) = self.filter.apply(found.items, self.order, self.limit);
        // What the tenant's limit cut off was not searched.
        let warnings = found.truncated.then_some("results truncated due to limit");
        let mut results = results.into_iter().peekable();
        let (include_score, batch_size) = (self.include_score, self.batch_size);
        let mut first = true;
        let mut ended = false;
        let next_line = move || {
            if ended {
                return None;
            }
            let mut line = Vec::new();
            if first || results.peek().is_some() {
                line.extend_from_slice(b"{\"results\":");
                push_array(&mut line, results.by_ref().take(batch_size), |out, (text, score)| {
                    let of_name = metadata.as_ref().and_then(|families| families.get(&text));
                    push_result(out, key, &text, include_score.then_some(score), of_name);
                });
                if let Some(warning) = warnings.filter(|_| first) {
                    line.extend_from_slice(b",\"warnings\":");
                    push_texts(&mut line, [warning]);
                }
                line.extend_from_slice(b"}\n");
                first = false;
            } else {
                ended = true;
                line.extend_from_slice(
                    format!("{{\"status\":\"success\",\"has_more\":{has_more}}}\n").as_bytes(),
                );
            }
            Some(Ok::<_, std::convert::Infallible>(Bytes::from(line)))
        };
        let mut response =
            Response::new(Body::from_stream(futures::stream::iter(std::iter::from_fn(next_line))));
        response.headers_mut().insert(CONTENT_TYPE, CONTENT);
        response
    }
}

/// Metadata by family.
type Families = BTreeMap<String, Vec<Metadata>>;

pub(super) async fn metric_names(
    State(querier): State<Querier>,
    Tenant(tenant): Tenant,
    params: Params,
) -> Result<Response, ApiError> {
    let search = Search::parse(&querier, &params, "metric_names").await?;
    let metadata = match boolean(&params, "include_metadata", false)? {
        true => {
            let all = MetadataRequest { tenant: tenant.clone(), family: None, limit: 0, limit_per_family: 1 };
            Some(querier.metadata(all).await?)
        }
        false => None,
    };
    let found = querier.label_values("__name__", search.request(tenant)).await?;
    Ok(search.respond(found, "name", metadata))
}

pub(super) async fn label_names(
    State(querier): State<Querier>,
    Tenant(tenant): Tenant,
    params: Params,
) -> Result<Response, ApiError> {
    let search = Search::parse(&querier, &params, "label_names").await?;
    let found = querier.label_names(search.request(tenant)).await?;
    Ok(search.respond(found, "name", None))
}

pub(super) async fn label_values(
    State(querier): State<Querier>,
    Tenant(tenant): Tenant,
    params: Params,
) -> Result<Response, ApiError> {
    let search = Search::parse(&querier, &params, "label_values").await?;
    let name = params.get("label");
    if name.is_empty() {
        return Err(ApiError::bad_data("missing required parameter \"label\""));
    }
    let found = querier.label_values(name, search.request(tenant)).await?;
    Ok(search.respond(found, "value", None))
}

fn push_result(
    out: &mut Vec<u8>,
    key: &str,
    text: &str,
    score: Option<f64>,
    metadata: Option<&Vec<Metadata>>,
) {
    out.extend_from_slice(format!("{{\"{key}\":").as_bytes());
    push_text(out, text);
    if let Some(score) = score {
        out.extend_from_slice(b",\"score\":");
        push_value(out, score);
    }
    if let Some(metadata) = metadata.and_then(|entries| entries.first()) {
        let fields = [
            ("type", metadata.metric_type.as_str()),
            ("help", metadata.help.as_str()),
            ("unit", metadata.unit.as_str()),
        ];
        for (key, text) in fields.into_iter().filter(|(_, text)| !text.is_empty()) {
            out.extend_from_slice(format!(",\"{key}\":").as_bytes());
            push_text(out, text);
        }
    }
    out.push(b'}');
}

fn filter(params: &Params) -> Result<Filter, ApiError> {
    let terms = params.all("search[]").count();
    if terms > MAX_TERMS {
        let message = format!("too many search[] terms: got {terms}, maximum is {MAX_TERMS}");
        return Err(ApiError::bad_data(message));
    }
    let threshold = match params.get("fuzz_threshold") {
        "" => 0,
        text => parse_int(text).ok().filter(|t| (0..=MAX_THRESHOLD).contains(t)).ok_or_else(|| {
            ApiError::bad_data(format!("invalid fuzz_threshold {}: must be 0-100", quote(text)))
        })?,
    };
    let algorithm = match params.get("fuzz_alg") {
        "" => Algorithm::Subsequence,
        text => Algorithm::named(text).ok_or_else(|| {
            ApiError::bad_data(format!(
                "unsupported fuzz_alg {}: must be one of [subsequence jarowinkler]",
                quote(text)
            ))
        })?,
    };
    let case_sensitive = boolean(params, "case_sensitive", true)?;
    let threshold = threshold as f64 / MAX_THRESHOLD as f64;
    Ok(Filter::new(params.all("search[]"), algorithm, threshold, case_sensitive))
}

fn order(params: &Params) -> Result<Order, ApiError> {
    let (by, direction) = (params.get("sort_by"), params.get("sort_dir"));
    match (by, direction) {
        ("", direction) if !direction.is_empty() => {
            Err(ApiError::bad_data("sort_dir is only valid when sort_by is set"))
        }
        ("score", direction) if !direction.is_empty() => {
            Err(ApiError::bad_data("sort_dir is not supported for sort_by=score"))
        }
        (_, direction) if !["", "asc", "dsc"].contains(&direction) => Err(ApiError::bad_data(format!(
            "invalid sort_dir {}: must be \"asc\" or \"dsc\"",
            quote(direction)
        ))),
        ("score", _) if params.all("search[]").next().is_none() => {
            Err(ApiError::bad_data("sort_by=score requires search[] to be set"))
        }
        ("score", _) => Ok(Order::Score),
        ("alpha", "dsc") => Ok(Order::Descending),
        _ => Ok(Order::Ascending),
    }
}

fn limit(params: &Params, max: usize) -> Result<usize, ApiError> {
    let bounded = if max == 0 { usize::MAX } else { max };
    let limit = positive(params, "limit")?.unwrap_or(DEFAULT_LIMIT.min(bounded));
    if limit > bounded {
        return Err(ApiError::bad_data(format!(
            "limit {limit} exceeds the configured maximum ({max}, see --querier.search-max-limit)"
        )));
    }
    Ok(limit)
}

/// A whole number above zero, where it is given.
fn positive(params: &Params, name: &str) -> Result<Option<usize>, ApiError> {
    match params.get(name) {
        "" => Ok(None),
        text => {
            let number = parse_int(text).ok().and_then(|n| usize::try_from(n).ok()).filter(|n| *n > 0);
            number.map(Some).ok_or_else(|| {
                ApiError::bad_data(format!("invalid {name} {}: must be a positive integer", quote(text)))
            })
        }
    }
}

fn boolean(params: &Params, name: &str, default: bool) -> Result<bool, ApiError> {
    match params.get(name) {
        "" => Ok(default),
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(false),
        text => Err(ApiError::bad_data(format!("invalid {name} {}: must be boolean", quote(text)))),
    }
}

/// A time; what is wrong with it is said without naming the parameter twice.
fn time(params: &Params, name: &str, default_ms: i64) -> Result<i64, ApiError> {
    match params.get(name) {
        "" => Ok(default_ms),
        text => super::time::parse_time(text)
            .map_err(|e| ApiError::bad_data(format!("invalid time value for '{name}': {e}"))),
    }
}
