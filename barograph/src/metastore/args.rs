//! The flags of `barograph metastore …`.

use clap::{Arg, ArgAction, Command, value_parser};

const EXAMPLES: &str = "\
Examples:
  barograph metastore status --endpoint 10.0.0.1:9095 --endpoint 10.0.0.2:9095
      Who belongs to the cluster, who leads, and how far everybody is.

  barograph metastore add 10.0.0.4:9095 --endpoint 10.0.0.1:9095
      Take in a node that runs with an empty directory. It has the vote once it has the data.

  barograph metastore remove metastore-2 --endpoint 10.0.0.1:9095
      Remove a node, by its name or its number.

  barograph metastore backup control-plane.backup --endpoint 10.0.0.1:9095
  barograph metastore restore control-plane.backup --data /var/lib/barograph --name metastore-0 --address 10.0.0.1:9095
      Save everything that the metastore knows, and begin a new cluster of one node from it. Other nodes are started with
      empty directories then, and join.";

/// The command with its subcommands.
pub(crate) fn command() -> Command {
    Command::new("metastore")
        .about("Look at the metastore, change who belongs to it, back it up and restore it")
        .after_long_help(EXAMPLES)
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(remote(
            Command::new("status")
                .about("Show who belongs to the cluster, who leads, and how far everybody is")
                .arg(
                    Arg::new("format")
                        .long("format")
                        .value_parser(["table", "json"])
                        .default_value("table")
                        .help("For people, or for programs"),
                ),
        ))
        .subcommand(remote(
            Command::new("add")
                .about("Take in a node that runs with an empty directory")
                .arg(
                    Arg::new("address")
                        .value_name("HOST:PORT")
                        .required(true)
                        .help("Where the node's gRPC is"),
                )
                .arg(
                    Arg::new("learner")
                        .long("learner")
                        .action(ArgAction::SetTrue)
                        .help("Give it the data, but no vote"),
                ),
        ))
        .subcommand(remote(
            Command::new("remove").about("Remove a node").arg(
                Arg::new("node").value_name("NODE").required(true).help("The node's name, or its number"),
            ),
        ))
        .subcommand(remote(Command::new("backup").about("Save everything that the metastore knows").arg(
            Arg::new("file").value_name("FILE").required(true).help("The file to write, which is replaced"),
        )))
        .subcommand(restore())
}

fn restore() -> Command {
    let required = |name: &'static str, value: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name(value).required(true).help(help)
    };
    Command::new("restore")
        .about("Begin a new cluster of one node from a backup, in an empty directory, before the node is started")
        .arg(Arg::new("file").value_name("FILE").required(true).help("The backup"))
        .arg(required("data", "DIR", "The data directory that the node will be started with; it must be empty, or not exist"))
        .arg(required("name", "NAME", "The node's name, as it will be started with"))
        .arg(required("address", "HOST:PORT", "Where others will reach the node"))
}

/// A command that calls the metastore.
fn remote(command: Command) -> Command {
    command
        .arg(
            Arg::new("endpoint")
                .long("endpoint")
                .value_name("HOST:PORT")
                .action(ArgAction::Append)
                .value_delimiter(',')
                .env("BAROGRAPH_MEMBERSHIP_ENDPOINTS")
                .default_value("127.0.0.1:9095")
                .help("Where nodes of the metastore are; any will do, more are tried in turn"),
        )
        .arg(
            Arg::new("secret-file")
                .long("secret-file")
                .value_name("FILE")
                .help("A file with the cluster's secret (grpc.cluster_secret), if the cluster has one"),
        )
        .arg(
            file("tls-cert-file", "This command's certificate (grpc.tls.cert_file), if the cluster has TLS")
                .requires_all(["tls-key-file", "tls-ca-file"]),
        )
        .arg(file("tls-key-file", "The key of the certificate").requires("tls-cert-file"))
        .arg(
            file("tls-ca-file", "The authorities that nodes' certificates are signed by")
                .requires("tls-cert-file"),
        )
        .arg(
            Arg::new("tls-server-name")
                .long("tls-server-name")
                .value_name("NAME")
                .requires("tls-cert-file")
                .help("The name that nodes' certificates bear, if it is not the host of the address"),
        )
        .arg(
            Arg::new("timeout")
                .long("timeout")
                .value_name("SECONDS")
                .value_parser(value_parser!(u64).range(1..=3600))
                .default_value("10")
                .help("How long to try"),
        )
}

fn file(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).value_name("FILE").help(help)
}
