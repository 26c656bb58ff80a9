//! `sim`: runs seeds, tells their stories, and looks for those that fail.

use std::fmt::Debug;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use sim::{
    AlertmanagerMutant, AlertmanagerOptions, Carries, Keep, Mutant, Options, Outcome, RoleOutcome,
    RulerMutant, RulerOptions, Soak, run, run_alertmanagers, run_rulers, shrink,
};

/// The whole cluster in one thread from one seed.
#[derive(Debug, Parser)]
#[command(name = "sim")]
struct Arguments {
    /// The seed to run, whose story is told; or the first of several.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Run so many seeds.
    #[arg(long)]
    count: Option<u64>,
    /// Run seeds for so many minutes.
    #[arg(long)]
    minutes: Option<u64>,
    /// On how many threads several seeds are run.
    #[arg(long, default_value_t = 1)]
    jobs: usize,
    /// Look for the faults that it takes to fail.
    #[arg(long)]
    shrink: bool,
    /// Leave out the fault of this number; may be given more than once.
    #[arg(long)]
    without: Vec<usize>,
    /// Add the seeds that fail to this file.
    #[arg(long)]
    save: Option<PathBuf>,
    /// Tell what processes log, from informations on.
    #[arg(long)]
    logs: bool,
    /// Tell of every message.
    #[arg(long)]
    messages: bool,
    /// Carry bytes of HTTP/2 through the network instead of calls.
    #[arg(long)]
    wire: bool,
    /// Build the cluster wrong.
    #[arg(long)]
    mutant: Option<Mutant>,
    /// Run Alertmanagers, and no ingesters, distributors and queriers.
    #[arg(long, conflicts_with_all = ["minutes", "jobs", "shrink", "without", "save", "wire", "mutant"])]
    alertmanagers: bool,
    /// Build the Alertmanagers wrong.
    #[arg(long, requires = "alertmanagers")]
    alertmanager_mutant: Option<AlertmanagerMutant>,
    /// Run rulers, and no ingesters, distributors and queriers.
    #[arg(long, conflicts_with_all = ["minutes", "jobs", "shrink", "without", "save", "wire", "mutant", "alertmanagers"])]
    rulers: bool,
    /// Build the rulers wrong.
    #[arg(long, requires = "rulers")]
    ruler_mutant: Option<RulerMutant>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let failed = match (arguments.count, arguments.minutes) {
        _ if arguments.alertmanagers => role(&arguments, |seed, keep| {
            run_alertmanagers(AlertmanagerOptions { seed, mutant: arguments.alertmanager_mutant, keep })
        }),
        _ if arguments.rulers => role(&arguments, |seed, keep| {
            run_rulers(RulerOptions { seed, mutant: arguments.ruler_mutant, keep })
        }),
        (None, None) => u64::from(one(&arguments)),
        (count, minutes) => many(&arguments, count.unwrap_or(u64::MAX), minutes),
    };
    match failed {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

/// How much of a story is told.
fn keep(arguments: &Arguments) -> Keep {
    match (arguments.messages, arguments.logs) {
        (true, _) => Keep::Everything,
        (false, true) => Keep::Logs,
        (false, false) => Keep::Events,
    }
}

/// Runs processes of one kind from one seed, whose story is told, or from several; how many failed.
fn role<S: Debug>(arguments: &Arguments, run: impl Fn(u64, Keep) -> RoleOutcome<S>) -> u64 {
    let keep = if arguments.count.is_some() { Keep::Nothing } else { keep(arguments) };
    let mut failed = Vec::new();
    let seeds = arguments.seed..arguments.seed.saturating_add(arguments.count.unwrap_or(1));
    for seed in seeds {
        let outcome = run(seed, keep);
        outcome.story.iter().for_each(|line| say(line));
        let promised = outcome.failure.as_deref().map_or("as promised", |_| "FAILED");
        say(&format!("seed {seed} {:016x} {promised}: {:?}", outcome.hash, outcome.stats));
        if let Some(failure) = &outcome.failure {
            outcome.faults.iter().for_each(|fault| say(&format!("  {fault}")));
            say(&format!("  {failure}"));
            failed.push(seed);
        }
    }
    say(&format!("{} failed: {failed:?}", failed.len()));
    failed.len() as u64
}

/// Tells the story of a seed; whether it failed.
fn one(arguments: &Arguments) -> bool {
    let keep = keep(arguments);
    let without = arguments.without.iter().copied().collect();
    let carries = carries(arguments);
    let options = Options { seed: arguments.seed, without, mutant: arguments.mutant, carries, keep };
    let outcome = match arguments.shrink {
        true => shrink(&options, say).1,
        false => run(&options),
    };
    outcome.story.iter().for_each(|line| say(line));
    say(&summary(arguments.seed, &outcome));
    outcome.failure.iter().for_each(|failure| say(failure));
    outcome.failure.is_some()
}

/// Runs many seeds; how many failed.
fn many(arguments: &Arguments, count: u64, minutes: Option<u64>) -> u64 {
    let soak = Soak {
        first: arguments.seed,
        count,
        jobs: arguments.jobs,
        longest: minutes.map(|minutes| Duration::from_secs(minutes * 60)),
        carries: carries(arguments),
        mutant: arguments.mutant,
        until_failure: false,
    };
    let (mut ran, mut failed) = (0, Vec::new());
    soak.run(|seed, outcome| {
        say(&summary(seed, &outcome));
        ran += 1;
        if let Some(failure) = &outcome.failure {
            outcome.faults.iter().for_each(|fault| say(&format!("  {fault}")));
            say(&format!("  {failure}"));
            failed.push(seed);
            if let Some(path) = &arguments.save
                && let Err(error) = save(path, seed, failure)
            {
                say(&format!("  {} cannot be written: {error}", path.display()));
            }
        }
    });
    say(&format!("{ran} seeds, {} failed: {failed:?}", failed.len()));
    failed.len() as u64
}

fn save(path: &Path, seed: u64, failure: &str) -> std::io::Result<()> {
    let mut file = OpenOptions::new().create(true).append(true).open(path)?;
    writeln!(file, "{seed} {failure}")
}

fn carries(arguments: &Arguments) -> Carries {
    if arguments.wire { Carries::Bytes } else { Carries::Calls }
}

fn summary(seed: u64, outcome: &Outcome) -> String {
    let stats = &outcome.stats;
    format!(
        "seed {seed} {:016x} {}: {} events; {} samples acknowledged, {} writes failed; {} answers with {} samples, {} \
         queries without",
        outcome.hash,
        outcome.failure.as_deref().map_or("as promised", |_| "FAILED"),
        outcome.events,
        stats.acknowledged,
        stats.failed_writes,
        stats.answers,
        stats.compared,
        stats.failed_queries,
    )
}

fn say(line: &str) {
    // Whoever closed the pipe has read enough.
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}
