//! gRPC of this process: its listener, where others call it, and how it reaches others.

use std::sync::Arc;

use rpc::Drain;
use rpc::grpc::{ClientPolicy, Dial, GrpcMetrics, GrpcServer, ServerPolicy, TcpDial, Tls};
use tokio::sync::Notify;
use tonic::service::Routes;

use crate::compose::Parts;
use crate::error::ProcessError;

/// Both sides of gRPC.
pub(crate) struct Grpc {
    /// How others are reached.
    pub(crate) dial: Arc<dyn Dial>,
    server: Option<GrpcServer>,
    /// Where others reach this process (host:port), if they do.
    pub(crate) address: Option<String>,
}

/// A listener that serves.
pub(crate) struct Serving {
    listener: env::TaskHandle<Drain>,
    drain: Arc<Notify>,
}

impl Grpc {
    /// The caller's side, and a bound listener where this process is called.
    pub(crate) async fn bind(parts: &Parts) -> Result<Self, ProcessError> {
        let config = &parts.config.grpc;
        let metrics = GrpcMetrics::register(&parts.registry, Arc::clone(&parts.clock));
        let client = ClientPolicy::new(config, metrics.clone(), Arc::clone(&parts.clock))?;
        let tls = Tls::load(&parts.config.grpc_tls, Arc::clone(&parts.fs), Arc::clone(&parts.clock))?;
        if let Some(tls) = &tls {
            tls.watch(&parts.scope);
        }
        let dial = TcpDial::new(config.clone(), client, &parts.scope).with_tls(tls.clone());
        let dial = Arc::new(dial);
        if !parts.roles.is_called(&parts.config) {
            return Ok(Self { dial, server: None, address: None });
        }
        let policy = ServerPolicy::new(config, metrics, Arc::clone(&parts.clock))?;
        let policy = policy.with_governor(parts.governor.clone());
        let addr = config.listen;
        let bound =
            GrpcServer::bind(addr, config.clone(), policy, &parts.scope, Arc::clone(&parts.clock)).await;
        let server = bound.map_err(|source| ProcessError::ListenGrpc { addr, source })?.with_tls(tls);
        let address = config.advertise.clone().unwrap_or_else(|| server.local_addr().to_string());
        Ok(Self { dial, server: Some(server), address: Some(address) })
    }

    /// Serves `routes`, where this process is called.
    pub(crate) fn serve(self, parts: &Parts, routes: Routes) -> Option<Serving> {
        let server = self.server?;
        let drain = Arc::new(Notify::new());
        let begun = Arc::clone(&drain);
        let serve = async move { server.serve(routes, async move { begun.notified().await }).await };
        Some(Serving { listener: parts.scope.spawn("grpc", serve), drain })
    }
}

impl Serving {
    /// Takes no more connections, and lets calls that have begun end.
    pub(crate) async fn stop(self) {
        self.drain.notify_one();
        // How it ended has been logged.
        let _ = self.listener.await;
    }
}
