//! The flags of `barograph block …`.

use bucket::BucketConfig;
use clap::{Arg, ArgAction, Command, value_parser};
use settings::Schema;

const EXAMPLES: &str = "\
Examples:
  barograph block list /var/lib/prometheus
      The blocks in a data directory of Prometheus, or in a tenant's folder of a bucket: when, and how much.

  barograph block inspect /var/lib/prometheus/01JWS713P2E4MQW7T643GYGD69
      What a block was made from, and which labels have the most values and metrics the most series.

  barograph block verify /var/lib/prometheus/*/
      Read all of each block: every checksum, order, count and sample. Says where the first fault is.

  barograph block import --config barograph.yaml --tenant team-a /var/lib/prometheus history.om
      The blocks of a Prometheus data directory, and samples in OpenMetrics text, into the bucket of a tenant.

  barograph block dump BLOCK --match 'up{job=\"api\"}' --match 'node_load1'
      The samples of a block, a line each: labels, value, time in milliseconds.";

/// The command with its subcommands.
pub(crate) fn command() -> Command {
    Command::new("block")
        .about("List, inspect, verify, dump and import blocks of the Prometheus TSDB")
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
        .subcommand(import())
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

const IMPORT: &str = "\
Sources:
  A data directory of Prometheus, or a snapshot of one (/api/v1/admin/tsdb/snapshot): each of its blocks is verified and
  copied as it is. Or one block's folder.

  A file of OpenMetrics text, every sample with a timestamp, in any order, with # EOF as its last line:
      requests_total{host=\"a\"} 3 1700000000
      # EOF
  Its samples become blocks of two hours. It is read several times where it has more than 8 million samples.

Blocks that the tenant has are passed over, so a command that was interrupted can be given again; text that was imported
twice takes twice the room, and is answered from once. Queriers see new blocks within bucket.index_refresh.

Examples:
  barograph block import --tenant team-a --bucket.backend filesystem /var/lib/prometheus
      Into the bucket in ./data/bucket, where `barograph --bucket.backend filesystem` has it, while that does not run.

  barograph block import --tenant team-a --bucket.backend s3 --bucket.name metrics --bucket.region eu-west-1 history.om
      Into a bucket of S3, with keys from the environment.

  barograph block import --config barograph.yaml --tenant team-a snapshot/
      Into the bucket that the configuration of a cluster names.";

fn import() -> Command {
    let command = Command::new("import")
        .about("Copy blocks of Prometheus, and samples in OpenMetrics text, into a tenant's bucket")
        .after_long_help(IMPORT)
        .arg(folder("source", "SOURCE", "Data directories, snapshots, blocks, and files of OpenMetrics text").action(ArgAction::Append).num_args(1..))
        .arg(Arg::new("tenant").long("tenant").value_name("TENANT").help("Whose they are; without it those of anonymous"))
        .arg(Arg::new("scratch").long("scratch").value_name("DIR").value_parser(value_parser!(std::path::PathBuf)).help("Where blocks are made of text before they are copied; without it the system's folder for temporary files"))
        .arg(Arg::new("config").long("config").value_name("FILE").help("The configuration file that names the bucket"))
        .arg(Arg::new("data").long("data").value_name("DIR").help("The data directory that the bucket is in, where it is one of files [default: ./data]"));
    Schema::new().with::<BucketConfig>().add_flags(command)
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
