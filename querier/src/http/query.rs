//! `query`, `query_range`, `format_query`.

use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use promql::ParseOptions;
use rpc::Tenant;

use crate::error::ApiError;
use crate::eval::Steps;
use crate::service::{Querier, QueryRequest, QueryStats};

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
    run(&querier, tenant, &params, Steps::Instant { at_ms }, limit).await
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
        return Err(ApiError::bad_data(
            "exceeded maximum resolution of 11,000 points per timeseries. \
             Try decreasing the query resolution (?step=XX)",
        ));
    }
    let steps = Steps::Range { start_ms, end_ms, step_ms };
    run(&querier, tenant, &params, steps, limit).await
}

pub(super) async fn format(params: Params) -> Result<Response, ApiError> {
    let expr = promql::parse(params.get("query"), &ParseOptions::default())
        .map_err(|e| ApiError::invalid_parameter("query", e))?;
    Ok(success(&Annotations::default(), |out| push_text(out, &promql::pretty(&expr))))
}

pub(super) async fn parse(params: Params) -> Result<Response, ApiError> {
    let expr = promql::parse(params.get("query"), &ParseOptions::default())
        .map_err(|e| ApiError::invalid_parameter("query", e))?;
    Ok(success(&Annotations::default(), |out| push_tree(out, &expr)))
}

fn step(params: &Params) -> Result<i64, ApiError> {
    let invalid = |e: &str| ApiError::invalid_parameter("step", e);
    let step_ms = super::time::parse_duration(params.get("step")).map_err(|e| invalid(&e))?;
    if step_ms <= 0 {
        return Err(invalid(
            "zero or negative query resolution step widths are not accepted. Try a positive integer",
        ));
    }
    Ok(step_ms)
}

async fn run(
    querier: &Querier,
    Tenant(tenant): Tenant,
    params: &Params,
    steps: Steps,
    limit: usize,
) -> Result<Response, ApiError> {
    let timeout = params.duration("timeout").map_err(|e| ApiError::invalid_parameter("timeout", e))?;
    let lookback = params
        .duration("lookback_delta")
        .map_err(|e| ApiError::bad_data(format!("error parsing lookback delta duration: {e}")))?;
    let request = QueryRequest {
        tenant,
        query: params.get("query").to_owned(),
        steps,
        // Zero and less mean the default, as upstream has it.
        lookback: lookback.and_then(positive),
        timeout: timeout.map(|ms| positive(ms).unwrap_or(Duration::ZERO)),
    };
    let mut response = querier.query(request).await?;
    let mut annotations = Annotations::default();
    if response.value.truncate(limit) {
        annotations.warnings.push("results truncated due to limit".to_owned());
    }
    let stats = (!params.get("stats").is_empty()).then(|| stats_json(&response.stats));
    Ok(query_success(response.value, stats, annotations))
}

fn positive(ms: i64) -> Option<Duration> {
    u64::try_from(ms).ok().filter(|ms| *ms > 0).map(Duration::from_millis)
}

fn stats_json(stats: &QueryStats) -> String {
    let seconds = |d: Duration| d.as_secs_f64();
    serde_json::json!({
        "timings": {
            "evalTotalTime": seconds(stats.preparation + stats.evaluation),
            "resultSortTime": 0.0,
            "queryPreparationTime": seconds(stats.preparation),
            "innerEvalTime": seconds(stats.evaluation),
            "execQueueTime": seconds(stats.queue),
            "execTotalTime": seconds(stats.total),
        },
        "samples": {
            "totalQueryableSamples": stats.samples,
            "peakSamples": stats.samples,
        },
    })
    .to_string()
}
