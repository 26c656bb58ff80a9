//! One run: a cluster comes about, clients use it, faults befall it, and in the end it has to be whole.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use env::{Clock as _, Scope, SimClock, SimExecutor, SimFs};
use tokio::time::Instant;

use crate::bounds::Bounds;
use crate::clients::{Clients, row};
use crate::draw::Draw;
use crate::fault::{Draws, Layout, Plan, UNDIVIDED, Victims, ZONES};
use crate::fleet::Fleet;
use crate::mutant::Mutant;
use crate::network::Network;
use crate::node::Role;
use crate::oracle::Oracle;
use crate::registers::Registers;
use crate::site::{Process, START_MS, Site};
use crate::storage::{self, Storage};
use crate::trace::Trace;
use crate::{Options, Stats};

/// Within this time after the last fault everything has started, every write is taken and every question answered.
pub const HEALS_WITHIN: Duration = Duration::from_secs(60);
/// Within this time after the last write everything is in the bucket, once: as long as it takes to cut again what could not be
/// cut, to ship what could not be shipped, to merge, and to delete what was merged.
pub(crate) const SETTLES_WITHIN: Duration = Duration::from_secs(180);
/// How often it is looked whether that is so.
const LOOK_AT_BUCKET_EVERY: Duration = Duration::from_secs(2);
/// How often it is looked whether everything is whole.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// The tenants.
const TENANTS: [&str; 2] = ["red", "blue"];
/// Series of one who writes.
const SERIES: u32 = 5;
/// Zones take turns to answer, so that so many questions are answered by every two of them.
const PAIRS_OF_ZONES: usize = 3;
/// The number of a series that is written at the end.
const LAST_SERIES: u32 = 1000;

/// What a run came to.
pub(crate) struct Lived {
    /// What must not be and was.
    pub(crate) failure: Option<String>,
    pub(crate) stats: Stats,
    /// The faults, in the order of the plan.
    pub(crate) faults: Vec<String>,
    /// What still runs, to be ended.
    pub(crate) fleet: Fleet,
}

/// Lives through the run of a seed.
pub(crate) async fn live(executor: SimExecutor, options: &Options, trace: Trace) -> Lived {
    let seed = options.seed;
    let of_bucket = Draw::new(seed, "bucket");
    let has_bucket = storage::is_in_run(seed) || options.mutant.is_some_and(Mutant::is_of_bucket);
    let layout = Layout::draw(&Draw::new(seed, "layout"), &of_bucket, has_bucket);
    let (faults, of_voters) = (Draw::new(seed, "faults"), Draw::new(seed, "faults of voters"));
    let plan = Plan::draw(&Draws { faults, of_voters, of_bucket }, &layout);
    let outside = Scope::simulated_on("outside", &executor);
    let network = Network::new(options.carries, outside.clone(), Draw::new(seed, "network"), trace.clone());
    let oracle = Oracle::default();
    let storage = layout
        .has_bucket()
        .then(|| Storage::new(Draw::new(seed, "way to the bucket"), trace.clone(), oracle.clone()));
    let site = Site {
        seed,
        executor,
        network: network.clone(),
        trace: trace.clone(),
        oracle,
        voters: Arc::new(layout.voters.clone()),
        mutant: options.mutant,
        storage: storage.clone(),
        // The series of a burst would be hundreds of parts.
        max_block_series: if plan.has_burst() { UNDIVIDED } else { layout.max_block_series },
    };
    let fleet = Fleet::new(site.clone());
    populate(&fleet, &layout, &Draw::new(seed, "clocks"));
    let clients = Clients {
        fleet: fleet.clone(),
        oracle: site.oracle.clone(),
        trace: trace.clone(),
        clock: SimClock::new(START_MS, 0),
        scope: outside.clone(),
        stop: Arc::default(),
        stop_writing: Arc::default(),
    };
    for tenant in TENANTS {
        if layout.has_bucket() {
            clients.start_passing_writer(tenant, Draw::new(seed, &format!("passing writer {tenant}")));
        }
        for first in [0, SERIES] {
            let draw = Draw::new(seed, &format!("writer {tenant} {first}"));
            clients.start_writer(tenant, first..first + SERIES, draw);
        }
        clients.start_reader(tenant, Draw::new(seed, &format!("reader {tenant}")));
    }
    let registers = use_registers(&site, &clients);
    Bounds::of(&fleet, &site.oracle).watch(&outside);
    let (machines, voters) = (layout.all(), layout.voters.clone());
    let victims =
        Victims { fleet, network, trace: trace.clone(), clients: clients.clone(), machines, voters, storage };
    befall(&plan, options, &victims, &outside).await;
    trace.event(format_args!("all faults are over"));
    let failure = match clients.oracle.violation() {
        Some(violation) => Some(violation.0),
        None => recover(&clients, &layout, victims.storage.as_ref()).await.err(),
    };
    let failure = failure.or(registers.check().err().map(|violation| violation.0));
    clients.stop.store(true, Ordering::Relaxed);
    let stats = clients.oracle.stats();
    let faults = plan.faults.iter().map(|scheduled| {
        let (begins, ends) = (scheduled.begins.as_secs_f64(), scheduled.ends.as_secs_f64());
        format!("{begins:.3}s to {ends:.3}s: {}", scheduled.fault)
    });
    Lived { failure, stats, faults: faults.collect(), fleet: clients.fleet }
}

/// Lets clients of the metastore use a register.
fn use_registers(site: &Site, clients: &Clients) -> Registers {
    let registers = Registers::default();
    for number in 1..=2 {
        let name = format!("client-{number}");
        let (clock, draw) = (Arc::new(SimClock::new(START_MS, 0)), Draw::new(site.seed, &name));
        let scope = clients.scope.clone();
        let process =
            Process::new(site, (&name, ""), scope.clone(), clock, (draw.clone(), Arc::new(SimFs::new(0))));
        let Ok(dial) = process.dial() else { continue };
        let (stop, trace) = (Arc::clone(&clients.stop), site.trace.clone());
        registers.start(number, process.client(&dial), draw, &scope, stop, trace);
    }
    registers
}

/// Sets up the machines and starts them.
fn populate(fleet: &Fleet, layout: &Layout, draw: &Draw) {
    let less = if layout.has_bucket() { 4 } else { 1 };
    let skew = || (i64::try_from(draw.between(0, 4_000)).unwrap_or(0) - 2_000) / less;
    for name in &layout.voters {
        fleet.add(Role::Metastore, name, "", skew());
    }
    for (zone, names) in ZONES.into_iter().zip(&layout.ingesters) {
        for name in names {
            fleet.add(Role::Ingester, name, zone, skew());
        }
    }
    for (zone, name) in ZONES.into_iter().zip(&layout.spares) {
        fleet.add(Role::Ingester, name, zone, skew());
        fleet.retire(name);
    }
    for name in &layout.distributors {
        fleet.add(Role::Distributor, name, "", skew());
    }
    for name in &layout.queriers {
        fleet.add(Role::Querier, name, "", skew());
    }
    for name in &layout.compactors {
        fleet.add(Role::Compactor, name, "", skew());
    }
    for name in layout.all() {
        fleet.start(&name);
    }
}

/// Lets the faults of the plan happen, but for those that are left out, and returns when all are over.
async fn befall(plan: &Plan, options: &Options, victims: &Victims, outside: &Scope) {
    let began = Instant::now();
    let mut under_way = Vec::new();
    for (number, scheduled) in plan.faults.iter().enumerate() {
        if options.without.contains(&number) {
            continue;
        }
        let (scheduled, victims) = (scheduled.clone(), victims.clone());
        under_way.push(outside.spawn("fault", async move {
            tokio::time::sleep_until(began + scheduled.begins).await;
            victims.trace.event(format_args!("FAULT {number}: {}", scheduled.fault));
            scheduled.fault.begin(&victims).await;
            tokio::time::sleep_until(began + scheduled.ends).await;
            victims.trace.event(format_args!("over {number}: {}", scheduled.fault));
            scheduled.fault.end(&victims);
        }));
    }
    tokio::time::sleep_until(began + crate::fault::ALL_OVER).await;
    for fault in under_way {
        // None of them is ever aborted.
        let _ = fault.await;
    }
}

/// Waits until everything is whole, and then until the bucket has all there is.
async fn recover(clients: &Clients, layout: &Layout, storage: Option<&Storage>) -> Result<(), String> {
    heal(clients, layout).await?;
    match storage {
        Some(storage) => settle(clients, layout, storage).await,
        None => Ok(()),
    }
}

/// Writes nothing more, and waits until everything is in the bucket once; what is not after [`SETTLES_WITHIN`]. Then everything is
/// answered as it was.
async fn settle(clients: &Clients, layout: &Layout, storage: &Storage) -> Result<(), String> {
    clients.trace.event(format_args!("nothing more is written"));
    clients.stop_writing.store(true, Ordering::Relaxed);
    let until = Instant::now() + SETTLES_WITHIN;
    loop {
        let settled = is_settled(clients, storage).await;
        if let Some(violation) = clients.oracle.violation() {
            return Err(violation.0);
        }
        match settled {
            Ok(()) => break,
            Err(why) if Instant::now() >= until => {
                return Err(format!("not settled {SETTLES_WITHIN:?} after the last write: {why}"));
            }
            Err(_) => tokio::time::sleep(LOOK_AT_BUCKET_EVERY).await,
        }
    }
    clients.trace.event(format_args!("the bucket has all there is"));
    answers_everything(clients, layout).await
}

async fn is_settled(clients: &Clients, storage: &Storage) -> Result<(), String> {
    for tenant in clients.oracle.tenants() {
        storage.check(&tenant).await?;
    }
    Ok(())
}

/// Waits until everything is whole; what is not after [`HEALS_WITHIN`].
async fn heal(clients: &Clients, layout: &Layout) -> Result<(), String> {
    let until = Instant::now() + HEALS_WITHIN;
    loop {
        let whole = is_whole(clients, layout).await;
        if let Some(violation) = clients.oracle.violation() {
            return Err(violation.0);
        }
        match whole {
            Ok(()) => return Ok(()),
            Err(why) if Instant::now() >= until => {
                return Err(format!("not whole {HEALS_WITHIN:?} after the last fault: {why}"));
            }
            Err(_) => tokio::time::sleep(LOOK_EVERY).await,
        }
    }
}

/// Whether everything has started, every distributor takes writes, and every querier has everything.
async fn is_whole(clients: &Clients, layout: &Layout) -> Result<(), String> {
    let down = clients.fleet.down();
    if !down.is_empty() {
        return Err(format!("not started: {}", down.join(", ")));
    }
    for tenant in TENANTS {
        for (number, distributor) in (LAST_SERIES..).zip(&layout.distributors) {
            let rows = [row(tenant, number, clients.clock.now_ms())];
            clients
                .write_once(distributor, tenant, &rows)
                .await
                .map_err(|why| format!("{distributor}: {why}"))?;
        }
    }
    answers_everything(clients, layout).await
}

/// Whether every querier has everything.
async fn answers_everything(clients: &Clients, layout: &Layout) -> Result<(), String> {
    for tenant in TENANTS {
        for querier in layout.queriers.iter().flat_map(|querier| [querier; PAIRS_OF_ZONES]) {
            let now_ms = clients.clock.now_ms();
            let asked = clients.ask(querier, tenant, (START_MS - 60_000, now_ms)).await;
            asked.map_err(|why| format!("{querier}: {why}"))?;
        }
    }
    Ok(())
}
