//! Which faults a run has, drawn from its seed.

use std::time::Duration;

use super::{Fault, Rollout, storage};
use crate::draw::Draw;
use crate::fleet::Crash;
use crate::network::Weather;
use crate::node::Role;
use crate::site::Variant;

/// The cluster has come about by then.
pub(super) const FIRST: Duration = Duration::from_secs(6);
/// No fault begins later.
pub(super) const LAST: Duration = Duration::from_secs(36);
/// No fault ends later, but for what takes time to end.
pub(crate) const ALL_OVER: Duration = Duration::from_secs(46);
/// So many series are never divided.
pub(crate) const UNDIVIDED: u64 = 4_000_000;
/// Clocks are wrong by so much less where windows of two hours are as short as here.
const LESS_SKEW: i64 = 100;
/// How long one zone that is away and another that is hit keep the cluster busy.
const PAIR_LENGTH: Duration = Duration::from_secs(18);

/// The zones of ingesters.
pub(crate) const ZONES: [&str; 3] = ["a", "b", "c"];

/// The machines of a run, by what they are.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    /// Zone by zone.
    pub(crate) ingesters: Vec<Vec<String>>,
    /// One of each zone that is not part of the cluster yet.
    pub(crate) spares: Vec<String>,
    pub(crate) distributors: Vec<String>,
    pub(crate) queriers: Vec<String>,
    pub(crate) voters: Vec<String>,
    /// None where there is no bucket.
    pub(crate) compactors: Vec<String>,
    /// How many series a block is to have at most.
    pub(crate) max_block_series: u64,
}

/// What a seed is drawn from: each from numbers of its own, so that what one is asked for changes nothing of the others.
pub(crate) struct Draws {
    pub(crate) faults: Draw,
    pub(crate) of_voters: Draw,
    pub(crate) of_bucket: Draw,
}

impl Layout {
    /// The cluster of a seed, with a bucket or without.
    pub(crate) fn draw(draw: &Draw, of_bucket: &Draw, has_bucket: bool) -> Self {
        let per_zone = draw.between(1, 2);
        let zone = |zone: &str| (1..=per_zone).map(|number| format!("ingester-{zone}{number}")).collect();
        let several = |name: &str, count: u64| (1..=count).map(|number| format!("{name}-{number}")).collect();
        Self {
            ingesters: ZONES.into_iter().map(zone).collect(),
            spares: ZONES.map(|zone| format!("ingester-{zone}{}", per_zone + 1)).to_vec(),
            distributors: several("distributor", 2),
            queriers: several("querier", 2),
            voters: several("metastore", 3),
            compactors: several("compactor", if has_bucket { 2 } else { 0 }),
            max_block_series: [UNDIVIDED, 12, 5][usize::try_from(of_bucket.between(0, 2)).unwrap_or(0)],
        }
    }

    /// Whether there is a bucket.
    pub(crate) fn has_bucket(&self) -> bool {
        !self.compactors.is_empty()
    }

    /// All machines.
    pub(crate) fn all(&self) -> Vec<String> {
        let others = [&self.spares, &self.distributors, &self.queriers, &self.voters, &self.compactors];
        self.ingesters.iter().chain(others).flatten().cloned().collect()
    }

    fn ingester(&self, draw: &Draw) -> String {
        draw.one(&self.ingesters).and_then(|zone| draw.one(zone)).cloned().unwrap_or_default()
    }
}

/// A fault with its time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Scheduled {
    pub(crate) begins: Duration,
    pub(crate) ends: Duration,
    pub(crate) fault: Fault,
}

/// The faults of a run.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) faults: Vec<Scheduled>,
}

impl Plan {
    /// Whether clients will write many series at once.
    pub(crate) fn has_burst(&self) -> bool {
        self.faults.iter().any(|scheduled| matches!(scheduled.fault, Fault::Overload { .. }))
    }

    /// The faults of a seed: what befalls everybody, and by drawings of their own what befalls voters, and the bucket.
    pub(crate) fn draw(draws: &Draws, layout: &Layout) -> Self {
        let Draws { faults: draw, of_voters, of_bucket } = draws;
        // What was only on the disks of two zones is lost in earnest when both are; so disks of one zone alone are lost.
        let unlucky = draw.one(&layout.ingesters).cloned().unwrap_or_default();
        let faults = (0..draw.between(1, 6)).map(|_| {
            let begins = draw.time(FIRST, LAST);
            let lasts = draw.time(Duration::from_millis(300), Duration::from_secs(12));
            Scheduled { begins, ends: (begins + lasts).min(ALL_OVER), fault: fault(draw, layout, &unlucky) }
        });
        let mut faults: Vec<_> = faults.collect();
        let pairs = if draw.chance(700) { draw.between(1, 2) } else { 0 };
        for number in 0..pairs {
            let begins = FIRST + PAIR_LENGTH * u32::try_from(number).unwrap_or(0);
            faults.extend(one_away_and_one_hit(draw, layout, &unlucky, begins));
        }
        if draw.chance(250) {
            faults.extend(change_of_machines(draw, layout));
        }
        if draw.chance(150) {
            faults.push(roll_out(draw));
        }
        if of_voters.chance(200) {
            faults.push(replaced_voter(of_voters, layout));
        }
        if layout.has_bucket() {
            faults.iter_mut().for_each(|scheduled| scheduled.fault.suit_short_windows());
            faults.extend(storage::faults(of_bucket, layout));
        }
        Self { faults }
    }
}

/// A zone is away for a while, and misses what is written; meanwhile, or a little later, something befalls another. What the
/// two have between them is what quorums are for.
fn one_away_and_one_hit(draw: &Draw, layout: &Layout, unlucky: &[String], first: Duration) -> Vec<Scheduled> {
    let others: Vec<&Vec<String>> = layout.ingesters.iter().filter(|zone| *zone != unlucky).collect();
    let begins = draw.time(first, first + Duration::from_secs(4));
    let lasts = draw.time(Duration::from_secs(5), Duration::from_secs(10));
    let by_crash = draw.chance(500).then(|| crash(draw));
    let away = draw.one(&others).into_iter().copied().flatten().map(|machine| {
        let machine = machine.clone();
        let fault = match by_crash {
            Some(crash) => Fault::Crash { machine, crash },
            None => Fault::Isolate { machine },
        };
        Scheduled { begins, ends: begins + lasts, fault }
    });
    let hit_at = begins + draw.time(Duration::from_secs(3), lasts + Duration::from_secs(3));
    let hit_for = draw.time(Duration::from_millis(300), Duration::from_secs(3));
    let machine = draw.one(unlucky).cloned().unwrap_or_default();
    let fault = match draw.between(0, 99) {
        0..=34 => Fault::Crash { machine, crash: crash(draw) },
        35..=49 => Fault::Wipe { machine },
        50..=69 => Fault::Rot { machine, seed: draw.number() },
        70..=74 => Fault::Misdirect { machine, seed: draw.number() },
        75..=84 => Fault::Restart { machine },
        _ => Fault::Leave { machine },
    };
    away.chain([Scheduled { begins: hit_at, ends: (hit_at + hit_for).min(ALL_OVER), fault }]).collect()
}

/// Machines join, and others leave for good, at about the same time.
fn change_of_machines(draw: &Draw, layout: &Layout) -> Vec<Scheduled> {
    let begins = draw.time(FIRST, LAST);
    let mut faults = Vec::new();
    for (zone, spare) in layout.ingesters.iter().zip(&layout.spares) {
        let at = |after| begins + draw.time(Duration::ZERO, after);
        if draw.chance(700) {
            let begins = at(Duration::from_secs(4));
            faults.push(Scheduled {
                begins,
                ends: begins,
                fault: Fault::Commission { machine: spare.clone() },
            });
        }
        if draw.chance(400)
            && let Some(machine) = draw.one(zone).cloned()
        {
            let begins = at(Duration::from_secs(16));
            faults.push(Scheduled { begins, ends: begins, fault: Fault::Retire { machine } });
        }
    }
    faults
}

/// All machines of a role are restarted, one after the other.
fn roll_out(draw: &Draw) -> Scheduled {
    let role = match draw.between(0, 9) {
        0..=4 => Role::Ingester,
        5 | 6 => Role::Metastore,
        7 => Role::Distributor,
        _ => Role::Querier,
    };
    let what = match draw.between(0, 2) {
        0 => Rollout::Nothing,
        1 => Rollout::Configuration(Variant(draw.number())),
        _ => Rollout::Version,
    };
    let begins = draw.time(FIRST, LAST);
    Scheduled { begins, ends: begins, fault: Fault::Rollout { role, what } }
}

/// A voter of the metastore gets an empty disk, and has to be taken in again under the name it had. One in a run: what was only on
/// the disks of two of three is lost in earnest when both are.
fn replaced_voter(draw: &Draw, layout: &Layout) -> Scheduled {
    let begins = draw.time(FIRST, LAST);
    let lasts = draw.time(Duration::from_millis(300), Duration::from_secs(8));
    let machine = draw.one(&layout.voters).cloned().unwrap_or_default();
    Scheduled { begins, ends: (begins + lasts).min(ALL_OVER), fault: Fault::Wipe { machine } }
}

impl Fault {
    /// Makes a fault as much smaller as windows are shorter in a run with a bucket, where their length matters.
    fn suit_short_windows(&mut self) {
        if let Self::Clock { skew_ms, .. } = self {
            *skew_ms /= LESS_SKEW;
        }
    }
}

fn fault(draw: &Draw, layout: &Layout, unlucky: &[String]) -> Fault {
    let all = layout.all();
    let any = || draw.one(&all).cloned().unwrap_or_default();
    let front = || {
        let of = if draw.chance(700) { &layout.distributors } else { &layout.queriers };
        draw.one(of).cloned().unwrap_or_default()
    };
    let unlucky = || draw.one(unlucky).cloned().unwrap_or_default();
    match draw.between(0, 99) {
        0..=14 => Fault::Crash { machine: layout.ingester(draw), crash: crash(draw) },
        15..=21 => Fault::Crash { machine: any(), crash: crash(draw) },
        22..=28 => Fault::Cut { from: any(), to: any() },
        29..=35 => Fault::Isolate { machine: any() },
        36..=42 => Fault::Storm { weather: weather(draw) },
        43..=48 => Fault::Restart { machine: any() },
        49..=53 => Fault::Wipe { machine: unlucky() },
        54..=57 => Fault::Rot { machine: unlucky(), seed: draw.number() },
        58..=60 => Fault::Misdirect { machine: unlucky(), seed: draw.number() },
        61..=65 => Fault::Leave { machine: layout.ingester(draw) },
        66..=70 => Fault::SlowDisk {
            machine: layout.ingester(draw),
            longest: draw.time(Duration::from_millis(50), Duration::from_secs(3)),
        },
        71..=74 => Fault::FullDisk { machine: layout.ingester(draw) },
        75..=77 => Fault::FailedSync { machine: layout.ingester(draw) },
        78..=82 => {
            let by_ms = i64::try_from(draw.between(100, 120_000)).unwrap_or(0);
            Fault::Clock { machine: any(), skew_ms: if draw.chance(500) { by_ms } else { -by_ms } }
        }
        83..=86 => Fault::Standstill { machine: any() },
        87..=91 => Fault::Standstill { machine: front() },
        92..=96 => Fault::NoMetastore { machine: front() },
        _ => Fault::Overload { seed: draw.number() },
    }
}

pub(super) fn crash(draw: &Draw) -> Crash {
    match draw.between(0, 2) {
        0 => Crash::Killed,
        1 => Crash::PowerLost,
        _ => Crash::Torn,
    }
}

fn weather(draw: &Draw) -> Weather {
    Weather {
        usual_delay: draw.time(Duration::from_millis(1), Duration::from_millis(60)),
        longest_delay: draw.time(Duration::from_millis(100), Duration::from_secs(3)),
        late: draw.between(0, 200),
        lost: draw.between(0, 60),
        twice: draw.between(0, 100),
    }
}
