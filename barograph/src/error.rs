//! Why a process could not start, or did not stop in order.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use env::TaskError;
use membership::{SavedViewError, WrongPlace};
use metastore::store::EngineError;
use ring::RingError;
use thiserror::Error;

use crate::data_dir::DataDirError;

/// Why the process could not start, or did not stop in order.
#[derive(Debug, Error)]
pub(crate) enum ProcessError {
    /// The log cannot be set up.
    #[error("cannot set up the log")]
    Log(#[from] telemetry::LogError),
    /// The system gives no threads or signals.
    #[error("cannot set up the process")]
    System(#[source] io::Error),
    /// The data directory cannot be used.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// The limits file is wrong.
    #[error("{0}")]
    Limits(String),
    /// The address cannot be had.
    #[error("cannot listen on {addr}; choose another address with --http")]
    Listen {
        addr: SocketAddr,
        #[source]
        source: io::Error,
    },
    /// The address for gRPC cannot be had.
    #[error("cannot listen on {addr}; choose another address with --grpc")]
    ListenGrpc {
        addr: SocketAddr,
        #[source]
        source: io::Error,
    },
    /// The bucket cannot be used.
    #[error(transparent)]
    Bucket(#[from] bucket::OpenError),
    /// The secret cannot be sent.
    #[error(transparent)]
    ClusterSecret(#[from] rpc::grpc::InvalidSecret),
    /// The certificates cannot be used.
    #[error("gRPC cannot use its certificates (grpc.tls)")]
    Tls(#[from] rpc::grpc::TlsError),
    /// The process has no name.
    #[error("the host's name cannot be had; give this process a name with --instance-id")]
    Nameless(#[source] io::Error),
    /// The view of the metastore that was saved last cannot be used.
    #[error("the saved view of the cluster cannot be used; remove it to wait for the metastore instead")]
    SavedView(#[from] SavedViewError),
    /// The folder of the saved view cannot be made.
    #[error("cannot make the folder of the saved view")]
    ViewFolder(#[source] io::Error),
    /// The instance belongs elsewhere.
    #[error(transparent)]
    Place(#[from] WrongPlace),
    /// The metastore's data cannot be opened.
    #[error("the metastore cannot open its data")]
    Engine(#[from] EngineError),
    /// Opening was cut short.
    #[error("the metastore cannot open its data")]
    Open(#[source] TaskError),
    /// The metastore cannot start.
    #[error("the metastore cannot start")]
    Metastore(#[from] metastore::StartError),
    /// The ingester cannot start.
    #[error("the ingester cannot start")]
    Ingester(#[from] ingester::StartError),
    /// The ruler cannot start.
    #[error("the ruler cannot start")]
    Ruler(#[from] ruler::StartError),
    /// Its rules cannot be used any more.
    #[error("the ruler cannot start")]
    Rules(#[from] ruler::LoadError),
    /// The Alertmanager cannot start.
    #[error("the alertmanager cannot start")]
    Alertmanager(#[from] alertmanager::StartError),
    /// The ring cannot be made.
    #[error("the ring cannot be made")]
    Ring(#[from] RingError),
    /// A listener went away, which it does not do while the process runs.
    #[error("the {0} listener ended by itself")]
    ListenerEnded(&'static str),
    /// Stopping took too long.
    #[error(
        "stopping took longer than {timeout:?}; nothing acknowledged is lost, but the next start takes longer"
    )]
    Shutdown { timeout: Duration },
}
