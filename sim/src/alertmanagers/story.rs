//! One run of Alertmanagers: they come about, alerts are posted and silences set, faults befall them, and in the end everybody was
//! told of everything, once.

use std::sync::Arc;
use std::time::Duration;

use alertmanager::RemoteAlertmanagers;
use env::{Scope, SimClock, SimExecutor, SimFs};
use membership::Watcher;
use membership::records::{Kind as _, LEASES, NotificationLog};
use tokio::time::{Instant, sleep, sleep_until};

use super::AlertmanagerMutant;
use super::apart::Apart;
use super::check::Judge;
use super::faults::{ALL_OVER, Scheduled, Victims, draw, gone};
use super::machines::{Alertmanagers, Machines};
use super::seen::{AlertmanagerStats, Seen};
use super::traffic::{Clients, TENANTS, draw_alerts};
use crate::draw::Draw;
use crate::site::{Process, START_MS, Site};
use crate::stage::{self, Member, RoleLived, RoleOutcome, Stage, VOTERS, names};
use crate::trace::{Keep, Trace};

/// How long after the last fault it is looked on.
const HEALS_WITHIN: Duration = Duration::from_secs(45);
const MACHINES: [&str; 3] = ["am-1", "am-2", "am-3"];

/// Which run.
#[derive(Debug, Clone, Copy)]
pub struct AlertmanagerOptions {
    /// What everything is drawn from.
    pub seed: u64,
    /// What is built wrong.
    pub mutant: Option<AlertmanagerMutant>,
    /// What is kept of the story.
    pub keep: Keep,
}

/// Runs a seed on this thread.
///
/// # Panics
/// Where no runtime can be made.
pub fn run_alertmanagers(options: AlertmanagerOptions) -> RoleOutcome<AlertmanagerStats> {
    let from = (options.seed, "executor of alertmanagers");
    stage::play(from, options.keep, |executor, trace| live(executor, options, trace)).into()
}

async fn live(
    executor: SimExecutor,
    options: AlertmanagerOptions,
    trace: Trace,
) -> RoleLived<AlertmanagerStats> {
    let AlertmanagerOptions { seed, mutant, .. } = options;
    let stage = Stage::new(seed, executor, &trace, "clocks of alertmanagers");
    if let Some(mutant) = mutant {
        stage.network.mislead(move |path, body| mutant.misled(path, body));
    }
    let seen = Seen::new(stage.outside.clone(), Draw::new(seed, "receiver"), trace.clone());
    let machines = Machines::new(stage.site.clone(), Alertmanagers { seen: seen.clone(), mutant });
    MACHINES.iter().for_each(|name| machines.add(name, stage.skew_ms()));
    let began = Instant::now();
    let plan = draw(&Draw::new(seed, "faults of alertmanagers"), &names(MACHINES), &names(VOTERS));
    let faults = plan.iter().map(ToString::to_string).collect();
    let victims = Victims {
        machines: machines.clone(),
        voters: stage.voters.clone(),
        network: stage.network.clone(),
        seen: seen.clone(),
    };
    let failure = play(&stage.site, &plan, &victims, &stage.outside, began).await.err();
    let alerts = draw_alerts(&Draw::new(seed, "alerts"));
    let windows = gone(&plan, &names(MACHINES), &names(VOTERS));
    let facts = seen.facts();
    let judge =
        Judge { alerts: &alerts, apart: Apart(&plan), gone: &windows, facts: &facts, now: seen.now() };
    let (stats, judged) = judge.judge();
    trace.event(format_args!("over: {stats:?}"));
    trace.freeze();
    seen.end();
    machines.end();
    stage.voters.end();
    stage.outside.abort();
    (failure.or(judged.err()), stats, faults)
}

async fn play(
    site: &Site,
    plan: &[Scheduled],
    victims: &Victims,
    outside: &Scope,
    began: Instant,
) -> Result<(), String> {
    let (log, remote) = beside(site, outside).await?;
    drop(outside.spawn("audit", victims.seen.clone().audit(log)));
    let alerts = draw_alerts(&Draw::new(site.seed, "alerts"));
    for tenant in 0..TENANTS {
        let name = format!("t{tenant}");
        let clients = |what: &str| Clients {
            machines: victims.machines.clone(),
            names: Arc::new(names(MACHINES)),
            remote: Arc::clone(&remote),
            seen: victims.seen.clone(),
            draw: Draw::new(site.seed, &format!("{what} of {name}")),
        };
        let own = alerts.iter().filter(|alert| alert.tenant == name).cloned().collect();
        drop(outside.spawn("alerts", clients("posts").post(tenant, own)));
        drop(outside.spawn("silences", clients("silences").silence(tenant)));
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
    if down.is_empty() { Ok(()) } else { Err(format!("not started: {}", down.join(", "))) }
}

/// What stands beside: whoever looks at the notification log of the metastore, and the Alertmanagers as rulers see them. No
/// fault befalls it.
async fn beside(site: &Site, outside: &Scope) -> Result<(Watcher, Arc<RemoteAlertmanagers>), String> {
    let fs = SimFs::new(Draw::new(site.seed, "disk beside").number());
    let drawn = (Draw::new(site.seed, "beside"), Arc::new(fs) as _);
    let clock = Arc::new(SimClock::new(START_MS, 0));
    let process = Process::new(site, ("beside", ""), outside.child("beside"), clock, drawn);
    let member = Member::new(&process)?;
    let log = member.watch("log", vec![NotificationLog::PREFIX.into()]).await?;
    let members = member.watch("members", vec![LEASES.into()]).await?;
    let remote = RemoteAlertmanagers::new(members, member.dial, Arc::clone(&process.clock));
    Ok((log, Arc::new(remote)))
}
