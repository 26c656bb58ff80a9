//! `series`, `labels`, label values, `metadata`, `query_exemplars`.

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use model::{Metadata, TenantId, TimeRange};
use promql::text::quote::quote;
use proto::{ExemplarsRequest, MetadataRequest};
use rpc::Tenant;

use crate::error::ApiError;
use crate::labels::{LabelRequest, Limited};
use crate::service::Querier;

use super::answer::{Annotations, success};
use super::json::{push_array, push_exemplar, push_labels, push_text, push_texts};
use super::params::{Params, parse_int, unescape_label_name};

pub(super) async fn series(
    State(querier): State<Querier>,
    Tenant(tenant): Tenant,
    params: Params,
) -> Result<Response, ApiError> {
    if params.all("match[]").next().is_none() {
        return Err(ApiError::bad_data("no match[] parameter provided"));
    }
    let request =
        label_request(&querier, tenant, &params, |e| ApiError::invalid_parameter("match[]", e)).await?;
    let found = querier.series(request).await?;
    Ok(success(&truncation(&found), |out| push_array(out, &found.items, push_labels)))
}

pub(super) async fn label_names(
    State(querier): State<Querier>,
    Tenant(tenant): Tenant,
    params: Params,
) -> Result<Response, ApiError> {
    let request = label_request(&querier, tenant, &params, ApiError::bad_data).await?;
    let found = querier.label_names(request).await?;
    Ok(texts(&found))
}

pub(super) async fn label_values(
    State(querier): State<Querier>,
    Tenant(tenant): Tenant,
    Path(name): Path<String>,
    params: Params,
) -> Result<Response, ApiError> {
    let name = unescape_label_name(&name);
    if name.is_empty() {
        return Err(ApiError::bad_data(format!("invalid label name: {}", quote(&name))));
    }
    let request = label_request(&querier, tenant, &params, ApiError::bad_data).await?;
    let found = querier.label_values(&name, request).await?;
    Ok(texts(&found))
}

pub(super) async fn metadata(
    State(querier): State<Querier>,
    Tenant(tenant): Tenant,
    params: Params,
) -> Result<Response, ApiError> {
    let limit = number(&params, "limit")?;
    let per_family = number(&params, "limit_per_metric")?;
    let request = MetadataRequest {
        tenant,
        family: Some(params.get("metric")).filter(|m| !m.is_empty()).map(str::to_owned),
        limit: limit.map_or(0, natural),
        limit_per_family: per_family.map_or(0, natural),
    };
    // No limit is written as less than zero; zero asks for nothing.
    let families = if limit == Some(0) { Default::default() } else { querier.metadata(request).await? };
    Ok(success(&Annotations::default(), |out| {
        out.push(b'{');
        for (i, (family, entries)) in families.iter().enumerate() {
            if i > 0 {
                out.push(b',');
            }
            push_text(out, family);
            out.push(b':');
            push_array(out, entries, push_metadata);
        }
        out.push(b'}');
    }))
}

pub(super) async fn exemplars(
    State(querier): State<Querier>,
    Tenant(tenant): Tenant,
    params: Params,
) -> Result<Response, ApiError> {
    let (start_ms, end_ms) = params.optional_range()?;
    let Some(range) = TimeRange::new(start_ms, end_ms) else {
        return Err(ApiError::bad_data("end timestamp must not be before start timestamp"));
    };
    let expr = params.expression(&querier, &tenant).await?.map_err(|e| ApiError::bad_data(e.to_string()))?;
    let matcher_sets: Vec<_> = expr.selectors().into_iter().map(|s| s.matchers.clone()).collect();
    if matcher_sets.is_empty() {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let request = ExemplarsRequest { tenant, matcher_sets, range };
    let found = querier.exemplars(request).await?;
    Ok(success(&Annotations::default(), |out| {
        push_array(out, &found, |out, series| {
            out.extend_from_slice(b"{\"seriesLabels\":");
            push_labels(out, &series.labels);
            out.extend_from_slice(b",\"exemplars\":");
            push_array(out, &series.exemplars, push_exemplar);
            out.push(b'}');
        });
    }))
}

async fn label_request(
    querier: &Querier,
    tenant: TenantId,
    params: &Params,
    bad_matcher: impl Fn(String) -> ApiError,
) -> Result<LabelRequest, ApiError> {
    let limit = params.limit()?;
    let (start_ms, end_ms) = params.optional_range()?;
    Ok(LabelRequest {
        tenant,
        matcher_sets: params.matcher_sets(querier).await?.map_err(bad_matcher)?,
        start_ms,
        end_ms,
        limit,
    })
}

fn texts(found: &Limited<String>) -> Response {
    success(&truncation(found), |out| push_texts(out, found.items.iter().map(String::as_str)))
}

fn truncation<T>(found: &Limited<T>) -> Annotations {
    let mut annotations = Annotations::default();
    if found.truncated {
        annotations.warnings.push("results truncated due to limit".to_owned());
    }
    annotations
}

/// A whole number that may be left out.
fn number(params: &Params, name: &str) -> Result<Option<i64>, ApiError> {
    match params.get(name) {
        "" => Ok(None),
        text => parse_int(text).map(Some).map_err(|_| ApiError::bad_data(format!("{name} must be a number"))),
    }
}

/// A limit of which less than one means none.
fn natural(limit: i64) -> usize {
    usize::try_from(limit).unwrap_or(0)
}

fn push_metadata(out: &mut Vec<u8>, metadata: &Metadata) {
    out.extend_from_slice(b"{\"type\":");
    push_text(out, metadata.metric_type.as_str());
    out.extend_from_slice(b",\"unit\":");
    push_text(out, &metadata.unit);
    out.extend_from_slice(b",\"help\":");
    push_text(out, &metadata.help);
    out.push(b'}');
}
