//! One run of Alertmanagers: they come about, alerts are posted and silences set, faults befall them, and in the end everybody was
//! told of everything, once.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use alertmanager::RemoteAlertmanagers;
use env::{Scope, SimClock, SimExecutor, SimFs};
use membership::records::{Kind as _, LEASES, NotificationLog};
use membership::{Watcher, WatcherDeps};
use tokio::time::{Instant, sleep, sleep_until};

use super::AlertmanagerMutant;
use super::check::Judge;
use super::faults::{ALL_OVER, Scheduled, Victims, draw, gone};
use super::machines::{Alertmanagers, Machines};
use super::seen::{AlertmanagerStats, Seen};
use super::traffic::{Clients, TENANTS, draw_alerts};
use crate::draw::Draw;
use crate::fleet::Fleet;
use crate::network::{Carries, Network};
use crate::node::Role;
use crate::oracle::Oracle;
use crate::site::{DATA, Process, START_MS, Site};
use crate::trace::{Keep, Trace};
use crate::{logs, panics};

/// How long after the last fault it is looked on.
const HEALS_WITHIN: Duration = Duration::from_secs(45);
const VOTERS: [&str; 3] = ["voter-1", "voter-2", "voter-3"];
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

/// What a run came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlertmanagerOutcome {
    /// Of everything that happened, in order.
    pub hash: u64,
    /// What must not be and was; `None` where all went as promised.
    pub failure: Option<String>,
    /// What was seen.
    pub stats: AlertmanagerStats,
    /// The faults, in order.
    pub faults: Vec<String>,
    /// The story, as far as it was kept.
    pub story: Vec<String>,
}

/// Runs a seed on this thread.
///
/// # Panics
/// Where no runtime can be made.
pub fn run_alertmanagers(options: AlertmanagerOptions) -> AlertmanagerOutcome {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime without I/O needs nothing of the system");
    let executor = SimExecutor::new(Draw::new(options.seed, "executor of alertmanagers").number());
    let trace = {
        let _entered = runtime.enter();
        Trace::new(options.keep)
    };
    let _logs = (options.keep == Keep::Logs).then(|| logs::keep(&trace));
    panics::watch();
    let lived = catch_unwind(AssertUnwindSafe(|| {
        runtime.block_on(executor.clone().run(live(executor, options, trace.clone())))
    }));
    drop(runtime);
    let (hash, _, story) = trace.told();
    let panic = panics::seen().into_iter().next();
    let (failure, stats, faults) = lived.unwrap_or_default();
    AlertmanagerOutcome { hash, failure: failure.or(panic), stats, faults, story }
}

/// What was wrong, what was seen, and what befell them.
type Lived = (Option<String>, AlertmanagerStats, Vec<String>);

async fn live(executor: SimExecutor, options: AlertmanagerOptions, trace: Trace) -> Lived {
    let AlertmanagerOptions { seed, mutant, .. } = options;
    let outside = Scope::simulated_on("outside", &executor);
    let network = Network::new(Carries::Calls, outside.clone(), Draw::new(seed, "network"), trace.clone());
    if let Some(mutant) = mutant {
        network.mislead(move |path, body| mutant.misled(path, body));
    }
    let site = Site {
        seed,
        executor,
        network: network.clone(),
        trace: trace.clone(),
        oracle: Oracle::default(),
        voters: Arc::new(names(VOTERS)),
        mutant: None,
        storage: None,
        max_block_series: 0,
    };
    let voters = Fleet::new(site.clone());
    let clocks = Draw::new(seed, "clocks of alertmanagers");
    let skew = || i64::try_from(clocks.between(0, 600)).unwrap_or(0) - 300;
    for name in VOTERS {
        voters.add(Role::Metastore, name, "", skew());
        voters.start(name);
    }
    let seen = Seen::new(outside.clone(), Draw::new(seed, "receiver"), trace.clone());
    let machines = Machines::new(site.clone(), Alertmanagers { seen: seen.clone(), mutant });
    MACHINES.iter().for_each(|name| machines.add(name, skew()));
    let began = Instant::now();
    let plan = draw(&Draw::new(seed, "faults of alertmanagers"), &names(MACHINES), &names(VOTERS));
    let faults = plan.iter().map(ToString::to_string).collect();
    let victims = Victims { machines: machines.clone(), voters: voters.clone(), network, seen: seen.clone() };
    let failure = play(&site, &plan, &victims, &outside, began).await.err();
    let alerts = draw_alerts(&Draw::new(seed, "alerts"));
    let windows = gone(&plan, &names(MACHINES), &names(VOTERS));
    let facts = seen.facts();
    let judge = Judge { alerts: &alerts, plan: &plan, gone: &windows, facts: &facts, now: seen.now() };
    let (stats, judged) = judge.judge();
    trace.event(format_args!("over: {stats:?}"));
    trace.freeze();
    machines.end();
    voters.end();
    outside.abort();
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
    let said = |error: &dyn std::fmt::Display| error.to_string();
    let dial = process.dial().map_err(|error| said(&error))?;
    let client = process.client(&dial);
    let dir = Path::new(DATA).join("membership");
    env::create_dir_durable(&*process.fs, &dir).map_err(|error| said(&error))?;
    let watch = async |file: &str, prefix: &'static str| {
        let (fs, scope) = (Arc::clone(&process.fs), process.scope.clone());
        let deps = WatcherDeps { fs, path: dir.join(file), scope };
        Watcher::start(client.clone(), vec![prefix.into()], deps).await.map_err(|error| said(&error))
    };
    let log = watch("log", NotificationLog::PREFIX).await?;
    let members = watch("members", LEASES).await?;
    let remote = RemoteAlertmanagers::new(members, dial, Arc::clone(&process.clock));
    Ok((log, Arc::new(remote)))
}

fn names(names: [&str; 3]) -> Vec<String> {
    names.map(str::to_owned).to_vec()
}
