//! The node of the metastore in this process.

use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use env::{Clock, OsSeededRng};
use metastore::store::RocksEngine;
use metastore::{Deps, Metastore};
use tonic::service::Routes;

use crate::compose::Parts;
use crate::error::ProcessError;
use crate::grpc::Grpc;

/// How long a node that has stopped may go on using its data.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);

/// A node that runs.
pub(crate) struct Node {
    metastore: Metastore,
    closed: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl Node {
    /// What it serves.
    pub(crate) fn routes(&self) -> Routes {
        self.metastore.routes()
    }

    /// Stops it, and waits until its data has been closed. Nothing acknowledged is lost if this does not finish.
    pub(crate) async fn stop(self, clock: &dyn Clock) {
        self.metastore.stop().await;
        drop(self.metastore);
        tokio::select! {
            biased;
            () = self.closed => {}
            () = clock.sleep(CLOSE_TIMEOUT) => {
                tracing::warn!("the metastore's data is still in use after {CLOSE_TIMEOUT:?}");
            }
        }
    }
}

/// Opens the node's data in `dir`, and starts it as the one that is reached where this process is.
pub(crate) async fn start(parts: &Parts, dir: &Path, grpc: &Grpc) -> Result<Node, ProcessError> {
    let folder = dir.to_owned();
    let opening = parts.scope.run_blocking(move || RocksEngine::open(&folder)).await;
    let engine = opening.map_err(ProcessError::Open)??;
    let closed = Box::pin(engine.closed());
    let deps = Deps {
        engine: Arc::new(engine),
        clock: Arc::clone(&parts.clock),
        rng: Arc::new(OsSeededRng::new()),
        scope: parts.scope.child("metastore"),
        registry: parts.registry.clone(),
        dial: Arc::clone(&grpc.dial),
        address: grpc.address.clone().unwrap_or_default(),
        max_message_bytes: parts.config.grpc.max_message_bytes(),
    };
    Ok(Node { metastore: Metastore::start(parts.config.metastore.clone(), deps).await?, closed })
}
