//! `promqltest [--config NAME] PATH...`: a line per `eval`, totals, and a failure if anything failed.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use promqltest::{Totals, Verdict, run_script, scripts};

/// Runs scripts of the PromQL test language.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Which way queries go.
    #[arg(long, value_enum, default_value_t = Configuration::Plain)]
    config: Configuration,
    /// Scripts, or directories of them.
    #[arg(required = true)]
    paths: Vec<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Configuration {
    /// The engine over memory.
    Plain,
    /// The engine over stored blocks.
    Blocks,
    /// The engine distributed over leaves.
    Distributed,
    /// The engine behind its caches.
    Cached,
}

fn main() -> std::io::Result<ExitCode> {
    let arguments = Arguments::parse();
    let mut out = std::io::stdout().lock();
    if arguments.config != Configuration::Plain {
        let name = format!("{:?}", arguments.config).to_lowercase();
        writeln!(std::io::stderr(), "--config {name} is not built yet; only plain is")?;
        return Ok(ExitCode::FAILURE);
    }
    let mut totals = Totals::default();
    for path in scripts(&arguments.paths)? {
        let name = path.display().to_string();
        let text = std::fs::read_to_string(&path)
            .map_err(|e| std::io::Error::new(e.kind(), format!("cannot read {name}: {e}")))?;
        let mut verdicts: Vec<Verdict> = Vec::new();
        run_script(&name, &text, &mut |verdict| verdicts.push(verdict));
        for verdict in verdicts {
            totals.add(&verdict.status);
            writeln!(out, "{verdict}")?;
        }
    }
    writeln!(out, "{totals}")?;
    let failed = totals.failed > 0 || totals == Totals::default();
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
