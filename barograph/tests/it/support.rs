//! Starting programs, and waiting for conditions.

use std::io::{BufRead, BufReader};
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
const INTERVAL: Duration = Duration::from_millis(50);

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

/// A running program, killed when dropped.
pub(crate) struct Program {
    child: Child,
}

impl Program {
    /// Starts `command`.
    pub(crate) fn start(command: &mut Command) -> Self {
        let child =
            command.stdin(Stdio::null()).spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Self { child }
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
    fn drop(&mut self) {
        // Where it has ended already there is nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
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
    pub(crate) fn start_command(mut command: Command, data: &Path) -> Self {
        command.arg("--data").arg(data).args(["--http", "127.0.0.1:0"]);
        let mut program = Program::start(command.stdout(Stdio::piped()));
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
