//! The command line: flags from the schema, and the `config` commands.

use std::fmt;
use std::path::Path;
use std::process::ExitCode;

use clap::{Arg, ArgMatches, Command};
use env::{Clock, FileSystem, SystemClock};
use settings::{LimitsLoader, Problems, Schema, Values};

use crate::config::{Config, schema};
use crate::local_blocks::with_local_blocks;
use crate::output;

/// The longest configuration or overrides file that is read, in bytes.
pub(crate) const MAX_FILE_BYTES: u64 = settings::yaml::MAX_FILE_BYTES as u64;

const ABOUT: &str =
    "A Prometheus-compatible metrics backend: it takes remote writes, keeps them, and answers queries.";

const EXAMPLES: &str = "\
Examples:
  barograph
      Everything in one process: data in ./data, HTTP on 127.0.0.1:9009.

  barograph --data /var/lib/barograph --http 0.0.0.0:9009 --retention 30d
      The same, somewhere else, for longer.

  barograph config defaults > barograph.yaml
  barograph --config barograph.yaml
      A file of every setting with its meaning, and a start from it.

  barograph query instant up
      Asks a running server; `barograph query --help` has more.

Prometheus then needs, in its own configuration:
  remote_write:
    - url: http://127.0.0.1:9009/api/v1/push
and Grafana a data source of type Prometheus with the URL http://127.0.0.1:9009/prometheus

Every flag is also a key of the configuration file and an environment variable. A flag wins over the environment, and
that over the file. Dots are levels of the file, where names are written with underscores:
  --ingester.snapshot-interval 5m
  BAROGRAPH_INGESTER_SNAPSHOT_INTERVAL=5m
  ingester:
    snapshot_interval: 5m";

/// The environment variable that names the configuration file. It is no key of the file itself.
const CONFIG_VARIABLE: &str = "BAROGRAPH_CONFIG";

/// Flags that are none, but look as if they were. They are known, so that using them gets an answer.
const ABSENT: [(&str, &str); 1] =
    [("metastore", "the nodes of the metastore are named by --metastore.addresses host:port,…")];
/// The key whose flag has a short name, and that name.
const GRPC: (&str, &str) = ("grpc.listen", "grpc");

/// What the process was asked to do.
pub(crate) enum Action {
    /// Run with this configuration.
    Run(Box<Run>),
    /// Nothing more: it is done, or was refused, and this is the exit code.
    Exit(ExitCode),
}

/// What a run needs to know from the command line.
pub(crate) struct Run {
    pub(crate) config: Config,
    /// What is odd about the environment, to be logged once there is a log.
    pub(crate) warnings: Vec<String>,
}

/// Why the command line cannot be followed.
#[derive(Debug)]
pub(crate) enum Refused {
    /// A file cannot be read.
    Unreadable { file: String, error: std::io::Error },
    /// The configuration is wrong.
    Wrong(Problems),
    /// A flag that is none.
    Absent { flag: &'static str, why: &'static str },
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { file, error } => write!(f, "{file}: {error}"),
            Self::Wrong(problems) => problems.fmt(f),
            Self::Absent { flag, why } => write!(f, "flag --{flag}: {why}"),
        }
    }
}

/// Follows the command line as far as it can be without starting anything.
pub(crate) fn parse(arguments: impl Iterator<Item = std::ffi::OsString>, fs: &dyn FileSystem) -> Action {
    let schema = schema();
    let matches = match command(&schema).try_get_matches_from(arguments) {
        Ok(matches) => matches,
        Err(error) => {
            // Help and version go to standard output and are a success.
            let code = if error.use_stderr() { ExitCode::from(2) } else { ExitCode::SUCCESS };
            if error.print().is_err() {
                return Action::Exit(ExitCode::FAILURE);
            }
            return Action::Exit(code);
        }
    };
    let done = match matches.subcommand() {
        Some(("config", config)) => match config.subcommand() {
            Some(("defaults", _)) => return Action::Exit(output::out(&schema.defaults())),
            Some(("check", check)) => check_file(&schema, fs, check),
            _ => return Action::Exit(ExitCode::from(2)),
        },
        Some(("metastore", asked)) => return Action::Exit(crate::metastore::run(fs, asked)),
        Some(("ready", asked)) => return Action::Exit(crate::ready::run(asked)),
        Some(("alerts", asked)) => {
            return Action::Exit(crate::alerts::run(fs, asked, SystemClock::new().now_ms()));
        }
        Some(("block", asked)) => return Action::Exit(crate::block::run(fs, asked)),
        Some(("compact", asked)) => return Action::Exit(crate::compact::run(asked)),
        Some(("query", query)) => {
            return Action::Exit(crate::query::run(query, SystemClock::new().now_ms()));
        }
        Some(("rules", asked)) => {
            return Action::Exit(crate::rules::run(fs, asked, SystemClock::new().now_ms()));
        }
        _ => return run(&schema, fs, &matches),
    };
    Action::Exit(match done {
        Ok(text) => output::out(&text),
        Err(refused) => refuse(&refused),
    })
}

fn command(schema: &Schema) -> Command {
    let absent = ABSENT.map(|(name, _)| Arg::new(name).long(name).num_args(1).hide(true));
    let config = Arg::new("config").long("config").value_name("FILE").env(CONFIG_VARIABLE).help(
        "The configuration file, in YAML. `barograph config defaults` prints one that sets everything to its default",
    );
    let check = Command::new("check")
        .about("Check a configuration file, and the file of per-tenant limits that it names")
        .arg(Arg::new("file").value_name("FILE").required(true).help("The configuration file"));
    let command = Command::new("barograph")
        .version(env!("CARGO_PKG_VERSION"))
        .about(ABOUT)
        .after_long_help(EXAMPLES)
        .after_help("`barograph --help` has every flag, and examples.")
        .args_conflicts_with_subcommands(true)
        .arg(config.help_heading("General"))
        .args(absent)
        .subcommand(crate::alerts::command())
        .subcommand(crate::block::command())
        .subcommand(crate::compact::command())
        .subcommand(crate::metastore::command())
        .subcommand(
            Command::new("config")
                .about("Show and check configuration")
                .subcommand_required(true)
                .arg_required_else_help(true)
                .subcommand(
                    Command::new("defaults")
                        .about("Print every setting with its meaning and default, as YAML"),
                )
                .subcommand(check),
        )
        .subcommand(crate::query::command())
        .subcommand(crate::ready::command())
        .subcommand(crate::rules::command());
    schema.add_flags(command).mut_arg(GRPC.0, |listen| listen.alias(GRPC.1))
}

fn run(schema: &Schema, fs: &dyn FileSystem, matches: &ArgMatches) -> Action {
    match run_config(schema, fs, matches) {
        Ok(run) => Action::Run(Box::new(run)),
        Err(refused) => Action::Exit(refuse(&refused)),
    }
}

fn run_config(schema: &Schema, fs: &dyn FileSystem, matches: &ArgMatches) -> Result<Run, Refused> {
    for (flag, why) in ABSENT {
        if matches.contains_id(flag) {
            return Err(Refused::Absent { flag, why });
        }
    }
    let file = matches.get_one::<String>("config");
    let values = values(schema, fs, file.map(String::as_str), Some(matches))?;
    let warnings = values.unknown_variables().iter().map(|unknown| match &unknown.near {
        Some(near) => {
            format!("environment variable {} is none of ours; did you mean {near}?", unknown.variable)
        }
        None => format!("environment variable {} is none of ours", unknown.variable),
    });
    let config = Config::from_values(&values).map_err(Refused::Wrong)?;
    let config = with_local_blocks(config, &values);
    let warnings = warnings.collect();
    Ok(Run { config, warnings })
}

pub(crate) fn values(
    schema: &Schema,
    fs: &dyn FileSystem,
    file: Option<&str>,
    flags: Option<&ArgMatches>,
) -> Result<Values, Refused> {
    let text = file.map(|file| read(fs, file)).transpose()?;
    let named = file.zip(text.as_deref());
    let environment = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .filter(|(name, _)| name != CONFIG_VARIABLE);
    schema.values(named, environment, flags).map_err(Refused::Wrong)
}

fn check_file(schema: &Schema, fs: &dyn FileSystem, check: &ArgMatches) -> Result<String, Refused> {
    let file = check.get_one::<String>("file").map_or("", String::as_str);
    let config = Config::from_values(&values(schema, fs, Some(file), None)?).map_err(Refused::Wrong)?;
    let Some(overrides) = &config.runtime.file else { return Ok(format!("{file}: good\n")) };
    let overrides = overrides.to_string_lossy();
    let text = read(fs, &overrides)?;
    let mut loader = LimitsLoader::new();
    loader.register(config.distributor_limits);
    loader.register(config.ingester_limits);
    loader.register(config.querier_limits);
    loader.register(config.compactor_limits);
    loader.register(config.ruler_limits);
    let loaded = loader.load(&overrides, &text).map_err(Refused::Wrong)?;
    Ok(format!("{file}: good\n{overrides}: good, {} tenants\n", loaded.tenants))
}

fn read(fs: &dyn FileSystem, file: &str) -> Result<String, Refused> {
    let unreadable = |error| Refused::Unreadable { file: file.to_owned(), error };
    let bytes = env::read_file(fs, Path::new(file), MAX_FILE_BYTES).map_err(unreadable)?;
    String::from_utf8(bytes)
        .map_err(|error| unreadable(std::io::Error::new(std::io::ErrorKind::InvalidData, error)))
}

fn refuse(refused: &Refused) -> ExitCode {
    output::error(&refused.to_string());
    ExitCode::FAILURE
}
