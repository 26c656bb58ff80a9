//! `barograph rules …`: rule files checked, tested, and taken to a server, for people at a shell and for CI.

mod args;
mod check;
mod remote;
mod test;

pub(crate) use args::command;

use std::path::Path;
use std::process::ExitCode;

use clap::ArgMatches;
use env::FileSystem;

use crate::output;

/// The longest file that is read, in bytes.
const MAX_FILE_BYTES: u64 = settings::yaml::MAX_FILE_BYTES as u64;

/// Does a command, and says how it went. `now_ms` is the time in milliseconds since 1970.
pub(crate) fn run(fs: &dyn FileSystem, matches: &ArgMatches, now_ms: i64) -> ExitCode {
    match matches.subcommand() {
        Some(("check", asked)) => check::check(fs, asked),
        Some(("test", asked)) => test::test(fs, asked, now_ms),
        Some((command, asked)) => remote::run(fs, command, asked),
        None => ExitCode::from(2),
    }
}

fn read(fs: &dyn FileSystem, file: &str) -> Result<String, String> {
    let bytes =
        env::read_file(fs, Path::new(file), MAX_FILE_BYTES).map_err(|error| format!("{file}: {error}"))?;
    String::from_utf8(bytes).map_err(|error| format!("{file}: {error}"))
}

/// Prints a JSON value; what is wrong with standard output becomes the exit code.
fn print_json(value: &serde_json::Value, code: ExitCode) -> ExitCode {
    print(&format!("{value:#}\n"), code)
}

fn print(text: &str, code: ExitCode) -> ExitCode {
    if output::out(text) == ExitCode::SUCCESS { code } else { ExitCode::FAILURE }
}
