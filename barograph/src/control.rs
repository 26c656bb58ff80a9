//! The node of the metastore in this process.

use std::path::Path;
use std::sync::Arc;

use env::OsSeededRng;
use metastore::store::RocksEngine;
use metastore::{Deps, Metastore};

use crate::compose::Parts;
use crate::error::ProcessError;
use crate::grpc::Grpc;

/// Opens the node's data in `dir`, and starts it as the one that is reached where this process is.
pub(crate) async fn start(parts: &Parts, dir: &Path, grpc: &Grpc) -> Result<Metastore, ProcessError> {
    let folder = dir.to_owned();
    let opening = parts.scope.run_blocking(move || RocksEngine::open(&folder)).await;
    let engine = opening.map_err(ProcessError::Open)??;
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
    Ok(Metastore::start(parts.config.metastore.clone(), deps).await?)
}
