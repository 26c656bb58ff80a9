//! What befalls Alertmanagers, and when two of them may tell the same.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::machines::Machines;
use super::seen::Seen;
use crate::draw::Draw;
use crate::fleet::{Crash, Fleet};
use crate::network::{Network, Weather};
use crate::schedule::{self, cut};

/// When faults begin, and when all are over.
const BEGIN: Duration = Duration::from_secs(15);
pub(super) const ALL_OVER: Duration = Duration::from_secs(90);
/// How long a fault lasts.
const SHORTEST: Duration = Duration::from_millis(300);
const LONGEST: Duration = Duration::from_secs(14);
/// How long after faults are over it may be noticed that somebody has the metastore: as long as it takes to have a leader, to
/// register, and to be asked.
const NOTICED_WITHIN: Duration = Duration::from_secs(10);
/// A network that is late, and loses and repeats some of what it carries.
const BAD: Weather = Weather {
    usual_delay: Duration::from_millis(10),
    longest_delay: Duration::from_millis(150),
    late: 50,
    lost: 3,
    twice: 5,
};

/// A fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    Kill(String),
    Stop(String),
    StandStill(String),
    /// An Alertmanager cannot reach these machines, nor they it.
    Cut(String, Vec<String>),
    KillVoters(Vec<String>),
    /// The receiver answers that it cannot take anything.
    Refusal,
    Weather,
}

/// A fault and its time.
pub(super) type Scheduled = schedule::Scheduled<Fault>;

/// The faults of a run, by when they begin.
pub(super) fn draw(draw: &Draw, machines: &[String], voters: &[String]) -> Vec<Scheduled> {
    let mut plan = Vec::new();
    for _ in 0..draw.between(5, 10) {
        let begins = draw.time(BEGIN, ALL_OVER - LONGEST);
        let ends = begins + draw.time(SHORTEST, LONGEST);
        let one = || draw.one(machines).cloned().unwrap_or_default();
        let voter = || draw.one(voters).cloned().into_iter().collect();
        let fault = match draw.between(0, 99) {
            0..30 => Fault::Kill(one()),
            30..40 => Fault::Stop(one()),
            40..50 => Fault::StandStill(one()),
            50..58 => Fault::Cut(one(), voters.to_vec()),
            // One may be the voter that tells it who else is an Alertmanager.
            58..68 => Fault::Cut(one(), voter()),
            68..74 => Fault::Cut(one(), machines.to_vec()),
            74..80 => Fault::Cut(one(), vec![one()]),
            80..83 => Fault::Cut(one(), [voters, machines].concat()),
            83..90 => Fault::KillVoters(voter()),
            90..93 => Fault::KillVoters(voters.to_vec()),
            93..96 => Fault::Refusal,
            _ => Fault::Weather,
        };
        plan.push(Scheduled { fault, begins, ends });
    }
    plan.sort_by_key(|scheduled| scheduled.begins);
    plan
}

/// The times in which an Alertmanager may have to take the metastore for gone: a quorum of voters is, or it cannot reach some
/// of them, and no other Alertmanager either that could.
pub(super) fn gone(plan: &[Scheduled], machines: &[String], voters: &[String]) -> Vec<(Duration, Duration)> {
    let is_window = |one: &&Scheduled| {
        let near = |other: &&Scheduled| {
            other.begins < one.ends + NOTICED_WITHIN && one.begins < other.ends + NOTICED_WITHIN
        };
        let nearby: Vec<&Fault> = plan.iter().filter(near).map(|scheduled| &scheduled.fault).collect();
        match &one.fault {
            Fault::KillVoters(killed) if killed.len() == voters.len() => true,
            Fault::KillVoters(killed) => {
                nearby.iter().any(|other| matches!(other, Fault::KillVoters(more) if more != killed))
            }
            Fault::Cut(machine, from) if from.iter().any(|name| voters.contains(name)) => {
                let away = |other: &&String| nearby.iter().any(|fault| fault.parts(machine, other));
                let others = machines.iter().filter(|other| *other != machine);
                others.clone().filter(away).count() == others.count()
            }
            _ => false,
        }
    };
    let windows = plan.iter().filter(is_window);
    windows.map(|one| (one.begins, one.ends + NOTICED_WITHIN)).collect()
}

impl Fault {
    /// Whether it may keep one Alertmanager from hearing that another one has the metastore.
    fn parts(&self, one: &str, other: &str) -> bool {
        match self {
            Self::Kill(name) | Self::Stop(name) | Self::StandStill(name) => name == other,
            Self::Cut(name, from) => {
                // It has not got it itself, or does not reach the other.
                name == other || (name == one && from.iter().any(|machine| machine == other))
            }
            Self::KillVoters(_) | Self::Refusal | Self::Weather => false,
        }
    }
}

/// Whom faults befall.
#[derive(Clone)]
pub(super) struct Victims {
    pub(super) machines: Machines,
    pub(super) voters: Fleet,
    pub(super) network: Network,
    pub(super) seen: Seen,
}

impl Victims {
    /// Lets a fault happen, and be over.
    pub(super) async fn befall(self, scheduled: Scheduled, began: Instant) {
        sleep_until(began + scheduled.begins).await;
        match &scheduled.fault {
            Fault::Kill(name) => {
                self.seen.cut_short(self.machines.life(name));
                self.machines.kill(name);
                self.seen.ended(name);
            }
            Fault::Stop(name) => {
                if self.machines.running(name).is_none() {
                    self.seen.cut_short(self.machines.life(name));
                }
                self.machines.stop(name).await;
                self.seen.ended(name);
            }
            Fault::StandStill(name) => {
                self.seen.cut_short(self.machines.life(name));
                self.machines.stand_still(name, true);
            }
            Fault::Cut(name, from) => cut(&self.network, name, from, true),
            Fault::KillVoters(voters) => voters.iter().for_each(|v| self.voters.crash(v, Crash::Killed)),
            Fault::Refusal => self.seen.refuse(true),
            Fault::Weather => self.network.set_weather(BAD),
        }
        sleep_until(began + scheduled.ends).await;
        match &scheduled.fault {
            Fault::Kill(name) | Fault::Stop(name) => self.machines.release(name),
            Fault::StandStill(name) => self.machines.stand_still(name, false),
            Fault::Cut(name, from) => cut(&self.network, name, from, false),
            Fault::KillVoters(voters) => voters.iter().for_each(|v| self.voters.release(v)),
            Fault::Refusal => self.seen.refuse(false),
            Fault::Weather => self.network.set_weather(Weather::FAIR),
        }
    }
}
