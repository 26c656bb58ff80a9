//! What goes wrong: each fault begins at a time, lasts, and ends. All have ended when a run comes to its last part, in which
//! everything has to become whole again.

mod plan;

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use env::{FaultKind, FileSystem, OpKind};

use crate::draw::Draw;
use crate::fleet::{Crash, Fleet};
use crate::network::{Network, Weather};
use crate::node::Part;
use crate::site::DATA;
use crate::trace::Trace;
pub(crate) use plan::{ALL_OVER, Layout, Plan};

/// The file that says which version's a directory is. What it does not know, a process does not touch; whether the version
/// or a bit is wrong, only an operator can tell.
const FORMAT: &str = "format";
/// How long a process that is asked to stop may take.
const STOP_PATIENCE: Duration = Duration::from_secs(20);

/// Something that goes wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A process ends, and is started when the fault ends.
    Crash { machine: String, crash: Crash },
    /// A disk is replaced.
    Wipe { machine: String },
    /// Some bits on a disk become others while the machine has no power.
    Rot { machine: String, seed: u64 },
    /// A process is asked to stop, and started when the fault ends.
    Restart { machine: String },
    /// An ingester hands over what it has and leaves the ring; it is started when the fault ends.
    Leave { machine: String },
    /// Messages from a machine do not come to another.
    Cut { from: String, to: String },
    /// Nothing reaches a machine, or leaves it.
    Isolate { machine: String },
    /// Messages are late, are lost, and come twice.
    Storm { weather: Weather },
    /// A disk takes long.
    SlowDisk { machine: String, longest: Duration },
    /// A disk is full.
    FullDisk { machine: String },
    /// A disk cannot sync once.
    FailedSync { machine: String },
    /// A clock goes wrong, at once, and right again at the end.
    Clock { machine: String, skew_ms: i64 },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Crash { machine, crash: Crash::Killed } => write!(f, "{machine} is killed"),
            Self::Crash { machine, crash: Crash::PowerLost } => write!(f, "{machine} loses power"),
            Self::Crash { machine, crash: Crash::Torn } => {
                write!(f, "{machine} loses power while it writes")
            }
            Self::Wipe { machine } => write!(f, "{machine} gets an empty disk"),
            Self::Rot { machine, .. } => write!(f, "{machine} gets wrong bits on its disk"),
            Self::Restart { machine } => write!(f, "{machine} is restarted"),
            Self::Leave { machine } => write!(f, "{machine} leaves"),
            Self::Cut { from, to } => write!(f, "nothing from {from} comes to {to}"),
            Self::Isolate { machine } => write!(f, "{machine} is cut off"),
            Self::Storm { weather } => write!(
                f,
                "of 1000 messages {} are late and {} lost, of calls {} come twice",
                weather.late, weather.lost, weather.twice
            ),
            Self::SlowDisk { machine, longest } => write!(f, "the disk of {machine} takes up to {longest:?}"),
            Self::FullDisk { machine } => write!(f, "the disk of {machine} is full"),
            Self::FailedSync { machine } => write!(f, "the disk of {machine} fails to sync"),
            Self::Clock { machine, skew_ms } => write!(f, "the clock of {machine} is wrong by {skew_ms} ms"),
        }
    }
}

/// What faults act on.
#[derive(Clone)]
pub(crate) struct Victims {
    pub(crate) fleet: Fleet,
    pub(crate) network: Network,
    pub(crate) trace: Trace,
    /// All machines.
    pub(crate) machines: Vec<String>,
}

impl Fault {
    /// Begins. What takes time goes on by itself until the fault ends.
    pub(crate) async fn begin(&self, victims: &Victims) {
        let Victims { fleet, network, .. } = victims;
        match self {
            Self::Crash { machine, crash } => fleet.crash(machine, *crash),
            Self::Wipe { machine } => {
                fleet.crash(machine, Crash::PowerLost);
                fleet.wipe(machine);
            }
            Self::Rot { machine, seed } => {
                fleet.crash(machine, Crash::PowerLost);
                rot(victims, machine, *seed);
            }
            Self::Restart { machine } => {
                victims.stop(machine).await;
                fleet.crash(machine, Crash::Killed);
            }
            Self::Leave { machine } => {
                victims.leave(machine).await;
                fleet.crash(machine, Crash::Killed);
            }
            Self::Cut { from, to } => network.cut(from, to),
            Self::Isolate { machine } => {
                victims.links_of(machine).for_each(|(from, to)| network.cut(&from, &to))
            }
            Self::Storm { weather } => network.set_weather(*weather),
            Self::SlowDisk { machine, longest } => fleet.set_slow(machine, Some(*longest)),
            Self::FullDisk { machine } => drop(fleet.disk(machine).inspect(|disk| disk.set_enospc(true))),
            Self::FailedSync { machine } => {
                drop(fleet.disk(machine).inspect(|disk| disk.fail_next(OpKind::Sync, FaultKind::Eio)));
            }
            Self::Clock { machine, skew_ms } => fleet.set_skew_ms(machine, *skew_ms),
        }
    }

    /// Ends.
    pub(crate) fn end(&self, victims: &Victims) {
        let Victims { fleet, network, .. } = victims;
        match self {
            Self::Crash { machine, .. }
            | Self::Wipe { machine }
            | Self::Rot { machine, .. }
            | Self::Restart { machine }
            | Self::Leave { machine } => fleet.release(machine),
            Self::Cut { from, to } => network.mend(from, to),
            Self::Isolate { machine } => {
                victims.links_of(machine).for_each(|(from, to)| network.mend(&from, &to));
            }
            Self::Storm { .. } => network.set_weather(Weather::FAIR),
            Self::SlowDisk { machine, .. } => fleet.set_slow(machine, None),
            Self::FullDisk { machine } => drop(fleet.disk(machine).inspect(|disk| disk.set_enospc(false))),
            Self::FailedSync { machine } => drop(fleet.disk(machine).inspect(|disk| disk.clear_faults())),
            Self::Clock { machine, .. } => fleet.set_skew_ms(machine, 0),
        }
    }
}

impl Victims {
    fn links_of<'v>(&'v self, machine: &'v str) -> impl Iterator<Item = (String, String)> + 'v {
        let others = self.machines.iter().filter(move |other| *other != machine);
        others
            .flat_map(move |other| [(machine.to_owned(), other.clone()), (other.clone(), machine.to_owned())])
    }

    /// Asks the process of a machine to stop, and waits until it has.
    async fn stop(&self, machine: &str) {
        let Some((part, scope)) = self.fleet.part(machine) else { return };
        let stopping = scope.spawn("stop", async move {
            match part {
                Part::Ingester(ingester) => ingester.stop().await,
                Part::Distributor(_, lease) | Part::Querier(_, lease) => lease.release().await,
                Part::Metastore(node) => node.stop().await,
            }
        });
        let stopped = tokio::time::timeout(STOP_PATIENCE, stopping).await;
        let how = if stopped.is_ok_and(|stopped| stopped.is_ok()) { "has stopped" } else { "did not stop" };
        self.trace.event(format_args!("{machine} {how}"));
    }

    async fn leave(&self, machine: &str) {
        let Some((Part::Ingester(ingester), scope)) = self.fleet.part(machine) else { return };
        let leaving = scope.spawn("leave", {
            let ingester = ingester.clone();
            async move { ingester.leave().await }
        });
        let has_left = leaving.await.unwrap_or(false);
        self.trace.event(format_args!("{machine} {}", if has_left { "has left" } else { "could not leave" }));
        drop(ingester);
        self.stop(machine).await;
    }
}

/// Makes some bits of the files of a machine others.
fn rot(victims: &Victims, machine: &str, seed: u64) {
    let Some(disk) = victims.fleet.disk(machine) else { return };
    let draw = Draw::new(seed, "rot");
    let mut files = Vec::new();
    files_below(&disk, Path::new(DATA), &mut files);
    let is_log = |(path, _): &&(PathBuf, u64)| path.extension().is_some_and(|extension| extension == "wal");
    let logs: Vec<_> = files.iter().filter(is_log).cloned().collect();
    for _ in 0..draw.between(1, 4) {
        let some = if draw.chance(500) { &logs } else { &files };
        let Some((path, len)) = draw.one(some) else { return };
        if *len > 0 && disk.flip_bit(path, draw.between(0, len - 1), (draw.number() % 8) as u8).is_ok() {
            victims.trace.event(format_args!("a bit of {} on {machine} is another", path.display()));
        }
    }
}

fn files_below(fs: &dyn FileSystem, dir: &Path, files: &mut Vec<(PathBuf, u64)>) {
    for entry in fs.read_dir(dir).unwrap_or_default() {
        let path = dir.join(&entry.name);
        if entry.is_dir {
            files_below(fs, &path, files);
        } else if entry.name != FORMAT {
            files.push((path, entry.len));
        }
    }
}
