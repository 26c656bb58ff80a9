//! `promqltest [--config NAME] PATH...`: a line per `eval`, totals, and a failure if anything failed.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use promqltest::{Arrangement, Totals, Verdict, run_script, run_script_over_blocks, scripts};

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
    /// A querier that reads blocks of a bucket; each script three times: with all data in blocks, with half of it in an
    /// ingester, and with the blocks of two replicas.
    Blocks,
}

/// How the data is spread, and how verdicts call it.
const ARRANGEMENTS: [(Arrangement, &str); 3] = [
    (Arrangement::InBlocks, "in blocks"),
    (Arrangement::HalfInBlocks, "half in blocks"),
    (Arrangement::Replicas, "in blocks of two replicas"),
];

fn main() -> std::io::Result<ExitCode> {
    let arguments = Arguments::parse();
    let mut out = std::io::stdout().lock();
    let mut totals = Totals::default();
    for path in scripts(&arguments.paths)? {
        let name = path.display().to_string();
        let text = std::fs::read_to_string(&path)
            .map_err(|e| std::io::Error::new(e.kind(), format!("cannot read {name}: {e}")))?;
        let mut verdicts: Vec<Verdict> = Vec::new();
        let report = &mut |verdict| verdicts.push(verdict);
        match arguments.config {
            Configuration::Plain => run_script(&name, &text, report),
            Configuration::Blocks => {
                for (arrangement, what) in ARRANGEMENTS {
                    run_script_over_blocks(arrangement, &format!("{name} ({what})"), &text, report);
                }
            }
        }
        for verdict in verdicts {
            totals.add(&verdict.status);
            writeln!(out, "{verdict}")?;
        }
    }
    writeln!(out, "{totals}")?;
    let failed = totals.failed > 0 || totals == Totals::default();
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
