//! `query`, `query_range`, `format_query`.

use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use promql::ast::Expr;
use promql::{QueryTime, QueryValue};
use rpc::Tenant;

use crate::error::ApiError;
use crate::service::{Querier, QueryClass, QueryRequest};

use super::answer::{Annotations, query_success, success};
use super::json::push_text;
use super::params::Params;
use super::tree::push_tree;

/// The most steps of a range query, as upstream has it.
const MAX_STEPS: i64 = 11_000;

pub(super) async fn instant(
    State(querier): State<Querier>,
    tenant: Tenant,
    params: Params,
) -> Result<Response, ApiError> {
    let limit = params.limit()?;
    let at_ms = params.time_or("time", querier.clock().now_ms())?;
    run(&querier, tenant, &params, QueryTime::Instant(at_ms), limit).await
}

pub(super) async fn range(
    State(querier): State<Querier>,
    tenant: Tenant,
    params: Params,
) -> Result<Response, ApiError> {
    let limit = params.limit()?;
    let start_ms = params.time("start")?;
    let end_ms = params.time("end")?;
    if end_ms < start_ms {
        return Err(ApiError::invalid_parameter("end", "end timestamp must not be before start time"));
    }
    let step_ms = step(&params)?;
    if end_ms.saturating_sub(start_ms) / step_ms > MAX_STEPS {
        return Err(too_many_steps());
    }
    let time = QueryTime::Range { start_ms, end_ms, step_ms };
    run(&querier, tenant, &params, time, limit).await
}

pub(super) async fn format(
    State(querier): State<Querier>,
    tenant: Tenant,
    params: Params,
) -> Result<Response, ApiError> {
    let expr = expression(&querier, &tenant, &params).await?;
    Ok(success(&Annotations::default(), |out| push_text(out, &promql::pretty(&expr))))
}

pub(super) async fn parse(
    State(querier): State<Querier>,
    tenant: Tenant,
    params: Params,
) -> Result<Response, ApiError> {
    let expr = expression(&querier, &tenant, &params).await?;
    Ok(success(&Annotations::default(), |out| push_tree(out, &expr)))
}

async fn expression(querier: &Querier, Tenant(tenant): &Tenant, params: &Params) -> Result<Expr, ApiError> {
    params.expression(querier, tenant).await?.map_err(|e| ApiError::invalid_parameter("query", e))
}

fn step(params: &Params) -> Result<i64, ApiError> {
    let invalid = |e: &str| ApiError::invalid_parameter("step", e);
    let text = params.get("step");
    let step_ms = super::time::parse_duration(text).map_err(|e| invalid(&e))?;
    if step_ms == 0 && text.parse::<f64>().is_ok_and(|seconds| seconds > 0.0) {
        return Err(too_many_steps());
    }
    if step_ms <= 0 {
        return Err(invalid(
            "zero or negative query resolution step widths are not accepted. Try a positive integer",
        ));
    }
    Ok(step_ms)
}

/// Also for steps of less than a millisecond, which is how exact times are.
fn too_many_steps() -> ApiError {
    ApiError::bad_data(
        "exceeded maximum resolution of 11,000 points per timeseries. \
         Try decreasing the query resolution (?step=XX)",
    )
}

async fn run(
    querier: &Querier,
    Tenant(tenant): Tenant,
    params: &Params,
    time: QueryTime,
    limit: usize,
) -> Result<Response, ApiError> {
    let timeout = params.duration("timeout").map_err(|e| ApiError::invalid_parameter("timeout", e))?;
    let lookback = params
        .duration("lookback_delta")
        .map_err(|e| ApiError::bad_data(format!("error parsing lookback delta duration: {e}")))?;
    let (wanted, warning) = super::stats::wanted(params.get("stats"));
    let request = QueryRequest {
        tenant,
        query: params.get("query").to_owned(),
        time,
        // Zero and less mean the default, as upstream has it.
        lookback: lookback.and_then(positive),
        timeout: timeout.map(|ms| positive(ms).unwrap_or(Duration::ZERO)),
        stats: wanted,
        class: QueryClass::User,
    };
    let mut response = querier.query(request).await?;
    let stats = super::stats::json(&response, wanted);
    let mut annotations = Annotations { warnings: response.warnings, infos: response.infos };
    annotations.warnings.extend(warning);
    if truncate(&mut response.value, limit) {
        annotations.warnings.push("results truncated due to limit".to_owned());
    }
    Ok(query_success(response.value, time, stats, annotations, response.report))
}

/// Keeps the first `limit` series (0: all); whether any were dropped.
fn truncate(value: &mut QueryValue, limit: usize) -> bool {
    fn cut<T>(items: &mut Vec<T>, limit: usize) -> bool {
        let too_many = items.len() > limit;
        items.truncate(limit);
        too_many
    }
    match value {
        _ if limit == 0 => false,
        QueryValue::Scalar(_) | QueryValue::String(_) => false,
        QueryValue::Vector(samples) => cut(samples, limit),
        QueryValue::Matrix(series) => cut(series, limit),
    }
}

fn positive(ms: i64) -> Option<Duration> {
    u64::try_from(ms).ok().filter(|ms| *ms > 0).map(Duration::from_millis)
}
