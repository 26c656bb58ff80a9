//! What goes wrong: each fault begins at a time, lasts, and ends. All have ended when a run comes to its last part, in which
//! everything has to become whole again.

mod disk;
mod plan;
mod process;
mod storage;

use std::fmt;
use std::time::Duration;

use env::{FaultKind, OpKind, SimFs};

use crate::clients::Clients;
use crate::fleet::{Crash, Fleet};
use crate::network::{Network, Weather};
use crate::node::Role;
use crate::site::Variant;
use crate::storage::{Storage, Trouble};
use crate::trace::Trace;
pub(crate) use plan::{ALL_OVER, Draws, Layout, Plan, UNDIVIDED, ZONES};

/// Something that goes wrong, or that operators do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A process ends, and is started when the fault ends.
    Crash { machine: String, crash: Crash },
    /// A process stands still, and goes on when the fault ends.
    Standstill { machine: String },
    /// A disk is replaced.
    Wipe { machine: String },
    /// Some bits on a disk become others while the machine has no power.
    Rot { machine: String, seed: u64 },
    /// A disk has written something to a wrong place, as shows when the machine has lost power.
    Misdirect { machine: String, seed: u64 },
    /// A process is asked to stop, and started when the fault ends.
    Restart { machine: String },
    /// An ingester hands over what it has and leaves the ring; it is started when the fault ends.
    Leave { machine: String },
    /// An ingester hands over what it has and leaves for good.
    Retire { machine: String },
    /// A machine becomes part of the cluster.
    Commission { machine: String },
    /// All machines of a role are restarted, one after the other.
    Rollout { role: Role, what: Rollout },
    /// Messages from a machine do not come to another.
    Cut { from: String, to: String },
    /// Nothing reaches a machine, or leaves it.
    Isolate { machine: String },
    /// A machine and the metastore do not hear of each other.
    NoMetastore { machine: String },
    /// Messages are late, are lost, and come twice.
    Storm { weather: Weather },
    /// Clients write and ask much more than there is room for.
    Overload { seed: u64 },
    /// A disk takes long.
    SlowDisk { machine: String, longest: Duration },
    /// A disk is full.
    FullDisk { machine: String },
    /// A disk cannot sync once.
    FailedSync { machine: String },
    /// A clock goes wrong, at once, and right again at the end.
    Clock { machine: String, skew_ms: i64 },
    /// Nobody reaches the bucket.
    BucketDown,
    /// A machine does not reach the bucket.
    NoBucket { machine: String },
    /// Requests to the bucket are slow, are refused, are not answered, and done by half.
    BucketTrouble { trouble: Trouble },
}

/// What is rolled out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rollout {
    /// What was there before.
    Nothing,
    /// Another configuration.
    Configuration(Variant),
    /// A version whose messages have fields that others do not know.
    Version,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Crash { machine, crash: Crash::Killed } => write!(f, "{machine} is killed"),
            Self::Crash { machine, crash: Crash::PowerLost } => write!(f, "{machine} loses power"),
            Self::Crash { machine, crash: Crash::Torn } => {
                write!(f, "{machine} loses power while it writes")
            }
            Self::Standstill { machine } => write!(f, "{machine} stands still"),
            Self::Wipe { machine } => write!(f, "{machine} gets an empty disk"),
            Self::Rot { machine, .. } => write!(f, "{machine} gets wrong bits on its disk"),
            Self::Misdirect { machine, .. } => write!(f, "the disk of {machine} wrote to a wrong place"),
            Self::Restart { machine } => write!(f, "{machine} is restarted"),
            Self::Leave { machine } => write!(f, "{machine} leaves"),
            Self::Retire { machine } => write!(f, "{machine} leaves for good"),
            Self::Commission { machine } => write!(f, "{machine} joins"),
            Self::Rollout { role, what } => {
                let what = match what {
                    Rollout::Nothing => "as they are",
                    Rollout::Configuration(_) => "with another configuration",
                    Rollout::Version => "with a later version",
                };
                write!(f, "{}s are restarted one after the other, {what}", role.name())
            }
            Self::Cut { from, to } => write!(f, "nothing from {from} comes to {to}"),
            Self::Isolate { machine } => write!(f, "{machine} is cut off"),
            Self::NoMetastore { machine } => write!(f, "{machine} is cut off from the metastore"),
            Self::Storm { weather } => write!(
                f,
                "of 1000 messages {} are late and {} lost, of calls {} come twice",
                weather.late, weather.lost, weather.twice
            ),
            Self::Overload { .. } => f.write_str("clients write and ask too much"),
            Self::SlowDisk { machine, longest } => write!(f, "the disk of {machine} takes up to {longest:?}"),
            Self::FullDisk { machine } => write!(f, "the disk of {machine} is full"),
            Self::FailedSync { machine } => write!(f, "the disk of {machine} fails to sync"),
            Self::Clock { machine, skew_ms } => write!(f, "the clock of {machine} is wrong by {skew_ms} ms"),
            Self::BucketDown => f.write_str("nobody reaches the bucket"),
            Self::NoBucket { machine } => write!(f, "{machine} does not reach the bucket"),
            Self::BucketTrouble { trouble } => write!(
                f,
                "of 1000 requests to the bucket {} are refused, {} not answered, and {} done by half; some take {:?}",
                trouble.refused, trouble.unanswered, trouble.half, trouble.longest
            ),
        }
    }
}

/// What faults act on.
#[derive(Clone)]
pub(crate) struct Victims {
    pub(crate) fleet: Fleet,
    pub(crate) network: Network,
    pub(crate) trace: Trace,
    pub(crate) clients: Clients,
    /// All machines.
    pub(crate) machines: Vec<String>,
    /// Those of them with a voter of the metastore.
    pub(crate) voters: Vec<String>,
    /// The bucket, if there is one.
    pub(crate) storage: Option<Storage>,
}

impl Victims {
    /// Does something with the bucket, if there is one.
    fn with_bucket(&self, what: impl FnOnce(&Storage)) {
        if let Some(storage) = &self.storage {
            what(storage);
        }
    }
}

impl Fault {
    /// Begins. What takes time is waited for.
    pub(crate) async fn begin(&self, victims: &Victims) {
        let Victims { fleet, network, .. } = victims;
        match self {
            Self::Crash { machine, crash } => fleet.crash(machine, *crash),
            Self::Standstill { machine } => fleet.stand_still(machine),
            Self::Wipe { machine } => {
                fleet.crash(machine, Crash::PowerLost);
                fleet.wipe(machine);
            }
            Self::Rot { machine, seed } => {
                fleet.crash(machine, Crash::PowerLost);
                disk::rot(victims, machine, *seed);
            }
            Self::Misdirect { machine, seed } => {
                fleet.crash(machine, Crash::PowerLost);
                disk::misdirect(victims, machine, *seed);
            }
            Self::Restart { machine } => {
                victims.stop(machine).await;
                fleet.crash(machine, Crash::Killed);
            }
            Self::Leave { machine } => {
                victims.leave(machine).await;
                fleet.crash(machine, Crash::Killed);
            }
            Self::Retire { machine } => {
                if victims.leave(machine).await {
                    fleet.retire(machine);
                }
                fleet.crash(machine, Crash::Killed);
            }
            Self::Commission { machine } => fleet.commission(machine),
            Self::Rollout { role, what } => victims.roll_out(*role, *what).await,
            Self::Cut { from, to } => network.cut(from, to),
            Self::Isolate { machine } => {
                cut_all(network, victims.links_of(machine, &victims.machines));
                victims.with_bucket(|storage| storage.cut_off(machine));
            }
            Self::NoMetastore { machine } => cut_all(network, victims.links_of(machine, &victims.voters)),
            Self::Storm { weather } => network.set_weather(*weather),
            Self::Overload { seed } => victims.clients.burst(*seed).await,
            Self::SlowDisk { machine, longest } => fleet.set_slow(machine, Some(*longest)),
            Self::FullDisk { machine } => drop(fleet.disk(machine).inspect(|disk| disk.set_enospc(true))),
            Self::FailedSync { machine } => {
                drop(fleet.disk(machine).inspect(|disk| disk.fail_next(OpKind::Sync, FaultKind::Eio)));
            }
            Self::Clock { machine, skew_ms } => fleet.set_skew_ms(machine, *skew_ms),
            Self::BucketDown => victims.with_bucket(|storage| storage.set_down(true)),
            Self::NoBucket { machine } => victims.with_bucket(|storage| storage.cut_off(machine)),
            Self::BucketTrouble { trouble } => victims.with_bucket(|storage| storage.set_trouble(*trouble)),
        }
    }

    /// Ends.
    pub(crate) fn end(&self, victims: &Victims) {
        let Victims { fleet, network, .. } = victims;
        match self {
            Self::Crash { machine, .. }
            | Self::Wipe { machine }
            | Self::Rot { machine, .. }
            | Self::Misdirect { machine, .. }
            | Self::Restart { machine }
            | Self::Leave { machine }
            | Self::Retire { machine } => fleet.release(machine),
            Self::Standstill { machine } => fleet.go_on(machine),
            Self::Cut { from, to } => network.mend(from, to),
            Self::Isolate { machine } => {
                mend_all(network, victims.links_of(machine, &victims.machines));
                victims.with_bucket(|storage| storage.mend(machine));
            }
            Self::NoMetastore { machine } => mend_all(network, victims.links_of(machine, &victims.voters)),
            Self::Storm { .. } => network.set_weather(Weather::FAIR),
            Self::SlowDisk { machine, .. } => fleet.set_slow(machine, None),
            Self::FullDisk { machine } => drop(fleet.disk(machine).inspect(|disk| disk.set_enospc(false))),
            Self::FailedSync { machine } => drop(fleet.disk(machine).inspect(SimFs::clear_faults)),
            Self::Clock { machine, .. } => fleet.set_skew_ms(machine, 0),
            Self::BucketDown => victims.with_bucket(|storage| storage.set_down(false)),
            Self::NoBucket { machine } => victims.with_bucket(|storage| storage.mend(machine)),
            Self::BucketTrouble { .. } => victims.with_bucket(|storage| storage.set_trouble(Trouble::NONE)),
            Self::Commission { .. } | Self::Rollout { .. } | Self::Overload { .. } => {}
        }
    }
}

fn cut_all(network: &Network, links: impl Iterator<Item = (String, String)>) {
    links.for_each(|(from, to)| network.cut(&from, &to));
}

fn mend_all(network: &Network, links: impl Iterator<Item = (String, String)>) {
    links.for_each(|(from, to)| network.mend(&from, &to));
}
