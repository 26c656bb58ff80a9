//! One run of rulers: they come about, rules are set, faults befall them, and in the end everything was recorded, once.

use std::time::Duration;

use env::{Scope, SimClock, SimExecutor};
use tokio::time::{Instant, sleep, sleep_until};

use super::RulerMutant;
use super::faults::{ALL_OVER, Fault, Scheduled, Victims, draw, gone};
use super::machines::{Machines, Rulers};
use super::seen::{RulerStats, Seen};
use crate::draw::Draw;
use crate::site::START_MS;
use crate::stage::{self, RoleLived, RoleOutcome, Stage, VOTERS, names};
use crate::trace::{Keep, Trace};

/// How many groups there are, and how often they are evaluated.
const GROUPS: usize = 6;
const INTERVAL_MS: i64 = 2_000;
/// Within this time after the last fault every group is evaluated on time.
const HEALS_WITHIN: Duration = Duration::from_secs(40);
/// Within this time after the start rules are set.
const SET_WITHIN: Duration = Duration::from_secs(12);
const RULERS: [&str; 3] = ["ruler-1", "ruler-2", "ruler-3"];

/// Which run.
#[derive(Debug, Clone, Copy)]
pub struct RulerOptions {
    /// What everything is drawn from.
    pub seed: u64,
    /// What is built wrong.
    pub mutant: Option<RulerMutant>,
    /// What is kept of the story.
    pub keep: Keep,
}

/// Runs a seed on this thread.
///
/// # Panics
/// Where no runtime can be made.
pub fn run_rulers(options: RulerOptions) -> RoleOutcome<RulerStats> {
    let from = (options.seed, "executor of rulers");
    stage::play(from, options.keep, |executor, trace| live(executor, options, trace)).into()
}

async fn live(executor: SimExecutor, options: RulerOptions, trace: Trace) -> RoleLived<RulerStats> {
    let RulerOptions { seed, mutant, .. } = options;
    let stage = Stage::new(seed, executor, &trace, "clocks of rulers");
    let seen = Seen::new(SimClock::new(START_MS, 0), stage.outside.clone(), Draw::new(seed, "storage"));
    let machines = Machines::new(stage.site.clone(), Rulers { seen: seen.clone(), mutant });
    RULERS.iter().for_each(|name| machines.add(name, stage.skew_ms()));
    let began = Instant::now();
    let plan = draw(&Draw::new(seed, "faults of rulers"), &names(RULERS), &names(VOTERS));
    let faults = plan.iter().map(ToString::to_string).collect();
    let victims =
        Victims { machines: machines.clone(), voters: stage.voters.clone(), network: stage.network.clone() };
    let failure = play(&plan, &victims, &seen, &stage.outside, began).await.err();
    let stats = Checked::of(&plan, &seen).stats;
    trace.event(format_args!("over: {stats:?}"));
    trace.freeze();
    machines.end();
    stage.voters.end();
    (failure, stats, faults)
}

async fn play(
    plan: &[Scheduled],
    victims: &Victims,
    seen: &Seen,
    outside: &Scope,
    began: Instant,
) -> Result<(), String> {
    let groups: Vec<String> = (0..GROUPS).map(|n| format!("g{n}")).collect();
    for (group, ruler) in groups.iter().zip(RULERS.iter().cycle()) {
        while set(&victims.machines, ruler, text(group)).await != Some(202) {
            sleep(Duration::from_millis(200)).await;
            if began.elapsed() > SET_WITHIN {
                return Err(format!("{group} was not set at {ruler} within {SET_WITHIN:?}"));
            }
        }
    }
    let under_way: Vec<_> = plan
        .iter()
        .map(|scheduled| outside.spawn("fault", victims.clone().befall(scheduled.clone(), began)))
        .collect();
    sleep_until(began + ALL_OVER).await;
    for fault in under_way {
        // None of them is ever aborted.
        let _ = fault.await;
    }
    sleep(HEALS_WITHIN).await;
    let down = victims.machines.down();
    if !down.is_empty() {
        return Err(format!("not started: {}", down.join(", ")));
    }
    match seen.violation() {
        Some(violation) => Err(violation),
        None => {
            Checked::of(plan, seen).result?;
            seen.check_alerts(&groups)
        }
    }
}

/// Sets a group of rules at a machine; the status of the answer, if there is one.
async fn set(machines: &Machines, name: &str, group: String) -> Option<u16> {
    let (running, _) = machines.running(name)?;
    running.set(group).await
}

fn text(name: &str) -> String {
    format!(
        "name: {name}\ninterval: {INTERVAL_MS}ms\nrules:\n- record: recorded\n  expr: vector(time())\n  labels: {{of: {name}}}\n\
         - alert: Always\n  expr: vector(1)\n  for: 5s\n  labels: {{of: {name}}}\n"
    )
}

/// Whether everything was recorded, and once.
struct Checked {
    stats: RulerStats,
    result: Result<(), String>,
}

impl Checked {
    fn of(plan: &[Scheduled], seen: &Seen) -> Self {
        let now_ms = seen.now_ms();
        let windows = gone(plan, &names(RULERS), &names(VOTERS));
        let deaths = plan.iter().filter(|scheduled| {
            matches!(scheduled.fault, Fault::Kill(_) | Fault::StandStill(_) | Fault::Stop(_))
        });
        let deaths = deaths.count() as u64;
        let (mut stats, mut result) = (seen.stats(), Ok(()));
        for group in (0..GROUPS).map(|n| format!("g{n}")) {
            let times = seen.times(&group);
            let (Some((first, _)), Some((last, _))) = (times.first_key_value(), times.last_key_value())
            else {
                result = Err(format!("{group} was never recorded"));
                continue;
            };
            let expected = u64::try_from((last - first) / INTERVAL_MS + 1).unwrap_or(0);
            let missing = expected.saturating_sub(times.len() as u64);
            stats.missing += missing;
            let off = times.keys().find(|at_ms| (**at_ms - first) % INTERVAL_MS != 0);
            if let Some(at_ms) = off {
                result = Err(format!("{group} was recorded at {at_ms}, which is none of its times"));
            }
            if missing > deaths {
                result =
                    Err(format!("{group} has {missing} gaps, and rulers were taken away {deaths} times"));
            }
            if last + 3 * INTERVAL_MS < now_ms {
                result =
                    Err(format!("{group} has no owner: it was recorded last at {last}, and it is {now_ms}"));
            }
            let mut before = None;
            for (at_ms, by) in &times {
                stats.moved += u64::from(before.is_some_and(|before| before != by));
                before = Some(by);
                let since = Duration::from_millis((at_ms - START_MS).unsigned_abs());
                let allowed = windows.iter().any(|(from, to)| (*from..*to).contains(&since));
                if by.len() > 1 && !allowed {
                    result = Err(format!("{group} was evaluated at {since:?} by {by:?}"));
                }
            }
        }
        Self { stats, result }
    }
}
