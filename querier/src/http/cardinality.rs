//! Mimir's cardinality API: how many values labels have, how many series values have, and which series are active.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::{ACCEPT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, StatusCode};
use model::{Matcher, TenantId};
use proto::{CardinalityRequest, Code, Counted};
use rpc::Tenant;

use crate::error::ApiError;
use crate::service::{Querier, whole_ms};

use super::active_series::{self, Buckets};
use super::json::{push_array, push_text};
use super::params::{Params, parse_int};
use super::plain::PlainError;

const DEFAULT_LIMIT: usize = 20;

pub(super) async fn label_names(
    State(querier): State<Querier>,
    Tenant(tenant): Tenant,
    params: Params,
) -> Result<Response, PlainError> {
    enabled(&querier, &tenant)?;
    let matchers = selector(&querier, &params).await?;
    let limit = limit(&querier, &tenant, &params)?;
    let counted = counted(&querier, &tenant, &params)?;
    let counts = querier.label_names_cardinality(CardinalityRequest { tenant, matchers, counted }).await?;
    let total: u64 = counts.values().sum();
    let largest = sorted(&counts).into_iter().take(limit);
    let mut out = format!(
        "{{\"label_values_count_total\":{total},\"label_names_count\":{},\"cardinality\":",
        counts.len()
    )
    .into_bytes();
    push_array(&mut out, largest, |out, (name, count)| {
        push_counted(out, ("label_name", name), ("label_values_count", count));
    });
    out.push(b'}');
    Ok(json(out))
}

pub(super) async fn label_values(
    State(querier): State<Querier>,
    Tenant(tenant): Tenant,
    params: Params,
) -> Result<Response, PlainError> {
    enabled(&querier, &tenant)?;
    let names = label_names_of(&querier, &tenant, &params)?;
    let matchers = selector(&querier, &params).await?;
    let limit = limit(&querier, &tenant, &params)?;
    let counted = counted(&querier, &tenant, &params)?;
    let request = CardinalityRequest { tenant, matchers, counted };
    let (total, labels) = querier.label_values_cardinality(&names, request).await?;
    let mut labels: Vec<_> =
        labels.iter().map(|(name, values)| (name.as_str(), values.values().sum::<u64>(), values)).collect();
    labels.sort_by_key(|(name, count, _)| (Reverse(*count), *name));
    let mut out = format!("{{\"series_count_total\":{total},\"labels\":").into_bytes();
    push_array(&mut out, labels, |out, (name, count, values)| {
        out.extend_from_slice(b"{\"label_name\":");
        push_text(out, name);
        out.extend_from_slice(
            format!(",\"label_values_count\":{},\"series_count\":{count},\"cardinality\":", values.len())
                .as_bytes(),
        );
        push_array(out, sorted(values).into_iter().take(limit), |out, (value, count)| {
            push_counted(out, ("label_value", value), ("series_count", count));
        });
        out.push(b'}');
    });
    out.push(b'}');
    Ok(json(out))
}

pub(super) async fn active_series(
    State(querier): State<Querier>,
    Tenant(tenant): Tenant,
    headers: HeaderMap,
    params: Params,
) -> Result<Response, PlainError> {
    let request = active(&querier, tenant, &params).await?;
    let series = querier.active_series(request).await.map_err(too_many)?;
    let framed = headers.get_all(ACCEPT_ENCODING).iter().any(|value| {
        value.to_str().is_ok_and(|value| value.split(',').any(|v| v.trim() == active_series::FRAMED))
    });
    Ok(active_series::answer(series, framed))
}

pub(super) async fn active_native_histogram_metrics(
    State(querier): State<Querier>,
    Tenant(tenant): Tenant,
    params: Params,
) -> Result<Response, PlainError> {
    let request = active(&querier, tenant, &params).await?;
    let series = querier.active_series(request).await.map_err(too_many)?;
    let metrics = Buckets::by_metric(series).await?;
    let mut out = b"{\"data\":".to_vec();
    push_array(&mut out, &metrics, |out, (metric, buckets)| buckets.push(out, metric));
    out.push(b'}');
    Ok(json(out))
}

async fn active(
    querier: &Querier,
    tenant: TenantId,
    params: &Params,
) -> Result<CardinalityRequest, ApiError> {
    enabled(querier, &tenant)?;
    if params.all("selector").next().is_none() {
        return Err(ApiError::bad_data("missing 'selector' parameter"));
    }
    let matchers = selector(querier, params).await?;
    let counted = active_since(querier, &tenant);
    Ok(CardinalityRequest { tenant, matchers, counted })
}

/// More series than may be listed: as in Mimir, a 413, although it is the answer that is too large.
fn too_many(error: ApiError) -> PlainError {
    match error.kind {
        crate::ErrorType::Execution => {
            let message = format!("{error}; name fewer with the selector (cardinality_max_active_series)");
            proto::Error::new(Code::TooLarge, message).into()
        }
        _ => error.into(),
    }
}

fn enabled(querier: &Querier, tenant: &TenantId) -> Result<(), ApiError> {
    if querier.limits(tenant).cardinality_analysis_enabled {
        return Ok(());
    }
    Err(ApiError::bad_data(format!("cardinality analysis is disabled for the tenant: {tenant}")))
}

/// The matchers of `selector`, which may be left out.
async fn selector(querier: &Querier, params: &Params) -> Result<Vec<Matcher>, ApiError> {
    let mut selectors = params.all("selector");
    let Some(selector) = selectors.next() else { return Ok(Vec::new()) };
    if selectors.next().is_some() {
        return Err(ApiError::bad_data("multiple 'selector' params are not allowed"));
    }
    let text = selector.to_owned();
    let parse = move || promql::parse_series_selector(&text);
    querier
        .compile(std::iter::once(selector), parse)
        .await?
        .map_err(|e| ApiError::bad_data(format!("failed to parse selector: {e}")))
}

fn limit(querier: &Querier, tenant: &TenantId, params: &Params) -> Result<usize, ApiError> {
    let max = querier.limits(tenant).cardinality_analysis_max_results;
    let mut limits = params.all("limit");
    let Some(text) = limits.next() else { return Ok(DEFAULT_LIMIT.min(max)) };
    if limits.next().is_some() {
        return Err(ApiError::bad_data("multiple 'limit' params are not allowed"));
    }
    let limit = parse_int(text).map_err(ApiError::bad_data)?;
    let limit =
        usize::try_from(limit).map_err(|_| ApiError::bad_data("'limit' param cannot be less than '0'"))?;
    if limit > max {
        return Err(ApiError::bad_data(format!("'limit' param cannot be greater than '{max}'")));
    }
    Ok(limit)
}

fn counted(querier: &Querier, tenant: &TenantId, params: &Params) -> Result<Counted, ApiError> {
    match params.all("count_method").next() {
        None | Some("inmemory") => Ok(Counted::InMemory),
        Some("active") => Ok(active_since(querier, tenant)),
        Some(other) => Err(ApiError::bad_data(format!(
            "invalid 'count_method' param '{other}'. valid options are: [active,inmemory]"
        ))),
    }
}

fn active_since(querier: &Querier, tenant: &TenantId) -> Counted {
    let idle = whole_ms(querier.limits(tenant).active_series_idle_timeout);
    Counted::ActiveSince(querier.clock().now_ms().saturating_sub(idle))
}

fn label_names_of(querier: &Querier, tenant: &TenantId, params: &Params) -> Result<Vec<String>, ApiError> {
    let mut names: Vec<_> = params.all("label_names[]").map(str::to_owned).collect();
    names.sort_unstable();
    names.dedup();
    if names.is_empty() {
        return Err(ApiError::bad_data("'label_names[]' param is required"));
    }
    if let Some(invalid) = names.iter().find(|name| name.is_empty()) {
        return Err(ApiError::bad_data(format!("invalid 'label_names' param '{invalid}'")));
    }
    let max = querier.limits(tenant).label_values_max_cardinality_label_names_per_request;
    if names.len() > max {
        return Err(ApiError::bad_data(format!(
            "label values cardinality request label names limit (limit: {max} actual: {}) exceeded",
            names.len()
        )));
    }
    Ok(names)
}

/// The largest first, equal ones by name.
fn sorted(counts: &BTreeMap<String, u64>) -> Vec<(&str, u64)> {
    let mut sorted: Vec<_> = counts.iter().map(|(name, count)| (name.as_str(), *count)).collect();
    sorted.sort_by_key(|(_, count)| Reverse(*count));
    sorted
}

fn push_counted(out: &mut Vec<u8>, (key, text): (&str, &str), (count_key, count): (&str, u64)) {
    out.extend_from_slice(format!("{{\"{key}\":").as_bytes());
    push_text(out, text);
    out.extend_from_slice(format!(",\"{count_key}\":{count}}}").as_bytes());
}

fn json(out: Vec<u8>) -> Response {
    (StatusCode::OK, [(CONTENT_TYPE, HeaderValue::from_static("application/json"))], out).into_response()
}
