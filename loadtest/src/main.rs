//! The `loadtest` command: parses, runs, reports.

use std::error::Error;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use env::{Clock, FileSystem, RealFs, SystemClock};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use loadtest::chaos::ChaosReport;
use loadtest::cli::{BlocksArgs, ChaosArgs, Cli, Command, QueryArgs, VerifyArgs, WriteArgs};
use loadtest::measure::{Cost, Measurement};
use loadtest::process::pids_of_port;
use loadtest::query::QueryReport;
use loadtest::report::{WriteReport, side_by_side};
use loadtest::verify::{Oracle, VerifyReport};
use loadtest::write::Run;
use parking_lot::Mutex;
use serde::Serialize;

/// How often the progress bar moves.
const PROGRESS_EVERY: Duration = Duration::from_millis(200);

/// How often a line tells where the run is, where no bar can.
const LINE_EVERY: Duration = Duration::from_secs(10);

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
        Command::Blocks(args) => blocks(&args),
        Command::Verify(args) => verify(&args).await,
        Command::Query(args) => query(&args).await,
        Command::Chaos(args) => chaos(&args).await,
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
    let reading = Mutex::new(VerifyReport::default());
    let oracle = args
        .reading()
        .map(|config| Oracle::new(config, run.population().clone(), run.series_per_request(), clock.clone()));
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
                Some(oracle) => oracle.watch(run.ledger(), &reading).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            result = run.go() => result?,
            () = stop_on_interrupt(&run) => {}
            () = show_progress(&run, &reading, &bar, clock.as_ref(), args.quiet) => {}
            () = watch => {}
            () = read => {}
        }
    }
    bar.finish_and_clear();
    let cost = finish(measurement, clock.as_ref(), args.settle).await?;
    let series = run.population().slots();
    let mut report = WriteReport::new(args.name.clone(), args.url.join(","), series, run.summary(), cost);
    report.reading = oracle.map(|_| reading.into_inner());
    print_report(&report, args.json, WriteReport::readable)?;
    Ok(if report.complete() { SUCCESS } else { DIFFERENT })
}

/// The first interrupt ends the run in order; never returns.
async fn stop_on_interrupt(run: &Run) {
    if tokio::signal::ctrl_c().await.is_ok() {
        run.stop();
    }
    std::future::pending::<()>().await;
}

/// Moves the bar; where nobody sees one, writes a line from time to time.
async fn show_progress(
    run: &Run,
    reading: &Mutex<VerifyReport>,
    bar: &ProgressBar,
    clock: &dyn Clock,
    quiet: bool,
) {
    let lines = bar.is_hidden() && !quiet;
    let mut next_line = clock.monotonic() + LINE_EVERY;
    loop {
        clock.sleep(PROGRESS_EVERY).await;
        let summary = run.summary();
        bar.set_position(summary.samples);
        if let Some((kind, count)) = summary.errors.last_key_value() {
            bar.set_message(format!("{count} × {kind}, {} retries", summary.retries));
        }
        if lines && clock.monotonic() >= next_line {
            next_line += LINE_EVERY;
            let (answered, failed) = {
                let reading = reading.lock();
                (reading.queries, reading.failures())
            };
            // Nothing can be done about a closed stderr.
            let _ = writeln!(
                io::stderr(),
                "{:.0} s: {} of {} samples acknowledged, {} retries; {answered} queries answered, {failed} failed",
                summary.seconds,
                summary.samples,
                run.expected_samples(),
                summary.retries,
            );
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

fn blocks(args: &BlocksArgs) -> Result<u8, Box<dyn Error>> {
    let config = args.config(SystemClock::new().now_ms());
    let fs: Arc<dyn FileSystem> = Arc::new(RealFs);
    let bar = progress_bar(0, args.quiet);
    let report = loadtest::blocks::write(&config, &fs, |blocks| bar.set_position(blocks))?;
    bar.finish_and_clear();
    print(&format!("{} blocks, {} series, {} samples\n", report.blocks, report.series, report.samples))?;
    Ok(SUCCESS)
}

async fn verify(args: &VerifyArgs) -> Result<u8, Box<dyn Error>> {
    let (oracle, fates) = Oracle::of_ledger(args.config(), &args.acks, Arc::new(SystemClock::new()))?;
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

async fn chaos(args: &ChaosArgs) -> Result<u8, Box<dyn Error>> {
    let clock = Arc::new(SystemClock::new());
    let config = args.config(clock.now_ms());
    let report = loadtest::chaos::chaos(&config, clock).await?;
    print_report(&report, args.json, ChaosReport::readable)?;
    Ok(if report.passed() { SUCCESS } else { DIFFERENT })
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
