//! A process that is a node of the metastore and nothing else: its gRPC beside the pages of every process.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use env::OsSeededRng;
use metastore::store::RocksEngine;
use metastore::{Deps, Metastore};
use rpc::grpc::{ClientPolicy, GrpcMetrics, GrpcServer, ServerPolicy, TcpDial};
use tokio::sync::Notify;

use crate::compose::Parts;
use crate::process::ProcessError;

/// A node that runs, and its listener.
pub(crate) struct Node {
    metastore: Metastore,
    listener: env::TaskHandle<rpc::Drain>,
    drain: Arc<Notify>,
}

impl Node {
    /// Opens the node's data in `dir` and listens on `grpc`, the address at which the other nodes reach it.
    pub(crate) async fn start(parts: &Parts, dir: &Path, grpc: SocketAddr) -> Result<Self, ProcessError> {
        let config = &parts.config.grpc;
        let metrics = GrpcMetrics::register(&parts.registry, Arc::clone(&parts.clock));
        let policy = ServerPolicy::new(config, metrics.clone(), Arc::clone(&parts.clock))?;
        let client = ClientPolicy::new(config, metrics, Arc::clone(&parts.clock))?;
        let listening =
            GrpcServer::bind(grpc, config.clone(), policy, &parts.scope, Arc::clone(&parts.clock)).await;
        let server = listening.map_err(|source| ProcessError::ListenGrpc { addr: grpc, source })?;
        let folder = dir.to_owned();
        let opening = parts.scope.run_blocking(move || RocksEngine::open(&folder)).await;
        let engine = opening.map_err(ProcessError::Open)??;
        let deps = Deps {
            engine: Arc::new(engine),
            clock: Arc::clone(&parts.clock),
            rng: Arc::new(OsSeededRng::new()),
            scope: parts.scope.child("metastore"),
            registry: parts.registry.clone(),
            dial: Arc::new(TcpDial::new(config.clone(), client, &parts.scope)),
            address: server.local_addr().to_string(),
            max_message_bytes: config.max_message_bytes(),
        };
        let metastore = Metastore::start(parts.config.metastore.clone(), deps).await?;
        let drain = Arc::new(Notify::new());
        let (routes, begun) = (metastore.routes(), Arc::clone(&drain));
        let listener = parts
            .scope
            .spawn("grpc", async move { server.serve(routes, async move { begun.notified().await }).await });
        Ok(Self { metastore, listener, drain })
    }

    /// Lets calls that have begun end, then stops the node. Nothing acknowledged is lost if this does not finish.
    pub(crate) async fn stop(self) {
        self.drain.notify_one();
        // How it ended has been logged.
        let _ = self.listener.await;
        self.metastore.stop().await;
    }
}
