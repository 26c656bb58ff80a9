//! What befalls rulers, and when two of them may evaluate the same.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::machines::Machines;
use crate::draw::Draw;
use crate::fleet::{Crash, Fleet};
use crate::network::Network;
use crate::schedule::{self, cut};

/// When faults begin, and when all are over.
const BEGIN: Duration = Duration::from_secs(20);
pub(super) const ALL_OVER: Duration = Duration::from_secs(90);
/// How long a fault lasts.
const SHORTEST: Duration = Duration::from_millis(300);
const LONGEST: Duration = Duration::from_secs(14);
/// How long after faults are over it may be noticed that somebody has the metastore: as long as it takes to have a leader, to
/// register, and to be asked.
const NOTICED_WITHIN: Duration = Duration::from_secs(20);

/// A fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    Kill(String),
    Stop(String),
    StandStill(String),
    /// A ruler cannot reach this one of the voters, or any.
    CutFrom(String, Vec<String>),
    KillVoters(Vec<String>),
}

/// A fault and its time.
pub(super) type Scheduled = schedule::Scheduled<Fault>;

/// The faults of a run, by when they begin.
pub(super) fn draw(draw: &Draw, rulers: &[String], voters: &[String]) -> Vec<Scheduled> {
    let mut plan = Vec::new();
    for _ in 0..draw.between(4, 9) {
        let begins = draw.time(BEGIN, ALL_OVER - LONGEST);
        let ends = begins + draw.time(SHORTEST, LONGEST);
        let ruler = || draw.one(rulers).cloned().unwrap_or_default();
        let fault = match draw.between(0, 99) {
            0..35 => Fault::Kill(ruler()),
            35..45 => Fault::Stop(ruler()),
            45..55 => Fault::StandStill(ruler()),
            55..65 => Fault::CutFrom(ruler(), voters.to_vec()),
            // One may be the voter that tells it who else is a ruler.
            65..82 => Fault::CutFrom(ruler(), draw.one(voters).cloned().into_iter().collect()),
            82..88 => Fault::CutFrom(ruler(), rulers.to_vec()),
            88..95 => Fault::KillVoters(draw.one(voters).cloned().into_iter().collect()),
            _ => Fault::KillVoters(voters.to_vec()),
        };
        plan.push(Scheduled { fault, begins, ends });
    }
    plan.sort_by_key(|scheduled| scheduled.begins);
    plan
}

/// The times in which a ruler may have to take the metastore for gone: a quorum of voters is, or it cannot reach some of them,
/// and no other ruler either that could.
pub(super) fn gone(plan: &[Scheduled], rulers: &[String], voters: &[String]) -> Vec<(Duration, Duration)> {
    let mut windows = Vec::new();
    for one in plan {
        let near = |other: &&Scheduled| {
            other.begins < one.ends + NOTICED_WITHIN && one.begins < other.ends + NOTICED_WITHIN
        };
        let nearby: Vec<&Fault> = plan.iter().filter(near).map(|scheduled| &scheduled.fault).collect();
        let is_gone = match &one.fault {
            Fault::KillVoters(killed) if killed.len() == voters.len() => true,
            Fault::KillVoters(killed) => {
                nearby.iter().any(|other| matches!(other, Fault::KillVoters(more) if more != killed))
            }
            Fault::CutFrom(ruler, from) if from.iter().all(|name| voters.contains(name)) => {
                let away = rulers.iter().filter(|other| nearby.iter().any(|fault| fault.takes(other)));
                let alone =
                    nearby.iter().any(|fault| **fault == Fault::CutFrom(ruler.clone(), rulers.to_vec()));
                alone || away.filter(|other| *other != ruler).count() + 1 >= rulers.len()
            }
            _ => false,
        };
        if is_gone {
            windows.push((one.begins.saturating_sub(NOTICED_WITHIN), one.ends + NOTICED_WITHIN));
        }
    }
    windows
}

impl Fault {
    /// Whether it may keep others from hearing of a ruler.
    fn takes(&self, ruler: &str) -> bool {
        match self {
            Self::Kill(name) | Self::Stop(name) | Self::StandStill(name) | Self::CutFrom(name, _) => {
                name == ruler
            }
            Self::KillVoters(_) => false,
        }
    }
}

/// Whom faults befall.
#[derive(Clone)]
pub(super) struct Victims {
    pub(super) machines: Machines,
    pub(super) voters: Fleet,
    pub(super) network: Network,
}

impl Victims {
    /// Lets a fault happen, and be over.
    pub(super) async fn befall(self, scheduled: Scheduled, began: Instant) {
        sleep_until(began + scheduled.begins).await;
        match &scheduled.fault {
            Fault::Kill(ruler) => self.machines.kill(ruler),
            Fault::Stop(ruler) => self.machines.stop(ruler).await,
            Fault::StandStill(ruler) => self.machines.stand_still(ruler, true),
            Fault::CutFrom(ruler, from) => cut(&self.network, ruler, from, true),
            Fault::KillVoters(voters) => voters.iter().for_each(|v| self.voters.crash(v, Crash::Killed)),
        }
        sleep_until(began + scheduled.ends).await;
        match &scheduled.fault {
            Fault::Kill(ruler) | Fault::Stop(ruler) => self.machines.release(ruler),
            Fault::StandStill(ruler) => self.machines.stand_still(ruler, false),
            Fault::CutFrom(ruler, from) => cut(&self.network, ruler, from, false),
            Fault::KillVoters(voters) => voters.iter().for_each(|v| self.voters.release(v)),
        }
    }
}
