//! Which faults a run has, drawn from its seed.

use std::time::Duration;

use super::Fault;
use crate::draw::Draw;
use crate::fleet::Crash;
use crate::network::Weather;

/// The cluster has come about by then.
const FIRST: Duration = Duration::from_secs(6);
/// No fault begins later.
const LAST: Duration = Duration::from_secs(40);
/// No fault ends later, but for what takes time to end.
pub(crate) const ALL_OVER: Duration = Duration::from_secs(50);

/// The machines of a run, by what they are.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    /// Zone by zone.
    pub(crate) ingesters: Vec<Vec<String>>,
    pub(crate) distributors: Vec<String>,
    pub(crate) queriers: Vec<String>,
    pub(crate) voters: Vec<String>,
}

impl Layout {
    /// The cluster of a seed.
    pub(crate) fn draw(draw: &Draw) -> Self {
        let per_zone = draw.between(1, 2);
        let zone = |zone: &str| (1..=per_zone).map(|number| format!("ingester-{zone}{number}")).collect();
        let several = |name: &str, count: u64| (1..=count).map(|number| format!("{name}-{number}")).collect();
        Self {
            ingesters: ["a", "b", "c"].into_iter().map(zone).collect(),
            distributors: several("distributor", 2),
            queriers: several("querier", 2),
            voters: several("metastore", 3),
        }
    }

    /// All machines.
    pub(crate) fn all(&self) -> Vec<String> {
        let others = [&self.distributors, &self.queriers, &self.voters];
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
    /// The faults of a seed.
    pub(crate) fn draw(draw: &Draw, layout: &Layout) -> Self {
        // What was only on the disks of two zones is lost in earnest when both are; so disks of one zone alone are lost.
        let unlucky = draw.one(&layout.ingesters).cloned().unwrap_or_default();
        let faults = (0..draw.between(2, 9)).map(|_| {
            let begins = draw.time(FIRST, LAST);
            let lasts = draw.time(Duration::from_millis(300), Duration::from_secs(14));
            Scheduled { begins, ends: (begins + lasts).min(ALL_OVER), fault: fault(draw, layout, &unlucky) }
        });
        let mut faults: Vec<_> = faults.collect();
        if draw.chance(600) {
            faults.extend(one_away_and_one_hit(draw, layout, &unlucky));
        }
        Self { faults }
    }
}

/// A zone is away for a while, and misses what is written; meanwhile, or a little later, something befalls another. What the
/// two have between them is what quorums are for.
fn one_away_and_one_hit(draw: &Draw, layout: &Layout, unlucky: &[String]) -> Vec<Scheduled> {
    let others: Vec<&Vec<String>> = layout.ingesters.iter().filter(|zone| *zone != unlucky).collect();
    let begins = draw.time(FIRST, LAST / 2);
    let lasts = draw.time(Duration::from_secs(5), Duration::from_secs(12));
    let by_crash = draw.chance(500).then(|| crash(draw));
    let away = draw.one(&others).into_iter().copied().flatten().map(|machine| {
        let machine = machine.clone();
        let fault = match by_crash {
            Some(crash) => Fault::Crash { machine, crash },
            None => Fault::Isolate { machine },
        };
        Scheduled { begins, ends: begins + lasts, fault }
    });
    let hit_at = begins + draw.time(Duration::from_secs(3), lasts + Duration::from_secs(4));
    let hit_for = draw.time(Duration::from_millis(300), Duration::from_secs(3));
    let machine = draw.one(unlucky).cloned().unwrap_or_default();
    let fault = match draw.between(0, 5) {
        0 | 1 => Fault::Crash { machine, crash: crash(draw) },
        2 => Fault::Wipe { machine },
        3 => Fault::Rot { machine, seed: draw.number() },
        4 => Fault::Restart { machine },
        _ => Fault::Leave { machine },
    };
    away.chain([Scheduled { begins: hit_at, ends: (hit_at + hit_for).min(ALL_OVER), fault }]).collect()
}

fn fault(draw: &Draw, layout: &Layout, unlucky: &[String]) -> Fault {
    let all = layout.all();
    let any = || draw.one(&all).cloned().unwrap_or_default();
    let unlucky = || draw.one(unlucky).cloned().unwrap_or_default();
    match draw.between(0, 99) {
        0..=19 => Fault::Crash { machine: layout.ingester(draw), crash: crash(draw) },
        20..=27 => Fault::Crash { machine: any(), crash: crash(draw) },
        28..=37 => Fault::Cut { from: any(), to: any() },
        38..=47 => Fault::Isolate { machine: any() },
        48..=57 => Fault::Storm { weather: weather(draw) },
        58..=65 => Fault::Restart { machine: any() },
        66..=71 => Fault::Wipe { machine: unlucky() },
        72..=76 => Fault::Rot { machine: unlucky(), seed: draw.number() },
        77..=82 => Fault::Leave { machine: layout.ingester(draw) },
        83..=87 => Fault::SlowDisk {
            machine: layout.ingester(draw),
            longest: draw.time(Duration::from_millis(50), Duration::from_secs(3)),
        },
        88..=91 => Fault::FullDisk { machine: layout.ingester(draw) },
        92..=94 => Fault::FailedSync { machine: layout.ingester(draw) },
        _ => {
            let by_ms = i64::try_from(draw.between(100, 120_000)).unwrap_or(0);
            Fault::Clock { machine: any(), skew_ms: if draw.chance(500) { by_ms } else { -by_ms } }
        }
    }
}

fn crash(draw: &Draw) -> Crash {
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
