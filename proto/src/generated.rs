//! What `build.rs` generates from the files in `proto/proto`. Each module is a package.

// The generated code names it by its path.
use tonic_prost as _;

/// Package `barograph.rpc.v1`: what calls of every service have in common.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic)]
pub mod rpc {
    tonic::include_proto!("barograph.rpc.v1");
}

/// Package `barograph.metastore.v1`: the control plane.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic)]
pub mod metastore {
    tonic::include_proto!("barograph.metastore.v1");
    include!(concat!(env!("OUT_DIR"), "/known_fields.rs"));
}

/// Package `barograph.ingester.v1`: an ingester as other processes see it.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic)]
pub mod ingester {
    tonic::include_proto!("barograph.ingester.v1");
}

/// Package `barograph.ruler.v1`: a ruler as other rulers see it.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic)]
pub mod ruler {
    tonic::include_proto!("barograph.ruler.v1");
}

/// Package `barograph.alertmanager.v1`: an Alertmanager as others see it.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic)]
pub mod alertmanager {
    tonic::include_proto!("barograph.alertmanager.v1");
}
