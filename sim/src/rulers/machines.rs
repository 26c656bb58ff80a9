//! Machines with rulers: what survives their processes, and how these start, stop and crash. Voters are machines of the
//! [`Fleet`].

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use env::{CrashMode, Scope, SimClock, SimFs};
use http::Request;
use http_body_util::Full;
use membership::records::{Kind as _, LEASES, RuleTenants, Rules};
use membership::{LeaseHolder, Watcher, WatcherDeps};
use model::TenantId;
use parking_lot::Mutex;
use proto::metastore::Lease;
use rpc::grpc::Routes;
use ruler::{ClusterDeps, Deps, Ruler, RulerConfig, RulerLimits, RulerService, Target};
use settings::Overrides;
use tower::ServiceExt as _;

use super::RulerMutant;
use super::seen::Seen;
use crate::draw::Draw;
use crate::network::Gone;
use crate::site::{DATA, Process, START_MS, Site, address, grpc};

/// How long a view can be behind: what the membership of every process is told, added up.
const PATIENCE: Duration = Duration::from_secs(11);
/// How long after a process could not start it is started again.
const RESTART_WAIT: Duration = Duration::from_secs(1);

/// The machines with rulers. Clones are the same.
#[derive(Clone)]
pub(super) struct Machines {
    site: Site,
    seen: Seen,
    mutant: Option<RulerMutant>,
    machines: Arc<Mutex<BTreeMap<String, Machine>>>,
}

struct Machine {
    clock: SimClock,
    disk: SimFs,
    lives: u64,
    /// How many faults keep it down.
    held_down: u32,
    life: Option<Life>,
}

struct Life {
    scope: Scope,
    started: Arc<OnceLock<(Ruler, LeaseHolder)>>,
}

impl Machines {
    pub(super) fn new(site: Site, seen: Seen, mutant: Option<RulerMutant>) -> Self {
        Self { site, seen, mutant, machines: Arc::default() }
    }

    /// Adds a machine, whose clock is wrong by `skew_ms`, and starts it.
    pub(super) fn add(&self, name: &str, skew_ms: i64) {
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
        machine.life = Some(Life { scope: scope.clone(), started: Arc::clone(&started) });
        let (clock, disk) = (machine.clock.clone(), machine.disk.clone());
        drop(machines);
        let (machines, name) = (self.clone(), name.to_owned());
        let within = scope.clone();
        drop(scope.spawn("boot", async move {
            loop {
                let attempt = within.child("process");
                let drawn = (Draw::new(machines.site.seed, &life), Arc::new(disk.clone()) as _);
                let clock = Arc::new(clock.clone());
                let process = Process::new(&machines.site, (&name, ""), attempt.clone(), clock, drawn);
                match machines.boot(&process, &life).await {
                    Ok(ruler) => {
                        machines.site.trace.event(format_args!("{life} has started"));
                        // Nobody else sets it.
                        let _ = started.set(ruler);
                        return;
                    }
                    Err(why) => {
                        machines.site.trace.event(format_args!("{life} cannot start: {why}"));
                        attempt.abort();
                        tokio::time::sleep(RESTART_WAIT).await;
                    }
                }
            }
        }));
    }

    async fn boot(&self, process: &Process, life: &str) -> Result<(Ruler, LeaseHolder), String> {
        let said = |error: &dyn std::fmt::Display| error.to_string();
        let dial = process.dial().map_err(|error| said(&error))?;
        let client = process.client(&dial);
        let dir = Path::new(DATA).join("membership");
        env::create_dir_durable(&*process.fs, &dir).map_err(|error| said(&error))?;
        let scope = process.scope.child("membership");
        let watch = async |file: &str, prefixes: Vec<Bytes>| {
            let deps =
                WatcherDeps { fs: Arc::clone(&process.fs), path: dir.join(file), scope: scope.clone() };
            Watcher::start(client.clone(), prefixes, deps).await.map_err(|error| said(&error))
        };
        let members = watch("view", vec![LEASES.into()]).await?;
        let rules = watch("rules", vec![Rules::PREFIX.into(), RuleTenants::PREFIX.into()]).await?;
        let lease = Lease {
            instance: process.name.clone(),
            roles: vec!["ruler".to_owned()],
            addresses: BTreeMap::from([("grpc".to_owned(), process.address())]),
            ..Lease::default()
        };
        let lease = LeaseHolder::start(client.clone(), lease, &scope);
        let patience = if self.mutant == Some(RulerMutant::TwoOwners) { Duration::ZERO } else { PATIENCE };
        let cluster = ClusterDeps {
            client,
            rules,
            members: members.clone(),
            lease: Box::pin(std::future::ready(lease.clone())),
            instance: process.name.as_str().into(),
            dial,
            patience,
        };
        let reached = self.seen.of(life, self.mutant);
        let config = RulerConfig {
            lease_margin: Duration::from_millis(300),
            resend_delay: Duration::from_secs(10),
            ..RulerConfig::default()
        };
        let deps = Deps {
            fs: Arc::clone(&process.fs),
            clock: Arc::clone(&process.clock),
            scope: process.scope.child("ruler"),
            registry: process.registry.clone(),
            query: Arc::clone(&reached) as _,
            write: Arc::clone(&reached) as _,
            alertmanagers: vec![Target { name: "all".to_owned(), way: reached }.into()],
            files: Vec::new(),
            dir: Path::new(DATA).join("ruler/rules"),
            cluster: Some(cluster),
            limits: Overrides::fixed(RulerLimits::default()),
            external_url: "http://sim".to_owned(),
        };
        let ruler = Ruler::start(config, deps).await.map_err(|error| said(&error))?;
        let service = RulerService::serve(ruler.clone(), grpc().max_message_bytes());
        process.serve(Routes::default().add_service(service)).map_err(|error| said(&error))?;
        // It cannot end before this does.
        drop(members.subscribe().wait_for(|view| view.is_known()).await.map(drop));
        ruler.begin().await.map_err(|error| said(&error))?;
        Ok((ruler, lease))
    }

    /// The machines whose process has not started.
    pub(super) fn down(&self) -> Vec<String> {
        let machines = self.machines.lock();
        let is_down =
            |machine: &Machine| machine.life.as_ref().is_none_or(|life| life.started.get().is_none());
        machines.iter().filter(|(_, machine)| is_down(machine)).map(|(name, _)| name.clone()).collect()
    }

    /// Sets a group of rules at a machine, as a user does; the status of the answer, if there is one.
    pub(super) async fn set(&self, name: &str, group: String) -> Option<u16> {
        let ruler = {
            let machines = self.machines.lock();
            machines.get(name)?.life.as_ref()?.started.get()?.0.clone()
        };
        let request = Request::post("/prometheus/config/v1/rules/n").body(Full::new(Bytes::from(group)));
        let mut request = request.ok()?;
        request.extensions_mut().insert(rpc::Tenant(TenantId::anonymous()));
        let answer = ruler.router().oneshot(request).await.ok()?;
        Some(answer.status().as_u16())
    }

    /// Ends the process of a machine, which stays down until [`Machines::release`].
    pub(super) fn kill(&self, name: &str) {
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

    /// Stops the process of a machine in order; it stays down until [`Machines::release`].
    pub(super) async fn stop(&self, name: &str) {
        let started = {
            let machines = self.machines.lock();
            let life = machines.get(name).and_then(|machine| machine.life.as_ref());
            life.and_then(|life| Some((life.started.get()?.clone(), life.scope.clone())))
        };
        if let Some(((ruler, lease), scope)) = started {
            let stopping = scope.spawn("stop", async move {
                ruler.cease().await;
                lease.release().await;
            });
            // It may be killed meanwhile.
            let _ = stopping.await;
        }
        self.kill(name);
    }

    /// One fault less keeps a machine down; without any it starts.
    pub(super) fn release(&self, name: &str) {
        if let Some(machine) = self.machines.lock().get_mut(name) {
            machine.held_down = machine.held_down.saturating_sub(1);
        }
        self.start(name);
    }

    /// Lets the process of a machine stand still, or go on.
    pub(super) fn stand_still(&self, name: &str, still: bool) {
        if let Some(life) = self.machines.lock().get(name).and_then(|machine| machine.life.as_ref()) {
            match still {
                true => life.scope.stand_still(),
                false => life.scope.go_on(),
            }
        }
    }

    /// Ends all processes.
    pub(super) fn end(&self) {
        let machines = std::mem::take(&mut *self.machines.lock());
        for life in machines.into_values().filter_map(|machine| machine.life) {
            life.scope.abort();
        }
    }
}
