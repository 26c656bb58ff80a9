//! `/status` and `/receivers`.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::response::Response;
use http::{StatusCode, Uri};
use rpc::Tenant;
use serde::Serialize;

use super::answer::json;
use super::params::Params;
use super::time::show;
use crate::service::{Alertmanager, Shared};

/// The version of upstream whose behaviour this is: clients look at it.
const VERSION: &str = "0.34.0";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Status<'a> {
    cluster: Cluster,
    config: Original<'a>,
    uptime: String,
    version_info: Version,
}

#[derive(Serialize)]
struct Cluster {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    peers: Vec<Peer>,
    status: &'static str,
}

#[derive(Serialize)]
struct Peer {
    address: String,
    name: String,
}

impl Cluster {
    fn of(shared: &Shared) -> Self {
        let Some(cluster) = shared.keeper.cluster() else {
            return Self { name: None, peers: Vec::new(), status: "disabled" };
        };
        let (name, peers) = cluster.shown();
        let peers = peers.into_iter().map(|(name, address)| Peer { address, name }).collect();
        Self { name: Some(name), peers, status: "ready" }
    }
}

#[derive(Serialize)]
struct Original<'a> {
    original: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Version {
    branch: &'static str,
    build_date: &'static str,
    build_user: &'static str,
    go_version: &'static str,
    revision: &'static str,
    version: &'static str,
}

pub(super) async fn status(State(role): State<Alertmanager>, Tenant(id): Tenant) -> Response {
    let setup = role.0.shown(&id).setup();
    let status = Status {
        cluster: Cluster::of(&role.0),
        config: Original { original: setup.config.to_yaml() },
        uptime: show(role.0.started),
        version_info: Version {
            branch: concat!("barograph-", env!("CARGO_PKG_VERSION")),
            build_date: "",
            build_user: "",
            go_version: "",
            revision: "",
            version: VERSION,
        },
    };
    json(StatusCode::OK, &status)
}

#[derive(Serialize)]
struct Receiver<'a> {
    labels: &'a BTreeMap<String, String>,
    name: &'a str,
}

pub(super) async fn receivers(State(role): State<Alertmanager>, Tenant(id): Tenant, uri: Uri) -> Response {
    let setup = role.0.shown(&id).setup();
    let filter = match Params::of(&uri).receiver_labels(role.0.config.language()) {
        Ok(filter) => filter,
        Err(refused) => return *refused,
    };
    let all = setup.config.receivers.iter();
    let wanted = all.filter(|receiver| filter.by_labels(&setup.config, &receiver.name));
    let shown: Vec<Receiver<'_>> =
        wanted.map(|receiver| Receiver { labels: &receiver.labels, name: &receiver.name }).collect();
    json(StatusCode::OK, &shown)
}
