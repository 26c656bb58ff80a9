//! A process whose disk may be lost, and what it says.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use rustix::process::Signal;
use tempfile::TempDir;
use testkit::S3Server;

use crate::http::{Connection, get};
use crate::support::{Barograph, wait_until};

/// The name of the bucket.
const BUCKET: &str = "metrics";

/// Blocks of an hour, which go to the bucket when they are cut, and from the disk soon after; what the bucket does not do
/// in two seconds has failed.
const FLAGS: [&str; 12] = [
    "--self-monitoring.enabled=false",
    "--ingester.block-range=1h",
    "--ingester.block-delay=1s",
    "--ingester.block-keep=0s",
    "--ingester.block-upload-jitter=0s",
    "--ingester.block-late-delay=1s",
    "--ingester.snapshot-interval=5s",
    "--bucket.index-refresh=1s",
    "--bucket.request-timeout=2s",
    "--bucket.operation-timeout=5s",
    "--bucket.attempts=2",
    "--limits.out-of-order-time-window=12h",
];

/// A process with its disk, its log and, where that is a folder, its bucket.
pub(super) struct Host {
    folder: TempDir,
    flags: Vec<String>,
    running: Option<Barograph>,
}

impl Host {
    /// A process with a bucket of files.
    pub(super) fn with_files() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let directory = folder.path().join("bucket");
        let flags = vec![
            "--bucket.backend=filesystem".to_owned(),
            format!("--bucket.directory={}", directory.display()),
        ];
        Self::begin(folder, flags)
    }

    /// A process that is told of no bucket, with these flags.
    pub(super) fn with(flags: &[&str]) -> Self {
        Self::begin(
            tempfile::tempdir().expect("a folder"),
            flags.iter().map(|flag| (*flag).to_owned()).collect(),
        )
    }

    /// A process with a bucket of a server, which is reached at this address, with this key.
    pub(super) fn with_s3(address: SocketAddr, key: &str) -> Self {
        let flags = vec![
            "--bucket.backend=s3".to_owned(),
            format!("--bucket.name={BUCKET}"),
            format!("--bucket.endpoint=http://{address}"),
            format!("--bucket.access-key-id={key}"),
            format!("--bucket.secret-access-key={key}"),
        ];
        Self::begin(tempfile::tempdir().expect("a folder"), flags)
    }

    fn begin(folder: TempDir, flags: Vec<String>) -> Self {
        let mut host = Self { folder, flags, running: None };
        host.start();
        host
    }

    /// The folder of the bucket.
    pub(super) fn bucket(&self) -> PathBuf {
        self.folder.path().join("bucket")
    }

    /// Its data directory.
    pub(super) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn log_file(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    /// Starts it, on the disk that it had. Its own flags hold in place of the same ones of all.
    pub(super) fn start(&mut self) {
        let name = |flag: &str| flag.split('=').next().map(str::to_owned);
        let own: Vec<_> = self.flags.iter().map(|flag| name(flag)).collect();
        let of_all = FLAGS.into_iter().filter(|flag| !own.contains(&name(flag)));
        let flags = of_all.chain(self.flags.iter().map(String::as_str));
        let command = Barograph::command(&flags.collect::<Vec<_>>());
        let log = File::options().create(true).append(true).open(self.log_file()).expect("a log");
        self.running = Some(Barograph::start_logging(command, &self.data(), log));
    }

    /// Starts it as a process that has never heard of a bucket, on the disk that it had.
    pub(super) fn start_without_bucket(&mut self) {
        self.start_with(&[]);
    }

    /// Starts it with these flags in place of those that it had, on the disk that it had.
    pub(super) fn start_with(&mut self, flags: &[&str]) {
        self.flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
        self.start();
    }

    /// Where it serves.
    pub(super) fn addr(&self) -> SocketAddr {
        self.running.as_ref().expect("it runs").addr
    }

    /// Ends it as a crash does.
    pub(super) fn kill(&mut self) {
        let mut process = self.running.take().expect("it runs");
        process.program.signal(Signal::KILL);
        process.program.wait();
    }

    /// Stops it as an operator does.
    pub(super) fn stop(&mut self) {
        let mut process = self.running.take().expect("it runs");
        process.program.signal(Signal::TERM);
        assert!(process.program.wait().success(), "{}", self.log());
    }

    /// Kills it, and starts it on an empty disk: it has nothing but the bucket.
    pub(super) fn lose_disk(&mut self) {
        self.kill();
        std::fs::remove_dir_all(self.data()).expect("it has a disk");
        self.start();
    }

    /// Asks for everything to be brought to the bucket; the refusal, if it cannot be.
    pub(super) fn flush(&self) -> Result<(), String> {
        flush(self.addr())
    }

    /// Waits until everything is in the bucket.
    pub(super) fn flushed(&self) {
        wait_until("everything to be in the bucket", || self.flush());
    }

    /// The sum of a metric over all series that have these words.
    pub(super) fn metric(&self, name: &str, words: &str) -> f64 {
        let (status, text) = get(self.addr(), "/metrics");
        assert_eq!(status, 200);
        let of_metric =
            |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']));
        let series = text.lines().filter(of_metric).filter(|line| line.contains(words));
        series.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }

    /// What it has logged.
    pub(super) fn log(&self) -> String {
        std::fs::read_to_string(self.log_file()).expect("a log")
    }
}

/// As [`Host::flush`], of whoever serves there.
pub(super) fn flush(addr: SocketAddr) -> Result<(), String> {
    let answer = Connection::open(addr).and_then(|mut to| to.request("POST", "/ingester/flush", &[], b""));
    match answer {
        Ok(response) if response.status == 204 => Ok(()),
        Ok(response) => Err(format!("{} {}", response.status, response.body)),
        Err(error) => Err(error.to_string()),
    }
}

/// A server with the bucket.
pub(super) fn server() -> S3Server {
    S3Server::start(BUCKET)
}

/// A server with the bucket that asks who is there, and knows nobody.
pub(super) fn strict_server() -> S3Server {
    let server = S3Server::start_with(&[("INITIAL_NO_AUTH_ACTION_COUNT", "1")]);
    server.make_bucket(BUCKET);
    server
}

/// The files below a folder, sorted.
pub(super) fn files_below(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    let mut files: Vec<PathBuf> =
        entries.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect();
    files.sort_unstable();
    files
}
