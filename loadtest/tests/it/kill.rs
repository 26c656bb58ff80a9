//! No SIGKILL of the server under load loses an acknowledged sample, and none makes one that was never written.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use env::{Clock, SystemClock};
use loadtest::crash::{CrashConfig, crash};
use loadtest::encode::Protocol;
use loadtest::population::PopulationConfig;
use loadtest::verify::VerifyConfig;
use loadtest::write::{RetryPolicy, WriteConfig};

use crate::support::barograph;

/// Kills per protocol; with both they are twenty.
const KILLS: u32 = 10;
/// Simulated time before now at which writing starts; more than is ever written.
const BEFORE_NOW_MS: i64 = 30 * 60 * 1_000;
const INTERVAL_MS: i64 = 1_000;

fn config(folder: &std::path::Path, protocol: Protocol, now_ms: i64) -> io::Result<CrashConfig> {
    let http = testkit::free_address();
    let base = format!("http://{http}");
    let population = PopulationConfig {
        seed: 7,
        series: 4_000,
        tenants: 3,
        tenant_name: "team".to_owned(),
        interval_ms: INTERVAL_MS,
        start_ms: now_ms - BEFORE_NOW_MS,
        churn_per_hour: 6.0,
        native_histograms: true,
        exemplars: true,
    };
    let write = WriteConfig {
        urls: vec![format!("{base}/api/v1/push")],
        population,
        steps: (BEFORE_NOW_MS / INTERVAL_MS) as u32,
        protocol,
        series_per_request: 250,
        concurrency: 4,
        rate: 40_000.0,
        realtime: false,
        retry: RetryPolicy { max_backoff: Duration::from_millis(250), ..RetryPolicy::default() },
        timeout: Duration::from_secs(10),
        acks: Some(folder.join("acks")),
        resume: false,
    };
    Ok(CrashConfig {
        program: barograph(),
        arguments: vec![
            "--data".to_owned(),
            folder.join("data").display().to_string(),
            "--http".to_owned(),
            http.to_string(),
            "--multitenancy-enabled".to_owned(),
            "--self-monitoring.enabled=false".to_owned(),
            // So small and so often that kills fall into segments being cut and snapshots being taken too.
            "--ingester.wal-segment-size=1MiB".to_owned(),
            "--ingester.snapshot-interval=1s".to_owned(),
        ],
        log: folder.join("log"),
        ready_url: format!("{base}/ready"),
        ready_within: Duration::from_secs(30),
        write,
        verify: VerifyConfig::new(format!("{base}/prometheus")),
        kills: KILLS,
        life: Duration::from_millis(50)..Duration::from_millis(2_500),
        seed: 11 + protocol as u64,
    })
}

async fn check(protocol: Protocol) -> io::Result<()> {
    let folder = tempfile::tempdir()?;
    let clock = Arc::new(SystemClock::new());
    let config = config(folder.path(), protocol, clock.now_ms())?;
    let log = config.log.clone();
    let tail = || {
        let text = std::fs::read_to_string(&log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    };
    let report = match crash(&config, clock).await {
        Ok(report) => report,
        Err(error) => panic!("{error:?}\n{}", tail()),
    };
    let mut out = io::stdout();
    writeln!(out, "{:?}\n{}", report.written, report.verified.readable())?;
    writeln!(out, "slowest start: {:?}", report.slowest_start)?;
    assert!(report.verified.agrees(), "{}\n{}", report.verified.readable(), tail());
    assert!(report.written.samples > 100_000, "too little was written: {:?}", report.written);
    assert!(report.written.errors.contains_key("connection"), "no kill was felt: {:?}", report.written);
    Ok(())
}

#[tokio::test]
async fn kills_lose_nothing_of_remote_write_1_0() -> io::Result<()> {
    check(Protocol::V1).await
}

#[tokio::test]
async fn kills_lose_nothing_of_remote_write_2_0() -> io::Result<()> {
    check(Protocol::V2).await
}
