//! `status/buildinfo` and `status/tsdb`.

use axum::extract::State;
use axum::response::Response;
use proto::Stat;
use rpc::Tenant;

use crate::error::ApiError;
use crate::service::Querier;

use super::answer::{Annotations, success};
use super::json::{push_array, push_text};
use super::params::{Params, parse_int};

/// The version of Prometheus whose API this is. Clients choose what they ask for by it.
const PROMETHEUS_API_VERSION: &str = "3.5.0";

/// How many entries the lists of `status/tsdb` have, and may have.
const DEFAULT_TSDB_LIMIT: usize = 10;
const MAX_TSDB_LIMIT: usize = 10_000;

pub(super) async fn build_info() -> Response {
    let fields = [
        ("version", PROMETHEUS_API_VERSION),
        ("revision", concat!("barograph-", env!("CARGO_PKG_VERSION"))),
        ("branch", ""),
        ("buildUser", ""),
        ("buildDate", ""),
        ("goVersion", ""),
    ];
    success(&Annotations::default(), |out| {
        let fields = fields.map(|(key, value)| format!("\"{key}\":\"{value}\""));
        out.extend_from_slice(format!("{{{}}}", fields.join(",")).as_bytes());
    })
}

/// What the tenant has in the ingesters, in numbers.
pub(super) async fn tsdb(
    State(querier): State<Querier>,
    Tenant(tenant): Tenant,
    params: Params,
) -> Result<Response, ApiError> {
    let limit = match params.get("limit") {
        "" => DEFAULT_TSDB_LIMIT,
        text => {
            let limit = parse_int(text).ok().and_then(|limit| usize::try_from(limit).ok());
            let limit = limit.filter(|limit| *limit > 0);
            limit.ok_or_else(|| ApiError::bad_data("limit must be a positive number"))?
        }
    };
    if limit > MAX_TSDB_LIMIT {
        return Err(ApiError::bad_data(format!("limit must not exceed {MAX_TSDB_LIMIT}")));
    }
    let stats = querier.index_stats(&tenant, limit).await?;
    // As in Prometheus: nothing begins after and ends before everything.
    let (min, max) = stats.range.map_or((i64::MAX, i64::MIN), |range| (range.start_ms(), range.end_ms()));
    Ok(success(&Annotations::default(), |out| {
        let head = format!(
            "{{\"headStats\":{{\"numSeries\":{},\"numLabelPairs\":{},\"chunkCount\":{},\"minTime\":{min},\
             \"maxTime\":{max}}}",
            stats.series, stats.label_pairs, stats.chunks
        );
        out.extend_from_slice(head.as_bytes());
        for (key, list) in [
            ("seriesCountByMetricName", &stats.series_by_metric),
            ("labelValueCountByLabelName", &stats.values_by_label),
            ("memoryInBytesByLabelName", &stats.bytes_by_label),
            ("seriesCountByLabelValuePair", &stats.series_by_pair),
        ] {
            out.extend_from_slice(format!(",\"{key}\":").as_bytes());
            push_array(out, list, push_stat);
        }
        out.push(b'}');
    }))
}

fn push_stat(out: &mut Vec<u8>, stat: &Stat) {
    out.extend_from_slice(b"{\"name\":");
    push_text(out, &stat.name);
    out.extend_from_slice(format!(",\"value\":{}}}", stat.value).as_bytes());
}
