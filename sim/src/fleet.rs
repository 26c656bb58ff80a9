//! The machines: what survives their processes, and how these start, stop and crash.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use env::{CrashMode, FileSystem, Scope, SimClock, SimFs};
use metastore::store::MemoryEngine;
use parking_lot::Mutex;
use telemetry::Registry;

use crate::draw::Draw;
use crate::network::Gone;
use crate::node::{Part, Role, boot};
use crate::site::{Process, START_MS, Site, Variant, address};

/// How long after a process could not start it is started again.
const RESTART_WAIT: Duration = Duration::from_secs(1);
/// How long writing to a disk takes at most, where it is not slow.
const DISK_DELAY: Duration = Duration::from_millis(3);

/// How a process ends that was not asked to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Crash {
    /// It is killed: what it has written is in the machine's memory, and will be on the disk.
    Killed,
    /// The power fails: what was not synced is lost.
    PowerLost,
    /// The power fails in the middle of writing: some of what was not synced is there, some in part.
    Torn,
}

impl Crash {
    fn mode(self) -> CrashMode {
        match self {
            Self::Killed => CrashMode::KeepAll,
            Self::PowerLost => CrashMode::LoseAll,
            Self::Torn => CrashMode::Torn,
        }
    }
}

/// The machines of a run. Clones are the same.
#[derive(Clone)]
pub(crate) struct Fleet {
    site: Site,
    machines: Arc<Mutex<BTreeMap<String, Machine>>>,
}

struct Machine {
    role: Role,
    zone: String,
    clock: SimClock,
    disk: SimFs,
    engine: MemoryEngine,
    /// How often a process was started on it.
    lives: u64,
    /// How many faults keep it down.
    held_down: u32,
    /// It is not part of the cluster yet, or no longer.
    retired: bool,
    /// Which configuration its processes have.
    variant: Variant,
    delay: Duration,
    life: Option<Life>,
}

#[derive(Clone)]
struct Life {
    scope: Scope,
    part: Arc<OnceLock<Started>>,
}

/// What a process is, and what it says about itself.
type Started = (Part, Registry);

impl Fleet {
    pub(crate) fn new(site: Site) -> Self {
        Self { site, machines: Arc::default() }
    }

    /// A machine that does not run yet; its clock is wrong by `skew_ms`.
    pub(crate) fn add(&self, role: Role, name: &str, zone: &str, skew_ms: i64) {
        let draw = Draw::new(self.site.seed, &format!("disk of {name}"));
        let machine = Machine {
            role,
            zone: zone.to_owned(),
            clock: SimClock::new(START_MS, skew_ms),
            disk: SimFs::new(draw.number()),
            engine: MemoryEngine::new(),
            lives: 0,
            held_down: 0,
            retired: false,
            variant: Variant::default(),
            delay: DISK_DELAY,
            life: None,
        };
        self.machines.lock().insert(name.to_owned(), machine);
    }

    /// The machines of a role, in order.
    pub(crate) fn names(&self, role: Role) -> Vec<String> {
        let machines = self.machines.lock();
        machines.iter().filter(|(_, machine)| machine.role == role).map(|(name, _)| name.clone()).collect()
    }

    /// What runs on a machine, with its scope, once it has started.
    pub(crate) fn part(&self, name: &str) -> Option<(Part, Scope)> {
        let machines = self.machines.lock();
        let life = machines.get(name)?.life.as_ref()?;
        Some((life.part.get()?.0.clone(), life.scope.clone()))
    }

    /// What every process that has started measures of itself.
    pub(crate) fn registries(&self) -> Vec<(String, Registry)> {
        let machines = self.machines.lock();
        let registry = |machine: &Machine| Some(machine.life.as_ref()?.part.get()?.1.clone());
        machines.iter().filter_map(|(name, machine)| Some((name.clone(), registry(machine)?))).collect()
    }

    /// The machines of the cluster whose process has not started.
    pub(crate) fn down(&self) -> Vec<String> {
        let machines = self.machines.lock();
        let is_down = |machine: &Machine| {
            !machine.retired && machine.life.as_ref().is_none_or(|life| life.part.get().is_none())
        };
        machines.iter().filter(|(_, machine)| is_down(machine)).map(|(name, _)| name.clone()).collect()
    }

    /// Whether the process of a machine has started.
    pub(crate) fn is_up(&self, name: &str) -> bool {
        self.part(name).is_some()
    }

    /// Makes a machine part of the cluster that was not, and starts it unless a fault keeps it down.
    pub(crate) fn commission(&self, name: &str) {
        if let Some(machine) = self.machines.lock().get_mut(name) {
            machine.retired = false;
        }
        self.start(name);
    }

    /// From now on a machine is no part of the cluster, and nothing is started on it.
    pub(crate) fn retire(&self, name: &str) {
        if let Some(machine) = self.machines.lock().get_mut(name) {
            machine.retired = true;
        }
    }

    /// Gives the processes of a machine another configuration, from the next start on.
    pub(crate) fn configure(&self, name: &str, variant: Variant) {
        if let Some(machine) = self.machines.lock().get_mut(name) {
            machine.variant = variant;
        }
    }

    /// Lets the process of a machine stand still.
    pub(crate) fn stand_still(&self, name: &str) {
        if let Some(life) = self.machines.lock().get(name).and_then(|machine| machine.life.as_ref()) {
            life.scope.stand_still();
        }
    }

    /// Lets the process of a machine go on.
    pub(crate) fn go_on(&self, name: &str) {
        if let Some(life) = self.machines.lock().get(name).and_then(|machine| machine.life.as_ref()) {
            life.scope.go_on();
        }
    }

    /// Starts a process on a machine that has none, unless a fault keeps it down.
    pub(crate) fn start(&self, name: &str) {
        let mut machines = self.machines.lock();
        let Some(machine) = machines.get_mut(name) else { return };
        if machine.held_down > 0 || machine.retired || machine.life.is_some() {
            return;
        }
        machine.lives += 1;
        let scope = Scope::simulated_on(format!("{name} {}", machine.lives), &self.site.executor);
        scope.delay_blocking(machine.delay);
        let part = Arc::new(OnceLock::new());
        machine.life = Some(Life { scope: scope.clone(), part: Arc::clone(&part) });
        let booting = Booting {
            site: self.site.clone(),
            name: name.to_owned(),
            zone: machine.zone.clone(),
            role: machine.role,
            clock: machine.clock.clone(),
            disk: machine.disk.clone(),
            engine: machine.engine.clone(),
            variant: machine.variant,
            draw: Draw::new(self.site.seed, &format!("{name} {}", machine.lives)),
            scope: scope.clone(),
        };
        drop(machines);
        drop(scope.spawn("boot", booting.run(part)));
    }

    /// Ends the process of a machine, which stays down until as many [`Fleet::release`] have been called.
    pub(crate) fn crash(&self, name: &str, crash: Crash) {
        let mut machines = self.machines.lock();
        let Some(machine) = machines.get_mut(name) else { return };
        machine.held_down += 1;
        let life = machine.life.take();
        if crash != Crash::Killed {
            machine.engine.lose_power();
        }
        machine.disk = machine.disk.crash(crash.mode());
        drop(machines);
        let gone = if crash == Crash::Killed { Gone::Refusing } else { Gone::Silent };
        self.site.network.hang_up(&address(name), gone);
        if let Some(life) = life {
            life.scope.abort();
        }
    }

    /// Gives a machine without a process an empty disk.
    pub(crate) fn wipe(&self, name: &str) {
        let mut machines = self.machines.lock();
        let Some(machine) = machines.get_mut(name) else { return };
        let draw = Draw::new(self.site.seed, &format!("disk of {name} after {} lives", machine.lives));
        machine.disk = SimFs::new(draw.number());
        machine.engine = MemoryEngine::new();
    }

    /// One fault less keeps the machine down; without any it starts.
    pub(crate) fn release(&self, name: &str) {
        if let Some(machine) = self.machines.lock().get_mut(name) {
            machine.held_down = machine.held_down.saturating_sub(1);
        }
        self.start(name);
    }

    /// Ends all processes, so that a run leaves nothing behind.
    pub(crate) fn end(&self) {
        let machines = std::mem::take(&mut *self.machines.lock());
        for life in machines.into_values().filter_map(|machine| machine.life) {
            life.scope.abort();
        }
        self.site.network.end();
    }

    /// The disk of a machine.
    pub(crate) fn disk(&self, name: &str) -> Option<SimFs> {
        self.machines.lock().get(name).map(|machine| machine.disk.clone())
    }

    /// Makes a disk slow, or as fast as others again.
    pub(crate) fn set_slow(&self, name: &str, slow: Option<Duration>) {
        let mut machines = self.machines.lock();
        let Some(machine) = machines.get_mut(name) else { return };
        machine.delay = slow.unwrap_or(DISK_DELAY);
        if let Some(life) = &machine.life {
            life.scope.delay_blocking(machine.delay);
        }
    }

    /// Makes the clock of a machine wrong by so much.
    pub(crate) fn set_skew_ms(&self, name: &str, skew_ms: i64) {
        if let Some(machine) = self.machines.lock().get(name) {
            machine.clock.set_skew_ms(skew_ms);
        }
    }
}

/// A process that is being started.
struct Booting {
    site: Site,
    name: String,
    zone: String,
    role: Role,
    clock: SimClock,
    disk: SimFs,
    engine: MemoryEngine,
    variant: Variant,
    draw: Draw,
    scope: Scope,
}

impl Booting {
    /// Starts it, and again where that fails, as whoever supervises processes does.
    async fn run(self, part: Arc<OnceLock<Started>>) {
        let Self { site, name, zone, role, clock, disk, engine, variant, draw, scope } = self;
        loop {
            let attempt = scope.child("process");
            let fs: Arc<dyn FileSystem> = site.disk(&disk);
            let mut process = Process::new(
                &site,
                (&name, &zone),
                attempt.clone(),
                Arc::new(clock.clone()),
                (draw.clone(), fs),
            );
            process.variant = variant;
            let registry = process.registry.clone();
            match boot(role, process, engine.clone()).await {
                Ok(started) => {
                    site.trace.event(format_args!("{name} has started"));
                    // Nobody else sets it.
                    let _ = part.set((started, registry));
                    return;
                }
                Err(error) => {
                    site.trace.event(format_args!("{name} cannot start: {error}"));
                    site.network.hang_up(&address(&name), Gone::Refusing);
                    attempt.abort();
                    tokio::time::sleep(RESTART_WAIT).await;
                }
            }
        }
    }
}
