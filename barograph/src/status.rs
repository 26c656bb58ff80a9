//! What Prometheus' API says of a server itself: its configuration, its flags, how it runs, how far a start has come.
//! These belong to the process, not to a tenant.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use env::Clock;
use http::header::CONTENT_TYPE;
use rpc::api::CorsOrigins;
use serde_json::{Value, json};
use telemetry::Registry;

use crate::readiness::{Phase, Readiness};

/// Where the API is found.
const PREFIXES: [&str; 2] = ["/prometheus/api/v1/status", "/api/v1/status"];

const MS_PER_DAY: i64 = 86_400_000;

/// What is told.
pub(crate) struct Status {
    pub(crate) readiness: Readiness,
    pub(crate) registry: Registry,
    pub(crate) clock: Arc<dyn Clock>,
    /// When the process began, in milliseconds since the Unix epoch.
    pub(crate) started_ms: i64,
    pub(crate) retention: Duration,
    /// The configuration as YAML, secrets hidden.
    pub(crate) config_yaml: String,
    /// Every flag and its value, secrets hidden.
    pub(crate) flags: BTreeMap<String, String>,
}

/// The routes, open to scripts of these origins.
pub(crate) fn router(status: Status, origins: CorsOrigins) -> Router {
    let api = Router::new()
        .route("/config", get(config))
        .route("/flags", get(flags))
        .route("/runtimeinfo", get(runtime_info))
        .route("/walreplay", get(wal_replay))
        .with_state(Arc::new(status));
    let routes = PREFIXES.iter().fold(Router::new(), |router, prefix| router.nest(prefix, api.clone()));
    rpc::api::prometheus_api(routes, origins)
}

async fn config(State(status): State<Arc<Status>>) -> Response {
    success(&object(&[("yaml", status.config_yaml.clone().into())]))
}

async fn flags(State(status): State<Arc<Status>>) -> Response {
    success(&json!(status.flags).to_string())
}

/// As Prometheus tells it; what belongs to Go's runtime has the values of a program that sets nothing.
async fn runtime_info(State(status): State<Arc<Status>>) -> Response {
    let gathered = status.registry.gather();
    let value = |suffix: &str| gathered.iter().find(|s| s.name.ends_with(suffix)).map_or(0.0, |s| s.value);
    let cwd = std::env::current_dir().map(|dir| dir.display().to_string()).unwrap_or_default();
    let reloaded_ms = value("_runtime_config_last_reload_success_timestamp_seconds") * 1e3;
    let config_ms = if reloaded_ms > 0.0 { reloaded_ms as i64 } else { status.started_ms };
    let runtime = tokio::runtime::Handle::current().metrics();
    success(&object(&[
        ("startTime", rfc3339(status.started_ms).into()),
        ("CWD", cwd.into()),
        ("hostname", std::env::var("HOSTNAME").unwrap_or_default().into()),
        ("serverTime", rfc3339(status.clock.now_ms()).into()),
        ("reloadConfigSuccess", (value("_runtime_config_last_reload_successful") == 1.0).into()),
        ("lastConfigTime", rfc3339(config_ms).into()),
        ("corruptionCount", (value("_ingester_lost_ranges_total") as u64).into()),
        ("goroutineCount", runtime.num_alive_tasks().into()),
        ("GOMAXPROCS", runtime.num_workers().into()),
        ("GOMEMLIMIT", i64::MAX.into()),
        ("GOGC", "".into()),
        ("GODEBUG", "".into()),
        ("storageRetention", settings::duration::print(status.retention).into()),
    ]))
}

/// How far the log has been replayed. Prometheus counts segments; here the whole log is one step.
async fn wal_replay(State(status): State<Arc<Status>>) -> Response {
    let done = u8::from(!matches!(status.readiness.phase(), Phase::Starting(_)));
    success(&object(&[("min", 0.into()), ("max", 1.into()), ("current", done.into())]))
}

/// The keys in the order of Prometheus' answers.
fn object(fields: &[(&str, Value)]) -> String {
    let fields: Vec<_> = fields.iter().map(|(key, value)| format!("\"{key}\":{value}")).collect();
    format!("{{{}}}", fields.join(","))
}

fn success(data: &str) -> Response {
    let body = format!("{{\"status\":\"success\",\"data\":{data}}}");
    ([(CONTENT_TYPE, "application/json")], body).into_response()
}

/// Milliseconds since the Unix epoch as RFC 3339, to the millisecond.
fn rfc3339(ms: i64) -> String {
    let (days, of_day) = (ms.div_euclid(MS_PER_DAY), ms.rem_euclid(MS_PER_DAY));
    let (year, month, day) = date(days);
    let (hour, minute, second, fraction) =
        (of_day / 3_600_000, of_day / 60_000 % 60, of_day / 1_000 % 60, of_day % 1_000);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{fraction:03}Z")
}

/// The date of a day since 1970-01-01 in the Gregorian calendar. Years are counted from March, so that the day that leap
/// years add is the last of its year; 400 of them have 146,097 days.
fn date(days: i64) -> (i64, i64, i64) {
    const DAYS_PER_ERA: i64 = 146_097;
    const DAYS_TO_EPOCH: i64 = 719_468;
    let shifted = days + DAYS_TO_EPOCH;
    let (era, of_era) = (shifted.div_euclid(DAYS_PER_ERA), shifted.rem_euclid(DAYS_PER_ERA));
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let since_march = (5 * of_year + 2) / 153;
    let month = if since_march < 10 { since_march + 3 } else { since_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, of_year - (153 * since_march + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        for (ms, expected) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_435_781_451_781, "2015-07-01T20:10:51.781Z"),
            (1_767_225_599_999, "2025-12-31T23:59:59.999Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(rfc3339(ms), expected);
        }
    }
}
