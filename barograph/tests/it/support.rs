//! Starting programs, and waiting for conditions.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use env::{Clock, SystemClock};
use rustix::process::{Pid, Signal, kill_process};

pub(crate) use testkit::peer;

use crate::http::get;

/// How long a condition may take to come true.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// How often a condition is looked at.
pub(crate) const INTERVAL: Duration = Duration::from_millis(50);

/// Waits until `condition` gives something; fails, saying what was waited for, when it takes too long.
#[track_caller]
pub(crate) fn wait_for<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    wait_until(what, || condition().ok_or_else(|| "it did not come true".to_owned()))
}

/// As [`wait_for`], for conditions that say what is still wrong.
#[track_caller]
pub(crate) fn wait_until<T>(what: &str, mut condition: impl FnMut() -> Result<T, String>) -> T {
    let clock = SystemClock::new();
    loop {
        match condition() {
            Ok(found) => return found,
            Err(wrong) => assert!(clock.monotonic() < PATIENCE, "waited {PATIENCE:?} for {what}: {wrong}"),
        }
        std::thread::sleep(INTERVAL);
    }
}

/// Lines of the log of a program that a failed test shows.
const SHOWN_LINES: usize = 15;

/// The last lines of a log, for the report of a failed test.
pub(crate) fn last_lines(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines.get(lines.len().saturating_sub(SHOWN_LINES)..).unwrap_or_default().join("\n")
}

/// A running program, killed when dropped.
pub(crate) struct Program {
    child: Child,
    /// What it says on standard error, unless that has another place; shown where the test fails, and only there.
    log: Option<File>,
}

impl Program {
    /// Starts `command`; keeps its log, and shows the end of it where the test fails.
    pub(crate) fn start(command: &mut Command) -> Self {
        let log = tempfile::tempfile().expect("a file for the log");
        let mut program = Self::start_logging(command, log.try_clone().expect("the same log"));
        program.log = Some(log);
        program
    }

    /// Starts `command`, which logs into a file that the caller keeps.
    pub(crate) fn start_logging(command: &mut Command, log: File) -> Self {
        let spawned = command.stdin(Stdio::null()).stderr(log).spawn();
        Self { child: spawned.unwrap_or_else(|error| panic!("{command:?}: {error}")), log: None }
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has not ended.
    pub(crate) fn runs(&mut self) -> bool {
        self.child.try_wait().expect("a child of ours").is_none()
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).expect("the process is there");
    }

    /// Waits for the end.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let mut status = None;
        wait_for("the process to end", || {
            status = self.child.try_wait().expect("a child of ours");
            status
        })
    }
}

impl Drop for Program {
    #[expect(clippy::print_stderr, reason = "what the program said belongs to the failure")]
    fn drop(&mut self) {
        // Where it has ended already there is nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let Some(log) = self.log.as_mut().filter(|_| std::thread::panicking()) else { return };
        let mut text = String::new();
        // Where the log cannot be read, the failure is told without it.
        if log.rewind().and_then(|()| log.read_to_string(&mut text)).is_ok() {
            eprintln!("---- process {}\n{}", self.child.id(), last_lines(&text));
        }
    }
}

/// A Barograph process on a port of its own.
pub(crate) struct Barograph {
    /// The process.
    pub(crate) program: Program,
    /// Where it serves HTTP.
    pub(crate) addr: SocketAddr,
    /// What it said at its start.
    pub(crate) banner: Vec<String>,
    _stdout: Receiver<String>,
}

impl Barograph {
    /// The command with these arguments, without starting it.
    pub(crate) fn command(arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_barograph"));
        command.args(arguments).stdin(Stdio::null());
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("BAROGRAPH_") {
                command.env_remove(name);
            }
        }
        command
    }

    /// Starts it with data in `data`, and waits until it is ready.
    pub(crate) fn start(data: &Path, arguments: &[&str]) -> Self {
        Self::start_command(Self::command(arguments), data)
    }

    /// Starts a command made by [`Self::command`] with data in `data`, and waits until it is ready.
    pub(crate) fn start_command(command: Command, data: &Path) -> Self {
        Self::start_by(command, data, Program::start)
    }

    /// As [`Self::start_command`], with a log that the caller keeps.
    pub(crate) fn start_logging(command: Command, data: &Path, log: File) -> Self {
        Self::start_by(command, data, |command| Program::start_logging(command, log))
    }

    fn start_by(mut command: Command, data: &Path, start: impl FnOnce(&mut Command) -> Program) -> Self {
        command.arg("--data").arg(data).args(["--http", "127.0.0.1:0"]);
        let mut program = start(command.stdout(Stdio::piped()));
        let lines = lines_of(program.child.stdout.take().expect("piped"));
        let mut banner = Vec::new();
        while !banner.last().is_some_and(|line: &String| line.trim_start().starts_with("Data ")) {
            banner.push(lines.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("no more than {banner:?}")));
        }
        let addr = banner.first().and_then(|line| line.split_once("http://")?.1.parse().ok());
        let addr = addr.unwrap_or_else(|| panic!("no address in {banner:?}"));
        wait_for("readiness", || (get(addr, "/ready").0 == 200).then_some(()));
        Self { program, addr, banner, _stdout: lines }
    }
}

/// The lines that a program writes, read by a thread that ends with it.
#[expect(clippy::disallowed_methods, reason = "a test has no scope, and the thread ends with the program")]
fn lines_of(stdout: ChildStdout) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    receiver
}

/// Milliseconds since the epoch.
pub(crate) fn now_ms() -> i64 {
    SystemClock::new().now_ms()
}

/// A line of `/proc/<pid>/status` that has a size, such as `VmRSS`, in bytes.
pub(crate) fn memory_bytes(program: &Program, line: &str) -> u64 {
    let path = format!("/proc/{}/status", program.pid());
    let status = std::fs::read_to_string(path).expect("the process runs");
    let kib =
        status.lines().find_map(|l| l.strip_prefix(line)?.strip_prefix(':')?.trim().strip_suffix(" kB"));
    kib.and_then(|kib| kib.trim().parse::<u64>().ok()).expect("a size") * 1_024
}
