//! Measures what queries cost: each of a fixed catalogue is asked over and over, one at a time, until the server's CPU
//! time per execution can be told from the clock's ticks.

mod catalogue;
mod report;

use std::time::Duration;

use env::Clock;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::client::{Client, ClientError};
use crate::process::{ProcessError, usage};
pub use catalogue::{Kind, QUERIES, Query};
pub use report::{QueryReport, side_by_side};

/// A query is repeated until it has cost the server this much CPU time: thirty ticks of the kernel's clock.
const ENOUGH_CPU_SECONDS: f64 = 0.3;
/// But at most so often.
const MAX_EXECUTIONS: u32 = 200;
/// And at least so often.
const MIN_EXECUTIONS: u32 = 3;
/// How often the server's memory is looked at.
const SAMPLE_EVERY: Duration = Duration::from_millis(10);

/// What to ask, whom, and about when.
#[derive(Debug, Clone)]
pub struct QueryConfig {
    /// The Prometheus API: /api/v1/query and so on follow.
    pub url: String,
    /// The tenant to name, if any.
    pub tenant: Option<String>,
    /// The server's processes.
    pub pids: Vec<u32>,
    /// The last time, in milliseconds since the Unix epoch.
    pub end_ms: i64,
    /// How long before it range queries begin.
    pub span: Duration,
    /// The distance of evaluations in range queries.
    pub step: Duration,
    /// Only queries whose names contain this.
    pub only: String,
    /// How long one query may take.
    pub timeout: Duration,
}

/// Why measuring did not come to its end.
#[derive(Debug, Error)]
pub enum QueryError {
    /// There was no answer.
    #[error("asking for {name:?}")]
    Client {
        /// The query's name.
        name: &'static str,
        /// What happened.
        #[source]
        source: ClientError,
    },
    /// The answer is an error, or not of Prometheus' kind.
    #[error("{name:?} was answered with status {status}: {text}")]
    Refused {
        /// The query's name.
        name: &'static str,
        /// The status.
        status: u16,
        /// The beginning of the answer.
        text: String,
    },
    /// The server cannot be measured.
    #[error(transparent)]
    Process(#[from] ProcessError),
}

/// What a query came to.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct QueryCost {
    /// Its name.
    pub name: String,
    /// How often it was asked.
    pub executions: u32,
    /// The server's CPU time per execution, in milliseconds.
    pub cpu_ms: f64,
    /// What the first execution took, which warms caches and is not counted otherwise, in milliseconds.
    #[serde(default)]
    pub first_ms: f64,
    /// The server's CPU time of it, in milliseconds.
    #[serde(default)]
    pub first_cpu_ms: f64,
    /// From sending to the whole answer, the middle of all executions, in milliseconds.
    pub latency_ms: f64,
    /// The most anonymous and shared memory that the server had meanwhile, in bytes.
    pub peak_bytes: u64,
    /// Series in the answer.
    pub series: usize,
    /// The length of the answer.
    pub answer_bytes: usize,
}

/// Asks all queries and measures each; `progress` is told each one's name.
pub async fn run(
    config: &QueryConfig,
    clock: &dyn Clock,
    mut progress: impl FnMut(&str),
) -> Result<Vec<QueryCost>, QueryError> {
    let client = Client::new(config.timeout);
    let mut costs = Vec::new();
    for query in QUERIES.iter().filter(|query| query.name.contains(&config.only)) {
        progress(query.name);
        costs.push(measure(config, &client, query, clock).await?);
    }
    Ok(costs)
}

async fn measure(
    config: &QueryConfig,
    client: &Client,
    query: &Query,
    clock: &dyn Clock,
) -> Result<QueryCost, QueryError> {
    // The first execution warms caches and is not counted.
    let (begun, idle) = (clock.monotonic(), usage(&config.pids)?.cpu_seconds);
    let (series, answer_bytes) = ask(config, client, query).await?;
    let first_ms = (clock.monotonic() - begun).as_secs_f64() * 1e3;
    let before = usage(&config.pids)?.cpu_seconds;
    let mut peak_bytes = 0;
    let mut latencies = Vec::new();
    let cpu_seconds = loop {
        let begun = clock.monotonic();
        let watch = async {
            loop {
                clock.sleep(SAMPLE_EVERY).await;
                if let Ok(now) = usage(&config.pids) {
                    peak_bytes = peak_bytes.max(now.anonymous_bytes);
                }
            }
        };
        tokio::select! {
            biased;
            answer = ask(config, client, query) => { answer?; }
            () = watch => {}
        }
        latencies.push((clock.monotonic() - begun).as_secs_f64() * 1e3);
        let now = usage(&config.pids)?;
        peak_bytes = peak_bytes.max(now.anonymous_bytes);
        let spent = now.cpu_seconds - before;
        let executions = latencies.len() as u32;
        if executions >= MAX_EXECUTIONS || (executions >= MIN_EXECUTIONS && spent >= ENOUGH_CPU_SECONDS) {
            break spent;
        }
    };
    latencies.sort_by(f64::total_cmp);
    Ok(QueryCost {
        name: query.name.to_owned(),
        executions: latencies.len() as u32,
        cpu_ms: cpu_seconds / latencies.len() as f64 * 1e3,
        first_ms,
        first_cpu_ms: (before - idle) * 1e3,
        latency_ms: latencies[latencies.len() / 2],
        peak_bytes,
        series,
        answer_bytes,
    })
}

/// The series and the length of the answer.
async fn ask(config: &QueryConfig, client: &Client, query: &Query) -> Result<(usize, usize), QueryError> {
    let seconds = |ms: i64| format!("{}.{:03}", ms / 1_000, ms % 1_000);
    let span_ms = i64::try_from(config.span.as_millis()).unwrap_or(i64::MAX);
    let expr = query.expr.replace("$span", &format!("{}s", config.span.as_secs()));
    let (start, end) = (seconds(config.end_ms.saturating_sub(span_ms)), seconds(config.end_ms));
    let step = format!("{}", config.step.as_secs_f64());
    // Peers that cache answers shall compute them: `nocache` is VictoriaMetrics' word for that; others ignore it.
    let (path, parameters) = match query.kind {
        Kind::Instant => {
            ("/api/v1/query", vec![("query", expr.as_str()), ("time", end.as_str()), ("nocache", "1")])
        }
        Kind::Range => (
            "/api/v1/query_range",
            vec![
                ("query", expr.as_str()),
                ("start", start.as_str()),
                ("end", end.as_str()),
                ("step", step.as_str()),
                ("nocache", "1"),
            ],
        ),
    };
    let answer = client
        .get(&config.url, path, &parameters, config.tenant.as_deref())
        .await
        .map_err(|source| QueryError::Client { name: query.name, source })?;
    match serde_json::from_slice::<Answer>(&answer.body) {
        Ok(Answer { data: Some(data) }) if answer.status.is_success() => {
            Ok((data.result.len(), answer.body.len()))
        }
        _ => {
            Err(QueryError::Refused { name: query.name, status: answer.status.as_u16(), text: answer.text() })
        }
    }
}

#[derive(Deserialize)]
struct Answer {
    data: Option<Data>,
}

#[derive(Deserialize)]
struct Data {
    result: Vec<serde::de::IgnoredAny>,
}
