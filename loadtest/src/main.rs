//! The `loadtest` command: parses, runs, reports.

use std::error::Error;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use env::{Clock, SystemClock};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use loadtest::cli::{Cli, Command, QueryArgs, VerifyArgs, WriteArgs};
use loadtest::measure::{Cost, Measurement};
use loadtest::process::pids_of_port;
use loadtest::query::QueryReport;
use loadtest::report::{WriteReport, side_by_side};
use loadtest::verify::{Oracle, VerifyConfig, VerifyReport};
use loadtest::write::Run;
use serde::Serialize;

/// How often the progress bar moves.
const PROGRESS_EVERY: Duration = Duration::from_millis(200);

/// Everything went well, and everything agrees.
const SUCCESS: u8 = 0;
/// Something was not acknowledged, or the oracle found a difference.
const DIFFERENT: u8 = 1;
/// It could not be done.
const FAILED: u8 = 2;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Write(args) => write(&args).await,
        Command::Verify(args) => verify(&args).await,
        Command::Query(args) => query(&args).await,
        Command::Report { files } => match side_by_side(&files) {
            Ok(table) => print(&table).map(|()| SUCCESS),
            Err(error) => Err(error.into()),
        },
    };
    match result {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            let mut message = format!("loadtest: {error}");
            let mut source = error.source();
            while let Some(cause) = source {
                message.push_str(&format!(": {cause}"));
                source = cause.source();
            }
            // Nothing can be done about a closed stderr.
            let _ = writeln!(io::stderr(), "{message}");
            ExitCode::from(FAILED)
        }
    }
}

async fn write(args: &WriteArgs) -> Result<u8, Box<dyn Error>> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let mut pids = args.pid.clone();
    if let Some(port) = args.pid_of_port {
        pids.extend(pids_of_port(port)?);
    }
    let run = Run::new(args.config(clock.now_ms()), clock.clone())?;
    let mut measurement = match pids.is_empty() && args.data_dir.is_none() {
        true => None,
        false => Some(Measurement::begin(pids, args.data_dir.clone())?),
    };
    let mut read_back = VerifyReport::default();
    let oracle = args.verify_during.as_ref().map(|url| {
        let config = VerifyConfig { samples_per_query: 50_000, ..VerifyConfig::new(url.clone()) };
        Oracle::new(config, run.population().clone(), run.series_per_request(), clock.clone())
    });
    let bar = progress_bar(run.expected_samples(), args.quiet);
    {
        let watch = async {
            match &mut measurement {
                Some(measurement) => measurement.watch(clock.as_ref()).await,
                None => std::future::pending().await,
            }
        };
        let read = async {
            match &oracle {
                Some(oracle) => oracle.watch(run.ledger(), &mut read_back).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            result = run.go() => result?,
            () = stop_on_interrupt(&run) => {}
            () = show_progress(&run, &bar, clock.as_ref()) => {}
            () = watch => {}
            () = read => {}
        }
    }
    bar.finish_and_clear();
    let cost = finish(measurement, clock.as_ref(), args.settle).await?;
    let series = run.population().slots();
    let report = WriteReport::new(args.name.clone(), args.url.clone(), series, run.summary(), cost);
    print_report(&report, args.json, WriteReport::readable)?;
    if oracle.is_some() && !args.json {
        print(&format!("while writing: {}", read_back.readable()))?;
    }
    if !read_back.agrees() {
        return Err(format!("reading back while writing: {}", read_back.readable()).into());
    }
    Ok(if report.complete() { SUCCESS } else { DIFFERENT })
}

/// The first interrupt ends the run in order; never returns.
async fn stop_on_interrupt(run: &Run) {
    if tokio::signal::ctrl_c().await.is_ok() {
        run.stop();
    }
    std::future::pending::<()>().await;
}

async fn show_progress(run: &Run, bar: &ProgressBar, clock: &dyn Clock) {
    loop {
        clock.sleep(PROGRESS_EVERY).await;
        let summary = run.summary();
        bar.set_position(summary.samples);
        if let Some((kind, count)) = summary.errors.last_key_value() {
            bar.set_message(format!("{count} × {kind}, {} retries", summary.retries));
        }
    }
}

async fn finish(
    measurement: Option<Measurement>,
    clock: &dyn Clock,
    settle: Duration,
) -> Result<Option<Cost>, Box<dyn Error>> {
    match measurement {
        Some(measurement) => Ok(Some(measurement.finish(clock, settle).await?)),
        None => Ok(None),
    }
}

async fn verify(args: &VerifyArgs) -> Result<u8, Box<dyn Error>> {
    let config = VerifyConfig {
        url: args.url.clone(),
        concurrency: args.concurrency as usize,
        samples_per_query: args.samples_per_query,
        timeout: args.timeout,
    };
    let (oracle, fates) = Oracle::of_ledger(config, &args.acks, Arc::new(SystemClock::new()))?;
    let bar = progress_bar(0, args.quiet);
    let report = oracle
        .verify(&fates, |done, total| {
            bar.set_length(total);
            bar.set_position(done);
        })
        .await?;
    bar.finish_and_clear();
    print_report(&report, args.json, VerifyReport::readable)?;
    Ok(if report.agrees() { SUCCESS } else { DIFFERENT })
}

async fn query(args: &QueryArgs) -> Result<u8, Box<dyn Error>> {
    let clock = SystemClock::new();
    let config = args.config(clock.now_ms());
    let bar = progress_bar(loadtest::query::QUERIES.len() as u64, args.quiet);
    let queries = loadtest::query::run(&config, &clock, |name| {
        bar.inc(1);
        bar.set_message(name.to_owned());
    })
    .await?;
    bar.finish_and_clear();
    let report = QueryReport { name: args.name.clone(), server: args.server.clone(), queries };
    print_report(&report, args.json, QueryReport::readable)?;
    Ok(SUCCESS)
}

fn progress_bar(length: u64, quiet: bool) -> ProgressBar {
    if quiet || !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::stderr());
    // A template that does not parse leaves the plain bar.
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {human_pos}/{human_len} {per_sec} {eta} {msg}")
    {
        bar.set_style(style);
    }
    bar
}

fn print_report<R: Serialize>(
    report: &R,
    json: bool,
    readable: impl Fn(&R) -> String,
) -> Result<(), Box<dyn Error>> {
    if json {
        print(&format!("{}\n", serde_json::to_string_pretty(report)?))
    } else {
        print(&readable(report))
    }
}

fn print(text: &str) -> Result<(), Box<dyn Error>> {
    io::stdout().lock().write_all(text.as_bytes())?;
    Ok(())
}
