//! Processes of the cluster: the code of the roles, composed as `barograph` composes it, on what the simulation gives them.

mod compactor;
mod front;
mod ingester;
mod job;
mod metastore;

use std::sync::Arc;

use ::ingester::StartError;
use ::metastore::Metastore;
use ::metastore::store::MemoryEngine;
use bytes::Bytes;
use distributor::Distributor;
use membership::rings::{self, Members};
use membership::{Client, LeaseHolder, SavedViewError, Watcher, WatcherDeps, WrongPlace};
use querier::Querier;
use ring::{Quorum, RingView};
use rpc::grpc::{Dial, InvalidSecret};
use thiserror::Error;
use tokio::sync::watch;

pub(crate) use self::front::{MAX_PUSHES, MAX_QUEUED};
pub(crate) use self::ingester::{MAX_PENDING_BYTES, RunningIngester};
use crate::site::{DATA, Process, REPLICATION_FACTOR, RING};

/// What a machine is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Role {
    Metastore,
    Ingester,
    Distributor,
    Querier,
    Compactor,
}

impl Role {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Metastore => "metastore",
            Self::Ingester => "ingester",
            Self::Distributor => "distributor",
            Self::Querier => "querier",
            Self::Compactor => "compactor",
        }
    }
}

/// A process that has started.
#[derive(Clone)]
pub(crate) enum Part {
    Metastore(Metastore),
    Ingester(Box<RunningIngester>),
    Distributor(Arc<Distributor>, LeaseHolder),
    Querier(Querier, LeaseHolder),
    Compactor(LeaseHolder),
}

/// Why a process did not start.
#[derive(Debug, Error)]
pub(crate) enum BootError {
    #[error("its folder cannot be made: {0}")]
    Folder(#[from] std::io::Error),
    #[error("{0}")]
    View(#[from] SavedViewError),
    #[error("{0}")]
    Place(#[from] WrongPlace),
    #[error("the ingester: {0}")]
    Ingester(#[from] StartError),
    #[error("the metastore: {0}")]
    Metastore(#[from] ::metastore::StartError),
    #[error("{0}")]
    Secret(#[from] InvalidSecret),
    #[error("there is no bucket")]
    NoBucket,
}

/// Starts a process. What it spawns ends with its scope.
pub(crate) async fn boot(role: Role, process: Process, engine: MemoryEngine) -> Result<Part, BootError> {
    match role {
        Role::Metastore => metastore::boot(process, engine).await,
        Role::Ingester => ingester::boot(process).await,
        Role::Distributor => front::distributor(process).await,
        Role::Querier => front::querier(process).await,
        Role::Compactor => compactor::boot(process).await,
    }
}

/// What a process of the data plane knows of its cluster.
struct Surroundings {
    dial: Arc<dyn Dial>,
    client: Client,
    watcher: Watcher,
    view: watch::Receiver<Arc<RingView>>,
}

/// Begins to watch the cluster, without waiting for the metastore.
async fn surroundings(process: &Process, also: Vec<Bytes>) -> Result<Surroundings, BootError> {
    let dial = process.dial()?;
    let client = process.client(&dial);
    let dir = std::path::Path::new(DATA).join("membership");
    env::create_dir_durable(&*process.fs, &dir)?;
    let scope = process.scope.child("membership");
    let deps = WatcherDeps { fs: Arc::clone(&process.fs), path: dir.join("view"), scope: scope.clone() };
    let mut prefixes = rings::prefixes(RING);
    prefixes.extend(also);
    let watcher = Watcher::start(client.clone(), prefixes, deps).await?;
    let members = Members::new(RING, Quorum::new(REPLICATION_FACTOR));
    let view = rings::follow(&watcher, members, &process.registry, &scope);
    Ok(Surroundings { dial, client, watcher, view })
}
