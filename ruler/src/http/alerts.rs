//! `/alerts`: those that are pending or firing.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::response::Response;
use proto::ruler::{Alert, AlertState};
use rpc::Tenant;
use serde::Serialize;

use super::answer::{success, unavailable};
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
    pub(super) fn of(alert: Alert) -> Self {
        Self {
            state: state(alert.state()),
            labels: alert.labels,
            annotations: alert.annotations,
            active_at: time(alert.active_at_ms),
            keep_firing_since: alert.keep_firing_since_ms.map(time),
            value: exponential(alert.value),
        }
    }
}

/// As the API writes it.
pub(super) fn state(state: AlertState) -> &'static str {
    match state {
        AlertState::Inactive => "inactive",
        AlertState::Pending => "pending",
        AlertState::Firing => "firing",
    }
}

#[derive(Serialize)]
struct Alerts {
    alerts: Vec<ShownAlert>,
}

pub(super) async fn list(State(ruler): State<Ruler>, Tenant(tenant): Tenant) -> Response {
    let groups = match ruler.0.all(&tenant, false).await {
        Ok(groups) => groups,
        Err(error) => return unavailable(&error.message),
    };
    let rules = groups.into_iter().flat_map(|group| group.rules);
    let alerts = rules.filter_map(|rule| rule.alerting).flat_map(|alerting| alerting.alerts);
    success(&Alerts { alerts: alerts.map(ShownAlert::of).collect() })
}
