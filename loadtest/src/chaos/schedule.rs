//! What happens to a cluster, and when: a pure function of a seed, so that a run can be repeated.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use crate::cluster::Plan;
use crate::population::noise_unit;

/// How long a fault lasts, at least and at most.
const LASTS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(15));
/// How long it is quiet before a fault.
const QUIET: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(6));
/// The share of faults that another one joins.
const JOINED: f64 = 0.25;
/// After so much of the run one ingester's disk is wiped, once: what was only there and on another disk that is wiped
/// later would be lost in earnest.
const WIPE_AFTER: f64 = 0.4;

/// Something that happens to processes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// SIGKILL; they start again when it ends.
    Kill(Vec<String>),
    /// SIGSTOP until it ends.
    Freeze(Vec<String>),
    /// No packet between these and the others until it ends.
    CutOff(Vec<String>),
    /// SIGTERM; they start again when it ends.
    Stop(Vec<String>),
    /// SIGKILL, and all data removed before it starts again.
    Wipe(String),
}

impl Fault {
    /// Whom it happens to.
    pub fn victims(&self) -> &[String] {
        match self {
            Self::Kill(names) | Self::Freeze(names) | Self::CutOff(names) | Self::Stop(names) => names,
            Self::Wipe(name) => std::slice::from_ref(name),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self {
            Self::Kill(_) => "kill",
            Self::Freeze(_) => "freeze",
            Self::CutOff(_) => "cut off",
            Self::Stop(_) => "stop",
            Self::Wipe(_) => "kill and wipe",
        };
        write!(f, "{what} {}", self.victims().join(", "))
    }
}

/// Faults that happen at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Event {
    /// How long nothing happens before.
    #[serde(skip)]
    pub quiet: Duration,
    /// What happens: one fault, or two of different victims.
    pub faults: Vec<Fault>,
    /// For how long.
    #[serde(skip)]
    pub lasts: Duration,
}

/// Events for a run of this length. Healing takes time of its own; what does not fit is left out by who runs them.
pub fn schedule(seed: u64, plan: &Plan, length: Duration) -> Vec<Event> {
    let mut dice = Dice { seed, thrown: 0 };
    let mut events: Vec<Event> = Vec::new();
    let (mut time, mut wiped) = (Duration::ZERO, false);
    while time < length {
        let quiet = dice.between(QUIET);
        let lasts = dice.between(LASTS);
        let mut faults = if !wiped && time >= length.mul_f64(WIPE_AFTER) {
            wiped = true;
            wipe(&mut dice, plan).into_iter().collect()
        } else {
            vec![fault(&mut dice, plan)]
        };
        if dice.throw() < JOINED {
            let other = fault(&mut dice, plan);
            let apart = faults
                .iter()
                .all(|fault: &Fault| fault.victims().iter().all(|name| !other.victims().contains(name)));
            if apart {
                faults.push(other);
            }
        }
        time += quiet + lasts;
        events.push(Event { quiet, faults, lasts });
    }
    events
}

fn fault(dice: &mut Dice, plan: &Plan) -> Fault {
    let of_role = |role: &str| plan.of_role(role).map(|process| process.name.clone()).collect::<Vec<_>>();
    let all: Vec<String> = plan.processes().iter().map(|process| process.name.clone()).collect();
    let ingesters = of_role("ingester");
    match (dice.throw() * 100.0) as u32 {
        0..25 => Fault::Kill(dice.some(&ingesters, 1)),
        25..33 => Fault::Kill(dice.some(&ingesters, 2)),
        33..43 => Fault::Kill(of_role("metastore")),
        43..58 => Fault::Kill(dice.some(&all, 1)),
        58..68 => Fault::Freeze(dice.some(&all, 1)),
        68..80 => Fault::CutOff(zone(dice, plan)),
        80..90 => {
            let count = 1 + (dice.throw() * 3.0) as usize;
            Fault::CutOff(dice.some(&all, count))
        }
        _ => Fault::Stop(dice.some(&all, 1)),
    }
}

/// All processes of one zone.
fn zone(dice: &mut Dice, plan: &Plan) -> Vec<String> {
    let mut zones: Vec<&str> = plan.processes().iter().filter_map(|process| process.zone()).collect();
    zones.sort_unstable();
    zones.dedup();
    let chosen = zones.get((dice.throw() * zones.len() as f64) as usize);
    chosen.map(|zone| plan.zone(zone)).unwrap_or_default()
}

fn wipe(dice: &mut Dice, plan: &Plan) -> Option<Fault> {
    let ingesters: Vec<String> = plan.of_role("ingester").map(|process| process.name.clone()).collect();
    dice.some(&ingesters, 1).pop().map(Fault::Wipe)
}

/// Numbers that a seed gives one after the other.
struct Dice {
    seed: u64,
    thrown: u64,
}

impl Dice {
    /// From 0 to 1, 1 excluded.
    fn throw(&mut self) -> f64 {
        self.thrown += 1;
        noise_unit(self.seed, self.thrown)
    }

    fn between(&mut self, (least, most): (Duration, Duration)) -> Duration {
        least + (most - least).mul_f64(self.throw())
    }

    /// So many different ones, or all if there are fewer, in the order of `all`.
    fn some(&mut self, all: &[String], count: usize) -> Vec<String> {
        let mut rest: Vec<usize> = (0..all.len()).collect();
        let mut chosen: Vec<usize> = Vec::new();
        while chosen.len() < count && !rest.is_empty() {
            let at = (self.throw() * rest.len() as f64) as usize;
            chosen.push(rest.swap_remove(at.min(rest.len() - 1)));
        }
        chosen.sort_unstable();
        chosen.into_iter().filter_map(|i| all.get(i).cloned()).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn plan() -> Plan {
        let line =
            |(i, name): (usize, &str)| format!("{name} --zone z{} --http 127.0.0.1:{}\n", i % 3, 1_000 + i);
        let names = [
            "metastore-1",
            "metastore-2",
            "metastore-3",
            "distributor-1",
            "ingester-1",
            "ingester-2",
            "ingester-3",
            "querier-1",
        ];
        Plan::parse(&names.into_iter().enumerate().map(line).collect::<String>()).unwrap()
    }

    #[test]
    fn a_seed_repeats_itself_and_another_differs() {
        let of = |seed| schedule(seed, &plan(), Duration::from_secs(600));
        assert_eq!(of(1), of(1));
        assert_ne!(of(1), of(2));
    }

    #[test]
    fn victims_are_of_the_plan_apart_and_one_disk_is_wiped() {
        let names: BTreeSet<String> = plan().processes().iter().map(|process| process.name.clone()).collect();
        let mut kinds = BTreeSet::new();
        for seed in 0..200 {
            let events = schedule(seed, &plan(), Duration::from_secs(600));
            let total: Duration = events.iter().map(|event| event.quiet + event.lasts).sum();
            assert!(total >= Duration::from_secs(600) && total < Duration::from_secs(630), "{total:?}");
            let wipes =
                events.iter().flat_map(|event| &event.faults).filter(|fault| matches!(fault, Fault::Wipe(_)));
            assert_eq!(wipes.count(), 1);
            for event in &events {
                let victims: Vec<&String> = event.faults.iter().flat_map(Fault::victims).collect();
                let different: BTreeSet<&String> = victims.iter().copied().collect();
                assert!(!victims.is_empty() && victims.len() == different.len(), "{event:?}");
                assert!(different.iter().all(|name| names.contains(*name)), "{event:?}");
                kinds.extend(
                    event.faults.iter().map(|fault| fault.to_string().split(' ').next().map(str::to_owned)),
                );
            }
        }
        // kill (and wipe), freeze, cut off, stop
        assert_eq!(kinds.len(), 4, "{kinds:?}");
    }
}
