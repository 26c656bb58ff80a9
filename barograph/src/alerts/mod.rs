//! `barograph alerts …`: an Alertmanager asked and told from a shell, and its configuration tried without one.

mod args;
mod client;
mod files;
mod list;
mod own;
mod silences;

use std::process::ExitCode;

use clap::ArgMatches;
use env::FileSystem;

pub(crate) use self::args::command;
use crate::output;

/// What a command came to: what is printed, and whether all is well.
struct Outcome {
    text: String,
    good: bool,
}

impl Outcome {
    /// All is well.
    fn good(text: impl Into<String>) -> Self {
        Self { text: text.into(), good: true }
    }
}

/// Does a command, and says how it went. `now_ms` is the time in milliseconds since 1970.
pub(crate) fn run(fs: &dyn FileSystem, matches: &ArgMatches, now_ms: i64) -> ExitCode {
    let outcome = match matches.subcommand() {
        Some(("list", asked)) => list::list(asked),
        Some(("silence", asked)) => match asked.subcommand() {
            Some(("list", asked)) => silences::list(asked),
            Some(("add", asked)) => silences::add(asked, now_ms),
            Some(("expire", asked)) => silences::expire(asked),
            Some(("import", asked)) => silences::import(fs, asked),
            _ => return ExitCode::from(2),
        },
        Some(("config", asked)) => match asked.subcommand() {
            Some(("check", asked)) => files::check(fs, asked),
            Some(("load", asked)) => own::load(fs, asked),
            Some(("get", asked)) => own::get(asked),
            Some(("delete", asked)) => own::delete(asked),
            _ => return ExitCode::from(2),
        },
        Some(("routes", asked)) => match asked.subcommand() {
            Some(("test", asked)) => files::routes(fs, asked),
            _ => return ExitCode::from(2),
        },
        Some(("template", asked)) => match asked.subcommand() {
            Some(("render", asked)) => files::render(fs, asked, now_ms),
            _ => return ExitCode::from(2),
        },
        _ => return ExitCode::from(2),
    };
    match outcome {
        Ok(Outcome { text, good: true }) => output::out(&text),
        Ok(Outcome { text, good: false }) => {
            // The exit code says that something is wrong already.
            let _ = output::out(&text);
            ExitCode::FAILURE
        }
        Err(problem) => {
            output::error(&problem);
            ExitCode::FAILURE
        }
    }
}

/// The text of an argument that has a default or is required.
fn text<'a>(asked: &'a ArgMatches, name: &str) -> &'a str {
    asked.get_one::<String>(name).map(String::as_str).unwrap_or_default()
}

/// The texts of an argument that may stand several times.
fn texts<'a>(asked: &'a ArgMatches, name: &str) -> Vec<&'a str> {
    asked.get_many::<String>(name).into_iter().flatten().map(String::as_str).collect()
}

/// Whether the answer is to be JSON.
fn wants_json(asked: &ArgMatches) -> bool {
    text(asked, "format") == "json"
}
