//! `barograph ready`: whether a process can serve, for health checks of containers that hold no other program.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use bytes::Bytes;
use clap::{Arg, ArgMatches, Command};
use http::Uri;
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;

use crate::output;

/// Where a process listens that was not told otherwise.
const DEFAULT_HTTP: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9009);
/// How long the answer may take: a process that takes longer would not serve anybody well.
const TIMEOUT: Duration = Duration::from_secs(5);
/// The longest answer that is read, in bytes.
const MAX_ANSWER_BYTES: usize = 64 << 10;

/// The command and its argument.
pub(crate) fn command() -> Command {
    let http = Arg::new("http")
        .value_name("ADDRESS")
        .value_parser(clap::value_parser!(SocketAddr))
        .help("The address that the process serves HTTP on [default: 127.0.0.1:9009]");
    Command::new("ready")
        .about("Exit with 0 if a running process can serve, else with 1 and the reason: a container's health check")
        .arg(http)
}

/// Asks, and says why not.
pub(crate) fn run(matches: &ArgMatches) -> ExitCode {
    let http = matches.get_one::<SocketAddr>("http").copied().unwrap_or(DEFAULT_HTTP);
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            output::error(&format!("cannot start: {error}"));
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(async { tokio::time::timeout(TIMEOUT, ask(http)).await }) {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(why)) => {
            output::error(&format!("{http}: {why}"));
            ExitCode::FAILURE
        }
        Err(_) => {
            output::error(&format!("{http}: no answer within {TIMEOUT:?}"));
            ExitCode::FAILURE
        }
    }
}

async fn ask(http: SocketAddr) -> Result<(), String> {
    let uri: Uri = format!("http://{http}/ready").parse().map_err(|error| format!("{error}"))?;
    let client: Client<_, Empty<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    let answer = client.get(uri).await.map_err(|error| output::chain(&error))?;
    let status = answer.status();
    if status.is_success() {
        return Ok(());
    }
    let body = Limited::new(answer.into_body(), MAX_ANSWER_BYTES).collect().await;
    let text = body.map(|body| String::from_utf8_lossy(&body.to_bytes()).trim().to_owned());
    Err(format!("{status}: {}", text.unwrap_or_default()))
}
