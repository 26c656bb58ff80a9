//! The command line of `loadtest`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::blocks::BlocksConfig;
use crate::chaos::ChaosConfig;
use crate::encode::Protocol;
use crate::population::PopulationConfig;
use crate::query::QueryConfig;
use crate::scenario::LoadConfig;
use crate::verify::{Failures, VerifyConfig};
use crate::write::{RetryPolicy, WriteConfig};

/// The most samples that one query asks for while writing goes on.
const SAMPLES_PER_QUERY_DURING: u32 = 50_000;

/// Load generator and oracle for remote write receivers.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 110)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What `loadtest` can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Write a realistic population and report what it cost.
    Write(Box<WriteArgs>),
    /// Write a realistic population as Prometheus blocks into a folder.
    Blocks(BlocksArgs),
    /// Check by queries that every acknowledged sample is there exactly once, and nothing else.
    Verify(VerifyArgs),
    /// Ask what dashboards ask, and report what each query costs the server.
    Query(QueryArgs),
    /// Start a cluster, kill, freeze and cut off its processes at random under load, and check every answer.
    Chaos(ChaosArgs),
    /// Print stored reports of `write --json` or `query --json` side by side.
    Report {
        /// The reports.
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
}

/// Arguments of `loadtest blocks`.
#[derive(Debug, Args)]
pub struct BlocksArgs {
    /// The folder that blocks are written into
    pub folder: PathBuf,
    /// Series in each block
    #[arg(long, default_value_t = 10_000)]
    pub series: u32,
    /// Time to write
    #[arg(long, default_value = "30d", value_parser = parse_duration)]
    pub duration: Duration,
    /// Time between two samples of a series
    #[arg(long, default_value = "1m", value_parser = parse_duration)]
    pub interval: Duration,
    /// Time of the last samples, in milliseconds since 1970; by default now
    #[arg(long)]
    pub end_ms: Option<i64>,
    /// Time of a block
    #[arg(long, default_value = "1d", value_parser = parse_duration)]
    pub block: Duration,
    /// What makes it another population
    #[arg(long, default_value_t = 1)]
    pub seed: u32,
    /// No progress
    #[arg(long)]
    pub quiet: bool,
}

impl BlocksArgs {
    /// The configuration that these arguments ask for. `now_ms` is the time of the wall clock.
    pub fn config(&self, now_ms: i64) -> BlocksConfig {
        let millis = |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        let interval_ms = millis(self.interval);
        let samples = millis(self.duration) / interval_ms.max(1);
        BlocksConfig {
            population: PopulationConfig {
                seed: self.seed,
                series: self.series,
                tenants: 0,
                tenant_name: String::new(),
                interval_ms,
                start_ms: self.end_ms.unwrap_or(now_ms).saturating_sub(samples.saturating_mul(interval_ms)),
                churn_per_hour: 0.0,
                native_histograms: false,
                exemplars: false,
            },
            samples: u32::try_from(samples).unwrap_or(u32::MAX),
            length_ms: millis(self.block),
            folder: self.folder.clone(),
        }
    }
}

/// Arguments of `loadtest write`.
#[derive(Debug, Args)]
pub struct WriteArgs {
    /// Where remote write is accepted; given several times, requests are spread over the servers, and one that failed is repeated at the next
    #[arg(long, default_value = "http://127.0.0.1:9009/api/v1/push")]
    pub url: Vec<String>,
    /// Active series
    #[arg(long, default_value_t = 10_000)]
    pub series: u32,
    /// Samples per series
    #[arg(long, default_value_t = 40)]
    pub samples: u32,
    /// Simulated time to write, instead of --samples, such as 2h
    #[arg(long, value_parser = parse_duration, conflicts_with = "samples")]
    pub duration: Option<Duration>,
    /// Time between two samples of a series
    #[arg(long, default_value = "15s", value_parser = parse_duration)]
    pub interval: Duration,
    /// Time of the first samples, in milliseconds since 1970; by default so that the last ones are of now
    #[arg(long)]
    pub start_ms: Option<i64>,
    /// Send each sample at its time, not as fast as possible
    #[arg(long, conflicts_with = "start_ms")]
    pub realtime: bool,
    /// Most samples per second, 0 for no limit
    #[arg(long, default_value_t = 0.0)]
    pub rate: f64,
    /// Part of the series replaced in an hour, such as 0.1
    #[arg(long, default_value_t = 0.0)]
    pub churn: f64,
    /// Spread the series over so many tenants; 0 names none
    #[arg(long, default_value_t = 0)]
    pub tenants: u32,
    /// The tenant's ID, or what the IDs of several begin with
    #[arg(long, default_value = "loadtest")]
    pub tenant_name: String,
    /// Most series in one request
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub series_per_request: u32,
    /// Most requests in flight
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=1_024))]
    pub concurrency: u32,
    /// Version of remote write
    #[arg(long, default_value = "1", value_enum)]
    pub protocol: ProtocolArg,
    /// Write native histograms too
    #[arg(long)]
    pub native_histograms: bool,
    /// Attach an exemplar to one bucket of each classic histogram
    #[arg(long)]
    pub exemplars: bool,
    /// What makes it another population: the same seed gives the same series and values
    #[arg(long, default_value_t = 1)]
    pub seed: u32,
    /// For how long a request is tried again after 5xx and connection failures; 0s: never
    #[arg(long, default_value = "5m", value_parser = parse_duration)]
    pub retry: Duration,
    /// Try again after 429 too
    #[arg(long)]
    pub retry_429: bool,
    /// How long one attempt may take
    #[arg(long, default_value = "30s", value_parser = parse_duration)]
    pub timeout: Duration,
    /// Note in this new file what was acknowledged, for `loadtest verify`
    #[arg(long)]
    pub acks: Option<PathBuf>,
    /// Go on where the run of --acks ended, with its population
    #[arg(long, requires = "acks")]
    pub resume: bool,
    /// Read back while writing, from the API below this URL; given several times, queries are spread over the servers
    #[arg(long)]
    pub verify_during: Vec<String>,
    /// Between two queries of --verify-during
    #[arg(long, default_value = "200ms", value_parser = parse_duration)]
    pub read_every: Duration,
    /// Measure this process; may be given several times
    #[arg(long)]
    pub pid: Vec<u32>,
    /// Measure the processes that listen on this TCP port
    #[arg(long)]
    pub pid_of_port: Option<u16>,
    /// Measure the growth of this folder
    #[arg(long)]
    pub data_dir: Option<PathBuf>,
    /// How long the server's background work is measured after the last request
    #[arg(long, default_value = "5s", value_parser = parse_duration)]
    pub settle: Duration,
    /// What the run is called in reports
    #[arg(long, default_value = "write")]
    pub name: String,
    /// Report as JSON
    #[arg(long)]
    pub json: bool,
    /// No progress bar
    #[arg(long)]
    pub quiet: bool,
}

/// Arguments of `loadtest verify`.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// The Prometheus API: /api/v1/query and so on follow; given several times, queries are spread over the servers
    #[arg(long, default_value = "http://127.0.0.1:9009/prometheus")]
    pub url: Vec<String>,
    /// What `loadtest write --acks` noted
    #[arg(long)]
    pub acks: PathBuf,
    /// Most queries in flight
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub concurrency: u32,
    /// Most samples that one query asks for
    #[arg(long, default_value_t = 500_000, value_parser = clap::value_parser!(u32).range(1_000..=50_000_000))]
    pub samples_per_query: u32,
    /// How long one query may take
    #[arg(long, default_value = "120s", value_parser = parse_duration)]
    pub timeout: Duration,
    /// For how long a query that fails is asked again
    #[arg(long, default_value = "1s", value_parser = parse_duration)]
    pub keep_trying: Duration,
    /// Count queries that fail instead of giving up at the first; answers that come have to be whole
    #[arg(long)]
    pub allow_failures: bool,
    /// Result as JSON
    #[arg(long)]
    pub json: bool,
    /// No progress bar
    #[arg(long)]
    pub quiet: bool,
}

/// Arguments of `loadtest chaos`.
#[derive(Debug, Args)]
pub struct ChaosArgs {
    /// The server's program
    #[arg(long, default_value = "target/release/barograph")]
    pub program: PathBuf,
    /// What lists the processes, when it is run with `commands`
    #[arg(long, default_value = "scripts/cluster.sh")]
    pub cluster: PathBuf,
    /// For how long
    #[arg(long, default_value = "10m", value_parser = parse_duration)]
    pub length: Duration,
    /// Which faults; another one each time by default
    #[arg(long)]
    pub seed: Option<u64>,
    /// Gets data, output, timeline and summary
    #[arg(long, default_value = "target/chaos")]
    pub folder: PathBuf,
    /// Active series, each with a sample a second
    #[arg(long, default_value_t = 2_000)]
    pub series: u32,
    /// Spread the series over so many tenants; 0 names none
    #[arg(long, default_value_t = 0)]
    pub tenants: u32,
    /// Result as JSON
    #[arg(long)]
    pub json: bool,
}

impl ChaosArgs {
    /// The configuration that these arguments ask for. `now_ms` is the time of the wall clock.
    pub fn config(&self, now_ms: i64) -> ChaosConfig {
        ChaosConfig {
            program: self.program.clone(),
            script: self.cluster.clone(),
            length: self.length,
            seed: self.seed.unwrap_or(now_ms.unsigned_abs() % 1_000_000),
            folder: self.folder.clone(),
            load: LoadConfig { series: self.series, tenants: self.tenants, ..LoadConfig::default() },
        }
    }
}

/// Arguments of `loadtest query`.
#[derive(Debug, Args)]
pub struct QueryArgs {
    /// The Prometheus API: /api/v1/query and so on follow
    #[arg(long, default_value = "http://127.0.0.1:9009/prometheus")]
    pub url: String,
    /// The tenant to name
    #[arg(long)]
    pub tenant: Option<String>,
    /// The server's process; may be given several times
    #[arg(long, required = true)]
    pub pid: Vec<u32>,
    /// The last time asked about, in milliseconds since 1970; by default now
    #[arg(long)]
    pub end_ms: Option<i64>,
    /// How long range queries reach back
    #[arg(long, default_value = "1h", value_parser = parse_duration)]
    pub span: Duration,
    /// Distance of evaluations in range queries
    #[arg(long, default_value = "15s", value_parser = parse_duration)]
    pub step: Duration,
    /// Only queries whose names contain this
    #[arg(long, default_value = "")]
    pub only: String,
    /// How long one query may take
    #[arg(long, default_value = "120s", value_parser = parse_duration)]
    pub timeout: Duration,
    /// What is measured; runs of the same name are compared
    #[arg(long, default_value = "queries")]
    pub name: String,
    /// Whose answers are measured
    #[arg(long, default_value = "server")]
    pub server: String,
    /// Report as JSON
    #[arg(long)]
    pub json: bool,
    /// No progress
    #[arg(long)]
    pub quiet: bool,
}

impl QueryArgs {
    /// The configuration that these arguments ask for. `now_ms` is the time of the wall clock.
    pub fn config(&self, now_ms: i64) -> QueryConfig {
        QueryConfig {
            url: self.url.clone(),
            tenant: self.tenant.clone(),
            pids: self.pid.clone(),
            end_ms: self.end_ms.unwrap_or(now_ms),
            span: self.span,
            step: self.step,
            only: self.only.clone(),
            timeout: self.timeout,
        }
    }
}

impl VerifyArgs {
    /// The configuration that these arguments ask for.
    pub fn config(&self) -> VerifyConfig {
        VerifyConfig {
            urls: self.url.clone(),
            concurrency: self.concurrency as usize,
            samples_per_query: self.samples_per_query,
            timeout: self.timeout,
            keep_trying: self.keep_trying,
            failures: if self.allow_failures { Failures::Count } else { Failures::End },
            ..VerifyConfig::new(String::new())
        }
    }
}

/// A version of remote write.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum ProtocolArg {
    /// Remote write 1.0
    #[value(name = "1")]
    V1,
    /// Remote write 2.0
    #[value(name = "2")]
    V2,
}

impl WriteArgs {
    /// How to read back meanwhile, if that is asked for.
    pub fn reading(&self) -> Option<VerifyConfig> {
        (!self.verify_during.is_empty()).then(|| VerifyConfig {
            urls: self.verify_during.clone(),
            samples_per_query: SAMPLES_PER_QUERY_DURING,
            read_every: self.read_every,
            ..VerifyConfig::new(String::new())
        })
    }

    /// The configuration that these arguments ask for. `now_ms` is the time of the wall clock.
    pub fn config(&self, now_ms: i64) -> WriteConfig {
        let interval_ms = i64::try_from(self.interval.as_millis()).unwrap_or(i64::MAX);
        let steps = match self.duration {
            Some(duration) => {
                u32::try_from(duration.as_millis() / self.interval.as_millis().max(1)).unwrap_or(u32::MAX)
            }
            None => self.samples,
        };
        let length_ms = interval_ms.saturating_mul(i64::from(steps));
        let start_ms = match self.start_ms {
            Some(start_ms) => start_ms,
            None if self.realtime => now_ms,
            None => now_ms.saturating_sub(length_ms),
        };
        WriteConfig {
            urls: self.url.clone(),
            population: PopulationConfig {
                seed: self.seed,
                series: self.series,
                tenants: self.tenants,
                tenant_name: self.tenant_name.clone(),
                interval_ms,
                start_ms,
                churn_per_hour: self.churn,
                native_histograms: self.native_histograms,
                exemplars: self.exemplars,
            },
            steps,
            protocol: match self.protocol {
                ProtocolArg::V1 => Protocol::V1,
                ProtocolArg::V2 => Protocol::V2,
            },
            series_per_request: self.series_per_request,
            concurrency: self.concurrency as usize,
            rate: self.rate,
            realtime: self.realtime,
            retry: RetryPolicy { keep_trying: self.retry, on_429: self.retry_429, ..RetryPolicy::default() },
            timeout: self.timeout,
            acks: self.acks.clone(),
            resume: self.resume,
        }
    }
}

/// Reads a duration such as `250ms`, `15s`, `5m` or `2h`.
fn parse_duration(text: &str) -> Result<Duration, String> {
    let refused = || format!("{text:?} is not a duration such as 250ms, 15s, 5m, 2h or 30d");
    let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(refused)?;
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| refused())?;
    let unit_ms = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(refused()),
    };
    number.checked_mul(unit_ms).map(Duration::from_millis).ok_or_else(refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        assert_eq!(parse_duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(parse_duration("2h"), Ok(Duration::from_secs(7_200)));
        assert_eq!(parse_duration("1d"), Ok(Duration::from_secs(86_400)));
        for text in ["", "5", "s", "1w", "-1s", "99999999999999999999s"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_command_line_is_consistent() {
        <Cli as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn the_last_sample_is_of_now() {
        let cli = Cli::parse_from(["loadtest", "write", "--duration", "10m", "--interval", "10s"]);
        let Command::Write(args) = cli.command else { panic!("not write") };
        let config = args.config(1_780_000_600_000);
        assert_eq!(config.steps, 60);
        assert_eq!(config.population.start_ms, 1_780_000_000_000);
    }
}
