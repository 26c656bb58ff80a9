//! What the commands do.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::ArgMatches;
use env::{Clock, FileSystem, OsSeededRng, RealFs, Scope, SystemClock};
use membership::{Client, MembershipConfig};
use metastore::store::RocksEngine;
use proto::metastore::{Member, Node};
use rpc::grpc::{ChannelPool, ClientPolicy, GrpcConfig, GrpcMetrics, GrpcTlsConfig, TcpDial, Tls};
use settings::{Secret, Setting as _};
use telemetry::Registry;

use super::{Failed, table};
use crate::data_dir::DataDir;
use crate::output;

/// The longest secret, in bytes.
const MAX_SECRET_BYTES: u64 = 4096;
/// The largest backup that is read.
const MAX_BACKUP_BYTES: u64 = 1 << 30;

/// Does the command, and gives what to print.
pub(super) async fn done(fs: &dyn FileSystem, matches: &ArgMatches) -> Result<String, Failed> {
    match matches.subcommand() {
        Some(("status", matches)) => {
            let status = client(fs, matches)?.status().await?;
            Ok(match text(matches, "format") {
                "json" => table::json(&status),
                _ => table::table(&status),
            })
        }
        Some(("add", matches)) => {
            let learner = matches.get_flag("learner");
            let member = client(fs, matches)?.add_node(text(matches, "address"), learner).await?;
            let as_what = if learner { "a learner" } else { "a voter" };
            Ok(format!("{} is {as_what} now\n", named(&member)))
        }
        Some(("remove", matches)) => {
            let member = client(fs, matches)?.remove_node(text(matches, "node")).await?;
            Ok(format!("{} was removed\n", named(&member)))
        }
        Some(("backup", matches)) => {
            let backup = client(fs, matches)?.backup().await?;
            let file = text(matches, "file");
            env::write_file_durable(fs, &absolute(file)?, &backup).map_err(unusable(file))?;
            Ok(format!("{file}: {} bytes\n", backup.len()))
        }
        Some(("restore", matches)) => restore(fs, matches),
        // clap asks for one.
        _ => Ok(String::new()),
    }
}

/// Makes the whole data directory of a process, with the node's data where the process looks for it.
fn restore(fs: &dyn FileSystem, matches: &ArgMatches) -> Result<String, Failed> {
    let file = text(matches, "file");
    let backup = env::read_file(fs, Path::new(file), MAX_BACKUP_BYTES).map_err(unusable(file))?.into();
    let node = Node { name: text(matches, "name").to_owned(), address: text(matches, "address").to_owned() };
    let dir = text(matches, "data");
    let failed = |error: &dyn std::error::Error| Failed::Other(format!("{dir}: {}", output::chain(error)));
    // What cannot be restored leaves nothing behind.
    metastore::check_backup(&backup)
        .map_err(|error| Failed::Other(format!("{file}: {}", output::chain(&error))))?;
    let path = absolute(dir)?;
    if fs.exists(&path) && !fs.read_dir(&path).map_err(unusable(dir))?.is_empty() {
        let message = format!("{dir} is not empty; a node is restored into an empty directory, or a new one");
        return Err(Failed::Other(message));
    }
    let data = DataDir::open(fs, &path).map_err(|error| failed(&error))?;
    let folder = data.role("metastore");
    env::create_dir_durable(fs, &folder).map_err(unusable(dir))?;
    let engine = RocksEngine::open(&folder).map_err(|error| failed(&error))?;
    let restored =
        metastore::restore(&engine, &backup, &node, &OsSeededRng::new()).map_err(|error| failed(&error))?;
    Ok(format!(
        "{dir}: {} records of revision {}; start {} with --data {dir}, then the other nodes with empty directories\n",
        restored.records,
        restored.revision,
        named(&restored.member)
    ))
}

/// A client as the flags describe it.
fn client(fs: &dyn FileSystem, matches: &ArgMatches) -> Result<Client, Failed> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let timeout = Duration::from_secs(matches.get_one::<u64>("timeout").copied().unwrap_or_default());
    let grpc = GrpcConfig { cluster_secret: secret(fs, matches)?, ..GrpcConfig::default() };
    let registry = Registry::new();
    let metrics = GrpcMetrics::register(&registry, Arc::clone(&clock));
    let policy = ClientPolicy::new(&grpc, metrics, Arc::clone(&clock))
        .map_err(|error| Failed::Other(error.to_string()))?;
    let tls = tls(matches, Arc::clone(&clock))?;
    let dial = TcpDial::new(grpc, policy, &Scope::new("metastore client")).with_tls(tls);
    let pool = ChannelPool::new(Arc::new(dial));
    let addresses = matches.get_many::<String>("endpoint").unwrap_or_default().cloned().collect();
    let config = MembershipConfig { addresses, call_timeout: timeout, ..MembershipConfig::default() };
    Ok(Client::new(config, Arc::new(pool), clock, Arc::new(OsSeededRng::new()), &registry))
}

/// The certificates that the flags name.
fn tls(matches: &ArgMatches, clock: Arc<dyn Clock>) -> Result<Option<Tls>, Failed> {
    let file = |name| matches.get_one::<String>(name).map(PathBuf::from);
    let config = GrpcTlsConfig {
        cert_file: file("tls-cert-file"),
        key_file: file("tls-key-file"),
        ca_file: file("tls-ca-file"),
        server_name: matches.get_one::<String>("tls-server-name").cloned(),
        ..GrpcTlsConfig::default()
    };
    Tls::load(&config, Arc::new(RealFs), clock).map_err(|error| Failed::Other(crate::output::chain(&error)))
}

fn secret(fs: &dyn FileSystem, matches: &ArgMatches) -> Result<Secret, Failed> {
    let Some(file) = matches.get_one::<String>("secret-file") else { return Ok(Secret::default()) };
    let bytes = env::read_file(fs, Path::new(file), MAX_SECRET_BYTES).map_err(unusable(file))?;
    let text = String::from_utf8(bytes).map_err(|_| Failed::Other(format!("{file}: a secret is text")))?;
    Secret::parse(text.trim_end()).map_err(|expected| Failed::Other(format!("{file}: {}", expected.0)))
}

fn text<'a>(matches: &'a ArgMatches, name: &str) -> &'a str {
    matches.get_one::<String>(name).map_or("", String::as_str)
}

/// A file's path from the root, so that it has a directory that can be synced.
fn absolute(file: &str) -> Result<std::path::PathBuf, Failed> {
    std::path::absolute(file).map_err(unusable(file))
}

fn unusable(file: &str) -> impl FnOnce(std::io::Error) -> Failed + '_ {
    move |error| Failed::File { file: file.to_owned(), error }
}

fn named(member: &Member) -> String {
    match &member.node {
        Some(node) => format!("node {} ({:x}) at {}", node.name, member.id, node.address),
        None => format!("node {:x}", member.id),
    }
}
