//! A runner for the PromQL test language: scripts that load series and say what queries on them return.
//!
//! It accepts any number of files, never stops at the first failure, and says a line per `eval`. It knows the language
//! and the storage semantics that scripts assume, nothing about where else queries may run.

mod chunks;
mod compare;
mod data;
mod eval;
mod expect;
mod holder;
mod nhcb;
mod outcome;
mod rewrite;
mod script;
mod stored;

pub use outcome::{Status, Totals, Verdict};
pub use script::ScriptError;
pub use stored::Arrangement;

use std::path::{Path, PathBuf};

use promql::{Engine, EngineOptions};

use data::{Data, Place};
use script::Command;
use testseries::Storage;

/// The options that scripts assume.
pub fn engine_options() -> EngineOptions {
    EngineOptions {
        max_samples: 10_000,
        experimental_functions: true,
        extended_range_selectors: true,
        fill_modifiers: true,
        delayed_name_removal: true,
        start_timestamps: true,
        ..EngineOptions::default()
    }
}

/// Runs one script over memory; `name` is how verdicts call it.
pub fn run_script(name: &str, text: &str, report: &mut dyn FnMut(Verdict)) {
    run_at(Place::Memory, name, text, report);
}

/// Runs one script over a querier that reads blocks; `name` is how verdicts call it.
pub fn run_script_over_blocks(
    arrangement: Arrangement,
    name: &str,
    text: &str,
    report: &mut dyn FnMut(Verdict),
) {
    run_at(Place::Blocks(arrangement), name, text, report);
}

fn run_at(place: Place, name: &str, text: &str, report: &mut dyn FnMut(Verdict)) {
    let engine = Engine::new(engine_options());
    let mut storage = Storage::default();
    let mut broken: Option<String> = None;
    // What queries read; made anew after something has been loaded.
    let mut stored = None;
    for command in script::parse(text) {
        let (line, result) = match command {
            Ok((_, Command::Clear)) => {
                storage = Storage::default();
                stored = None;
                broken = None;
                continue;
            }
            Ok((line, Command::Load(load))) => {
                stored = None;
                (line, load.apply(&mut storage))
            }
            Ok((line, Command::Eval(eval))) => {
                let status = match &broken {
                    Some(reason) => Status::Fail(format!("a load before it failed: {reason}")),
                    None => match Data::at(place, &storage, &mut stored) {
                        Ok(data) => eval.run(&engine, &data),
                        Err(reason) => Status::Fail(format!("what was loaded cannot be stored: {reason}")),
                    },
                };
                report(Verdict { file: name.to_owned(), line, query: eval.query, status });
                continue;
            }
            Err(ScriptError { line, reason }) => (line, Err(reason)),
        };
        if let Err(reason) = result {
            report(Verdict {
                file: name.to_owned(),
                line,
                query: String::new(),
                status: Status::Fail(format!("script error: {reason}")),
            });
            broken.get_or_insert(format!("line {line}: {reason}"));
        }
    }
}

/// The scripts at these paths: files, and what ends in `.test` in directories and theirs.
pub fn scripts(paths: &[PathBuf]) -> std::io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for path in paths {
        collect(path, &mut found, MAX_DEPTH)?;
    }
    Ok(found)
}

/// How deep directories are looked into.
const MAX_DEPTH: usize = 16;

fn collect(path: &Path, found: &mut Vec<PathBuf>, depth: usize) -> std::io::Result<()> {
    if !path.is_dir() {
        found.push(path.to_owned());
        return Ok(());
    }
    if depth == 0 {
        return Ok(());
    }
    let mut entries: Vec<PathBuf> =
        std::fs::read_dir(path)?.map(|entry| entry.map(|e| e.path())).collect::<Result<_, _>>()?;
    entries.sort();
    for entry in entries {
        if entry.is_dir() || entry.extension().is_some_and(|e| e == "test") {
            collect(&entry, found, depth - 1)?;
        }
    }
    Ok(())
}
