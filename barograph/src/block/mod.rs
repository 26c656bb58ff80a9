//! `barograph block …`: what is in blocks of the Prometheus TSDB, for people at a shell.

mod args;
mod dump;
mod files;
mod import;
mod inspect;
mod list;
mod openmetrics;
mod target;

pub(crate) use args::command;

use std::fmt;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use ::block::BlockError;
use clap::ArgMatches;
use env::{FileSystem, RealFs};

use crate::output;

/// Why a command was not done.
#[derive(Debug)]
enum Failed {
    /// A block is not as it should be.
    Block { folder: String, error: BlockError },
    /// A folder or file cannot be read, or the output not be written.
    Io { what: String, error: std::io::Error },
    /// What was asked for is wrong.
    Asked(String),
}

impl Failed {
    /// What is wrong with what was asked for.
    fn asked(why: impl fmt::Display) -> Self {
        Self::Asked(why.to_string())
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Block { folder, error } => write!(f, "{folder}: {}", output::chain(error)),
            Self::Io { what, error } => write!(f, "{what}: {error}"),
            Self::Asked(message) => f.write_str(message),
        }
    }
}

/// What is wrong with the block in a folder.
fn in_folder(folder: &Path) -> impl Fn(BlockError) -> Failed + '_ {
    |error| Failed::Block { folder: folder.display().to_string(), error }
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
    let done = runtime.block_on(async {
        match matches.subcommand() {
            Some(("list", asked)) => list::list(fs, asked).map(|text| output::out(&text)),
            Some(("inspect", asked)) => inspect::inspect(fs, asked).await.map(|text| output::out(&text)),
            Some(("verify", asked)) => Ok(inspect::verify(fs, asked).await),
            Some(("dump", asked)) => dump::dump(fs, asked).await,
            Some(("import", asked)) => {
                import::import(&(Arc::new(RealFs) as Arc<dyn FileSystem>), asked).await
            }
            _ => Ok(ExitCode::from(2)),
        }
    });
    done.unwrap_or_else(|failed| {
        output::error(&failed.to_string());
        ExitCode::FAILURE
    })
}
