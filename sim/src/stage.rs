//! What a run stands on: a runtime whose time is the run's, and where processes of one kind are simulated without ingesters, a
//! network with three voters of the metastore.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use env::{Scope, SimExecutor};
use membership::{Client, LeaseHolder, Watcher, WatcherDeps};
use proto::metastore::Lease;
use rpc::grpc::Dial;

use crate::draw::Draw;
use crate::fleet::Fleet;
use crate::network::{Carries, Network};
use crate::node::Role;
use crate::oracle::Oracle;
use crate::site::{DATA, Process, Site};
use crate::trace::{Keep, Trace};
use crate::{logs, panics};

/// The voters of a [`Stage`].
pub(crate) const VOTERS: [&str; 3] = ["voter-1", "voter-2", "voter-3"];

/// How wrong clocks are with each other at most, in milliseconds.
pub(crate) const SKEW_MS: i64 = 600;

/// A run that is over.
pub(crate) struct Played<T> {
    /// What the run made; `None` where it panicked.
    pub(crate) lived: Option<T>,
    /// Of everything that happened, in order.
    pub(crate) hash: u64,
    /// How much happened.
    pub(crate) events: u64,
    /// The story, as far as it was kept.
    pub(crate) story: Vec<String>,
    /// The first panic of any task.
    pub(crate) panic: Option<String>,
}

/// Plays a run on this thread, with its own executor, which draws from the seed and `name`.
///
/// # Panics
/// Where no runtime can be made.
pub(crate) fn play<T, F>(
    (seed, name): (u64, &str),
    keep: Keep,
    live: impl FnOnce(SimExecutor, Trace) -> F,
) -> Played<T>
where
    F: Future<Output = T>,
{
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime without I/O needs nothing of the system");
    let executor = SimExecutor::new(Draw::new(seed, name).number());
    let trace = {
        let _entered = runtime.enter();
        Trace::new(keep)
    };
    let _logs = (keep == Keep::Logs).then(|| logs::keep(&trace));
    panics::watch();
    let lived = catch_unwind(AssertUnwindSafe(|| {
        runtime.block_on(executor.clone().run(async { live(executor, trace.clone()).await }))
    }));
    drop(runtime);
    let (hash, events, story) = trace.told();
    // Whoever panicked was none of the tasks, which have panics of their own.
    Played { lived: lived.ok(), hash, events, story, panic: panics::seen().into_iter().next() }
}

/// What a run of processes of one kind came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleOutcome<S> {
    /// Of everything that happened, in order.
    pub hash: u64,
    /// What must not be and was; `None` where all went as promised.
    pub failure: Option<String>,
    /// What was seen.
    pub stats: S,
    /// The faults, in order.
    pub faults: Vec<String>,
    /// The story, as far as it was kept.
    pub story: Vec<String>,
}

/// What a run of them makes: what must not be and was, what was seen, and the faults.
pub(crate) type RoleLived<S> = (Option<String>, S, Vec<String>);

impl<S: Default> From<Played<RoleLived<S>>> for RoleOutcome<S> {
    fn from(played: Played<RoleLived<S>>) -> Self {
        let Played { lived, hash, story, panic, .. } = played;
        let (failure, stats, faults) = lived.unwrap_or_default();
        Self { hash, failure: failure.or(panic), stats, faults, story }
    }
}

/// Three voters and a network, for processes of one kind.
pub(crate) struct Stage {
    /// Where those run whom no fault befalls.
    pub(crate) outside: Scope,
    pub(crate) network: Network,
    pub(crate) site: Site,
    pub(crate) voters: Fleet,
    clocks: Draw,
}

impl Stage {
    /// The stage of a seed, whose voters are being started; `clocks` names what wrong clocks are drawn from.
    pub(crate) fn new(seed: u64, executor: SimExecutor, trace: &Trace, clocks: &str) -> Self {
        let outside = Scope::simulated_on("outside", &executor);
        let network =
            Network::new(Carries::Calls, outside.clone(), Draw::new(seed, "network"), trace.clone());
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
        let stage = Self { outside, network, site, voters, clocks: Draw::new(seed, clocks) };
        for name in VOTERS {
            stage.voters.add(Role::Metastore, name, "", stage.skew_ms());
            stage.voters.start(name);
        }
        stage
    }

    /// How wrong the clock of the next machine is.
    pub(crate) fn skew_ms(&self) -> i64 {
        i64::try_from(self.clocks.between(0, SKEW_MS.unsigned_abs())).unwrap_or(0) - SKEW_MS / 2
    }
}

/// What a process has to be one of a cluster.
pub(crate) struct Member {
    pub(crate) client: Client,
    pub(crate) dial: Arc<dyn Dial>,
    process: Process,
    scope: Scope,
    dir: PathBuf,
}

impl Member {
    /// A process that knows nothing of its cluster yet.
    pub(crate) fn new(process: &Process) -> Result<Self, String> {
        let dial = process.dial().map_err(|error| error.to_string())?;
        let dir = Path::new(DATA).join("membership");
        env::create_dir_durable(&*process.fs, &dir).map_err(|error| error.to_string())?;
        let client = process.client(&dial);
        Ok(Self { client, dial, process: process.clone(), scope: process.scope.child("membership"), dir })
    }

    /// A view of these, kept in a file.
    pub(crate) async fn watch(&self, file: &str, prefixes: Vec<Bytes>) -> Result<Watcher, String> {
        let (fs, scope) = (Arc::clone(&self.process.fs), self.scope.clone());
        let deps = WatcherDeps { fs, path: self.dir.join(file), scope };
        Watcher::start(self.client.clone(), prefixes, deps).await.map_err(|error| error.to_string())
    }

    /// The lease of the process, which has this role.
    pub(crate) fn lease(&self, role: &str) -> LeaseHolder {
        let lease = Lease {
            instance: self.process.name.clone(),
            roles: vec![role.to_owned()],
            addresses: BTreeMap::from([("grpc".to_owned(), self.process.address())]),
            ..Lease::default()
        };
        LeaseHolder::start(self.client.clone(), lease, &self.scope)
    }
}

/// Names of machines.
pub(crate) fn names(names: [&str; 3]) -> Vec<String> {
    names.map(str::to_owned).to_vec()
}
