//! `/alerts`: those that are pending or firing.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::response::Response;
use rpc::Tenant;
use serde::Serialize;

use super::answer::success;
use super::time::{exponential, time};
use crate::service::Ruler;

/// An alert as it is shown.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ShownAlert {
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
    state: &'static str,
    active_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    keep_firing_since: Option<String>,
    value: String,
}

impl ShownAlert {
    pub(super) fn of(alert: &rules::Alert) -> Self {
        let pairs = alert.labels.iter();
        Self {
            labels: pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            annotations: alert.annotations.clone(),
            state: alert.state.as_str(),
            active_at: time(alert.active_at_ms),
            keep_firing_since: alert.keep_firing_since_ms.map(time),
            value: exponential(alert.value),
        }
    }
}

#[derive(Serialize)]
struct Alerts {
    alerts: Vec<ShownAlert>,
}

pub(super) async fn list(State(ruler): State<Ruler>, Tenant(tenant): Tenant) -> Response {
    let mut alerts = Vec::new();
    for unit in ruler.0.units(&tenant) {
        let state = unit.state.lock();
        alerts.extend(state.group.alerts().map(ShownAlert::of));
    }
    success(&Alerts { alerts })
}
