//! Machines that each run a process of one kind: what survives the processes, and how these start, stop and crash. Machines of
//! the cluster that keep samples are those of the [`Fleet`](crate::fleet::Fleet).

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use env::{CrashMode, Scope, SimClock, SimFs};
use parking_lot::Mutex;

use crate::draw::Draw;
use crate::network::Gone;
use crate::site::{Process, START_MS, Site, address};

/// How long after a process could not start it is started again.
const RESTART_WAIT: Duration = Duration::from_secs(1);

/// What runs on machines.
pub(crate) trait Kind: Clone + Send + Sync + 'static {
    /// A process that has started.
    type Running: Clone + Send + Sync + 'static;

    /// Starts a process, which is called `life`. What it spawns ends with its scope.
    fn boot(
        &self,
        process: Process,
        life: String,
    ) -> impl Future<Output = Result<Self::Running, String>> + Send;

    /// Ends a process in order.
    fn stop(&self, running: Self::Running) -> impl Future<Output = ()> + Send;
}

/// The machines. Clones are the same.
#[derive(Clone)]
pub(crate) struct Replicas<K: Kind> {
    site: Site,
    kind: K,
    machines: Arc<Mutex<BTreeMap<String, Machine<K::Running>>>>,
}

struct Machine<R> {
    clock: SimClock,
    disk: SimFs,
    lives: u64,
    /// How many faults keep it down.
    held_down: u32,
    life: Option<Life<R>>,
}

#[derive(Clone)]
struct Life<R> {
    name: String,
    scope: Scope,
    started: Arc<OnceLock<R>>,
}

impl<K: Kind> Replicas<K> {
    pub(crate) fn new(site: Site, kind: K) -> Self {
        Self { site, kind, machines: Arc::default() }
    }

    /// Adds a machine, whose clock is wrong by `skew_ms`, and starts it.
    pub(crate) fn add(&self, name: &str, skew_ms: i64) {
        let disk = SimFs::new(Draw::new(self.site.seed, &format!("disk of {name}")).number());
        let clock = SimClock::new(START_MS, skew_ms);
        let machine = Machine { clock, disk, lives: 0, held_down: 0, life: None };
        self.machines.lock().insert(name.to_owned(), machine);
        self.start(name);
    }

    fn start(&self, name: &str) {
        let mut machines = self.machines.lock();
        let Some(machine) = machines.get_mut(name) else { return };
        if machine.held_down > 0 || machine.life.is_some() {
            return;
        }
        machine.lives += 1;
        let life = format!("{name} {}", machine.lives);
        let scope = Scope::simulated_on(&life, &self.site.executor);
        let started = Arc::new(OnceLock::new());
        machine.life = Some(Life { name: life.clone(), scope: scope.clone(), started: Arc::clone(&started) });
        let (clock, disk) = (machine.clock.clone(), machine.disk.clone());
        drop(machines);
        let (site, kind, name, within) =
            (self.site.clone(), self.kind.clone(), name.to_owned(), scope.clone());
        drop(scope.spawn("boot", async move {
            loop {
                let attempt = within.child("process");
                let drawn = (Draw::new(site.seed, &life), Arc::new(disk.clone()) as _);
                let clock = Arc::new(clock.clone());
                let process = Process::new(&site, (&name, ""), attempt.clone(), clock, drawn);
                match kind.boot(process, life.clone()).await {
                    Ok(running) => {
                        site.trace.event(format_args!("{life} has started"));
                        // Nobody else sets it.
                        let _ = started.set(running);
                        return;
                    }
                    Err(why) => {
                        site.trace.event(format_args!("{life} cannot start: {why}"));
                        attempt.abort();
                        tokio::time::sleep(RESTART_WAIT).await;
                    }
                }
            }
        }));
    }

    /// What runs on a machine, with its scope, once it has started.
    pub(crate) fn running(&self, name: &str) -> Option<(K::Running, Scope)> {
        let machines = self.machines.lock();
        let life = machines.get(name)?.life.as_ref()?;
        Some((life.started.get()?.clone(), life.scope.clone()))
    }

    /// What the process of a machine is called, if there is one.
    pub(crate) fn life(&self, name: &str) -> Option<String> {
        let machines = self.machines.lock();
        machines.get(name)?.life.as_ref().map(|life| life.name.clone())
    }

    /// The machines whose process has not started.
    pub(crate) fn down(&self) -> Vec<String> {
        let machines = self.machines.lock();
        let is_down = |machine: &Machine<K::Running>| {
            machine.life.as_ref().is_none_or(|life| life.started.get().is_none())
        };
        machines.iter().filter(|(_, machine)| is_down(machine)).map(|(name, _)| name.clone()).collect()
    }

    /// Ends the process of a machine, which stays down until [`Replicas::release`].
    pub(crate) fn kill(&self, name: &str) {
        let mut machines = self.machines.lock();
        let Some(machine) = machines.get_mut(name) else { return };
        machine.held_down += 1;
        machine.disk = machine.disk.crash(CrashMode::KeepAll);
        let life = machine.life.take();
        drop(machines);
        self.site.network.hang_up(&address(name), Gone::Refusing);
        if let Some(life) = life {
            life.scope.abort();
        }
    }

    /// Stops the process of a machine in order; it stays down until [`Replicas::release`].
    pub(crate) async fn stop(&self, name: &str) {
        if let Some((running, scope)) = self.running(name) {
            let kind = self.kind.clone();
            let stopping = scope.spawn("stop", async move { kind.stop(running).await });
            // It may be killed meanwhile.
            let _ = stopping.await;
        }
        self.kill(name);
    }

    /// One fault less keeps a machine down; without any it starts.
    pub(crate) fn release(&self, name: &str) {
        if let Some(machine) = self.machines.lock().get_mut(name) {
            machine.held_down = machine.held_down.saturating_sub(1);
        }
        self.start(name);
    }

    /// Lets the process of a machine stand still, or go on.
    pub(crate) fn stand_still(&self, name: &str, still: bool) {
        if let Some(life) = self.machines.lock().get(name).and_then(|machine| machine.life.as_ref()) {
            match still {
                true => life.scope.stand_still(),
                false => life.scope.go_on(),
            }
        }
    }

    /// Ends all processes.
    pub(crate) fn end(&self) {
        let machines = std::mem::take(&mut *self.machines.lock());
        for life in machines.into_values().filter_map(|machine| machine.life) {
            life.scope.abort();
        }
    }
}
