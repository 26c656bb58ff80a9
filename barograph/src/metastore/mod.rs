//! `barograph metastore …`: what an operator asks of the metastore, from a shell.

mod args;
mod calls;
mod table;

pub(crate) use args::command;

use std::fmt;
use std::process::ExitCode;

use clap::ArgMatches;
use env::FileSystem;

use crate::output;

/// Why a command was not done.
#[derive(Debug)]
pub(crate) enum Failed {
    /// The metastore said no, or nothing.
    Call(proto::Error),
    /// A file cannot be read or written.
    File { file: String, error: std::io::Error },
    /// Anything else, in a sentence.
    Other(String),
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Call(error) => error.fmt(f),
            Self::File { file, error } => write!(f, "{file}: {error}"),
            Self::Other(message) => f.write_str(message),
        }
    }
}

impl From<proto::Error> for Failed {
    fn from(error: proto::Error) -> Self {
        Self::Call(error)
    }
}

/// Does a command, and says how it went.
pub(crate) fn run(fs: &dyn FileSystem, matches: &ArgMatches) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            output::error(&format!("cannot start: {error}"));
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(calls::done(fs, matches)) {
        Ok(text) => output::out(&text),
        Err(failed) => {
            output::error(&failed.to_string());
            ExitCode::FAILURE
        }
    }
}
