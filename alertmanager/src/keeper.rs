//! Where silences, what was told, and configurations of tenants are kept: by this process, or by the cluster that it is in.

use std::path::PathBuf;
use std::sync::Arc;

use crate::cluster::Cluster;
use crate::error::StartError;
use crate::own::ConfigDir;
use crate::service::Tenants;
use crate::state::{self, Record, Recovered, Store, StoreDeps};

/// Where it is kept.
pub(crate) enum Keeper {
    /// In files of this process, which is all there is.
    Folder { store: Store, configs: ConfigDir },
    /// In the metastore of a cluster.
    Cluster(Arc<Cluster>),
}

impl Keeper {
    /// What was kept in the folder of this process, and where it is going to be.
    pub(crate) async fn folder(
        deps: StoreDeps,
        tenants: &Arc<Tenants>,
    ) -> Result<(Self, Recovered), StartError> {
        let (files, folder): (_, PathBuf) = (Arc::clone(&deps.fs), deps.dir.clone());
        let recovered = deps.scope.run_blocking(move || state::recover(&*files, &folder)).await??;
        if recovered.damaged > 0 {
            tracing::error!(
                places = recovered.damaged,
                "some of what was kept cannot be read: silences may be missing, and notifications be repeated"
            );
        }
        tracing::info!(records = recovered.records, "silences and what was told have been read");
        let configs = ConfigDir { fs: Arc::clone(&deps.fs), dir: deps.dir.join("configs") };
        let store = Store::open(deps, &recovered, Arc::clone(tenants) as _)?;
        Ok((Self::Folder { store, configs }, recovered))
    }

    /// The cluster that this process is in.
    pub(crate) fn cluster(&self) -> Option<&Arc<Cluster>> {
        match self {
            Self::Folder { .. } => None,
            Self::Cluster(cluster) => Some(cluster),
        }
    }

    /// Makes what is kept here durable, and takes no more.
    pub(crate) async fn close(&self) {
        match self {
            Self::Folder { store, .. } => store.close().await,
            Self::Cluster(_) => {}
        }
    }

    /// Keeps records in the folder; they are durable then. The cluster keeps its own.
    pub(crate) async fn keep(&self, records: &[Record]) -> Result<(), String> {
        match self {
            Self::Folder { store, .. } => {
                store.keep(records).await.map_err(|error| format!("cannot be kept: {error}"))
            }
            Self::Cluster(_) => Ok(()),
        }
    }
}
