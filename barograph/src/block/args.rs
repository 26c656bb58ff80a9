//! The flags of `barograph block …`.

use clap::{Arg, ArgAction, Command, value_parser};

const EXAMPLES: &str = "\
Examples:
  barograph block list /var/lib/prometheus
      The blocks in a data directory of Prometheus, or in a tenant's folder of a bucket: when, and how much.

  barograph block inspect /var/lib/prometheus/01JWS713P2E4MQW7T643GYGD69
      What a block was made from, and which labels have the most values and metrics the most series.

  barograph block verify /var/lib/prometheus/*/
      Read all of each block: every checksum, order, count and sample. Says where the first fault is.

  barograph block dump BLOCK --match 'up{job=\"api\"}' --match 'node_load1'
      The samples of a block, a line each: labels, value, time in milliseconds.";

/// The command with its subcommands.
pub(crate) fn command() -> Command {
    Command::new("block")
        .about("List, inspect, verify and dump blocks of the Prometheus TSDB")
        .after_long_help(EXAMPLES)
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(
            Command::new("list")
                .about("List the blocks in a folder, oldest first")
                .arg(folder("folder", "DIR", "The folder that has the blocks' folders"))
                .arg(format()),
        )
        .subcommand(
            Command::new("inspect")
                .about("Show what a block has, and from what it was made")
                .arg(folder("block", "BLOCK", "The block's folder"))
                .arg(
                    Arg::new("limit")
                        .long("limit")
                        .value_name("N")
                        .default_value("10")
                        .value_parser(value_parser!(u32).range(0..=1_000_000))
                        .help("How many labels and metrics are shown at most"),
                )
                .arg(format()),
        )
        .subcommand(
            Command::new("verify")
                .about("Read all of some blocks, and say where the first fault of each is")
                .arg(folder("block", "BLOCK", "The blocks' folders").action(ArgAction::Append).num_args(1..)),
        )
        .subcommand(
            Command::new("dump")
                .about("Print the samples of a block, a line each")
                .arg(folder("block", "BLOCK", "The block's folder"))
                .arg(
                    Arg::new("match")
                        .long("match")
                        .value_name("SELECTOR")
                        .action(ArgAction::Append)
                        .help("Only series that this selector matches; given several times, any of them"),
                )
                .arg(time("start", "Only samples at this time or later"))
                .arg(time("end", "Only samples at this time or earlier"))
                .arg(format().value_parser(["text", "json"]).default_value("text")),
        )
}

fn folder(id: &'static str, name: &'static str, help: &'static str) -> Arg {
    Arg::new(id).value_name(name).required(true).value_parser(value_parser!(std::path::PathBuf)).help(help)
}

fn format() -> Arg {
    Arg::new("format")
        .long("format")
        .value_parser(["table", "json"])
        .default_value("table")
        .help("For people, or for programs")
}

fn time(id: &'static str, help: &'static str) -> Arg {
    Arg::new(id)
        .long(id)
        .value_name("TIME")
        .help(format!("{help}: RFC 3339, or seconds since the Unix epoch"))
}
